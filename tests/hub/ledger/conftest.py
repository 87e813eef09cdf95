"""Hubs with records of every kind, and their ledgers."""

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kegnet_client.hub.home import Home
from kegnet_client.hub.ingest.batch import Batch
from kegnet_client.hub.ingest.forms import Claim
from kegnet_client.hub.ledger import export, lines
from kegnet_client.hub.ledger.verify import Check, Fault
from kegnet_client.hub.store import bodies, house
from kegnet_client.hub.store.records import Store

from ..conftest import NOW_MS

RSA = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
P256 = "11111111-2222-4333-8444-555555555555"
ED25519 = "22222222-2222-4333-8444-555555555555"
TS = 1_700_000_000_000

Record = Callable[..., dict[str, object]]
Send = Callable[[Store, int], None]
Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def keys(device_key: rsa.RSAPrivateKey) -> dict[str, Any]:
    return {
        RSA: device_key,
        P256: ec.generate_private_key(ec.SECP256R1()),
        ED25519: ed25519.Ed25519PrivateKey.generate(),
    }


@pytest.fixture(scope="module")
def home(make_home: Callable[[], Home]) -> Home:
    return make_home()


@pytest.fixture
def send(keys: dict[str, Any], claim: Callable[..., Claim], submission: Callable[..., Batch], record: Record) -> Send:
    """``send(store, n)``: the n-th records of three devices with three kinds of keys, by REST v2 and v3."""

    def ingest(store: Store, number: int) -> None:
        if not number:
            for uuid, key in keys.items():
                store.add_device(uuid, key.public_key(), f"=tap of {uuid[:2]}\N{BEER MUG}", TS)
        at_ms = TS + number
        batches = [
            submission(
                uuid,
                [
                    record("pour", uuid, pin=1, pulses=9, elapsed_ms=1, started_ms=at_ms),
                    record("reading", uuid, sensor="28-0316a2795c5b", millidegrees=3875, taken_ms=at_ms),
                    record("heartbeat", uuid, at_ms=at_ms),
                ],
                key=key,
                pack=bool(number % 2),
            )
            for uuid, key in keys.items()
        ]
        claims = [
            claim("pour", id=RSA.upper(), pin=0, pulses=100, et=1000, ts=at_ms),
            claim("ping", id=RSA, temp=4000, ts=at_ms),
            claim("ping", id=RSA, temp=-1, ts=at_ms),
            claim("ip", id=RSA, ip="192.168.1.57", ts=at_ms),
        ]
        outcomes = store.ingest([*claims, *batches], NOW_MS + number)
        assert [one for one in outcomes if isinstance(one, Exception)] == []

    return ingest


def say(store: Store) -> None:
    beverage = bodies.Beverage(name="Pils; \N{BEER MUG}")
    store.write(lambda connection: house.say(connection, "beverage", None, beverage, "ann", NOW_MS))


def written(home: Home, store: Store) -> bytes:
    stream = io.BytesIO()
    export.write_ledger(home, store, stream, NOW_MS)
    return stream.getvalue()


def faults(content: bytes, ca: bytes | None = None) -> list[Fault]:
    return list(Check(ca).run(io.BytesIO(content).readline))


@pytest.fixture(params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, send: Send) -> Store:
    """Three of everything, and something that somebody said."""
    store: Store = request.getfixturevalue("store" if request.param == "sqlite" else "postgresql_store")
    for number in range(3):
        send(store, number)
    say(store)
    return store


@pytest.fixture
def ledger(home: Home, store: Store, send: Send) -> bytes:
    """The ledger of a hub with SQLite."""
    for number in range(2):
        send(store, number)
    say(store)
    return written(home, store)


def forged(
    ledger: bytes,
    sign: Callable[[bytes], bytes],
    change: Callable[[dict[str, Any]], dict[str, Any] | Sequence[dict[str, Any]]],
) -> bytes:
    """``ledger`` with each line changed, and all digests and counts made anew, as who knows how it is written can."""
    parts: list[bytes] = []
    writer = lines.Writer(parts.append)
    for line in ledger.splitlines():
        facts = json.loads(line)
        del facts["sha256"]
        if facts["line"] in ("end", "signature"):
            continue
        changed = change(facts)
        for one in [changed] if isinstance(changed, dict) else changed:
            writer.put(one.pop("line"), one)
    writer.end(sign)
    return b"".join(parts)
