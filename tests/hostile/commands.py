"""Random command lines: true ones, then typos, missing and doubled values, and values that no one means."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.hostile import specimens

ABSURD = (
    "-1", "0", "-0", "nan", "inf", "-inf", "1e308", "1e-320", "1e30", "-1e-30", "1.5", "9" * 30, "9" * 5000, str(2**63), "0x10",
    "1e3", "", " ", "\n", "x" * 300, "x" * 5000, "٣", "\x1b[31m", "\0", "\udcff", "--", "-", "--json", "true", "None", "../..", "/",
    "/dev/null",     "[1,2]", "{}", "a=b", "a.b=c", "ü=1",
)  # fmt: skip


def lines(folder: Path) -> tuple[list[str], ...]:
    """True command lines, all of them quick where training and checking claims are left out."""
    train = [
        "train",
        str(specimens.EXPERIMENT),
        "--out",
        str(folder / "runs"),
        "--seed",
        "0",
        "--set",
        *specimens.DIGITS[:3],
    ]
    bias = [
        "bias",
        "--size",
        "4",
        "--temperatures",
        "1",
        "2",
        "--nudgings",
        "0.1",
        "--estimators",
        "symmetric",
        "--seed",
        "1",
    ]
    compare = [
        "claims",
        "compare",
        "--networks",
        "2-1",
        "--temperatures",
        "1",
        "--rules",
        "FRE",
        "--nudging",
        "0.2",
        "--seed",
        "0",
    ]
    run = specimens.finished(folder / "finished")[0].parent
    return (
        [*train, "--json"],
        [*train, "--resume"],
        [*bias, "--reference", "exact", "--samples", "64", "--couplings", "sk"],
        [*bias, "--json", "--couplings", "layered"],
        [*compare, "--steps", "3", "--samples", "64", "--budget", "100", "--json"],
        ["certify", str(run), "--images", "4", "--replicas", "3", "--seed", "1", "--json"],
        ["claims", "check", "B7", "C8", "--instances", "3", "--seed", "2", "--json"],
        ["claims", "list", "B7", "--json"],
        ["data", "list", "--data-dir", str(folder)],
        ["figures", "tracking_error", "--out", str(folder / "figures")],
    )


def command_line(folder: Path, random: np.random.Generator) -> tuple[list[str], tuple[str, ...]]:
    """One line with one to three arguments changed, and what a refusal of it may name."""
    choices = lines(folder)
    line = list(choices[random.integers(0, len(choices))])
    for _ in range(int(random.integers(1, 4))):
        place, kind = int(random.integers(0, len(line))), random.integers(0, 8)
        if kind < 4:
            # a command's own name is left alone most of the time
            line[max(place, int(random.integers(0, 3))) if len(line) > 3 else place] = ABSURD[
                random.integers(0, len(ABSURD))
            ]
        elif kind == 4:
            del line[place]
        elif kind == 5:
            line[place] = line[place][:-1]
        elif kind == 6:
            line.insert(place, ABSURD[random.integers(0, len(ABSURD))])
        else:
            line.insert(place, line[place])
        if not line:
            break
    # figures without a name would draw them all
    if line[:1] == ["figures"] and "tracking_error" not in line:
        line.append("magic")
    # a refusal names an option, a value or a command: always something of what was asked
    return line, ("--", "'", '"', "must", "[", "cannot be read", *(one for one in line if one))
