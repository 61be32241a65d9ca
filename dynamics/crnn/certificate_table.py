"""A certificate as plain text.

Main results: table (thm:F1).
"""

from __future__ import annotations

import math

from dynamics.crnn.certificate import Certificate, Prediction
from dynamics.crnn.spectra import Bracket


def table(certificate: Certificate) -> str:
    """The certificate as plain text."""
    rows = [
        f"{certificate.units:,} units, {len(certificate.local)} images, fixed points to {certificate.residual:.1e}",
        f"κ = {_shown(certificate.gain)}   κ_a = {_shown(certificate.absolute_gain)}   κ_∞ = {certificate.row_gain:.4g}   "
        f"λ_max(J)/4T = {_shown(certificate.largest_eigenvalue)}",
        "local radius " + _span(certificate.local) + "   local gain " + _span(certificate.local_gain),
        _balls(certificate),
        "",
        *(f"{condition:32} {verdict:18} {claims}" for condition, verdict, claims in certificate.hypotheses),
        "",
        f"{'quantity':32} {'claim':6} {'predicted':>18} {'measured':>12} ± one standard error",
        *(
            f"{one.quantity:32} {one.claim:6} {_predicted(one):>18} {one.measured:12.4g} ± {one.standard_error:.2g}"
            for one in certificate.predictions
        ),
    ]
    return "\n".join(rows)


def _predicted(one: Prediction) -> str:
    if one.predicted is None:
        return one.unsaid
    error = "" if one.predicted_error is None else f" ± {one.predicted_error:.2g}"
    return f"{'≤' if one.kind == 'bound' else '≈'} {one.predicted:.4g}{error}"


def _balls(certificate: Certificate) -> str:
    """Radii and gains of the images' balls, and how far leaky spikes went."""
    balls = [one for one in certificate.balls if one is not None]
    shown = f"a ball that contracts: {len(balls)} of {len(certificate.balls)} images"
    if not balls:
        return shown
    radii = [math.inf if one.radius is None else one.radius for one in balls]
    far = [one.farthest for one in balls]
    return (
        f"{shown}, of radius {min(radii):.4g} to {max(radii):.4g}, with gain {min(one.gain for one in balls):.4g} to "
        f"{max(one.gain for one in balls):.4g}; leaky spikes went {min(far):.3g} to {max(far):.3g} radii far"
    )


def _shown(one: Bracket) -> str:
    between = f"[{one.low:.4g}, {one.high:.4g}]"
    return between if one.estimate is None else f"{one.estimate:.4g} in {between}"


def _span(many: tuple[Bracket, ...]) -> str:
    """From the least to the largest of the images' values, their upper ends where there is no estimate."""
    values = [one.high if one.estimate is None else one.estimate for one in many]
    return f"{min(values):.4g} to {max(values):.4g}"
