"""What holds in a ball about a fixed point that was found, whatever the global hypotheses say.

Main results: thm:A5c, thm:B11b.
"""

from __future__ import annotations

import math

import numpy as np

from dynamics.enumeration import leaky_law
from dynamics.phases import relax
from meanfield.bounds.local import LocalContraction, curvature_reach, local_contraction
from meanfield.equations import activity_variance, firing_probability
from meanfield.model import FloatArray, Model
from meanfield.response import contraction_rate
from meanfield.solve import fixed_point
from proofs_numeric.claim import Evidence, Falsifier, claim
from proofs_numeric.instances import Interval, model_scalars

EPS = float(np.finfo(float).eps)
LARGEST_LOCAL_GAIN = 0.9
HISTORIES = 1024
FREE_UNIT = ([[0.0]], [0.0], 1.0)
STRONG_PAIR = ([[0.0, 3.6], [3.6, 0.0]], [-1.8, -1.8], 1.0)
# three fixed points; the one in the middle, (1/2, 1/2), has local gain 1.5
BISTABLE_PAIR = ([[0.0, 6.0], [6.0, 0.0]], [-3.0, -3.0], 1.0)


def stable_point(model: Model, seed: int) -> tuple[Model, FloatArray]:
    """A fixed point of local gain below 0.9 reached from a random start, at a higher temperature where there is none."""
    start = np.random.default_rng([seed, 60]).uniform(size=model.size)
    while True:
        mean = fixed_point(model, start=start, method="newton", throw=False).value
        slope = np.sqrt(activity_variance(mean) / model.temperature)
        gain = float(np.abs(np.linalg.eigvalsh(slope[:, None] * model.couplings * slope)).max())
        if gain < LARGEST_LOCAL_GAIN:
            return model, mean
        model = Model(model.couplings, model.bias, 1.5 * model.temperature)


def ball_about(model: Model, mean: FloatArray, reach: float) -> LocalContraction:
    """The ball that moves some field by exp(reach) temperatures, halved until it contracts; the cube where J = 0."""
    largest = float(np.sqrt(model.couplings**2 @ activity_variance(mean)).max())
    if largest == 0:
        return local_contraction(model, mean)
    radius = math.exp(reach) * model.temperature / largest
    while True:
        try:
            return local_contraction(model, mean, radius=radius)
        except ValueError:
            radius /= 2


def _distance(ball: LocalContraction, first: FloatArray, second: FloatArray) -> float:
    return float(np.sqrt(((first - second) ** 2 / ball.slopes).sum()))


@claim(
    label="A5c",
    title="contraction in a ball",
    kind="inequality",
    hypotheses="ŝ caps the slopes in the ball about the fixed point m*, κ̂ = ‖Ŝ^½JŜ^½‖₂/T < 1; no global gain below 1",
    norm="spectral",
    domain={
        **model_scalars(8, gain=Interval(0.02, 3.0)),
        "leak": Interval(0.02, 1.0),
        "reach": Interval(math.log(1e-3), math.log(3.0)),
    },
    falsifiers=(
        Falsifier("constant × 0.9", {"model": STRONG_PAIR, "seed": 2, "leak": 0.5, "reach": math.log(1e-3)}),
        Falsifier(
            "slopes at m* in place of the ball's", {"model": BISTABLE_PAIR, "seed": 2, "leak": 1.0, "reach": -1.0}
        ),
        Falsifier(
            "κ̂ < 1 dropped",
            {"model": BISTABLE_PAIR, "seed": 2, "leak": 0.5, "reach": -3.0, "centre": [0.5, 0.5]},
            drops="κ̂ < 1",
        ),
    ),
)
def contraction_in_a_ball(
    model: Model, seed: int, leak: float, reach: float, centre: list[float] | None = None, mutation: str | None = None
) -> Evidence:
    """In B = {‖m − m*‖_ŝ ≤ r} ∩ [0,1]^N: ‖f(m) − f(n)‖_ŝ ≤ (1 − ε(1−κ̂))‖m − n‖_ŝ, f(B) ⊂ B, and m* is the only fixed
    point; locally ρ ≤ ρ̂.
    """
    if centre is None:
        model, mean = stable_point(model, seed)
        ball = ball_about(model, mean, reach)
    else:
        mean = np.asarray(centre)
        ball = LocalContraction(math.exp(reach), 0.99, np.full(model.size, 0.25))
    if mutation == "slopes at m* in place of the ball's":
        caps = activity_variance(mean)
        root = np.sqrt(caps)
        gain = np.abs(np.linalg.eigvalsh(root[:, None] * model.couplings * root)).max() / model.temperature
        ball = LocalContraction(ball.radius, float(gain), caps)
    generator = np.random.default_rng([seed, 61])
    first, second = two_points(model, mean, ball.radius, ball.slopes, generator)

    def step(means: FloatArray) -> FloatArray:
        return (1 - leak) * means + leak * firing_probability(model.local_field(means), model.temperature)

    rate = ball.rate(leak)
    # rounding of σ(h/T) in the norm that divides by √ŝ, and of m* itself
    fields = 1 + (np.abs(model.bias).max() + np.abs(model.couplings).sum(axis=1).max()) / model.temperature
    rounding = 1e3 * EPS * fields * model.size / math.sqrt(float(ball.slopes.min())) / (1 - min(ball.gain, 0.999))
    measured = [
        _distance(ball, step(first), step(second)),
        _distance(ball, step(first), mean),
        contraction_rate(model, mean, leak),
    ]
    bound = [rate * _distance(ball, first, second), rate * _distance(ball, first, mean), rate]
    return Evidence(measured, bound, [rounding, rounding, 1e-9], ceiling=math.inf)


def two_points(
    model: Model, mean: FloatArray, radius: float, slopes: FloatArray, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Two points of the ball within the cube: along the leading mode or anywhere."""
    root = np.sqrt(slopes)
    vectors = np.linalg.eigh(root[:, None] * model.couplings * root)[1]
    leading = generator.uniform() < 0.5
    points = []
    for sign in (1.0, -1.0):
        direction = vectors[:, -1] if leading else generator.normal(size=model.size)
        # ‖Ŝ^½u‖_ŝ = ‖u‖₂
        length = sign * min(radius, 1e3) * generator.uniform(0.3, 1.0) / np.linalg.norm(direction)
        points.append(np.clip(mean + length * root * direction, 0.0, 1.0))
    return points[0], points[1]


@claim(
    label="B11b",
    title="leaky spikes in a ball",
    kind="inequality",
    hypotheses="κ̂ < 1 in the ball; one leak, s_0 = m_0 = m*; no global gain below 1",
    norm="spectral",
    domain={
        **model_scalars(3, gain=Interval(0.02, 3.0)),
        "leak": Interval(0.05, 1.0),
        "copies": Interval(1, 3, integer=True),
        "reach": Interval(math.log(0.05), math.log(3.0)),
        "tilt": Interval(0.02, 0.95),
    },
    falsifiers=(
        Falsifier(
            "constant × 0.9", {"model": FREE_UNIT, "seed": 0, "leak": 0.5, "copies": 1, "reach": 0.0, "tilt": 0.02}
        ),
        Falsifier("K → K²", {"model": FREE_UNIT, "seed": 0, "leak": 0.5, "copies": 2, "reach": 0.0, "tilt": 0.5}),
        Falsifier(
            "(1−κ̂) dropped", {"model": STRONG_PAIR, "seed": 0, "leak": 0.3, "copies": 1, "reach": 0.0, "tilt": 0.5}
        ),
        Falsifier(
            "after leaving too",
            {"model": BISTABLE_PAIR, "seed": 2, "leak": 1.0, "copies": 1, "reach": -2.0, "tilt": 0.5},
        ),
    ),
    instances=80,
)
def leaky_spikes_in_a_ball(
    model: Model, seed: int, leak: float, copies: int, reach: float, tilt: float, mutation: str | None = None
) -> Evidence:
    """While in B, with x_t = (ε²N/K)Σ_{k<t}ρ̂^{2k}: E[‖s_t − m_t‖²_ŝ; τ ≥ t] ≤ x_t; ln E[e^{λ‖s_t − m_t‖²_ŝ}; τ ≥ t] ≤
    L/(1 − θ), so P(τ ≤ t) ≤ te^{−λr² + L/(1−θ)}; ‖E[s_t − m*; τ ≥ t]‖_ŝ ≤ (½κ̂αx + ρ̂√(xq)/ε)/(1 − κ̂).
    """
    model, mean = stable_point(model, seed)
    ball = ball_about(model, mean, reach)
    steps = max(1, int(math.log(HISTORIES) / (model.size * math.log(copies + 1))))
    paths, law = leaky_law(model, leak=leak, steps=steps, start=mean, copies=copies)
    rates = relax(model, steps=steps, leak=leak, start=mean)
    power = copies if mutation == "K → K²" else 1
    rate = 1 - leak if mutation == "(1−κ̂) dropped" else ball.rate(leak)
    proxies = 1 / (4 * copies * power * ball.slopes)
    chosen = tilt * (1 - rate**2) / (2 * leak**2 * proxies.max())
    growth = -0.5 * np.log1p(-2 * chosen * leak**2 * proxies).sum()
    shrunk = rate**2 / (1 - 2 * chosen * leak**2 * proxies.max())
    squares = ((paths - rates) ** 2 / ball.slopes).sum(axis=2)
    inside = ((paths - mean) ** 2 / ball.slopes).sum(axis=2) <= ball.radius**2
    # s_0 … s_{t−1} in the ball: τ ≥ t
    before = np.cumprod(inside, axis=1)[:, :-1]
    if mutation == "after leaving too":
        before = np.ones_like(before)
    leaving = law @ (before * ~inside[:, 1:])
    alpha = curvature_reach(model, mean, ball)
    measured, bound = [], []
    square, exponent = 0.0, 0.0
    for t in range(1, steps + 1):
        square = rate**2 * square + leak**2 * model.size / (copies * power)
        exponent = growth + shrunk * exponent
        weight = law * before[:, t - 1]
        tilted = float(weight @ np.exp(chosen * squares[:, t]))
        measured += [float(weight @ squares[:, t]), math.log(tilted) if tilted > 0 else -math.inf]
        bound += [square, exponent]
        if mutation is None:
            shift = np.sqrt(((weight @ (paths[:, t] - mean)) ** 2 / ball.slopes).sum())
            whole = leak**2 * model.size / copies / (1 - rate**2)
            quiet = 0.5 * ball.gain * alpha * whole + rate * math.sqrt(whole * leaving.max()) / leak
            measured += [float(shift), float(leaving[:t].sum())]
            bound += [quiet / (1 - ball.gain), min(1.0, t * math.exp(min(0.0, exponent - chosen * ball.radius**2)))]
    # squares of distances carry the caps' inverse, at most 10⁶, times the rounding of sums over the histories
    return Evidence(np.maximum(measured, 0.0), bound, 1e-9 * np.maximum(1.0, bound))
