"""The front door: `stochep claims`, `bias`, `train`, `figures`, `data`. Arguments in, exit codes out; the work is in the packages.

Exit codes: 0 fine, 1 a run or check failed, 2 usage or bad input. Results go to stdout, all else to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

if TYPE_CHECKING:
    from rich.table import Table

    from dynamics.crnn.run import Run
    from dynamics.crnn.train import Progress
    from figures.networks import Network

FAILED, USAGE = 1, 2
# characters of a sentence that refuses
MOST_SHOWN = 1500
# of a training that is not watched on a terminal
SECONDS_BETWEEN_LINES = 10.0

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
    if unreadable := next((one for one in arguments if "\0" in one or _is_broken(one)), None):
        return _refuse(f"the argument {unreadable!r} is no text: it holds a NUL character or is not UTF-8")
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
        return _refuse(error)
    # a polite kill stops as Ctrl-C does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    documents = []
    for one in runs:
        try:
            with _progress(one) as report:
                documents.append(train_run(one, report))
        except (ConvergenceError, Divergence, OSError) as error:
            print(f"stochep: {one.experiment.name} seed {one.seed} failed: {_one_line(str(error))}", file=sys.stderr)
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


@app.command
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
    from dynamics.crnn.run import MOST_NUMBERS
    from dynamics.provenance import make_writable, provenance, write_json
    from meanfield import ConvergenceError

    for name, value, least, most in (
        ("images", images, 2, 10**6),
        ("replicas", replicas, 2, 10**6),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not least <= value <= most:
            return _refuse(f"--{name} must be at least {least} and at most {most}, got {value}")
    try:
        found, network = recorded(run, data_dir)
        if found.experiment.input.coding == "frames":
            return _refuse(
                f"{run} was trained on streams, which have no fixed point to certify: name a run on static images"
            )
        network.require_multilinear()
        network.require_logistic()
        chosen = found.data.validation.batch(slice(0, images))
        if len(chosen) < images:
            return _refuse(f"--images must be at most the {len(chosen)} validation images, got {images}")
        if (numbers := images * replicas * network.architecture.units) > MOST_NUMBERS:
            return _refuse(
                f"--images and --replicas ask for {numbers:,} traces at once, more than the {MOST_NUMBERS:,} that are made room "
                "for: lower one of them"
            )
        if out is not None:
            make_writable(out)
    except ValueError as error:
        return _refuse(error)
    try:
        with _bar(f"certificate of {found.experiment.name} seed {found.seed}") as report:
            certificate = certify_network(network, np.asarray(chosen), seed=seed, replicas=replicas)
            report(1.0)
    except ConvergenceError as error:
        print(f"stochep: {_one_line(str(error))}", file=sys.stderr)
        return FAILED
    document = {
        **provenance(), "name": found.experiment.name, "seed": found.seed, "images": images, "replicas": replicas,
        "noise_seed": seed, **certificate.record(),
    }  # fmt: skip
    if out is not None:
        write_json(out / "certificate.json", document)
    print(msgspec.json.encode(document).decode() if json else table(certificate))
    return 0


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
        return _refuse(f"--data-dir must be a folder, got {data_dir}")
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
        return _refuse(f"--data-dir must be a folder, got {data_dir}")
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


def _unknown(labels: tuple[str, ...]) -> str | None:
    """The sentence for the first label that no claim has."""
    from proofs_numeric import CLAIMS

    missing = [label for label in labels if label not in CLAIMS]
    return f"no claim {missing[0]!r}: the labels are {', '.join(CLAIMS)}" if missing else None


@claims.command(name="list")
def list_claims(*labels: str, json: Annotated[bool, Parameter(negative=())] = False) -> int:
    """State claims, all of them when none is named, with kind and hypotheses.

    Parameters
    ----------
    labels
        For instance A4 B7b.
    json
        One JSON document on stdout.
    """
    import msgspec

    from proofs_numeric import CLAIMS

    if unknown := _unknown(labels):
        return _refuse(unknown)
    fields = ("label", "title", "kind", "means", "hypotheses", "statement")
    chosen = [claim for label, claim in CLAIMS.items() if not labels or label in labels]
    records = [{name: getattr(claim, name) for name in fields} for claim in chosen]
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
    from proofs_numeric.rigorous import INSTALL, installed

    if unknown := _unknown(labels):
        return _refuse(unknown)
    if instances is not None and instances < 1:
        return _refuse(f"instances must be at least 1, got {instances}")
    if seed < 0:
        return _refuse(f"seed must not be negative, got {seed}")
    chosen = [label for label in CLAIMS if not labels or label in labels]
    records = []
    for position, label in enumerate(chosen, start=1):
        print(f"[{position}/{len(chosen)}] {label}: {CLAIMS[label].title}", file=sys.stderr)
        records.append(check(label, instances=instances, seed=seed).record())
    if not installed():
        print(f"stochep: {INSTALL}", file=sys.stderr)
    if json:
        print(msgspec.json.encode(records).decode())
    else:
        from proofs_numeric.claim import table

        print(table(records))
    return 0 if all(one["verdict"] == "holds" and one["falsifier_refuted"] for one in records) else FAILED


@claims.command(name="compare")
def compare_rules(
    *,
    networks: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (
        "3-2", "3-2", "3-2", "2-2-1", "2-2-1", "4-3-2",
    ),
    temperatures: Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative=())] = (1,),
    rules: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=(), show_default=False)] = (),
    nudging: float = 0.2,
    steps: int = 24,
    samples: int = 4096,
    budget: float = 1e4,
    seed: int = 0,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:  # fmt: skip
    """Hold learning rules side by side on small layered networks: bias, noise, cost in relaxations, locality and memory.

    Parameters
    ----------
    networks
        Units a layer from below, 3-2 or 4-3-2; each is drawn from its own seed. At most 10 units.
    temperatures
        Each above 0.6, the gain of the networks at temperature 1.
    rules
        All unless named, for instance FRE "symmetric EP" "coupled StochEP".
    nudging
        In units of the temperature; the width of evolution strategies too.
    steps
        Sweeps that make a relaxation.
    samples
        Of what cannot be enumerated.
    budget
        Relaxations after which the error is told.
    seed
        Of the networks and of all sampling.
    json
        One JSON document, a row for each temperature, network and rule, on stdout in place of the table.
    """
    import msgspec

    from meanfield import ConvergenceError
    from proofs_numeric.comparators import harness

    try:
        layers = [_layers(text) for text in networks]
        if not 0 < budget < float("inf"):
            return _refuse(f"budget must be positive and finite, got {budget}")
        with _bar("comparison of learning rules") as report:
            rows = harness.compare(
                networks=layers, temperatures=temperatures, rules=rules or harness.NAMES, nudging=nudging, steps=steps,
                samples=samples, seed=seed, report=report,
            )  # fmt: skip
    except ValueError as error:
        return _refuse(error)
    except ConvergenceError as error:
        print(f"stochep: {_one_line(str(error))}", file=sys.stderr)
        return FAILED
    print(msgspec.json.encode(rows).decode() if json else harness.table(rows, budget=budget))
    return 0


def _layers(text: str) -> tuple[int, ...]:
    """Units a layer, as in 4-3-2."""
    try:
        return tuple(int(part) for part in text.split("-"))
    except ValueError as error:
        raise ValueError(f"networks must be units a layer, as in 4-3-2, got {text!r}") from error


@app.command
def bias(
    *,
    temperatures: Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative=())] = (0.25, 0.5, 1, 2, 4, 8),
    nudgings: Annotated[tuple[float, ...], Parameter(consume_multiple=True, negative=())] = (0.1, 0.5),
    estimators: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (
        "one-sided", "symmetric", "holomorphic", "onsager", "sampled", "leaky",
    ),
    couplings: str = "sk",
    size: int | None = None,
    samples: int = 16384,
    reference: str = "exact",
    recommend: Annotated[bool, Parameter(negative=())] = False,
    wanted: Annotated[float | None, Parameter(name="--error")] = None,
    dynamics: str | None = None,
    seed: int = 0,
    json: Annotated[bool, Parameter(negative=())] = False,
    out: Path | None = None,
) -> int:  # fmt: skip
    """Error of every estimator's coupling gradient, relative to the Gibbs gradient of the cost on spikes.

    With --recommend, what reaches a wanted error with the fewest relaxations instead.

    Parameters
    ----------
    temperatures
        In the unit of the couplings, each positive.
    nudgings
        In the unit of the couplings, none zero.
    estimators
        Mean field: one-sided, symmetric, holomorphic, onsager (symmetric); sampled: Glauber StochEP, coupled phases;
        leaky: leaky spikes, coupled phases, cost on rates.
    couplings
        sk, ferromagnet, layered, or an .npz file with the arrays couplings and bias and, if wished, outputs and target.
    size
        Units of sk, ferromagnet or layered, 12 unless given.
    samples
        Independent replicas of a sampled estimate.
    reference
        exact, by enumeration, for at most 24 units; sampled, the three-factor estimate from many samples.
    recommend
        Recommend estimator, nudging and samples at each temperature, from theory and a pilot run; no figure.
    wanted
        With --recommend: the wanted error, relative to the gradient's norm, 0.1 unless given.
    dynamics
        With --recommend: glauber (the default), block or leaky.
    seed
        Of the random couplings and of all sampling.
    json
        One JSON document on stdout in place of the table.
    out
        A folder to write bias.pdf, bias.png and bias.json to.
    """
    import msgspec

    from dynamics.provenance import make_writable, provenance
    from figures import bias_study, networks, page

    try:
        if not recommend and (wanted is not None or dynamics is not None):
            return _refuse(f"--{'dynamics' if wanted is None else 'error'} is about a recommendation: add --recommend")
        if recommend and out is not None:
            return _refuse(
                f"--recommend draws no figure: leave out --out {out}, or write the document with --json > FILE"
            )
        if couplings.endswith(".npz") or (couplings not in networks.FAMILIES and os.path.exists(couplings)):
            network = networks.from_file(Path(couplings))
            if size not in (None, network.size):
                return _refuse(f"--size {size} contradicts {couplings} of {network.size} units: leave it out")
        else:
            network = networks.family(couplings, 12 if size is None else size, seed)
        if recommend:
            return _advise(network, temperatures, 0.1 if wanted is None else wanted, dynamics or "glauber", seed, json)
        bias_study.checked(network, temperatures, nudgings, estimators, samples, reference)
        if out is not None:
            make_writable(out)
        with _bar(f"bias of {network.name}, N = {network.size}") as report:
            result = bias_study.compute(
                network, temperatures=temperatures, nudgings=nudgings, estimators=estimators, samples=samples, seed=seed,
                reference=reference, report=report,
            )  # fmt: skip
    except ValueError as error:
        return _refuse(error)
    if json:
        print(msgspec.json.encode({**provenance(), **result}).decode())
    else:
        _print_table(bias_study.table(result))
    if out is None:
        return 0
    try:
        written = page.publish("bias", result, bias_study.draw, out)
    except OSError as error:
        print(f"stochep: {out} cannot be written: {error.strerror or error}; choose another --out", file=sys.stderr)
        return FAILED
    print(*written, sep="\n", file=sys.stderr if json else sys.stdout)
    return 0


def _advise(
    network: Network, temperatures: tuple[float, ...], error: float, dynamics: str, seed: int, json: bool
) -> int:
    """`stochep bias --recommend` for a network."""
    import msgspec

    from dynamics.provenance import provenance
    from figures import advice

    advice.checked(network, temperatures, error, dynamics)
    with _bar(f"recommendation for {network.name}, N = {network.size}") as report:
        result = advice.compute(
            network, temperatures=temperatures, error=error, dynamics=dynamics, seed=seed, report=report
        )
    if json:
        print(msgspec.json.encode({**provenance(), **result}).decode())
    else:
        _print_table(advice.table(result))
    return 0


def _print_table(lines: Table) -> None:
    from rich.console import Console

    # a narrow pipe must not cut columns off
    needed = Console(width=1000).measure(lines).maximum
    Console(width=max(Console().width, needed)).print(lines)


@app.command
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
        return _refuse(f"no figure {unknown[0]!r}: the names are {', '.join(NAMES)}")
    try:
        make_writable(out)
    except ValueError as error:
        return _refuse(error)
    for name in [name for name in NAMES if not names or name in names]:
        made_of = inputs.digest(name)
        if not anew and inputs.is_current(name, made_of, out):
            print(f"{name}: unchanged", file=sys.stderr)
            print(*page.paths(name, out), sep="\n", flush=True)
            continue
        script = import_module(f"figures.{name}")
        try:
            with _bar(name) as report:
                written = page.publish(name, script.compute(report=report), script.draw, out, made_of)
        except ValueError as error:
            return _refuse(error)
        except (OSError, RuntimeError) as error:
            print(f"stochep: {name} failed: {_one_line(str(error))}", file=sys.stderr)
            return FAILED
        print(*written, sep="\n", flush=True)
    return 0


@contextmanager
def _bar(title: str) -> Iterator[Callable[[float], None]]:
    """Takes fractions done: a bar on a terminal, a line at the start, each quarter and the end elsewhere; on stderr."""
    from time import monotonic

    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn

    console, start = Console(stderr=True), monotonic()
    if console.is_terminal:
        with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as progress:
            task = progress.add_task(title, total=1.0)
            yield lambda fraction: progress.update(task, completed=fraction)
        return
    print(f"{title}: computing, compiling first where needed", file=sys.stderr, flush=True)
    quarter = 1

    def line(fraction: float) -> None:
        nonlocal quarter
        while quarter < 4 and 4 * fraction >= quarter:
            print(f"{title}: {25 * quarter} % after {monotonic() - start:.0f} s", file=sys.stderr, flush=True)
            quarter += 1

    yield line
    print(f"{title}: done after {monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def _refuse(error: Exception | str) -> int:
    print(f"stochep: {_one_line(str(error))}", file=sys.stderr)
    return USAGE


def _one_line(text: str) -> str:
    """What a file or an argument made longer than can be read cut in its middle, and nothing that moves a terminal's cursor."""
    text = "".join(one if one.isprintable() else repr(one)[1:-1] for one in " ".join(text.split()))
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN // 2]} … {text[-MOST_SHOWN // 2 :]}"


def _is_broken(text: str) -> bool:
    """Whether it holds bytes that are not UTF-8, which Python keeps as surrogates."""
    return any("\ud800" <= one <= "\udfff" for one in text)


def _summary(one: Run, document: dict[str, Any]) -> str:
    metrics = (
        "{} {:.2f} % [{:.2f}, {:.2f}]".format(
            name.replace("_", " "), *(100 * metric[k] for k in ("value", "low", "high"))
        )
        for name, metric in document["metrics"].items()
    )
    return f"{one.experiment.name} seed {one.seed}: {', '.join(metrics)}; {one.folder / 'result.json'}"


@contextmanager
def _progress(one: Run) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a line an epoch and every ten seconds elsewhere, on stderr; the first update compiles the kernels."""
    from time import monotonic

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    epochs, title = one.experiment.training.epochs, f"{one.experiment.name} seed {one.seed}"

    def describe(now: Progress) -> str:
        validated = "" if now.validation_error is None else f", validation error {100 * now.validation_error:.1f} %"
        rates = " ".join(f"{rate:.2f}" for rate in now.rates)
        return f"cost {now.cost:.4f}, error {100 * now.error:.1f} %{validated}, rates {rates}, {now.images_per_second:.0f} images/s"

    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{title}: {epochs - one.state.epoch} epochs to do, compiling first where needed", file=sys.stderr)
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
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{title}, compiling", total=epochs, completed=one.state.epoch, left="")

        def move(now: Progress) -> None:
            bar.update(
                task,
                completed=now.epoch + now.share,
                description=f"{title}, {describe(now)}",
                left=f"{now.seconds_left:.0f} s left",
            )
            if now.warning and not now.share:
                bar.console.print(f"{title} epoch {now.epoch}/{epochs}: {now.warning}")

        yield move


if __name__ == "__main__":
    main()
