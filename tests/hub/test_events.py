"""Server-sent events: what was committed is heard by whoever listens, and by who comes back with the last id."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import httpx
import pytest

from kegnet_client.hub import bus
from kegnet_client.hub.ingest.batch import Batch
from kegnet_client.hub.store import events
from kegnet_client.hub.store.records import Store

from ..support.waits import WAIT_S
from .conftest import NOW_MS, Post, Record

MakeRecord = Callable[..., Record]


@dataclass
class Heard:
    id: int
    channel: str
    body: dict[str, Any]


def read_events(response: httpx.Response) -> Iterator[Heard]:
    """The events of a stream, as the standard says how to read them."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            yield Heard(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}


def listen(reader: httpx.Client, query: str = "", **headers: str) -> AbstractContextManager[httpx.Response]:
    return reader.stream("GET", f"/api/events{query}", headers=headers, timeout=WAIT_S)


def say(store: Store, *bodies: object, channel: str = "test") -> None:
    store.write(lambda connection: events.append(connection, NOW_MS, [(channel, body) for body in bodies]))


def newest(store: Store) -> str:
    return str(store.event_bounds()[1])


def test_a_pour_is_told_with_what_is_known_of_it(
    reader: httpx.Client, hub_store: Store, form: Callable[..., bytes], post: Post, device: str
) -> None:
    with listen(reader, "?channels=pours", **{"Last-Event-ID": newest(hub_store)}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        body = form("pour", id=device, pin=1, pulses=2000, et=5000, ts=NOW_MS)
        assert post("v2/pour", body).status_code == 200
        heard = next(read_events(response))
    assert heard.channel == "pours"
    (pour,) = heard.body["pours"]
    assert isinstance(pour.pop("id"), int)
    assert pour == {
        "device": device,
        "pin": 1,
        "pulses": 2000,
        "elapsed_ms": 5000,
        "started_ms": NOW_MS,
        "volume_nl": None,
        "tap": None,
        "keg": None,
    }


def test_a_batch_is_told_in_few_events_and_a_resend_not_at_all(
    store: Store, submission: Callable[..., Batch], record: MakeRecord, device_key: object
) -> None:
    uuid = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
    store.add_device(uuid, device_key.public_key(), "tap", NOW_MS)  # type: ignore[attr-defined]  # RSA
    readings = [
        record("reading", uuid, sensor="28-0000057fa1b2", millidegrees=4000 + number, taken_ms=NOW_MS + number)
        for number in range(150)
    ]
    for _ in range(2):
        store.ingest([submission(uuid, readings)], NOW_MS)
    told = store.events_after(0, 100)
    assert [(one.channel, len(json.loads(one.body)["temperatures"])) for one in told] == [
        ("temperatures", 100),
        ("temperatures", 50),
    ]


def test_only_the_channels_that_were_asked_for_are_sent(reader: httpx.Client, hub_store: Store) -> None:
    after = newest(hub_store)
    say(hub_store, 1, channel="other")
    say(hub_store, {"n": 2}, channel="mine")
    with listen(reader, "?channels=mine,yours", **{"Last-Event-ID": after}) as response:
        assert next(read_events(response)).body == {"n": 2}


def test_nothing_is_missed_and_nothing_twice_nor_told_however_often_the_connection_is_cut(
    reader: httpx.Client, hub_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    after = first = int(newest(hub_store))
    count = 2000

    def write() -> None:
        for number in range(0, count, 10):
            say(hub_store, *({"n": number + one} for one in range(10)), channel="load")

    writer = threading.Thread(target=write)
    writer.start()
    found: list[object] = []
    cuts = 0
    while len(found) < count:
        with listen(reader, "?channels=load", **{"Last-Event-ID": str(after)}) as response:
            for number, heard in enumerate(read_events(response)):
                found.append(heard.body["n"])
                after = heard.id
                if number == 97 or len(found) == count:
                    cuts += 1
                    break
    writer.join()
    assert found == list(range(count))
    assert cuts > 10
    assert after > first
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_what_is_not_kept_any_more_is_a_reset_and_what_follows_is_new(reader: httpx.Client, hub_store: Store) -> None:
    with listen(reader, **{"Last-Event-ID": str(2**62)}) as response:
        heard = read_events(response)
        reset = next(heard)
        assert (reset.channel, reset.body, reset.id) == ("reset", {}, int(newest(hub_store)))
        say(hub_store, {"n": 1})
        assert next(heard).body == {"n": 1}


@pytest.mark.parametrize(
    ("query", "headers", "what"),
    [
        ("?channels=a,B", {}, "'B' is no name of a channel"),
        ("?channels=", {}, "'' is no name of a channel"),
        ("?channels=" + ",".join(f"c{number}" for number in range(51)), {}, "more than 50"),
        ("", {"Last-Event-ID": "-1"}, "Last-Event-ID"),
        ("", {"Last-Event-ID": "9999999999999999999"}, "Last-Event-ID"),
        ("?after=x", {}, "after"),
    ],
)
def test_what_cannot_be_asked_for_is_named(
    reader: httpx.Client, query: str, headers: dict[str, str], what: str
) -> None:
    answer = reader.get(f"/api/events{query}", headers=headers)
    assert answer.status_code == 422
    assert what in answer.text


def test_old_events_are_forgotten_but_never_the_newest(store: Store) -> None:
    for at_ms in (1000, 2000, 3000):
        store.write(partial(events.append, now_ms=at_ms, news=[("test", {})]))
    assert store.write(lambda connection: events.trim(connection, 2500)) == 2
    assert store.event_bounds() == (3, 3)
    assert store.write(lambda connection: events.trim(connection, 9999)) == 0
    say(store, {})
    assert store.event_bounds() == (3, 4)


def test_who_is_cut_off_before_its_first_event_goes_on_without_a_gap(reader: httpx.Client, hub_store: Store) -> None:
    with listen(reader, "?channels=quiet") as response:
        (line,) = (one for one in islice(response.iter_lines(), 3) if one.startswith("id: "))
    say(hub_store, {"said": "while nobody listened"}, channel="quiet")
    with listen(reader, "?channels=quiet", **{"Last-Event-ID": line.removeprefix("id: ")}) as response:
        assert next(read_events(response)).body == {"said": "while nobody listened"}


def test_one_client_too_many_is_told_so(reader: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "MAX_CLIENTS", 0)
    with listen(reader) as response:
        assert "0 subscriptions are open already" in response.read().decode()
