"""`stochep train` and `stochep certify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from commands.progress import bar, progress
from commands.streams import FAILED, refuse

if TYPE_CHECKING:
    from dynamics.crnn.run import Run


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
    data_dir: Path | None = None,
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
    data_dir
        A folder to look for data sets in first.
    json
        One JSON document on stdout instead of a line a seed.
    """
    import signal

    import msgspec

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
    # a polite kill stops as Ctrl-C does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    documents = []
    for one in runs:
        try:
            with progress(one) as report:
                documents.append(train_run(one, report))
        except (ConvergenceError, Divergence, OSError) as error:
            print(f"{one.experiment.name} seed {one.seed} failed: {error}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            print(
                f"{one.experiment.name} seed {one.seed} stopped, its state is in {one.folder / 'checkpoints'}: the same command "
                "with --resume goes on from there",
                file=sys.stderr,
            )
            return FAILED
        if not json:
            print(_summary(one, documents[-1]), flush=True)
    if json:
        print(msgspec.json.encode({"runs": documents}).decode())
    return 0


def certify(
    run: Path,
    *,
    images: int = 16,
    replicas: int = 32,
    seed: int = 0,
    data_dir: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
) -> int:
    """Say which claims' hypotheses a trained network meets, and what they predict against what a simulation measures.

    For instance stochep certify results/digits_stochastic/0

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
    import msgspec
    import numpy as np

    from dynamics.crnn.certificate import certify as certify_network
    from dynamics.crnn.certificate_table import table
    from dynamics.crnn.result import recorded
    from dynamics.provenance import make_writable, provenance, write_json
    from meanfield import ConvergenceError

    for name, value, least in (("images", images, 2), ("replicas", replicas, 2), ("seed", seed, 0)):
        if value < least:
            return refuse(f"--{name} must be at least {least}, got {value}")
    try:
        found, network = recorded(run, data_dir)
        if found.experiment.input.coding == "frames":
            return refuse(
                f"{run} was trained on streams, which have no fixed point to certify: name a run on static images"
            )
        network.require_multilinear()
        network.require_logistic()
        chosen = found.data.validation.batch(slice(0, images))
        if len(chosen) < images:
            return refuse(f"--images must be at most the {len(chosen)} validation images, got {images}")
        if out is not None:
            make_writable(out)
    except ValueError as error:
        return refuse(error)
    try:
        with bar(f"certificate of {found.experiment.name} seed {found.seed}") as report:
            certificate = certify_network(network, np.asarray(chosen), seed=seed, replicas=replicas)
            report(1.0)
    except ConvergenceError as error:
        print(f"stochep: {error}", file=sys.stderr)
        return FAILED
    document = {
        **provenance(), "name": found.experiment.name, "seed": found.seed, "images": images, "replicas": replicas,
        "noise_seed": seed, **certificate.record(),
    }  # fmt: skip
    if out is not None:
        write_json(out / "certificate.json", document)
    print(msgspec.json.encode(document).decode() if json else table(certificate))
    return 0


def _summary(one: Run, document: dict[str, Any]) -> str:
    metrics = (
        "{} {:.2f} % [{:.2f}, {:.2f}]".format(
            name.replace("_", " "), *(100 * metric[k] for k in ("value", "low", "high"))
        )
        for name, metric in document["metrics"].items()
    )
    return f"{one.experiment.name} seed {one.seed}: {', '.join(metrics)}; {one.folder / 'result.json'}"
