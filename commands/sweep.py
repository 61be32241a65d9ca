"""`stochep sweep`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from commands.arguments import Flag
from commands.streams import FAILED, complain, heed_polite_kills, print_json, print_table, refuse


def sweep(
    experiment: Path,
    *,
    overrides: Annotated[
        tuple[str, ...], Parameter(name="--set", consume_multiple=True, negative=(), show_default=False)
    ] = (),
    workers: int | None = None,
    cluster: str | None = None,
    out: Path = Path("runs"),
    json: Flag = False,
) -> int:
    """Compute the grid of gradient errors that a file describes; the same command goes on where one was stopped or killed.

    Writes OUT/NAME/cells, a file a cell, and at the end NAME.csv, NAME.pdf, NAME.png and NAME.json beside them.

    Parameters
    ----------
    experiment
        A TOML file, for instance experiments/bias_sweep.toml.
    overrides
        key=value with a dotted key, any number of them: --set grid.temperatures=[1.0,2.0] seeds=[0]
    workers
        Processes to start on this machine, as many as it has processors unless given.
    cluster
        The address of a dask.distributed scheduler, tcp://HOST:PORT, whose workers compute instead.
    out
        The folder for sweeps.
    json
        One JSON document on stdout in place of the table.
    """
    import msgspec

    from dynamics.provenance import make_writable, provenance
    from figures.sweep import conduct, grid, outcome
    from figures.sweep.workers import ClusterLost

    heed_polite_kills()
    name, again = str(experiment), "the cells that are done are kept, the same command goes on from there"
    try:
        plan = grid.load(experiment, overrides)
        name, folder = plan.name, out / plan.name
        with conduct.opened(cluster, workers) as pool:
            make_writable(folder / "cells")
            rows, failures = conduct.fill(plan, folder / "cells", pool)
        written = conduct.publish(plan, rows, folder) if rows else []
    except ValueError as error:
        return refuse(error)
    except (ClusterLost, OSError) as error:
        reason = error if isinstance(error, ClusterLost) else f"{out} cannot be written to: {error.strerror or error}"
        return complain(f"{name} failed: {reason}; {again}")
    except KeyboardInterrupt:
        return complain(f"{name} stopped; {again}")
    for cell, reason in failures.items():
        complain(f"{name}: {cell} failed: {reason}")
    document = outcome.document(plan, rows)
    if json:
        failed = [{"cell": msgspec.structs.asdict(cell), "reason": reason} for cell, reason in failures.items()]
        print_json({**provenance(), **document, "failed": failed})
    else:
        print_table(outcome.table(document))
    print(*written, sep="\n", file=sys.stderr if json else sys.stdout)
    return FAILED if failures else 0
