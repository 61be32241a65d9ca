"""What make derive lowers: each equation's origin, its arguments in order and its meaning.

Main results: EQUATIONS, CONSTANTS.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple

from meanfield.symbols import Expression


class Equation(NamedTuple):
    """An expression of a derivation module that becomes a NumPy function of the same name."""

    origin: str
    arguments: tuple[str, ...]
    summary: str

    @property
    def name(self) -> str:
        return self.origin.split(":")[1]

    @property
    def expression(self) -> Expression:
        return expression_of(self.origin)


def expression_of(origin: str) -> Expression:
    """The SymPy expression that "derivations.module:name" names."""
    module, name = origin.split(":")
    return getattr(importlib.import_module(f"meanfield.{module}"), name)


def _equation(origin: str, arguments: str, summary: str) -> Equation:
    return Equation(f"derivations.{origin}", tuple(arguments.split()), summary)


EQUATIONS = (
    _equation(
        "activation:firing_probability",
        "local_field temperature",
        "p = σ(h/T), the probability to spike; full relative accuracy for real fields, complex ones allowed.",
    ),
    _equation("activation:firing_slope", "probability temperature", "∂p/∂h at p = σ(h/T); at most SUP_SLOPE/T."),
    _equation(
        "activation:firing_curvature", "probability temperature", "∂²p/∂h² at p = σ(h/T); at most SUP_CURVATURE/T²."
    ),
    _equation("activation:firing_third", "probability temperature", "∂³p/∂h³ at p = σ(h/T); at most SUP_THIRD/T³."),
    _equation("activation:firing_fourth", "probability temperature", "∂⁴p/∂h⁴ at p = σ(h/T)."),
    _equation("energy:activity_variance", "mean_activity", "v = m(1 − m), the variance of a spike of mean m."),
    _equation("energy:self_term_gap", "mean_activity", "E_q ½z² − ½m², what a self term costs thm:A1."),
    _equation("entropy:entropy", "mean_activity", "S of one unit of mean m; 0 at m = 0 and m = 1."),
    _equation("entropy:entropy_slope", "mean_activity", "∂S/∂m = −logit m, for 0 < m < 1."),
    _equation("cost:mean_spike_cost_gap", "mean_activity", "E_q C(z) − C(m) of one output unit (thm:A1b)."),
    _equation(
        "cost:cost_force",
        "state slope offset nudging",
        "−β ∂C/∂s, added to the field inside σ; (slope, offset) = QuadraticCost.force.",
    ),
    _equation("self_consistency:map_slope", "mean_activity coupling temperature", "∂/∂m_j σ(h_i/T) at p_i = m_i."),
    _equation(
        "self_consistency:free_energy_curvature",
        "mean_activity temperature",
        "∂²F/∂m_i², the diagonal of F's Hessian T V⁻¹ − J, for 0 < m < 1.",
    ),
    _equation(
        "self_consistency:descent_factor",
        "leak temperature negative_curvature",
        "c in F(m') − F(m) ≤ −c‖p − m‖² of one leaky step; negative_curvature λ⁻ = max(0, −λ_min(J)) (thm:A4).",
    ),
    _equation(
        "self_consistency:descent_leak_limit",
        "temperature negative_curvature",
        "The leak below which F descends, where descent_factor vanishes (thm:A4); no leak above 1 is one.",
    ),
    _equation("field:pair_field_variance", "coupling neighbour_activity", "J_ij²v_j, unit j's part of Var_q(h_i)."),
    _equation(
        "plefka:pair_free_energy_correction",
        "mean_activity neighbour_activity coupling temperature",
        "Second order of Plefka's expansion, one unordered pair's part of F_TAP − F (thm:A6).",
    ),
    _equation(
        "plefka:pair_free_energy_third_order",
        "mean_activity neighbour_activity coupling temperature",
        "Third order of Plefka's expansion, one pair's part; triangles add another.",
    ),
    _equation(
        "plefka:pair_onsager_field",
        "mean_activity neighbour_activity coupling temperature",
        "Onsager's part of unit i's field due to unit j: sum over j, add to Jm + b (thm:A6).",
    ),
    _equation(
        "plefka:onsager_field",
        "mean_activity field_variance temperature",
        "Onsager's part of unit i's field from field_variance = Σ_j J_ij²v_j: add to Jm + b (thm:A6).",
    ),
    _equation(
        "plefka:onsager_self_slope", "field_variance temperature", "∂/∂m_i of onsager_field; real and never positive."
    ),
    _equation(
        "plefka:pair_onsager_slope",
        "mean_activity neighbour_activity coupling temperature",
        "∂/∂m_j of pair_onsager_field, symmetric in i and j.",
    ),
    _equation("plefka:pair_statistic", "mean_activity neighbour_activity", "−∂F/∂J_ij."),
    _equation(
        "plefka:onsager_pair_statistic",
        "mean_activity neighbour_activity coupling temperature",
        "−∂F_TAP/∂J_ij = m_im_j + J_ijv_iv_j/T, the statistic of corrected EP (thm:C7).",
    ),
    _equation(
        "response:pair_susceptibility",
        "mean_activity neighbour_activity coupling temperature",
        "∂m_i/∂b_i at the fixed point of a pair.",
    ),
    _equation(
        "response:pair_cross_susceptibility",
        "mean_activity neighbour_activity coupling temperature",
        "∂m_j/∂b_i at the fixed point of a pair.",
    ),
    _equation("leaky:leaky_trace", "trace drive leak", "s' = (1 − ε)s + ε·drive, one Euler step of ṡ = drive − s."),
    _equation(
        "leaky:langevin_variance",
        "curvature temperature leak",
        "Stationary variance of s ← s − εAs + √(2Tε)ξ, for 0 < ε < 2/A (thm:B1b).",
    ),
    _equation(
        "leaky:linear_noise_variance",
        "spike_variance gain leak copies",
        "Stationary variance of leaky spikes linearised with gain g < 1, an eigenvalue of VJ/T (thm:B4, thm:B11).",
    ),
    _equation(
        "leaky:tracking_second_moment",
        "spike_variance contraction_rate leak copies steps",
        "x_t of x_{t+1} = ρ²x_t + ε²v/K from x_0 = 0, for ρ < 1 (thm:B4).",
    ),
    _equation(
        "nudged:force_first", "mean_activity slope offset", "First derivative in β, at 0, of the nudge −β ∂C(m(β))."
    ),
    _equation("nudged:force_second", "activity_first slope", "Second derivative in β, at 0, of the nudge −β ∂C(m(β))."),
    _equation(
        "nudged:first_response_source",
        "mean_activity slope offset temperature",
        "(I − VJ/T) m' at β = 0, m(β) the nudged fixed point (thm:C1).",
    ),
    _equation(
        "nudged:second_response_source",
        "mean_activity activity_first field_first slope temperature",
        "(I − VJ/T) m'' at β = 0; field_first is h' = Jm' + force_first (thm:C3).",
    ),
    _equation(
        "nudged:third_response_source",
        "mean_activity activity_second field_first field_second slope temperature",
        "(I − VJ/T) m‴ at β = 0; field_second is h'' = Jm'' + force_second (thm:C3).",
    ),
    _equation("estimator:one_sided_bias", "nudging second_derivative", "Leading bias of (g(β) − g(0))/β (thm:C3)."),
    _equation("estimator:symmetric_bias", "nudging third_derivative", "Leading bias of (g(β) − g(−β))/2β (thm:C3)."),
    _equation(
        "cumulants:fourth_cumulant",
        "cost_variance fourth_moment",
        "κ_4 from central moments; κ_3 is the third of these.",
    ),
    _equation(
        "cumulants:fifth_cumulant", "cost_variance third_moment fifth_moment", "κ_5 from central moments (thm:C5)."
    ),
    _equation(
        "cumulants:variance_term",
        "cost_variance nudging temperature",
        "κ_2's part of (A_β − A_0)/β, the objective of one-sided EP under Gibbs; symmetric EP has none (thm:C5).",
    ),
    _equation(
        "cumulants:third_term",
        "third_moment nudging temperature",
        "κ_3's part of both objectives, (A_β − A_0)/β and (A_β − A_{−β})/2β (thm:C5).",
    ),
    _equation("cumulants:fourth_term", "fourth_cumulant nudging temperature", "κ_4's part of (A_β − A_0)/β (thm:C5)."),
    _equation("cumulants:fifth_term", "fifth_cumulant nudging temperature", "κ_5's part of both objectives (thm:C5)."),
    _equation(
        "optimum:mean_square_error",
        "nudging samples bias_scale rise noise_scale fall",
        "a²β^2p + v/(Sβ^q), for β > 0 (thm:C9).",
    ),
    _equation(
        "optimum:optimal_nudging",
        "samples bias_scale rise noise_scale fall",
        "The β > 0 with the least a²β^2p + v/(Sβ^q) (thm:C9).",
    ),
    _equation(
        "optimum:optimal_error",
        "samples bias_scale rise noise_scale fall",
        "The least a²β^2p + v/(Sβ^q) over β > 0 (thm:C9).",
    ),
    _equation(
        "optimum:nudging_shift",
        "bend lift power rise fall",
        "d in β* = β₀(1 + dβ₀^r), squared bias a²β^2p(1 + bβ^r), variance vβ^−q(1 + wβ^r) (thm:C9).",
    ),
    _equation(
        "optimum:error_shift",
        "bend lift rise fall",
        "e in the least error M₀(1 + eβ₀^r), the same b and w (thm:C9).",
    ),
    _equation(
        "optimum:bias_share",
        "rise fall",
        "The bias's share of an error E that bias + noise reach with the fewest samples (thm:C9).",
    ),
)


class Constant(NamedTuple):
    """A number of a derivation module."""

    name: str
    origin: str
    summary: str


CONSTANTS = (
    Constant("SUP_SLOPE", "derivations.activation:sup_slope", "sup|σ'|"),
    Constant("SUP_CURVATURE", "derivations.activation:sup_curvature", "M₂ = sup|σ''|"),
    Constant("SUP_THIRD", "derivations.activation:sup_third", "M₃ = sup|σ‴|"),
)
