"""A level is as current as the devices that count there."""

import pytest

from kegnet_client.hub.domain.levels import STALE_MS
from kegnet_client.hub.store.hearing import TapMeter, find_silent

NOW_MS = 1_800_000_000_000


def meter(tap: int, heard_ms: int | None) -> TapMeter:
    return TapMeter(tap, f"tap {tap}", ("3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54", tap), heard_ms)


METERS = {
    1: meter(1, NOW_MS),
    2: meter(2, NOW_MS - STALE_MS - 1),
    3: meter(3, NOW_MS - STALE_MS - 2),
    4: meter(4, None),
}


@pytest.mark.parametrize(
    ("taps", "silent"),
    [
        ([], None),  # a keg on no tap
        ([9], None),  # a tap without a meter
        ([1], None),
        ([2], 2),
        ([1, 2, 9], 2),
        ([2, 3], 3),
        ([2, 3, 4], 4),
    ],
)
def test_what_counts_at_several_taps_is_as_current_as_the_one_heard_of_longest_ago(
    taps: list[int], silent: int | None
) -> None:
    found = find_silent(METERS, taps, NOW_MS)
    assert (None if found is None else found.tap) == silent
