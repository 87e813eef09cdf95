"""What people say of taps, kegs and meters takes effect for every pour, whatever came first."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from kegnet_client.core.records import Pour
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest.forms import Proven, SignedString
from kegnet_client.hub.store import bodies, entries, house, schema, volumes
from kegnet_client.hub.store.records import Store
from kegnet_client.hub.store.volumes import DAY_MS

from ..support.postgresql import PostgreSQL
from .conftest import NOW_MS

DEVICE = "11111111-2222-4333-8444-555555555555"
KEG = 50_000.0


@dataclass(frozen=True)
class Sent:
    """Pours of `DEVICE`, taken for signed."""

    pours: Sequence[Pour]
    key: str
    device: str = DEVICE

    @property
    def max_records(self) -> int:
        return len(self.pours)

    def prove(self, _keys_pem: Sequence[str], _now_ms: int) -> Proven:
        records = tuple((f"{pour.pin:016x}{pour.started_ms:016x}", pour) for pour in self.pours)
        return Proven(self.device, Version.V3, records, self.key, SignedString(b"", b""))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def make_store(
    request: pytest.FixtureRequest, tmp_path: Path, device_key: rsa.RSAPrivateKey
) -> Iterator[Callable[[], Store]]:
    """Makes an empty hub's database with one device."""
    made: list[Store] = []

    def make() -> Store:
        if request.param == "sqlite":
            made.append(Store(tmp_path / f"{len(made)}.db"))
        else:
            server: PostgreSQL = request.getfixturevalue("postgresql_server")
            made.append(Store(server.make_database()))
        made[-1].prepare()
        made[-1].add_device(DEVICE, device_key.public_key(), "bar", NOW_MS)
        return made[-1]

    yield make
    for store in made:
        store.close()


def say(store: Store, kind: str, body: dict[str, object], subject: int | None = None, seen: int | None = None) -> int:
    """Say it as the API does; the subject's number."""
    checked = bodies.KINDS[kind].model_validate(body)
    return store.write(lambda connection: house.say(connection, kind, subject, checked, "anna", NOW_MS, seen)).subject


def send(store: Store, *pours: Pour) -> None:
    device = store.device(DEVICE)
    assert device is not None
    store.ingest([Sent(pours, device.key_fingerprint)], NOW_MS)


def left(store: Store) -> dict[int, int]:
    return {keg: one.volume_nl for keg, one in store.read(volumes.read_left).items()}


def keg_on_tap(store: Store, **where: int) -> int:
    tap = say(store, "tap", {"name": "left", "meters": [{"device": DEVICE, "pin": 1}]})
    return say(store, "keg", {"size_ml": KEG, "taps": [{"tap": tap, **where}]})


def test_what_was_poured_left_the_keg(make_store: Callable[[], Store]) -> None:
    store = make_store()
    keg = keg_on_tap(store, from_ms=1000)
    send(
        store, Pour(1, 2700, 8000, 999), Pour(1, 2700, 8000, 1000), Pour(1, 5400, 8000, 5 * DAY_MS), Pour(2, 9, 9, 2000)
    )
    (found,) = store.read(volumes.read_left).items()
    assert found == (keg, volumes.Left((2700 + 5400) * 185_185, 5 * DAY_MS))


def test_a_pour_that_arrives_late_counts_where_it_belongs_and_is_not_the_last_one(
    make_store: Callable[[], Store],
) -> None:
    store = make_store()
    keg = keg_on_tap(store, until_ms=10 * DAY_MS)
    other = say(store, "keg", {"size_ml": KEG, "taps": [{"tap": 1, "from_ms": 10 * DAY_MS}]})
    send(store, Pour(1, 10, 8000, 12 * DAY_MS))
    send(store, Pour(1, 7, 8000, 5 * DAY_MS))
    assert left(store) == {keg: 7 * 185_185, other: 10 * 185_185}
    assert store.read(volumes.read_left)[other].last_pour_ms == 12 * DAY_MS


def test_a_calibration_holds_from_its_date_on_for_what_was_poured_before_too(
    make_store: Callable[[], Store],
) -> None:
    store = make_store()
    keg = keg_on_tap(store)
    send(store, Pour(1, 100, 8000, 1000), Pour(1, 100, 8000, 5000))
    say(store, "calibration", {"device": DEVICE, "pin": 1, "from_ms": 5000, "pulses": 1000, "volume_ml": 200})
    assert left(store) == {keg: 100 * 185_185 + 100 * 200_000}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"what": "void"}, {1: 100}),
        ({"what": "spill"}, {1: 300}),
        ({"what": "volume", "volume_ml": 500}, {1: 100 + 500_000_000 / 185_185}),
        ({"what": "keg", "keg": 2}, {1: 100, 2: 200}),
    ],
)
def test_an_adjustment_says_what_a_pour_was_and_can_be_taken_back(
    make_store: Callable[[], Store], body: dict[str, object], expected: dict[int, float]
) -> None:
    store = make_store()
    keg_on_tap(store)
    say(store, "keg", {"size_ml": KEG})
    send(store, Pour(1, 100, 8000, 1000), Pour(1, 200, 8000, 2000))
    ((pour,),) = store.rows(select(schema.pours.c.id).where(schema.pours.c.pulses == 200))
    say(store, "adjustment", body, pour)
    assert {keg: volume for keg, volume in left(store).items() if volume} == {
        keg: round(pulses * 185_185) for keg, pulses in expected.items()
    }
    say(store, "adjustment", {"what": "none", "reason": "a slip"}, pour)
    assert left(store)[1] == 300 * 185_185
    history = store.read(lambda connection: entries.read_history(connection, "adjustment", pour))
    assert [one.body["what"] for one in history] == [body["what"], "none"]


def test_the_last_pour_of_a_keg_is_one_that_left_it(make_store: Callable[[], Store]) -> None:
    store = make_store()
    keg = keg_on_tap(store)
    other = say(store, "keg", {"size_ml": KEG})
    send(store, *(Pour(1, 10, 8000, at_ms) for at_ms in (1000, 2000, 3000)))
    moved, void = (row.id for row in store.rows(volumes.SELECT_POURS) if row.started_ms > 1000)
    say(store, "adjustment", {"what": "keg", "keg": other}, moved)
    say(store, "adjustment", {"what": "void"}, void)
    found = store.read(volumes.read_left)
    assert (found[keg], found[other]) == (volumes.Left(10 * 185_185, 1000), volumes.Left(10 * 185_185, 2000))
    say(store, "adjustment", {"what": "spill"}, void)
    assert store.read(volumes.read_left)[keg].last_pour_ms == 3000


def test_a_keg_has_a_tap_for_itself(make_store: Callable[[], Store]) -> None:
    store = make_store()
    keg_on_tap(store, from_ms=1000)
    with pytest.raises(house.WrongEntryError, match="kegs 1 and 2 would run from tap 1 at one time"):
        say(store, "keg", {"size_ml": KEG, "taps": [{"tap": 1, "from_ms": 2000}]})
    say(store, "keg", {"size_ml": KEG, "taps": [{"tap": 1, "from_ms": 1000, "until_ms": 2000}], "ended_ms": 1500}, 1)
    assert say(store, "keg", {"size_ml": KEG, "taps": [{"tap": 1, "from_ms": 1500}]}) == 2


def test_a_meter_counts_for_one_tap_and_a_tap_has_one_meter(make_store: Callable[[], Store]) -> None:
    store = make_store()
    keg_on_tap(store)
    with pytest.raises(house.WrongEntryError, match=f"pin 1 of {DEVICE} would count for taps 1 and 2"):
        say(store, "tap", {"name": "right", "meters": [{"device": DEVICE, "pin": 1}]})
    with pytest.raises(house.WrongEntryError, match="two meters"):
        say(store, "tap", {"name": "left", "meters": [{"device": DEVICE, "pin": pin} for pin in (1, 2)]}, 1)


@pytest.mark.parametrize(
    ("kind", "body", "subject", "error"),
    [
        ("keg", {"size_ml": KEG, "beverage": 9}, None, "there is no beverage 9"),
        ("keg", {"size_ml": KEG, "taps": [{"tap": 9}]}, None, "there is no tap 9"),
        ("keg", {"size_ml": 10, "start_ml": 11}, None, "holds no 11 ml"),
        ("keg", {"size_ml": 10}, 9, "there is no keg 9"),
        ("adjustment", {"what": "void"}, 9, "there is no pour 9"),
        ("run", {"profile": 9, "sensor": "28-0000057fa1b2", "started_ms": 1}, None, "there is no profile 9"),
        ("run", {"profile": 9, "started_ms": 1}, None, "name one"),
    ],
)
def test_what_does_not_go_with_what_holds_is_refused_and_nothing_is_kept(
    make_store: Callable[[], Store], kind: str, body: dict[str, object], subject: int | None, error: str
) -> None:
    store = make_store()
    with pytest.raises((house.WrongEntryError, house.UnknownError), match=error):
        say(store, kind, body, subject)
    assert store.rows(select(schema.entries)) == []
    assert store.rows(select(schema.events)) == []


def test_who_has_not_seen_the_last_change_changes_nothing(make_store: Callable[[], Store]) -> None:
    store = make_store()
    tap = say(store, "tap", {"name": "left"})
    seen = store.read(lambda connection: entries.read_one(connection, "tap", tap))
    assert seen is not None
    say(store, "tap", {"name": "right"}, tap, seen.id)
    with pytest.raises(entries.ChangedError, match="anna has changed it"):
        say(store, "tap", {"name": "middle"}, tap, seen.id)
    history = store.read(lambda connection: entries.read_history(connection, "tap", tap))
    assert [(one.body["name"], one.said_by) for one in history] == [("left", "anna"), ("right", "anna")]


def test_what_was_said_is_told(make_store: Callable[[], Store]) -> None:
    store = make_store()
    say(store, "tap", {"name": "left"})
    (event,) = store.events_after(0, 10)
    told = json.loads(event.body)
    assert (event.channel, told["id"], told["name"], told["said_by"]) == ("taps", 1, "left", "anna")


@dataclass(frozen=True)
class Poured:
    started_ms: int
    pulses: int


TIMES = st.one_of(
    st.integers(0, 6 * DAY_MS),
    st.builds(lambda day, more: max(0, day * DAY_MS + more), st.integers(0, 6), st.integers(-1, 1)),
)


@settings(
    deadline=None,
    max_examples=settings().max_examples * 2 // 5,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    poured=st.dictionaries(TIMES, st.integers(1, 5000), max_size=12),
    borders=st.lists(TIMES, min_size=1, max_size=4, unique=True).map(sorted),
    calibrated=st.dictionaries(TIMES, st.integers(1, 10**6), max_size=3),
    data=st.data(),
)
def test_the_sum_of_what_was_poured_is_what_left_the_kegs_whatever_came_first(
    tmp_path_factory: pytest.TempPathFactory,
    device_key: rsa.RSAPrivateKey,
    poured: dict[int, int],
    borders: list[int],
    calibrated: dict[int, int],
    data: st.DataObject,
) -> None:
    with closing(Store(tmp_path_factory.mktemp("sum") / "hub.db")) as store:
        store.prepare()
        store.add_device(DEVICE, device_key.public_key(), "bar", NOW_MS)
        say(store, "tap", {"name": "left", "meters": [{"device": DEVICE, "pin": 1}]})
        ends = [*borders[1:], None]
        sayings: list[Callable[[], object]] = [
            partial(say, store, "keg", {"size_ml": KEG, "taps": [{"tap": 1, "from_ms": start, "until_ms": end}]})
            for start, end in zip(borders, ends, strict=True)
        ]
        for time, value in calibrated.items():
            calibration: dict[str, object] = {
                "device": DEVICE,
                "pin": 1,
                "from_ms": time,
                "nanolitres_per_pulse": value,
            }
            sayings.append(partial(say, store, "calibration", calibration))
        sayings += [partial(send, store, Pour(1, pulses, 5000, time)) for time, pulses in poured.items()]
        for saying in data.draw(st.permutations(sayings)):
            saying()
        total = sum(
            pulses * next((calibrated[at] for at in sorted(calibrated, reverse=True) if at <= time), 185_185)
            for time, pulses in poured.items()
            if time >= borders[0]
        )
        assert sum(left(store).values()) == total
        rows = store.rows(volumes.SELECT_POURS)
        assert len(rows) == len(poured)
        by_keg: dict[int, int] = {}
        for row in rows:
            if row.keg is not None:
                by_keg[row.keg] = by_keg.get(row.keg, 0) + row.volume_nl
        assert by_keg == {keg: volume for keg, volume in left(store).items() if volume}
