"""What a claim is, the registry of all claims, and the check that every one of them gets.

Main results: claim, sampled, CLAIMS, Claim, Evidence, Falsifier, check, Report, table.

A claim is data and a function of a random instance that returns numbers, not a verdict. `check` draws instances from the
claim's domain, searches for the tightest one, and demands that the same judgement refutes each falsifier: a mutated
statement, on a named instance on which the true statement holds (unless the mutation is a dropped hypothesis).
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from meanfield.model import Model
from proofs_numeric.instances import NORMS, Interval, random_model
from proofs_numeric.rigorous import BallRefutation, Rigorous, RigorousReport, companion
from proofs_numeric.verdicts import FALSE_ALARMS, Decision

KINDS = ("identity", "inequality", "asymptotic", "statistical")
MEANS = ("exact", "rigorous", "numeric", "statistical")
MODEL_SCALARS = ("size", "gain", "log_temperature", "shape", "field", "seed")
SEARCH_EVALUATIONS = 200
SEARCH_SIZE = 3


@dataclass(frozen=True)
class Evidence:
    """Numbers for one instance. The claim holds there when measured ≤ bound + rounding in every entry.

    measured, bound: arrays that broadcast. rounding: what floating point may add, absolute. ceiling: the measured
    quantity's a-priori maximum, above which a bound says nothing. For exponents measured is the distance by which the
    fitted interval misses the stated exponent, bound 0. decided: False when sampling could not tell.
    """

    measured: ArrayLike
    bound: ArrayLike
    rounding: ArrayLike = 0.0
    ceiling: ArrayLike = math.inf
    decided: bool = True

    @property
    def margin(self) -> float:
        """The largest measured − bound − rounding; positive means violated."""
        return float(np.max(np.asarray(self.measured) - np.asarray(self.bound) - np.asarray(self.rounding)))

    @property
    def verdict(self) -> str:
        """'holds', 'violated' or 'undecided'; a NaN is a violation."""
        if not self.decided:
            return "undecided"
        return "holds" if self.margin <= 0 else "violated"

    @property
    def tightness(self) -> float | None:
        """max measured/bound over entries whose bound stands clear of rounding; None when there is none."""
        measured, bound, rounding = np.broadcast_arrays(self.measured, self.bound, self.rounding)
        telling = bound > 1e3 * rounding
        return float((measured[telling] / bound[telling]).max()) if telling.any() else None

    @property
    def trivial(self) -> bool:
        """Whether every bound that is not 0 lies above the a-priori maximum."""
        bound, ceiling = np.broadcast_arrays(self.bound, self.ceiling)
        return bool((bound > 0).any() and (bound[bound > 0] > ceiling[bound > 0]).all())


@dataclass(frozen=True)
class Falsifier:
    """A false variant of the statement, and an instance that refutes it.

    mutation: its name, understood by the claim's function ("constant × 0.9" is understood by every inequality).
    instance: the scalars, and "model" as (couplings, bias, temperature) where one is named outright.
    drops: the hypothesis that the instance breaks, None when the true statement must hold on it.
    """

    mutation: str
    instance: Mapping[str, Any]
    drops: str | None = None


@dataclass(frozen=True)
class Sampled:
    """A claim's second check, on networks too large to enumerate: an error-controlled decision from samples.

    function(model, alpha, seed, mutation=None, other scalars) -> Decision on mean ≤ bound.
    """

    function: Callable[..., Decision]
    domain: Mapping[str, Interval]
    instances: int

    def decide(self, norm: str, scalars: Mapping[str, Any], alpha: float, mutation: str | None = None) -> Decision:
        """The decision on one instance, a false alarm with probability at most alpha."""
        model = random_model(norm, **{name: scalars[name] for name in MODEL_SCALARS})
        others = {name: value for name, value in scalars.items() if name not in MODEL_SCALARS}
        return self.function(model=model, seed=scalars["seed"], alpha=alpha, mutation=mutation, **others)


@dataclass(frozen=True)
class Claim:
    """A theorem of the paper (label thm:LABEL) with its machine check."""

    label: str
    title: str
    kind: str
    means: str
    hypotheses: str
    statement: str
    norm: str | None
    domain: Mapping[str, Interval]
    falsifiers: tuple[Falsifier, ...]
    function: Callable[..., Evidence]
    search: bool = True
    instances: int = 200
    sampled: Sampled | None = None

    @property
    def alpha(self) -> float:
        """What each statistical verdict on an instance may spend of FALSE_ALARMS: every claim has the same share, half of it
        for one `check` (instances, sampled companion, falsifiers twice), half for tests that evaluate at most as often.
        """
        verdicts = self.instances + 2 * len(self.falsifiers) + (self.sampled.instances if self.sampled else 0)
        return FALSE_ALARMS / (2 * len(CLAIMS) * verdicts)

    @property
    def statistical(self) -> bool:
        """Whether any of its verdicts is on samples: its function asks for `alpha`, or it has a sampled companion."""
        return self.sampled is not None or "alpha" in inspect.signature(self.function).parameters

    def evaluate(self, scalars: Mapping[str, Any], mutation: str | None = None) -> Evidence:
        """The evidence for one instance; `model` in scalars overrides the random one, `alpha` goes to functions that ask."""
        arguments = {"alpha": self.alpha, **self._arguments(scalars)}
        wanted = inspect.signature(self.function).parameters
        arguments = {name: value for name, value in arguments.items() if name in wanted}
        if mutation == "constant × 0.9":
            evidence = self.function(**arguments)
            return Evidence(evidence.measured, 0.9 * np.asarray(evidence.bound), evidence.rounding, evidence.ceiling)
        return self.function(**arguments, mutation=mutation) if mutation else self.function(**arguments)

    def judge(self, balls: Rigorous, generator: np.random.Generator) -> RigorousReport:
        """The decisions of the claim's companion in ball arithmetic on its own draws, and on its falsifiers."""
        draws = [
            {name: interval.draw(generator) for name, interval in balls.domain.items()} for _ in range(balls.instances)
        ]
        refutations = []
        for mutation, instance, drops in balls.falsifiers:
            given = self._arguments(instance)
            holds = None if drops else balls.decide(given).verdict == "holds"
            refutations.append(BallRefutation(mutation, balls.decide(given, mutation), holds))
        return RigorousReport(tuple(balls.decide(self._arguments(scalars)) for scalars in draws), tuple(refutations))

    def _arguments(self, scalars: Mapping[str, Any]) -> dict[str, Any]:
        return {**scalars, "model": self._model(scalars)} if self.norm is not None else dict(scalars)

    def _model(self, scalars: Mapping[str, Any]) -> Model:
        if "model" in scalars:
            given = scalars["model"]
            return given if isinstance(given, Model) else Model(*given)
        return random_model(str(self.norm), **{name: scalars[name] for name in MODEL_SCALARS})


CLAIMS: dict[str, Claim] = {}


def label_order(label: str) -> tuple[str, int, str]:
    """Sort key: B7, B7b, B8, B10."""
    match = re.fullmatch(r"([A-Z])(\d+)([a-z]*)", label)
    if match is None:
        raise ValueError(f"label must be a letter, a number and maybe a letter, got {label!r}")
    return match[1], int(match[2]), match[3]


def claim(
    *,
    label: str,
    title: str,
    kind: str,
    hypotheses: str,
    domain: Mapping[str, Interval],
    falsifiers: tuple[Falsifier, ...],
    norm: str | None = None,
    means: str = "exact",
    search: bool = True,
    instances: int = 200,
) -> Callable[[Callable[..., Evidence]], Callable[..., Evidence]]:
    """Register a function of an instance as the check of thm:label; its docstring is the statement.

    norm: which of instances.NORMS `gain` sets, None when the claim takes no model.
    search: whether Nelder–Mead looks for the tightest instance (inequalities over a model).
    """

    def register(function: Callable[..., Evidence]) -> Callable[..., Evidence]:
        problems = [
            (label in CLAIMS, f"label {label} is taken"),
            (kind not in KINDS, f"kind {kind!r} is none of {KINDS}"),
            (means not in MEANS, f"means {means!r} is none of {MEANS}"),
            (norm is not None and norm not in NORMS, f"norm {norm!r} is none of {tuple(NORMS)}"),
            (not falsifiers, f"claim {label} has no falsifier: a check that cannot fail proves nothing"),
            (not function.__doc__, f"claim {label} has no statement: write it as the docstring"),
        ]
        for wrong, sentence in problems:
            if wrong:
                raise ValueError(sentence)
        CLAIMS[label] = Claim(
            label, title, kind, means, hypotheses, " ".join((function.__doc__ or "").split()), norm, dict(domain),
            falsifiers, function, search and kind == "inequality" and norm is not None, instances,
        )  # fmt: skip
        for key in sorted(CLAIMS, key=label_order):
            CLAIMS[key] = CLAIMS.pop(key)
        return function

    return register


def sampled(
    label: str, *, domain: Mapping[str, Interval], instances: int = 3
) -> Callable[[Callable[..., Decision]], Callable[..., Decision]]:
    """Add a sampled check on large networks to an already registered claim."""

    def register(function: Callable[..., Decision]) -> Callable[..., Decision]:
        CLAIMS[label] = replace(CLAIMS[label], sampled=Sampled(function, dict(domain), instances))
        return function

    return register


@dataclass(frozen=True)
class Refutation:
    """What the check said of one falsifier: margin > 0 is by how much its instance violates the mutated statement."""

    falsifier: Falsifier
    margin: float
    holds_unmutated: bool | None

    @property
    def refuted(self) -> bool:
        """Violated when mutated, and true unmutated where no hypothesis was dropped."""
        return self.margin > 0 and self.holds_unmutated is not False


@dataclass(frozen=True, repr=False)
class Report:
    """The outcome of `check`."""

    claim: Claim
    verdict: str
    tightness: tuple[float, ...]
    tightest: float | None
    instances: int
    trivial: int
    vacuous: int
    gains: tuple[float, ...]
    worst: Mapping[str, Any] | None
    refutations: tuple[Refutation, ...] = ()
    decisions: tuple[Decision, ...] = ()
    rigorous: RigorousReport | None = None

    def __repr__(self) -> str:
        """One line; every field would be pages of them."""
        tightness = "" if self.tightest is None else f", at most {self.tightest:.4f} tight"
        falsifiers = f"falsifiers {'refuted' if self.falsifier_refuted else 'NOT REFUTED'}"
        return f"Report({self.label} {self.verdict} on {self.instances} instances{tightness}, {falsifiers})"

    @property
    def means(self) -> str:
        """The claim's means, 'rigorous' when its companion in ball arithmetic decided all of its instances."""
        return "rigorous" if self.rigorous is not None and self.rigorous.decided else self.claim.means

    @property
    def label(self) -> str:
        return self.claim.label

    @property
    def falsifier_refuted(self) -> bool:
        """Whether every falsifier was refuted, and by the balls where they were asked to."""
        balls = () if self.rigorous is None else self.rigorous.refutations
        return all(refutation.refuted for refutation in (*self.refutations, *balls))

    def record(self) -> dict[str, Any]:
        """The machine-readable row of the claims' table."""
        quantiles = [float(q) for q in np.quantile(self.tightness, (0.1, 0.5, 0.9))] if self.tightness else None
        best = (
            None
            if quantiles is None
            else {"max": self.tightest, "median": quantiles[1], "p10": quantiles[0], "p90": quantiles[2]}
        )
        return {
            "label": self.label,
            "title": self.claim.title,
            "kind": self.claim.kind,
            "means": self.means,
            "verdict": self.verdict,
            "tightness": best if self.claim.kind == "inequality" else None,
            "instances": self.instances,
            "trivial": self.trivial,
            "bound_zero": self.vacuous,
            "gain_quantiles": [float(q) for q in np.quantile(self.gains, (0.1, 0.5, 0.9))] if self.gains else None,
            "falsifiers": [
                {"mutation": r.falsifier.mutation, "margin": r.margin, "drops": r.falsifier.drops}
                for r in self.refutations
            ],
            "falsifier_refuted": self.falsifier_refuted,
            "sampled": [
                {"verdict": d.verdict, "low": d.interval.low, "high": d.interval.high, "n": d.n, "enough": d.enough}
                for d in self.decisions
            ],
            "rigorous": None if self.rigorous is None else self.rigorous.record(),
            "worst": None if self.worst is None else {k: v for k, v in self.worst.items() if k != "model"},
        }


def check(
    label: str,
    *,
    instances: int | None = None,
    seed: int = 0,
    search: bool = True,
    report: Callable[[float], None] = lambda _: None,
) -> Report:
    """Judge one claim on `instances` seeded draws of its domain, on the tightest instance found, and on its falsifiers.

    verdict: 'violated' if any instance is, else 'undecided' if any is, else 'holds'; `worst` is the first violating
    instance, else the tightest. report: told the share of the instances that are done. Raises ValueError for an unknown label
    or fewer than 1 instance.
    """
    if label not in CLAIMS:
        raise ValueError(f"no claim {label!r}: the labels are {', '.join(CLAIMS)}")
    # small linear algebra: one BLAS thread is faster than two, and always the same
    with threadpool_limits(limits=1):
        return _check(CLAIMS[label], instances, seed, search, report)


def _check(subject: Claim, instances: int | None, seed: int, search: bool, report: Callable[[float], None]) -> Report:
    count = subject.instances if instances is None else instances
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"instances must be a whole number of at least 1, got {count!r}")
    generator = np.random.default_rng([seed, *subject.label.encode()])
    verdicts: list[str] = []
    tightness: list[tuple[float, dict[str, Any]]] = []
    violating: dict[str, Any] | None = None
    trivial = 0
    gains: list[float] = []
    for done in range(count):
        report(done / count)
        scalars = {name: interval.draw(generator) for name, interval in subject.domain.items()}
        evidence = subject.evaluate(scalars)
        verdicts.append(evidence.verdict)
        trivial += evidence.trivial
        if evidence.verdict == "violated" and violating is None:
            violating = scalars
        if evidence.tightness is not None:
            tightness.append((evidence.tightness, scalars))
        if "gain" in scalars:
            gains.append(scalars["gain"])
    ranked = sorted(tightness, key=lambda pair: -pair[0])
    tightest, worst = ranked[0] if ranked else (None, None)
    if search and subject.search and ranked:
        found, where = _tighten(subject, ranked, generator)
        verdicts.append(found.verdict)
        if found.tightness is not None and found.tightness > (tightest or 0.0):
            tightest, worst = found.tightness, where
        if found.verdict == "violated" and violating is None:
            violating = where
    decisions = _decide(subject, generator)
    verdicts += [decision.verdict for decision in decisions]
    balls = companion(subject.label)
    judged = None if balls is None else subject.judge(balls, np.random.default_rng([seed, *subject.label.encode(), 1]))
    verdicts += [] if judged is None else [decision.verdict for decision in judged.decisions]
    return Report(
        subject, _overall(verdicts), tuple(pair[0] for pair in tightness), tightest, count, trivial,
        count - len(tightness), tuple(gains), violating or worst, tuple(_refute(subject, f) for f in subject.falsifiers),
        decisions, judged,
    )  # fmt: skip


def _decide(subject: Claim, generator: np.random.Generator) -> tuple[Decision, ...]:
    companion = subject.sampled
    if companion is None:
        return ()
    draws = [
        {name: interval.draw(generator) for name, interval in companion.domain.items()}
        for _ in range(companion.instances)
    ]
    return tuple(companion.decide(str(subject.norm), scalars, subject.alpha) for scalars in draws)


def _overall(verdicts: list[str]) -> str:
    return next((verdict for verdict in ("violated", "undecided") if verdict in verdicts), "holds")


def _refute(subject: Claim, falsifier: Falsifier) -> Refutation:
    mutated = subject.evaluate(falsifier.instance, falsifier.mutation)
    holds = None if falsifier.drops else subject.evaluate(falsifier.instance).verdict == "holds"
    return Refutation(falsifier, mutated.margin, holds)


def _tighten(
    subject: Claim, ranked: list[tuple[float, dict[str, Any]]], generator: np.random.Generator
) -> tuple[Evidence, dict[str, Any]]:
    """Nelder–Mead over J/T and b/T of a small model (T = 1) from the tightest small draw, kept inside the hypothesis."""
    small = [scalars for _, scalars in ranked if scalars["size"] <= SEARCH_SIZE]
    start = dict(small[0] if small else ranked[0][1])
    model = subject._model(start)
    upper = np.triu_indices(model.size, 1)
    measure, limit = NORMS[str(subject.norm)], subject.domain["gain"].high

    def instance(vector: np.ndarray) -> dict[str, Any]:
        couplings = np.zeros((model.size, model.size))
        couplings[upper] = vector[: len(upper[0])]
        couplings += couplings.T
        if (excess := measure(couplings)) > limit:
            couplings *= limit / excess
        return {**start, "model": Model(couplings, vector[len(upper[0]) :], 1.0)}

    def looseness(vector: np.ndarray) -> float:
        return -(subject.evaluate(instance(vector)).tightness or 0.0)

    begin = np.concatenate([model.couplings[upper], model.bias]) / model.temperature
    begin = begin + 1e-3 * generator.normal(size=begin.size)
    best = scipy.optimize.minimize(looseness, begin, method="Nelder-Mead", options={"maxfev": SEARCH_EVALUATIONS})
    where = instance(best.x)
    return subject.evaluate(where), where


def table(records: list[dict[str, Any]]) -> str:
    """The claims' table as plain text, a line a record of Report.record()."""
    header = ("claim", "means", "verdict", "tightness max", "median", "instances", "falsifiers", "title")
    rows: list[tuple[str, ...]] = [header]
    for record in records:
        tightness = record["tightness"] or {"max": None, "median": None}
        numbers = ["-" if tightness[key] is None else f"{tightness[key]:.4f}" for key in ("max", "median")]
        sampled = f" +{len(record['sampled'])} sampled" if record["sampled"] else ""
        if record["rigorous"]:
            sampled += f" +{record['rigorous']['holds']} rigorous"
        falsifiers = f"{len(record['falsifiers'])} {'refuted' if record['falsifier_refuted'] else 'NOT REFUTED'}"
        rows.append(
            (record["label"], record["means"], record["verdict"], *numbers, f"{record['instances']}{sampled}", falsifiers,
             record["title"])
        )  # fmt: skip
    widths = [max(len(row[k]) for row in rows) for k in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
