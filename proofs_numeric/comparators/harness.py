"""Learning rules side by side on the same small networks, each against the exact gradient of the loss that it is for.

Main results: compare, summary, table, RULES, error_after.

Three losses, never mixed: "rates", ½‖m_o − y‖² at the mean-field fixed point (meanfield.implicit_gradient); "spikes", the mean
cost of spikes under Gibbs (dynamics.exact_gradient); "from below", ½‖h_o − y‖² of the same weights without feedback. For a rule
with estimate ĝ, ∇ the gradient of its loss in the network's couplings and biases, a row holds

    bias ‖E ĝ − ∇‖/‖∇‖,   deviation √(tr Cov ĝ)/‖∇‖,   cosine ⟨E ĝ, ∇⟩/‖E ĝ‖‖∇‖,   cosine_one ⟨E ĝ, ∇⟩/√(E‖ĝ‖²)‖∇‖.

Cost is counted in relaxations of the network, one being `steps` sweeps; phases and free laws are at rest, nudged chains, BPTT and
continual EP take `steps`. Rules that estimate a direction are scaled by the one rate that suits them best, and say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dynamics.enumeration import MAX_TRANSITION_UNITS, exact_gradient
from dynamics.tables import LARGEST
from meanfield.model import FloatArray, positive_number, whole_number
from meanfield.response import implicit_gradient
from proofs_numeric.comparators import contenders
from proofs_numeric.comparators.contenders import Case, Moments, Settings, draw_case

NETWORKS = ((3, 2), (3, 2), (3, 2), (2, 2, 1), (2, 2, 1), (4, 3, 2))
# ‖J‖₂/4 of the networks; in units of T what nudges, and the width of evolution strategies
GAIN, NUDGING = 0.6, 0.2
LOSSES = ("rates", "spikes", "from below")
NEURONS, SCALAR, ELSEWHERE = "its two neurons", "a broadcast scalar too", "other layers' weights"
SHORT, LONG = "O(1)", "O(steps)"
# of sweeps a relaxation and of samples
MOST = 10**7
# Of a 95 % interval.
TWO_SIDED = 1.96


class Rule(NamedTuple):
    """A rule: the loss it is for, what a synapse reads, the states kept per unit, and how its moments are found."""

    name: str
    family: str
    loss: str
    moments: Callable[[Case, Settings], Moments]
    local: str = NEURONS
    memory: str = SHORT
    note: str = ""
    scaled: bool = False


def _clamped(case: Case, settings: Settings) -> Moments:
    return contenders.predictive(case, settings, clamped=True)


RULES = (
    Rule("one-sided EP", "EP", "rates", contenders.mean_field("one-sided", 2.0)),
    Rule("symmetric EP", "EP", "rates", contenders.mean_field("symmetric", 3.0)),
    Rule(
        "holomorphic EP", "EP", "rates", contenders.mean_field("holomorphic", 5.0),
        note="4 complex points; neurons with complex rates",
    ),
    Rule("continual EP", "EP", "rates", contenders.continual, note="η/β = β; no phase is stored"),
    Rule(
        "leaky StochEP", "StochEP", "rates", contenders.leaky,
        note="coupled, firing probabilities; sampled; 1/leak relaxations a phase; the noise replayed in the second phase",
    ),
    Rule(
        "ES, exact losses", "evolution strategies", "rates", contenders.perturbed(False), SCALAR,
        note="a synapse reads its own perturbation and the scalar; sampled",
    ),
    Rule("truncated BPTT", "backpropagation", "rates", contenders.truncated, ELSEWHERE, LONG),
    Rule("symmetric EP, mean field", "EP", "spikes", contenders.mean_field("symmetric", 3.0, cost_on="spikes")),
    Rule(
        "Onsager-corrected EP", "EP", "spikes",
        contenders.mean_field("symmetric", 6.0, cost_on="spikes", correction="onsager"),
        note="neighbours send m(1 − m) too; a step costs two",
    ),
    Rule(
        "coupled StochEP", "StochEP", "spikes", contenders.glauber(True, "spikes"),
        note="the noise replayed in the second phase",
    ),
    Rule(
        "coupled StochEP, probabilities", "StochEP", "spikes", contenders.glauber(True, "probabilities"),
        note="the noise replayed in the second phase",
    ),
    Rule("independent StochEP", "StochEP", "spikes", contenders.glauber(False, "spikes")),
    Rule(
        "three-factor covariance", "three-factor", "spikes", contenders.three_factor, SCALAR,
        note="no nudged phase; running means",
    ),
    Rule(
        "ES, one sample a loss", "evolution strategies", "spikes", contenders.perturbed(True), SCALAR,
        note="a synapse reads its own perturbation and the scalar; sampled",
    ),
    Rule("FRE", "EP", "from below", contenders.scaled_feedback, note="one-sided, f = feedback, factors f^(l−L) undone"),
    Rule(
        "predictive coding", "predictive coding", "from below", contenders.predictive,
        note="logistic layers, where thm:G9 has linear ones; error neurons",
    ),
    Rule(
        "predictive coding, clamped", "predictive coding", "from below", _clamped,
        note="logistic layers; error neurons; scaled by its best rate", scaled=True,
    ),
    Rule(
        "difference targets", "targets", "from below", contenders.targets(False), ELSEWHERE,
        note="exact inverses as decoders, whose learning is not counted; scaled by its best rate", scaled=True,
    ),
    Rule(
        "damped Gauss–Newton targets", "targets", "from below", contenders.targets(True), ELSEWHERE,
        note="λ = 1, times λ; the inverse is not counted",
    ),
)  # fmt: skip
NAMES = tuple(rule.name for rule in RULES)


class Row(NamedTuple):
    """One rule on one network; bias_low and bias_high differ where the mean was sampled, deviation_error is 0 where it was not."""

    rule: str
    family: str
    loss: str
    network: str
    temperature: float
    nudging: float
    parameters: int
    gradient: float
    bias: float
    bias_low: float
    bias_high: float
    deviation: float
    deviation_error: float
    cosine: float
    cosine_one: float
    relaxations: float
    rate: float
    local: str
    memory: str
    note: str


def compare(
    *,
    networks: Sequence[tuple[int, ...]] = NETWORKS,
    temperatures: Sequence[float] = (1.0,),
    nudging: float = NUDGING,
    steps: int = 24,
    samples: int = 4096,
    gain: float = GAIN,
    feedback: float = 0.1,
    leak: float = 0.2,
    seed: int = 0,
    rules: Sequence[str] = NAMES,
    report: Callable[[float], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """A row for each temperature, network and rule, in that order: the fields of `Row`.

    networks: units a layer, the first over a fixed input, each drawn from its own seed at ‖J‖₂ = 4·gain. nudging and the width
    of ES in units of T. samples: of what is not enumerated. *Holds when* gain < T, so that there is one rest. Raises ValueError.
    """
    checked(networks, temperatures, nudging, steps, samples, gain, feedback, leak, seed, rules)
    settings = Settings(nudging, steps, samples, seed, feedback=feedback, leak=leak)
    chosen = [rule for rule in RULES if rule.name in rules]
    rows = []
    for hot, temperature in enumerate(temperatures):
        for place, layers in enumerate(networks):
            case = draw_case(tuple(layers), temperature=temperature, gain=gain, seed=seed + place)
            gradients = references(case)
            rows += [_row(rule, case, settings, gradients[rule.loss]) for rule in chosen]
            report((hot * len(networks) + place + 1) / (len(temperatures) * len(networks)))
    return [row._asdict() for row in rows]


def references(case: Case) -> dict[str, FloatArray]:
    """The exact gradient (d,) of each loss."""
    exact = implicit_gradient(case.model, case.cost), exact_gradient(case.model, case.cost)
    return dict(zip(LOSSES, [*map(case.flat, exact), contenders.from_below(case)[1]], strict=True))


def _row(rule: Rule, case: Case, settings: Settings, gradient: FloatArray) -> Row:
    found, size = rule.moments(case, settings), float(np.linalg.norm(gradient))
    mean = found.mean
    if rule.scaled:
        mean = mean * float(mean @ gradient) / float(mean @ mean)
    # what sampling adds to ‖E ĝ − ∇‖² is taken off; the interval takes the error along it
    away, error = float(np.linalg.norm(mean - gradient)), found.mean_error
    deviation, along = math.sqrt(max(found.variance, 0.0)), float(mean @ gradient)
    length = math.sqrt(max(float(mean @ mean) - error**2, (along / size) ** 2))
    return Row(
        rule.name, rule.family, rule.loss, case.name, case.model.temperature, settings.nudging, len(gradient), size,
        bias=math.sqrt(max(away**2 - error**2, 0.0)) / size,
        bias_low=max(away - TWO_SIDED * error, 0.0) / size,
        bias_high=(away + TWO_SIDED * error) / size,
        deviation=deviation / size,
        deviation_error=found.variance_error / (2 * deviation) / size if deviation else 0.0,
        cosine=along / (length * size),
        cosine_one=along / (math.hypot(length, deviation) * size),
        relaxations=found.relaxations,
        rate=math.sqrt(found.variance * found.relaxations if found.rate is None else found.rate) / size,
        local=rule.local, memory=rule.memory, note=rule.note,
    )  # fmt: skip


def error_after(row: dict[str, Any], relaxations: FloatArray | float) -> Any:
    """√(bias² + rate²/R): the root mean square error, over ‖∇‖, of what R relaxations are spent on; R not below one estimate's."""
    return np.hypot(row["bias"], row["rate"] / np.sqrt(relaxations))


def checked(
    networks: Sequence[tuple[int, ...]], temperatures: Sequence[float], nudging: float, steps: int, samples: int,
    gain: float, feedback: float, leak: float, seed: int, rules: Sequence[str],
) -> None:  # fmt: skip
    """Refuse what cannot be compared, with the value and the remedy."""
    for name, values in (("networks", networks), ("temperatures", temperatures), ("rules", rules)):
        if len(values) == 0:
            raise ValueError(f"{name} must name at least one")
    for layers in networks:
        if len(layers) < 2 or min(layers) < 1 or sum(layers) > MAX_TRANSITION_UNITS:
            raise ValueError(
                f"networks must have two layers or more and at most {MAX_TRANSITION_UNITS} units, got {'-'.join(map(str, layers))}"
            )
    if not 1 / LARGEST <= positive_number("nudging", nudging) <= LARGEST:
        raise ValueError(f"nudging must be between {1 / LARGEST:g} and {LARGEST:g}, got {nudging}: it is in units of T")
    positive_number("gain", gain)
    for name, value in (("feedback", feedback), ("leak", leak)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be in (0, 1], got {value}")
    for temperature in temperatures:
        if positive_number("temperature", temperature) <= gain:
            raise ValueError(
                f"temperature must be above gain = {gain:g}, got {temperature:g}: below it a network may rest in several states"
            )
        if temperature > LARGEST:
            raise ValueError(f"temperature must be at most {LARGEST:g}, got {temperature:g}: gradients vanish beyond")
    for name, value, least in (("steps", steps, 1), ("samples", samples, 2 * Settings._field_defaults["batches"])):
        if whole_number(name, value, least) > MOST:
            raise ValueError(f"{name} must be at most {MOST:,}, got {value}: more of them would take days")
    whole_number("seed", seed, 0)
    if unknown := [rule for rule in rules if rule not in NAMES]:
        raise ValueError(f"no rule {unknown[0]!r}: the rules are {', '.join(NAMES)}")


def summary(rows: Sequence[dict[str, Any]], *, budget: float = 1e4) -> list[dict[str, Any]]:
    """Median, least and largest over networks, a line for each loss, temperature and rule; error: after `budget` relaxations."""
    keys = ("bias", "deviation", "cosine", "cosine_one", "relaxations", "rate")
    lines = []
    for loss in LOSSES:
        for temperature in dict.fromkeys(row["temperature"] for row in rows):
            for rule in NAMES:
                same = [
                    row for row in rows if (row["loss"], row["temperature"], row["rule"]) == (loss, temperature, rule)
                ]
                if same:
                    line = {
                        key: same[0][key]
                        for key in ("loss", "temperature", "rule", "family", "local", "memory", "note")
                    }
                    line |= {"networks": len(same), "bias_error": _half(same)}
                    line |= {key: _spread([row[key] for row in same]) for key in keys}
                    spent = [float(error_after(row, max(budget, row["relaxations"]))) for row in same]
                    lines.append(line | {"error": _spread(spent)})
    return lines


def _half(rows: Sequence[dict[str, Any]]) -> float:
    """The median of what the bias may be off by."""
    return float(np.median([0.5 * (row["bias_high"] - row["bias_low"]) for row in rows]))


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "low": min(values), "high": max(values)}


def table(rows: Sequence[dict[str, Any]], *, budget: float = 1e4) -> str:
    """The summary as plain text, losses one under the other, notes below."""
    lines = summary(rows, budget=budget)
    header = (
        "rule", "bias", "deviation of one", "cosine", "of one", "relaxations", f"error after {budget:g}", "a synapse reads",
        "memory",
    )  # fmt: skip
    cells = [_cells(line) for line in lines]
    widths = [max(len(header[k]), *(len(row[k]) for row in cells)) for k in range(len(header))]

    def text(row: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    out = [
        "median [least, largest] over networks; cosine and error from mean and variance; one relaxation is a whole phase"
    ]
    titles = {"rates": "cost of rates at the mean-field fixed point", "spikes": "mean cost of spikes under Gibbs",
              "from below": "cost of the pass from below"}  # fmt: skip
    seen: tuple[str, float] | None = None
    for line, row in zip(lines, cells, strict=True):
        if (line["loss"], line["temperature"]) != seen:
            seen = line["loss"], line["temperature"]
            heading = f"{titles[line['loss']]}, T = {line['temperature']:g}, {line['networks']} networks"
            out += ["", heading, text(header), "-" * len(text(header))]
        out.append(text(row))
    notes = {line["rule"]: line["note"] for line in lines if line["note"]}
    return "\n".join([*out, "", *(f"{rule}: {note}." for rule, note in notes.items())])


def _cells(line: dict[str, Any]) -> tuple[str, ...]:
    off = f" ±{line['bias_error']:.1g}" if line["bias_error"] > 1e-9 else ""
    return (
        line["rule"], _range(line["bias"], off), _range(line["deviation"]), _range(line["cosine"], digits=4),
        _range(line["cosine_one"], digits=3), _range(line["relaxations"]), _range(line["error"]), line["local"], line["memory"],
    )  # fmt: skip


def _range(spread: dict[str, float], off: str = "", digits: int = 2) -> str:
    """Median and range; what is below rounding is 0."""
    median, low, high = (f"{0.0 if abs(spread[key]) < 1e-12 else spread[key]:.{digits}g}" for key in spread)
    return f"{median}{off}" if low == high else f"{median}{off} [{low}, {high}]"
