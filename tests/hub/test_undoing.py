"""Whatever was said is undone by saying again what held before."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select

from kegnet_client.core.records import Pour
from kegnet_client.hub.store import bodies, entries, house, schema, undoing
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.records import Store

from .conftest import NOW_MS
from .test_house import DEVICE, KEG, keg_on_tap, left, say, send


@pytest.fixture
def bar(store: Store, device_key: rsa.RSAPrivateKey) -> Store:
    """A keg on a tap, and a pour of a hundred pulses from it."""
    store.add_device(DEVICE, device_key.public_key(), "bar", NOW_MS)
    keg_on_tap(store, from_ms=1000)
    send(store, Pour(1, 100, 8000, 5000))
    return store


def last(store: Store, kind: str, subject: int) -> Entry:
    found = store.read(lambda connection: entries.read_one(connection, kind, subject))
    assert found is not None
    return found


def undo(store: Store, kind: str, subject: int) -> Entry:
    entry = last(store, kind, subject)
    return store.write(lambda connection: undoing.undo(connection, entry, "bert", NOW_MS))


def test_the_first_thing_said_of_a_pour(bar: Store) -> None:
    ((pour,),) = bar.rows(select(schema.pours.c.id))
    say(bar, "adjustment", {"what": "void"}, pour)
    assert left(bar) == {1: 0}
    assert undo(bar, "adjustment", pour).said_by == "bert"
    assert left(bar) == {1: 100 * 185_185}
    undo(bar, "adjustment", pour)  # the undoing itself
    assert left(bar) == {1: 0}


def test_a_keg_that_was_ended_runs_again_and_one_that_was_tapped_by_mistake_never_ran(bar: Store) -> None:
    body = bodies.Keg.model_validate(last(bar, "keg", 1).body)
    say(bar, "keg", {**body.model_dump(), "ended_ms": 4000}, 1)
    assert not left(bar).get(1)
    undo(bar, "keg", 1)
    assert left(bar) == {1: 100 * 185_185}
    first = bar.read(lambda connection: entries.read_history(connection, "keg", 1))[0]
    say(bar, "tap", {"name": "right", "meters": [{"device": DEVICE, "pin": 2}]})
    send(bar, Pour(2, 7, 8000, 6000))
    say(bar, "keg", {"size_ml": KEG, "taps": [{"tap": 2, "from_ms": 2000}]})
    assert left(bar) == {1: 100 * 185_185, 2: 7 * 185_185}
    undo(bar, "keg", 2)
    assert left(bar) == {1: 100 * 185_185}
    with pytest.raises(entries.ChangedError):
        bar.write(lambda connection: undoing.undo(connection, first, "bert", NOW_MS))


def test_nothing_is_undone_that_does_not_go_with_what_holds_now(bar: Store) -> None:
    body = last(bar, "keg", 1).body
    say(bar, "keg", {**body, "ended_ms": 4000}, 1)
    say(bar, "keg", {"size_ml": KEG, "taps": [{"tap": 1, "from_ms": 4500}]})
    with pytest.raises(house.WrongEntryError, match="at one time"):
        undo(bar, "keg", 1)
