"""`stochep data`."""

from __future__ import annotations

import os
from pathlib import Path

from cyclopts import App

from commands.streams import FAILED, refuse

data = App(name="data", help="The data sets that can be trained on.")


@data.command(name="list")
def list_data(*, data_dir: Path | None = None) -> int:
    """Name the data sets, one a line, with size and split, or how to get them; exit code 1 if one that is here is damaged.

    Parameters
    ----------
    data_dir
        A folder to look in first; the digits need none.
    """
    from dynamics.datasets import NAMES, describe

    if data_dir is not None and not os.path.isdir(data_dir):
        return refuse(f"--data-dir must be a folder, got {data_dir}")
    code = 0
    for name in NAMES:
        try:
            print(describe(name, data_dir))
        except ValueError as error:
            print(f"{name}: {error}")
            code = FAILED
    return code


@data.command
def check(*, data_dir: Path | None = None) -> int:
    """Read every data set that is here and compare it with what results were made from; exit code 1 if one differs.

    Parameters
    ----------
    data_dir
        A folder to look in first; the digits need none.
    """
    from dynamics.datasets import NAMES, Missing, load

    if data_dir is not None and not os.path.isdir(data_dir):
        return refuse(f"--data-dir must be a folder, got {data_dir}")
    code = 0
    for name in NAMES:
        try:
            load(name, split_seed=0, data_dir=data_dir)
            print(f"{name}: as expected")
        except Missing:
            print(f"{name}: not here")
        except ValueError as error:
            print(f"{name}: {error}")
            code = FAILED
    return code
