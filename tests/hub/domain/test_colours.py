"""How well white can be read on a colour, by the figures of WCAG's own examples."""

import pytest

from kegnet_client.hub.domain.colours import READABLE, contrast_with_white


@pytest.mark.parametrize(
    ("colour", "expected"),
    [("#ffffff", 1.0), ("#000000", 21.0), ("#ff0000", 4.0), ("#777777", 4.48), ("#0000ff", 8.59)],
)
def test_the_contrast_is_that_of_the_standard(colour: str, expected: float) -> None:
    assert contrast_with_white(colour) == pytest.approx(expected, abs=0.01)


def test_the_hubs_own_colour_can_be_written_on() -> None:
    assert contrast_with_white("#b45309") > READABLE
