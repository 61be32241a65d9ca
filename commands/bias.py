"""`stochep bias`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from commands.arguments import SEVERAL, Flag
from commands.progress import bar
from commands.streams import complain, print_json, print_table, refuse

if TYPE_CHECKING:
    from figures.networks import Network


def bias(
    *,
    temperatures: Annotated[tuple[float, ...], SEVERAL] = (0.25, 0.5, 1, 2, 4, 8),
    nudgings: Annotated[tuple[float, ...], SEVERAL] = (0.1, 0.5),
    estimators: Annotated[tuple[str, ...], SEVERAL] = (
        "one-sided", "symmetric", "holomorphic", "onsager", "sampled", "leaky",
    ),
    couplings: str = "sk",
    size: int | None = None,
    samples: int = 16384,
    reference: str = "exact",
    recommend: Flag = False,
    wanted: Annotated[float | None, Parameter(name="--error")] = None,
    dynamics: str | None = None,
    seed: int = 0,
    json: Flag = False,
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
    from dynamics.provenance import make_writable, provenance
    from figures import bias_study, networks, page

    try:
        if not recommend and (wanted is not None or dynamics is not None):
            return refuse(f"--{'dynamics' if wanted is None else 'error'} is about a recommendation: add --recommend")
        if recommend and out is not None:
            return refuse(
                f"--recommend draws no figure: leave out --out {out}, or write the document with --json > FILE"
            )
        if couplings.endswith(".npz") or (couplings not in networks.FAMILIES and os.path.exists(couplings)):
            network = networks.from_file(Path(couplings))
            if size not in (None, network.size):
                return refuse(f"--size {size} contradicts {couplings} of {network.size} units: leave it out")
        else:
            network = networks.family(couplings, 12 if size is None else size, seed)
        if recommend:
            return _advise(network, temperatures, 0.1 if wanted is None else wanted, dynamics or "glauber", seed, json)
        bias_study.checked(network, temperatures, nudgings, estimators, samples, reference)
        if out is not None:
            make_writable(out)
        with bar(f"bias of {network.name}, N = {network.size}") as report:
            result = bias_study.compute(
                network, temperatures=temperatures, nudgings=nudgings, estimators=estimators, samples=samples, seed=seed,
                reference=reference, report=report,
            )  # fmt: skip
    except ValueError as error:
        return refuse(error)
    if json:
        print_json({**provenance(), **result})
    else:
        print_table(bias_study.table(result))
    if out is None:
        return 0
    try:
        written = page.publish("bias", result, bias_study.draw, out)
    except OSError as error:
        return complain(f"{out} cannot be written: {error.strerror or error}; choose another --out")
    print(*written, sep="\n", file=sys.stderr if json else sys.stdout)
    return 0


def _advise(
    network: Network, temperatures: tuple[float, ...], error: float, dynamics: str, seed: int, json: bool
) -> int:
    """`stochep bias --recommend` for a network."""
    from dynamics.provenance import provenance
    from figures import advice

    advice.checked(network, temperatures, error, dynamics)
    with bar(f"recommendation for {network.name}, N = {network.size}") as report:
        result = advice.compute(
            network, temperatures=temperatures, error=error, dynamics=dynamics, seed=seed, report=report
        )
    if json:
        print_json({**provenance(), **result})
    else:
        print_table(advice.table(result))
    return 0
