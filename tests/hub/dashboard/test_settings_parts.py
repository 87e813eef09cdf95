"""What is set up on the pages is kept as it was typed: limits in the units shown, meters since when they count."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("nicegui", reason="takes the extra dashboard")

from kegnet_client.hub.dashboard import limit_units
from kegnet_client.hub.dashboard.pour_filter import day_ms
from kegnet_client.hub.dashboard.tap_list import current, replace
from kegnet_client.hub.dashboard.words import Words
from kegnet_client.hub.domain import rules
from kegnet_client.hub.domain.measures import Units

NOW_MS = 1_700_000_000_000
DEVICE = "11111111-2222-4333-8444-555555555555"
FIRST: dict[str, Any] = {"device": DEVICE, "pin": 0, "kind": "SF800", "from_ms": 0, "until_ms": None}
OTHER: dict[str, Any] = {"device": DEVICE, "pin": 3, "kind": "SF800"}


def test_every_limit_that_there_is_can_be_typed() -> None:
    assert set(limit_units.NAMES) == set(rules._BOUNDS)
    for name in limit_units.NAMES:
        assert Words("de")(name, unit=limit_units.unit(name, "us"))


@given(st.sampled_from(limit_units.NAMES), st.sampled_from(["metric", "us"]), st.data())
def test_a_limit_is_shown_as_it_was_typed(name: str, units: Units, data: st.DataObject) -> None:
    least, most = rules._BOUNDS[name]
    low, high = limit_units.to_typed(name, least, units), limit_units.to_typed(name, most, units)
    typed = round(data.draw(st.floats(low, high)), 1) if limit_units.unit(name, units) else data.draw(st.integers(1, 9))
    assert limit_units.to_typed(name, limit_units.to_kept(name, typed, units), units) == typed


def test_limits_are_kept_in_thousandths_of_a_degree_and_in_nanolitres() -> None:
    assert limit_units.to_kept("highest_millidegrees", 50, "us") == 10_000
    assert limit_units.to_kept("off_profile_millidegrees", 1.8, "us") == 1000
    assert limit_units.to_kept("lowest_millidegrees", -1.5, "metric") == -1500
    assert limit_units.to_kept("device_silent_ms", 25, "metric") == 1_500_000
    assert limit_units.to_kept("fastest_pour_nl_per_s", 118, "metric") == 118_000_000


def test_an_empty_field_is_as_usual_and_a_switch_that_is_off_raises_no_alarm() -> None:
    usual = {"keg_below_percent": 15, "device_silent_ms": None, "refused_per_hour": 10}
    typed = {"keg_below_percent": (True, None), "device_silent_ms": (False, None), "refused_per_hour": (False, 3.0)}
    assert limit_units.to_own(typed, usual, "metric") == {"refused_per_hour": None}
    typed = {"keg_below_percent": (True, 30.0), "device_silent_ms": (True, 5.0), "refused_per_hour": (True, None)}
    assert limit_units.to_own(typed, usual, "metric") == {"keg_below_percent": 30, "device_silent_ms": 300_000}


def test_another_meter_counts_from_now_on_and_the_one_before_until_then() -> None:
    meters = replace([FIRST], OTHER, NOW_MS, always=False)
    assert meters == [{**FIRST, "until_ms": NOW_MS}, {**OTHER, "from_ms": NOW_MS, "until_ms": None}]
    assert current(meters, NOW_MS - 1) == meters[0]
    assert current(meters, NOW_MS) == meters[1]


def test_a_meter_that_was_typed_wrongly_is_as_if_it_had_never_been() -> None:
    assert replace([FIRST], OTHER, NOW_MS, always=True) == [{**FIRST, **OTHER}]
    assert replace([FIRST], None, NOW_MS, always=True) == []


def test_a_meter_that_stays_is_left_as_it_is() -> None:
    same = {name: FIRST[name] for name in OTHER}
    assert replace([FIRST], same, NOW_MS, always=False) == [FIRST]


def test_a_meter_that_is_taken_away_counts_until_now() -> None:
    assert replace([FIRST], None, NOW_MS, always=False) == [{**FIRST, "until_ms": NOW_MS}]
    assert current(replace([FIRST], None, NOW_MS, always=False), NOW_MS) is None


def test_the_first_meter_of_a_tap_counts_for_what_was_poured_before() -> None:
    assert replace([], OTHER, NOW_MS, always=False) == [{**OTHER, "from_ms": 0, "until_ms": None}]


def test_a_day_begins_where_the_hub_is() -> None:
    assert day_ms("2026-11-28", "UTC") == 1_795_824_000_000
    assert day_ms("2026-11-28", "Europe/Berlin") == 1_795_824_000_000 - 3_600_000
    assert day_ms("2026-10-25", "Europe/Berlin", days=1) == day_ms("2026-10-26", "Europe/Berlin")
    assert [day_ms(one, "UTC") for one in ("", None, "2026-1", "9999-12-31")] == [None, None, None, 253402214400000]
    assert day_ms("9999-12-31", "UTC", days=1) is None
