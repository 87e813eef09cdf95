"""Calibrations come out of a jug or a pair of scales, as whole nanolitres a pulse."""

import pytest

from kegnet_client.hub.domain import meters


def test_a_measured_pour_is_the_calibration() -> None:
    assert meters.by_volume(5400, 1000) == 185_185
    assert meters.by_volume(1, 1000) == meters.MAX_NANOLITRES_PER_PULSE
    assert meters.by_weight(5400, 1015) == meters.by_volume(5400, 1000)
    assert meters.by_weight(1000, 1050, 1.05) == 1_000_000


@pytest.mark.parametrize(
    ("pulses", "millilitres", "named"),
    [
        (0, 500, "pulses"),
        (-1, 500, "pulses"),
        (100, 0, "volume_ml"),
        (100, -1, "volume_ml"),
        (100, float("nan"), "volume_ml"),
        (100, float("inf"), "volume_ml"),
        (1, 1001, "no meter"),
        (2**31 - 1, 0.0001, "no meter"),
    ],
)
def test_what_no_meter_has_is_refused_and_named(pulses: int, millilitres: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        meters.by_volume(pulses, millilitres)


@pytest.mark.parametrize(
    ("grams", "gravity", "named"),
    [(0, 1.0, "weight_g"), (float("nan"), 1.0, "weight_g"), (500, 0.5, "gravity"), (500, float("nan"), "gravity")],
)
def test_a_weight_that_cannot_be_is_refused_and_named(grams: float, gravity: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        meters.by_weight(1000, grams, gravity)
