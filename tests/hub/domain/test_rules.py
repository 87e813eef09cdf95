"""What is wrong follows from what is known and from the time alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.hub.domain.levels import Level
from kegnet_client.hub.domain.meters import NANOLITRES_PER_ML, is_drips
from kegnet_client.hub.domain.profiles import DAY_MS, Run, Version
from kegnet_client.hub.domain.rules import (
    AHEAD_MS,
    CALM_MS,
    DEFAULT,
    HOUR_MS,
    MINUTE_MS,
    DeviceState,
    Finding,
    KegState,
    MeterState,
    Poured,
    Rules,
    SensorState,
    State,
    judge,
    look_back_ms,
)

NOW_MS = 1_800_000_000_000
LONG_AGO_MS = NOW_MS - 30 * DAY_MS
WARM = Rules(highest_millidegrees=8000, off_for_ms=30 * MINUTE_MS)


def found(state: State, now_ms: int = NOW_MS) -> list[tuple[str, str, bool]]:
    return [(one.rule, one.subject, one.is_fresh) for one in judge(state, now_ms)]


def sensor(*readings: tuple[float, int], rules: Rules = WARM, run: Run | None = None, now_ms: int = NOW_MS) -> State:
    """``readings`` are minutes before now and millidegrees."""
    taken = [(now_ms - round(minutes * MINUTE_MS), value) for minutes, value in readings]
    return State(LONG_AGO_MS, sensors=[SensorState("28-1", "cellar", "d", taken, run, rules)])


TOO_WARM = ("too-warm", "sensor 28-1", True)


def test_a_sensor_is_too_warm_when_it_was_so_for_as_long_as_the_rule_says() -> None:
    assert found(sensor((40, 5000), (30, 9000), (10, 9000), (0, 9000))) == [TOO_WARM]
    assert found(sensor((40, 5000), (29, 9000), (10, 9000), (0, 9000))) == []
    assert found(sensor((30, 9000), (10, 8000), (0, 9000))) == []
    assert judge(sensor((30, 9000), (0, 9100)), NOW_MS)[0].text == "cellar: 9.1 °C, above 8.0 °C, for 30 min"


def test_what_is_found_is_told_in_the_units_and_in_the_language_of_the_hub() -> None:
    rules = replace(DEFAULT, off_for_ms=30 * MINUTE_MS, lowest_millidegrees=3000, off_profile_millidegrees=1000)
    run = Run(LONG_AGO_MS, [Version(0, [(0, 20)])])
    poured = Poured(NOW_MS - 61_000, 60_000, 60 * 250 * NANOLITRES_PER_ML)
    dripped = Poured(NOW_MS - 3_000_000, 2_000_000, 591 * NANOLITRES_PER_ML)
    state = State(
        LONG_AGO_MS,
        [SensorState("28-1", "cellar", "d", [(NOW_MS - 30 * MINUTE_MS, 0), (NOW_MS, 0)], run, rules)],
        kegs=[KegState(7, "Helles", Level(20_000 * NANOLITRES_PER_ML, 1893 * NANOLITRES_PER_ML))],
        meters=[MeterState("d", 3, "left", [dripped, poured])],
    )

    def told(state: State) -> dict[str, str]:
        return {one.rule: one.text.partition(": ")[2] for one in judge(state, NOW_MS)}

    assert told(state) == {
        "off-profile": "0.0 °C, the profile wants 20.0 °C, for 30 min",
        "too-cold": "0.0 °C, below 3.0 °C, for 30 min",
        "keg-low": "1.9 l left, 9.5 %",
        "pour-too-fast": "a pour of 250 ml a second: a leak, or the keg is blown",
        "drips": "591 ml dripped within an hour",
    }
    assert told(replace(state, units="us")) == {
        "off-profile": "32.0 °F, the profile wants 68.0 °F, for 30 min",
        "too-cold": "32.0 °F, below 37.4 °F, for 30 min",
        "keg-low": "0.50 gal left, 9.5 %",
        "pour-too-fast": "a pour of 8.5 oz a second: a leak, or the keg is blown",
        "drips": "20.0 oz dripped within an hour",
    }
    assert told(replace(state, language="de")) == {
        "off-profile": "0,0 °C statt 20,0 °C, seit 30 min",
        "too-cold": "0,0 °C, unter 3,0 °C, seit 30 min",
        "keg-low": "noch 1,9 l, 9,5 %",
        "pour-too-fast": "250 ml je Sekunde gezapft: ein Leck, oder das Fass ist leer",
        "drips": "591 ml in einer Stunde getropft",
    }


def test_what_is_on_the_edge_does_not_come_and_go() -> None:
    assert found(sensor((45, 9000), (15, 9000), (10, 7000), (0, 7000))) == [TOO_WARM]
    assert found(sensor((46, 9000), (16, 9000), (10, 7000), (0, 7000))) == []


def test_a_sensor_that_falls_silent_while_it_is_too_warm_is_not_taken_for_well() -> None:
    state = sensor((150, 9000), (120, 9000))
    assert found(state) == [("sensor-silent", "sensor 28-1", True), ("too-warm", "sensor 28-1", False)]


def test_readings_that_arrive_late_raise_nothing() -> None:
    state = sensor((900, 9000), (600, 9000), (590, 5000), (5, 5000))
    assert found(state) == []
    assert found(sensor((90, 9000), (20, 9000))) == [("too-warm", "sensor 28-1", False)]


def test_a_reading_ahead_of_the_clock_says_nothing_of_now() -> None:
    ahead = -AHEAD_MS / MINUTE_MS - 1
    assert found(sensor((30, 5000), (1, 5000), (ahead - 60, 9000), (ahead, 9000))) == []
    assert found(sensor((ahead, 5000))) == [("sensor-silent", "sensor 28-1", True)]


def test_off_profile_is_judged_by_what_was_wanted_then() -> None:
    rules = Rules(off_profile_millidegrees=1000, off_for_ms=HOUR_MS)
    run = Run(NOW_MS - 10 * DAY_MS, [Version(0, [(0, 10), (20, 30)])])  # 20 °C by now, 2 degrees a day
    follows = [(minutes, 20_000 - minutes * 2000 // 1440) for minutes in (90, 60, 30, 0)]
    assert found(sensor(*follows, rules=rules, run=run)) == []
    (off,) = judge(sensor(*[(m, v + 1100) for m, v in follows], rules=rules, run=run), NOW_MS)
    assert (off.rule, off.text) == ("off-profile", "cellar: 21.1 °C, the profile wants 20.0 °C, for 60 min")
    assert found(sensor(*[(m, v - 1100) for m, v in follows], rules=rules, run=run)) == [
        ("off-profile", "sensor 28-1", True)
    ]
    later = replace(run, started_ms=NOW_MS + DAY_MS)
    assert found(sensor(*[(m, v + 9000) for m, v in follows], rules=rules, run=later)) == []


def test_too_cold_is_another_finding_than_too_warm() -> None:
    rules = Rules(lowest_millidegrees=2000, off_for_ms=0)
    assert found(sensor((0, 1999), rules=rules)) == [("too-cold", "sensor 28-1", True)]
    assert found(sensor((0, 2000), rules=rules)) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from([7000, 9000])), min_size=1, max_size=20, unique_by=lambda x: x[0]
    ),
    st.integers(0, 100),
)
def test_the_readings_that_are_asked_for_are_enough(readings: list[tuple[int, int]], for_min: int) -> None:
    rules = replace(WARM, off_for_ms=for_min * MINUTE_MS)
    everything = sensor(*sorted(readings, reverse=True), rules=rules)
    (whole,) = everything.sensors
    since_ms = whole.readings[-1][0] - look_back_ms(rules)
    first = next(place for place, one in enumerate(whole.readings) if one[0] >= since_ms)
    needed = replace(whole, readings=whole.readings[max(0, first - 1) :])
    assert [one.rule for one in judge(everything, NOW_MS)] == [
        one.rule for one in judge(replace(everything, sensors=[needed]), NOW_MS)
    ]


DEVICE = DeviceState("d", "bar", NOW_MS - 26 * MINUTE_MS)


def test_a_device_is_silent_after_two_signs_that_did_not_come() -> None:
    (silent,) = judge(State(LONG_AGO_MS, devices=[DEVICE]), NOW_MS)
    assert silent == Finding("device-silent", "device d", "bar: silent for 26 min")
    assert found(State(LONG_AGO_MS, devices=[DEVICE]), NOW_MS - MINUTE_MS) == []
    assert found(State(LONG_AGO_MS, devices=[replace(DEVICE, last_seen_ms=None)])) == []
    assert found(State(LONG_AGO_MS, devices=[replace(DEVICE, rules=Rules(device_silent_ms=None))])) == []


def test_nobody_is_silent_while_the_hub_did_not_listen() -> None:
    state = replace(sensor((300, 5000)), listening_since_ms=NOW_MS - 25 * MINUTE_MS)
    state = replace(state, devices=[replace(DEVICE, last_seen_ms=LONG_AGO_MS)])
    assert found(state) == []
    assert found(state, NOW_MS + 1) == [("device-silent", "device d", True), ("sensor-silent", "sensor 28-1", False)]


def test_a_silent_device_is_one_alarm_and_not_one_for_each_of_its_sensors() -> None:
    state = replace(sensor((60, 5000)), devices=[DEVICE])
    assert found(state) == [("device-silent", "device d", True), ("sensor-silent", "sensor 28-1", False)]


def test_records_refused_within_an_hour_are_counted() -> None:
    seen = replace(DEVICE, last_seen_ms=NOW_MS)
    refused = [(NOW_MS - HOUR_MS, 50), (NOW_MS - HOUR_MS + 1, 4), (NOW_MS, 6), (NOW_MS + 1, 50)]
    assert found(State(LONG_AGO_MS, devices=[replace(seen, refused=refused)])) == []
    more = replace(seen, refused=[*refused, (NOW_MS - 1, 1)])
    assert found(State(LONG_AGO_MS, devices=[more])) == [("refused", "device d", True)]
    assert found(State(LONG_AGO_MS, devices=[replace(more, rules=Rules(refused_per_hour=None))])) == []


@pytest.mark.parametrize(("left_ml", "is_low"), [(7500, False), (7499, True), (0, True), (-500, True)])
def test_a_keg_is_low_below_its_percentage(left_ml: int, is_low: bool) -> None:
    level = Level(50_000 * NANOLITRES_PER_ML, left_ml * NANOLITRES_PER_ML)
    keg = KegState(7, "Helles", level)
    assert (found(State(LONG_AGO_MS, kegs=[keg])) == [("keg-low", "keg 7", True)]) == is_low
    assert found(State(LONG_AGO_MS, kegs=[replace(keg, rules=Rules(keg_below_percent=None))])) == []


def pours(*poured: Poured, rules: Rules = DEFAULT) -> State:
    return State(LONG_AGO_MS, meters=[MeterState("d", 3, "left", poured, rules)])


def ml(volume: int, elapsed_ms: int, ago_ms: int = 0) -> Poured:
    """A pour that ended ``ago_ms`` before now."""
    return Poured(NOW_MS - ago_ms - elapsed_ms, elapsed_ms, volume * NANOLITRES_PER_ML)


FAST, LONG, DRIPS = ((rule, "meter d 3", True) for rule in ("pour-too-fast", "pour-too-long", "drips"))


@pytest.mark.parametrize(
    ("pour", "expected"),
    [
        (ml(500, 10_000), []),
        (ml(1182, 10_000), []),
        (ml(1183, 10_000), [FAST]),
        (ml(100, 0), []),  # a pulse alone takes no time
        (ml(119, 0), [FAST]),
        (ml(9000, 180_000), []),
        (ml(9000, 180_001), [LONG]),
        (ml(9000, 180_001, CALM_MS), [LONG]),
        (ml(9000, 180_001, CALM_MS + 1), []),
        (ml(9000, 180_001, -AHEAD_MS - 1), []),
        (Poured(NOW_MS - 200_000, 200_000, None), [LONG]),
        (ml(250, 500_001), [LONG]),
        (ml(251, 502_001), [LONG, DRIPS]),
    ],
)
def test_a_pour_is_judged_by_its_length_and_its_speed(pour: Poured, expected: list[object]) -> None:
    assert found(pours(pour)) == expected


def test_drips_of_an_hour_add_up() -> None:
    drips = [ml(50, 120_000, ago_ms=number * 5 * MINUTE_MS) for number in range(5)]
    assert found(pours(*drips)) == []
    assert found(pours(*drips, ml(1, 120_000))) == [DRIPS]
    assert found(pours(*drips, ml(1, 120_000, HOUR_MS))) == []
    assert found(pours(*drips, ml(1, 120_000), rules=Rules(drips_nl_per_hour=None))) == []


@pytest.mark.parametrize(
    ("volume_nl", "elapsed_ms", "drips"), [(500, 1, False), (499, 1, True), (0, 9, False), (1, 0, False)]
)
def test_drips_are_slower_than_half_a_millilitre_a_second(volume_nl: int, elapsed_ms: int, drips: bool) -> None:
    assert is_drips(volume_nl, elapsed_ms) is drips


def test_a_rule_is_set_for_one_and_stays_for_the_others() -> None:
    own = Rules().with_own({"keg_below_percent": 5, "drips_nl_per_hour": None})
    assert (own.keg_below_percent, own.drips_nl_per_hour, own.longest_pour_ms) == (5, None, 180_000)
    assert Rules().with_own({}) == Rules()


@pytest.mark.parametrize(
    "own",
    [
        {"keg_below_percent": 0},
        {"keg_below_percent": 101},
        {"keg_below_percent": True},
        {"keg_below_percent": 5.5},
        {"keg_below_percent": float("nan")},
        {"off_for_ms": None},
        {"off_for_ms": -1},
        {"sensor_silent_ms": 59_999},
        {"highest_millidegrees": 10**30},
        {"lowest_millidegrees": 5, "highest_millidegrees": 4},
        {"colour": 5},
    ],
)
def test_a_limit_out_of_bounds_is_named(own: dict[str, int | None]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(own))}: "):
        Rules().with_own(own)


@given(
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.lists(st.builds(Poured, st.integers(0, 2**53), st.integers(0, 86_400_000), st.none() | st.integers(0, 2**80))),
)
def test_whatever_is_known_at_whatever_time_can_be_judged_once_for_each(
    now_ms: int, seen_ms: int, poured: list[Poured]
) -> None:
    state = State(
        seen_ms,
        [SensorState("28-1", "cellar", "d", [(seen_ms, 9000)], None, replace(WARM, off_for_ms=0))],
        [DeviceState("d", "bar", seen_ms, [(seen_ms, 20)])],
        [KegState(7, "Helles", Level(0, -5))],
        [MeterState("d", 3, "left", poured)],
    )
    keys = [(one.rule, one.subject) for one in judge(state, now_ms)]
    assert len(keys) == len(set(keys))
    assert judge(state, now_ms) == judge(state, now_ms)
