"""What was said wrongly of the keg at a tap is said anew, of that keg alone."""

import pytest
from sqlalchemy import Connection

from kegnet_client.hub.store import bodies, entries, house, tapping
from kegnet_client.hub.store.records import Store

from .conftest import NOW_MS


@pytest.fixture
def bar(store: Store) -> Store:
    """Two taps, each with a keg of the same beverage."""

    def work(connection: Connection) -> None:
        beverage = bodies.Beverage(name="Hellse", abv_percent=4.9)
        number = house.say(connection, "beverage", None, beverage, "anna", NOW_MS).subject
        for name in ("left", "right"):
            tap = house.say(connection, "tap", None, bodies.Tap(name=name), "anna", NOW_MS).subject
            keg = bodies.Keg(beverage=number, size_ml=20_000, taps=[bodies.KegAtTap(tap=tap)])
            house.say(connection, "keg", None, keg, "anna", NOW_MS)

    store.write(work)
    return store


def beverages(store: Store) -> list[tuple[str, float, float | None]]:
    """What is in the kegs, how strong that is, and what the kegs hold."""

    def read(connection: Connection) -> list[tuple[str, float, float | None]]:
        known = {one.subject: one.body for one in entries.read_all(connection, "beverage")}
        kegs = [one.body for one in entries.read_open(connection, "keg")]
        return [(known[keg["beverage"]]["name"], known[keg["beverage"]]["abv_percent"], keg["size_ml"]) for keg in kegs]

    return store.read(read)


def test_a_change_is_of_that_keg_alone(bar: Store) -> None:
    def change(connection: Connection) -> entries.Entry:
        return tapping.change_keg(connection, 2, "Helles", 30_000, None, "berta", NOW_MS + 1)

    assert bar.write(change).subject == 2
    assert beverages(bar) == [("Hellse", 4.9, 20_000), ("Helles", 4.9, 30_000)]
    said = bar.read(lambda connection: entries.read_history(connection, "keg", 2))
    assert [(one.said_by, one.body["size_ml"]) for one in said] == [("anna", 20_000), ("berta", 30_000)]


def test_one_that_changes_its_size_alone_keeps_its_beverage(bar: Store) -> None:
    bar.write(lambda connection: tapping.change_keg(connection, 1, "Hellse", 50_000, 25_000, "berta", NOW_MS + 1))
    assert len(bar.read(lambda connection: entries.read_all(connection, "beverage"))) == 1
    assert beverages(bar)[0] == ("Hellse", 4.9, 50_000)


def test_a_keg_that_is_changed_after_it_ran_dry_keeps_where_it_ran(bar: Store) -> None:
    bar.write(lambda connection: tapping.end_keg(connection, 1, "anna", NOW_MS + 1))
    keg = bar.write(lambda connection: tapping.change_keg(connection, 1, None, 30_000, None, "berta", NOW_MS + 2))
    assert keg.body["taps"] == [{"from_ms": 0, "until_ms": NOW_MS + 1, "tap": 1}]
    assert beverages(bar)[0] == ("Hellse", 4.9, 30_000)


def test_a_keg_that_nobody_spoke_of_cannot_be_changed(bar: Store) -> None:
    with pytest.raises(house.UnknownError, match="there is no keg 7"):
        bar.write(lambda connection: tapping.change_keg(connection, 7, "Helles", 30_000, None, "berta", NOW_MS + 2))
