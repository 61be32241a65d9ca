"""`stochep data`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cyclopts import App

from commands.arguments import Flag, unknown
from commands.examples import shown
from commands.progress import steps
from commands.streams import FAILED, print_json, refuse

data = App(name="data", help="The data sets that can be trained on.", help_epilogue=shown("data"))


@data.command(name="list", help_epilogue=shown("data list"))
def list_data(*names: str, data_dir: Path | None = None, json: Flag = False) -> int:
    """Name the data sets, one a line, with size and split, or how to get them; exit code 1 if one that is here is damaged.

    Parameters
    ----------
    names
        For instance mnist cifar10; all of them when none is named.
    data_dir
        A folder to look in first; the digits need none.
    json
        One JSON document on stdout: name, title, classes, here, then images, pixels and split, else the remedy.
    """
    from dynamics.datasets import one_line, summary

    def told(name: str) -> tuple[dict[str, Any], str]:
        found = summary(name, data_dir)
        return found, one_line(found)

    return _of_each(told, names, data_dir, json)


@data.command(name="check", help_epilogue=shown("data check"))
def check(*names: str, data_dir: Path | None = None, json: Flag = False) -> int:
    """Read the data sets that are here and compare them with what results were made from.

    Exit code 1 if one differs, or was asked for by its name and is not here.

    Parameters
    ----------
    names
        For instance mnist cifar10; all of them when none is named.
    data_dir
        A folder to look in first; the digits need none.
    json
        One JSON document on stdout: name, here, as_expected, problem.
    """
    from dynamics.datasets import load

    def told(name: str) -> tuple[dict[str, Any], str]:
        load(name, split_seed=0, data_dir=data_dir)
        return {"name": name, "here": True, "as_expected": True, "problem": None}, f"{name}: as expected"

    return _of_each(told, names, data_dir, json)


def _of_each(
    told: Callable[[str], tuple[dict[str, Any], str]], names: tuple[str, ...], data_dir: Path | None, json: bool
) -> int:
    """Print a record or a line of each data set, or what is wrong with it."""
    from dynamics.datasets import NAMES, Missing

    if sentence := unknown("data set", names, NAMES):
        return refuse(sentence)
    if data_dir is not None and not os.path.isdir(data_dir):
        return refuse(f"--data-dir must be a folder, got {data_dir}")
    chosen = [name for name in NAMES if not names or name in names]
    code, records, lines = 0, [], []
    with steps(len(chosen)) as begin:
        for name in chosen:
            begin(f"{name}: looking")
            try:
                record, line = told(name)
            except Missing as error:
                record = {"name": name, "here": False, "as_expected": None, "problem": str(error) if names else None}
                line = f"{name}: {error if names else 'not here'}"
                code = FAILED if names else code
            except ValueError as error:
                record = {"name": name, "here": True, "as_expected": False, "problem": str(error)}
                line, code = f"{name}: {error}", FAILED
            records.append(record)
            lines.append(line)
    if json:
        print_json(records)
    else:
        print(*lines, sep="\n")
    return code
