"""`stochep claims`."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, Parameter

from commands.arguments import SEVERAL, Flag, unknown
from commands.examples import shown
from commands.progress import bar, steps
from commands.streams import FAILED, complain, print_json, refuse

claims = App(name="claims", help="The theorems and their machine checks.", help_epilogue=shown("claims"))


def _unknown(labels: tuple[str, ...]) -> str | None:
    """The sentence for the first label that no claim has."""
    from proofs_numeric import CLAIMS

    return unknown("claim", labels, tuple(CLAIMS), called="labels")


@claims.command(name="list", help_epilogue=shown("claims list"))
def list_claims(*labels: str, json: Flag = False) -> int:
    """State claims, all of them when none is named, with kind and hypotheses.

    Parameters
    ----------
    labels
        For instance A4 B7b.
    json
        One JSON document on stdout.
    """
    from proofs_numeric import CLAIMS

    if sentence := _unknown(labels):
        return refuse(sentence)
    fields = ("label", "title", "kind", "means", "hypotheses", "statement")
    chosen = [claim for label, claim in CLAIMS.items() if not labels or label in labels]
    records = [{name: getattr(claim, name) for name in fields} for claim in chosen]
    if json:
        print_json(records)
        return 0
    for record in records:
        print("{label}: {title} ({kind}, {means})\n    {statement}\n    Holds when {hypotheses}.".format(**record))
    return 0


@claims.command(name="check", help_epilogue=shown("claims check"))
def check_claims(
    *labels: str,
    instances: int | None = None,
    seed: int = 0,
    json: Flag = False,
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
    from proofs_numeric import CLAIMS, check
    from proofs_numeric.rigorous import INSTALL, installed

    if sentence := _unknown(labels):
        return refuse(sentence)
    if instances is not None and instances < 1:
        return refuse(f"instances must be at least 1, got {instances}")
    if seed < 0:
        return refuse(f"seed must not be negative, got {seed}")
    chosen = [label for label in CLAIMS if not labels or label in labels]
    records = []
    with steps(len(chosen)) as begin:
        for label in chosen:
            report = begin(f"{label}: {CLAIMS[label].title}")
            records.append(check(label, instances=instances, seed=seed, report=report).record())
    if not installed():
        print(f"stochep: {INSTALL}", file=sys.stderr)
    if json:
        print_json(records)
    else:
        from proofs_numeric.claim import table

        print(table(records))
    return 0 if all(one["verdict"] == "holds" and one["falsifier_refuted"] for one in records) else FAILED


@claims.command(name="compare", help_epilogue=shown("claims compare"))
def compare_rules(
    *,
    networks: Annotated[tuple[str, ...], SEVERAL] = (
        "3-2", "3-2", "3-2", "2-2-1", "2-2-1", "4-3-2",
    ),
    temperatures: Annotated[tuple[float, ...], SEVERAL] = (1,),
    rules: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=(), show_default=False)] = (),
    nudging: float = 0.2,
    steps: int = 24,
    samples: int = 4096,
    budget: float = 1e4,
    seed: int = 0,
    json: Flag = False,
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
    from meanfield import ConvergenceError
    from proofs_numeric.comparators import harness

    try:
        layers = [_layers(text) for text in networks]
        if not 0 < budget < float("inf"):
            return refuse(f"budget must be positive and finite, got {budget}")
        with bar("comparison of learning rules") as report:
            rows = harness.compare(
                networks=layers, temperatures=temperatures, rules=rules or harness.NAMES, nudging=nudging, steps=steps,
                samples=samples, seed=seed, report=report,
            )  # fmt: skip
    except ValueError as error:
        return refuse(error)
    except ConvergenceError as error:
        return complain(error)
    if json:
        print_json(rows)
    else:
        print(harness.table(rows, budget=budget))
    return 0


def _layers(text: str) -> tuple[int, ...]:
    """Units a layer, as in 4-3-2."""
    try:
        return tuple(int(part) for part in text.split("-"))
    except ValueError as error:
        raise ValueError(f"networks must be units a layer, as in 4-3-2, got {text!r}") from error
