"""`stochep figures`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from commands.arguments import Flag, unknown
from commands.progress import board
from commands.streams import FAILED, print_json, refuse


def figures(
    *names: str,
    out: Path = Path("figures/out"),
    anew: Flag = False,
    workers: int | None = None,
    json: Flag = False,
) -> int:
    """Compute and draw figures, all of them when none is named; print their paths.

    A figure whose sources, results and packages are those it was made of is left as it is.

    Where one fails the others go on, and the exit code is 1.

    Parameters
    ----------
    names
        For instance gradient_bias tracking_error.
    out
        The folder for NAME.pdf, NAME.png and NAME.json.
    anew
        Also figures that are as they would be made now.
    workers
        How many to draw side by side, each in a process of its own; one a core unless given. The files do not depend on it.
    json
        One JSON document on stdout in place of the paths: name, status (drawn, unchanged, failed), paths, problem.
    """
    from dynamics.provenance import make_writable, processors
    from figures import NAMES

    if sentence := unknown("figure", names, NAMES):
        return refuse(sentence)
    if workers is not None and workers < 1:
        return refuse(f"--workers must be at least 1, got {workers}")
    if workers is not None and workers > len(NAMES):
        return refuse(f"--workers must be at most {len(NAMES)}, one a figure, got {workers}")
    try:
        make_writable(out)
    except ValueError as error:
        return refuse(error)
    from figures import press

    chosen, records = [name for name in NAMES if not names or name in names], []
    with (
        board() as shown,
        closing(press.draw(chosen, out, workers=workers or processors(), anew=anew, board=shown)) as drawn,
    ):
        for one in drawn:
            if one.status == "unchanged":
                shown.say(f"{one.name}: unchanged")
            if not json:
                # with workers paths come in the order of the names, not in that of drawing
                for path in one.paths:
                    shown.put(str(path))
            records.append(_record(one._asdict()))
    if json:
        print_json(records)
    return FAILED if any(record["status"] == "failed" for record in records) else 0


def _record(drawn: dict[str, Any]) -> dict[str, Any]:
    return {**drawn, "paths": [str(path) for path in drawn["paths"]]}
