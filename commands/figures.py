"""`stochep figures`."""

from __future__ import annotations

import sys
from pathlib import Path

from commands.progress import bar
from commands.streams import FAILED, refuse


def figures(*names: str, out: Path = Path("figures/out"), anew: bool = False) -> int:
    """Compute and draw figures, all of them when none is named; print their paths.

    A figure whose sources, results and packages are those it was made of is left as it is.

    Parameters
    ----------
    names
        For instance gradient_bias tracking_error.
    out
        The folder for NAME.pdf, NAME.png and NAME.json.
    anew
        Also figures that are as they would be made now.
    """
    from importlib import import_module

    from dynamics.provenance import make_writable
    from figures import NAMES, inputs, page

    if unknown := [name for name in names if name not in NAMES]:
        return refuse(f"no figure {unknown[0]!r}: the names are {', '.join(NAMES)}")
    try:
        make_writable(out)
    except ValueError as error:
        return refuse(error)
    for name in [name for name in NAMES if not names or name in names]:
        made_of = inputs.digest(name)
        if not anew and inputs.is_current(name, made_of, out):
            print(f"{name}: unchanged", file=sys.stderr)
            print(*page.paths(name, out), sep="\n", flush=True)
            continue
        script = import_module(f"figures.{name}")
        try:
            with bar(name) as report:
                written = page.publish(name, script.compute(report=report), script.draw, out, made_of)
        except ValueError as error:
            return refuse(error)
        except (OSError, RuntimeError) as error:
            print(f"stochep: {name} failed: {error}", file=sys.stderr)
            return FAILED
        print(*written, sep="\n", flush=True)
    return 0
