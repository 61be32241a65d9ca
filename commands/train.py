"""`stochep train` and `stochep certify`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from commands.arguments import Flag
from commands.progress import SECONDS_BETWEEN_LINES, bar, watched
from commands.streams import complain, console, heed_polite_kills, print_json, refuse

if TYPE_CHECKING:
    from dynamics.crnn.run import Run
    from dynamics.crnn.train import Progress


def train(
    *experiments: Path,
    overrides: Annotated[
        tuple[str, ...], Parameter(name="--set", consume_multiple=True, negative=(), show_default=False)
    ] = (),
    seeds: Annotated[
        tuple[int, ...], Parameter(name="--seed", consume_multiple=True, negative=(), show_default=False)
    ] = (),
    out: Path = Path("runs"),
    resume: Flag = False,
    data_dir: Path | None = None,
    json: Flag = False,
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
    data_dir
        A folder to look for data sets in first.
    json
        One JSON document on stdout instead of a line a seed.
    """
    from dynamics.crnn.config import load_all
    from dynamics.crnn.run import prepare
    from dynamics.crnn.train import Divergence
    from dynamics.crnn.train import train as train_run
    from meanfield import ConvergenceError

    try:
        runs = [
            one
            for experiment in load_all(experiments, overrides, seeds)
            for one in prepare(experiment, out, resume=resume, data_dir=data_dir)
        ]
    except ValueError as error:
        return refuse(error)
    heed_polite_kills()
    documents = []
    for one in runs:
        try:
            with progress(one) as report:
                documents.append(train_run(one, report))
        except OSError as error:
            return complain(
                f"{one.experiment.name} seed {one.seed} failed: {one.folder} cannot be written to: {error.strerror or error}; once "
                "it can be, the same command with --resume goes on from the last checkpoint"
            )
        except (ConvergenceError, Divergence) as error:
            return complain(f"{one.experiment.name} seed {one.seed} failed: {error}")
        except KeyboardInterrupt:
            return complain(
                f"{one.experiment.name} seed {one.seed} stopped, its state is in {one.folder / 'checkpoints'}: the same command "
                "with --resume goes on from there"
            )
        if not json:
            print(_summary(one, documents[-1]), flush=True)
    if json:
        print_json({"runs": documents})
    return 0


def certify(
    run: Path,
    *,
    images: int = 16,
    replicas: int = 32,
    seed: int = 0,
    data_dir: Path | None = None,
    json: Flag = False,
    out: Path | None = None,
) -> int:
    """Say which claims' hypotheses a trained network meets, and what they predict against what a simulation measures.

    Parameters
    ----------
    run
        A folder with the result.json and weights.npz of stochep train.
    images
        How many validation images to look at.
    replicas
        Noisy paths an image.
    seed
        Of the simulated noise.
    data_dir
        A folder to look for data sets in first.
    json
        One JSON document on stdout in place of the table.
    out
        A folder to write certificate.json to.
    """
    import numpy as np

    from dynamics.crnn.certificate import certify as certify_network
    from dynamics.crnn.certificate_table import table
    from dynamics.crnn.result import recorded
    from dynamics.crnn.run import MOST_NUMBERS
    from dynamics.provenance import make_writable, provenance, write_json
    from meanfield import ConvergenceError

    for name, value, least, most in (
        ("images", images, 2, 10**6),
        ("replicas", replicas, 2, 10**6),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not least <= value <= most:
            return refuse(f"--{name} must be at least {least} and at most {most}, got {value}")
    try:
        found, network = recorded(run, data_dir)
        if found.experiment.input.coding == "frames":
            return refuse(
                f"{run} was trained on streams, which have no fixed point to certify: name a run on static images"
            )
        if found.experiment.from_below:
            return refuse(
                f"{run} answers by a pass from below, which has no fixed point to certify: name a run of a rule that relaxes"
            )
        network.require_multilinear()
        network.require_logistic()
        network.require_undivided()
        chosen = found.data.validation.batch(slice(0, images))
        if len(chosen) < images:
            return refuse(f"--images must be at most the {len(chosen)} validation images, got {images}")
        if (numbers := images * replicas * network.architecture.units) > MOST_NUMBERS:
            return refuse(
                f"--images and --replicas ask for {numbers:,} traces at once, more than the {MOST_NUMBERS:,} that are made room "
                "for: lower one of them"
            )
        if out is not None:
            make_writable(out)
    except ValueError as error:
        return refuse(error)
    try:
        with bar(f"certificate of {found.experiment.name} seed {found.seed}") as report:
            certificate = certify_network(network, np.asarray(chosen), seed=seed, replicas=replicas, report=report)
    except ConvergenceError as error:
        return complain(error)
    document = {
        **provenance(), "name": found.experiment.name, "seed": found.seed, "images": images, "replicas": replicas,
        "noise_seed": seed, **certificate.record(),
    }  # fmt: skip
    if out is not None:
        write_json(out / "certificate.json", document)
    if json:
        print_json(document)
    else:
        print(table(certificate))
    return 0


def _summary(one: Run, document: dict[str, Any]) -> str:
    metrics = (
        "{} {:.2f} % [{:.2f}, {:.2f}]".format(
            name.replace("_", " "), *(100 * metric[k] for k in ("value", "low", "high"))
        )
        for name, metric in document["metrics"].items()
    )
    return f"{one.experiment.name} seed {one.seed}: {', '.join(metrics)}; {one.folder / 'result.json'}"


@contextmanager
def progress(one: Run) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a line an epoch and every ten seconds elsewhere, on stderr; with what a training says of itself."""
    epochs, title = one.experiment.training.epochs, f"{one.experiment.name} seed {one.seed}"

    def describe(now: Progress) -> str:
        validated = "" if now.validation_error is None else f", validation error {100 * now.validation_error:.1f} %"
        rates = " ".join(f"{rate:.2f}" for rate in now.rates)
        return f"cost {now.cost:.4f}, error {100 * now.error:.1f} %{validated}, rates {rates}, {now.images_per_second:.0f} images/s"

    if not watched():
        print(f"{title}: {epochs - one.state.epoch} epochs to do", file=sys.stderr)
        last = monotonic()

        def line(now: Progress) -> None:
            nonlocal last
            if now.share and monotonic() - last < SECONDS_BETWEEN_LINES:
                return
            last = monotonic()
            done = f"{now.epoch}/{epochs}" if not now.share else f"{now.epoch + now.share:.2f}/{epochs}"
            left = f", {now.seconds_left:.0f} s left" if now.seconds_left else ""
            print(f"{title} epoch {done}: {describe(now)}{left}", file=sys.stderr, flush=True)
            if now.warning and not now.share:
                print(f"{title} epoch {done}: {now.warning}", file=sys.stderr, flush=True)

        yield line
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[left]}"))
    with Bars(*columns, console=console(stderr=True), transient=True) as bars:
        task = bars.add_task(f"{title}, first update", total=epochs, completed=one.state.epoch, left="")

        def move(now: Progress) -> None:
            bars.update(
                task,
                completed=now.epoch + now.share,
                description=f"{title}, {describe(now)}",
                left=f"{now.seconds_left:.0f} s left",
            )
            if now.warning and not now.share:
                bars.console.print(f"{title} epoch {now.epoch}/{epochs}: {now.warning}", markup=False)
