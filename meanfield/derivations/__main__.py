"""Derive the equations again and rewrite meanfield/equations.py."""

from __future__ import annotations

from pathlib import Path

import meanfield
from meanfield.derivations.lowering import module_text


def main() -> None:
    Path(meanfield.__file__).with_name("equations.py").write_text(module_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
