"""The table says what the certificate holds, in words where a number would say nothing."""

from dataclasses import replace

from dynamics.crnn.certificate import Ball, Certificate, Prediction
from dynamics.crnn.certificate_table import table
from dynamics.crnn.spectra import Bracket

BALLS = (Ball(0.5, 0.25, 0.01, 0.125, 0.75, 0.0), Ball(None, 0.5, 0.02, 0.0, 0.0, 0.0))
CERTIFICATE = Certificate(
    1234, 2.5e-11, Bracket(1.5, 2.5, 2.0), Bracket(3.0, 3.5), 4.0, Bracket(1.25, 2.5, 1.75),
    (Bracket(0.5, 2.0, 0.75), Bracket(0.25, 1.0, 0.5)), (Bracket(0.25, 0.5), Bracket(0.125, 0.75)), BALLS,
    (
        Prediction("a", "B4", "bound", None, 0.5, 0.25, unsaid="outside"),
        Prediction("b", "B11", "approximation", 1.5, 1.25, 0.125, predicted_error=0.0625),
        Prediction("c", "B11b", "bound", 0.75, 0.625, 0.5),
    ),
)  # fmt: skip


def test_a_certificate_as_text():
    lines = table(CERTIFICATE).splitlines()
    assert lines[0] == "1,234 units, 2 images, fixed points to 2.5e-11"
    assert lines[1] == "κ = 2 in [1.5, 2.5]   κ_a = [3, 3.5]   κ_∞ = 4   λ_max(J)/4T = 1.75 in [1.25, 2.5]"
    assert lines[2] == "local radius 0.5 to 0.75   local gain 0.5 to 0.75"
    assert lines[3] == (
        "a ball that contracts: 2 of 2 images, of radius 0.5 to inf, with gain 0.25 to 0.5; leaky spikes went 0 to 0.75 radii far"
    )
    assert lines[5].split() == ["λ_max(J)", "<", "4T", "fails", "A5b", "D1"]
    assert lines[9].startswith("local gain < 1, every image      holds ")
    assert lines[10].startswith("local radius < 1, every image    holds by estimate ")
    assert [line.split() for line in lines[-3:]] == [
        ["a", "B4", "outside", "0.5", "±", "0.25"],
        ["b", "B11", "≈", "1.5", "±", "0.062", "1.25", "±", "0.12"],
        ["c", "B11b", "≤", "0.75", "0.625", "±", "0.5"],
    ]
    assert len({line.index("±", 60) for line in lines[-3:]}) == 1


def test_no_ball_is_said_so():
    assert table(replace(CERTIFICATE, balls=(None, None))).splitlines()[3] == "a ball that contracts: 0 of 2 images"
