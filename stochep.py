"""The front door: `stochep claims`, `stochep train`, `stochep data`. Arguments in, exit codes out; the work is in the packages.

Exit codes: 0 fine, 1 a run or check failed, 2 usage or bad input. Results go to stdout, all else to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

if TYPE_CHECKING:
    from dynamics.crnn.train import Run, State

FAILED, USAGE = 1, 2

app = App(
    name="stochep",
    help="Theory and verification of stochastic equilibrium propagation.",
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
data = App(name="data", help="The data sets that can be trained on.")
app.command(data)
claims = App(name="claims", help="The theorems and their machine checks.")
app.command(claims)


def main() -> None:
    """Run one command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    try:
        return app(arguments) or 0
    except CycloptsError as error:
        return _refuse(error)
    except KeyboardInterrupt:
        print("stochep: interrupted; a training goes on with --resume", file=sys.stderr)
        return FAILED


@app.command
def train(
    *experiments: Path,
    overrides: Annotated[
        tuple[str, ...], Parameter(name="--set", consume_multiple=True, negative=(), show_default=False)
    ] = (),
    seeds: Annotated[
        tuple[int, ...], Parameter(name="--seed", consume_multiple=True, negative=(), show_default=False)
    ] = (),
    out: Path = Path("runs"),
    resume: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Train every seed of each experiment and write OUT/NAME/SEED/result.json and weights.npz.

    Parameters
    ----------
    experiments
        TOML files, for instance experiments/digits_*.toml.
    overrides
        key=value with a dotted key, any number of them: --set training.epochs=5 network.leak=0.25
    seeds
        Seeds to train instead of the file's.
    out
        The folder for runs; --out results records them.
    resume
        Take each seed up from its newest checkpoint; the end is the same bit by bit.
    json
        One JSON document on stdout instead of a line a seed.
    """
    import msgspec

    from dynamics.crnn.config import load_all
    from dynamics.crnn.train import prepare
    from dynamics.crnn.train import train as train_run
    from meanfield import ConvergenceError

    try:
        runs = [
            one
            for experiment in load_all(experiments, overrides, seeds)
            for one in prepare(experiment, out, resume=resume)
        ]
    except ValueError as error:
        return _refuse(error)
    documents = []
    for one in runs:
        try:
            with _progress(one) as report:
                documents.append(train_run(one, report))
        except (ConvergenceError, OSError) as error:
            print(f"{one.experiment.name} seed {one.seed} failed: {error}", file=sys.stderr)
            return FAILED
        if not json:
            print(_summary(one, documents[-1]), flush=True)
    if json:
        print(msgspec.json.encode({"runs": documents}).decode())
    return 0


@data.command(name="list")
def list_data(*, data_dir: Path | None = None) -> int:
    """Name the data sets, one a line, with size, split and origin.

    Parameters
    ----------
    data_dir
        A folder to look in first; the digits need none.
    """
    from dynamics.datasets import NAMES, describe

    if data_dir is not None and not data_dir.is_dir():
        return _refuse(f"--data-dir must be a folder, got {data_dir}")
    for name in NAMES:
        print(describe(name))
    return 0


@data.command
def check(*, data_dir: Path | None = None) -> int:
    """Read every data set and compare it with what results were made from; exit code 1 if one differs.

    Parameters
    ----------
    data_dir
        A folder to look in first; the digits need none.
    """
    from dynamics.datasets import NAMES, load

    if data_dir is not None and not data_dir.is_dir():
        return _refuse(f"--data-dir must be a folder, got {data_dir}")
    code = 0
    for name in NAMES:
        try:
            load(name, split_seed=0)
            print(f"{name}: as expected")
        except ValueError as error:
            print(f"{name}: {error}")
            code = FAILED
    return code


@claims.command(name="list")
def list_claims(*, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Name every claim with its kind, its hypotheses and its statement.

    Parameters
    ----------
    json
        One JSON document on stdout.
    """
    import msgspec

    from proofs_numeric import CLAIMS

    fields = ("label", "title", "kind", "means", "hypotheses", "statement")
    records = [{name: getattr(claim, name) for name in fields} for claim in CLAIMS.values()]
    if json:
        print(msgspec.json.encode(records).decode())
        return 0
    for record in records:
        print("{label}: {title} ({kind}, {means})\n    {statement}\n    Holds when {hypotheses}.".format(**record))
    return 0


@claims.command(name="check")
def check_claims(
    *labels: str,
    instances: int | None = None,
    seed: int = 0,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Check claims, all of them when none is named; exit code 1 unless each holds and each falsifier is refuted.

    Parameters
    ----------
    labels
        For instance A4 B7b.
    instances
        Random instances a claim, in place of the claim's own number.
    seed
        Seed of the instances.
    json
        One JSON document on stdout in place of the table.
    """
    import msgspec

    from proofs_numeric import CLAIMS, check

    if unknown := [label for label in labels if label not in CLAIMS]:
        return _refuse(f"no claim {unknown[0]!r}: the labels are {', '.join(CLAIMS)}")
    if instances is not None and instances < 1:
        return _refuse(f"instances must be at least 1, got {instances}")
    if seed < 0:
        return _refuse(f"seed must not be negative, got {seed}")
    chosen = [label for label in CLAIMS if not labels or label in labels]
    records = []
    for position, label in enumerate(chosen, start=1):
        print(f"[{position}/{len(chosen)}] {label}: {CLAIMS[label].title}", file=sys.stderr)
        records.append(check(label, instances=instances, seed=seed).record())
    if json:
        print(msgspec.json.encode(records).decode())
    else:
        from proofs_numeric.claim import table

        print(table(records))
    return 0 if all(one["verdict"] == "holds" and one["falsifier_refuted"] for one in records) else FAILED


def _refuse(error: Exception | str) -> int:
    print(f"stochep: {error}", file=sys.stderr)
    return USAGE


def _summary(one: Run, document: dict[str, Any]) -> str:
    metrics = (
        "{} {:.2f} % [{:.2f}, {:.2f}]".format(
            name.replace("_", " "), *(100 * metric[k] for k in ("value", "low", "high"))
        )
        for name, metric in document["metrics"].items()
    )
    return f"{one.experiment.name} seed {one.seed}: {', '.join(metrics)}; {one.folder / 'result.json'}"


@contextmanager
def _progress(one: Run) -> Iterator[Callable[[State], None]]:
    """A bar on a terminal, a line an epoch elsewhere, both on stderr; the first epoch compiles the kernels."""
    from rich.console import Console
    from rich.progress import Progress

    epochs, title = one.experiment.training.epochs, f"{one.experiment.name} seed {one.seed}"

    def describe(state: State) -> str:
        return f"cost {state.train_cost[-1]:.4f}, validation {100 * state.validation_accuracy[-1]:.1f} %"

    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{title}: {epochs - one.state.epoch} epochs to do, compiling first where needed", file=sys.stderr)
        yield lambda state: print(f"{title} epoch {state.epoch}/{epochs}: {describe(state)}", file=sys.stderr)
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"{title}, compiling", total=epochs, completed=one.state.epoch)
        yield lambda state: progress.update(task, completed=state.epoch, description=f"{title}, {describe(state)}")


if __name__ == "__main__":
    main()
