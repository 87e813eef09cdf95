"""Many submissions in one transaction: each is judged for itself."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.hub.ingest import forms
from kegnet_client.hub.ingest.forms import Claim, Proven, RefusedError
from kegnet_client.hub.ingest.rows import Outcome, Receipt
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.pages import Query
from kegnet_client.hub.store.records import Store

TS = 1_700_000_000_000

MakeClaim = Callable[..., Claim]


class Broken:
    """A submission whose proof trips over a bug of ours."""

    max_records = 1

    def __init__(self, device: str) -> None:
        self.device = device

    def prove(self, _keys_pem: Sequence[str], _now_ms: int) -> Proven:
        raise ZeroDivisionError


@pytest.fixture
def register(store: Store, device_key: rsa.RSAPrivateKey) -> Callable[[], str]:
    """Registers a device; gives its uuid."""

    def make() -> str:
        name = str(uuid.uuid4())
        store.add_device(name, device_key.public_key(), f"tap {name[:4]}", TS)
        return name

    return make


Register = Callable[[], str]


def kinds(outcomes: Sequence[Outcome]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


def stored(store: Store) -> list[str]:
    return [row.device for row in store.page(schema.pours, "started_ms", Query(1000)).rows]


def pour(claim: MakeClaim, device: str, **changes: object) -> Claim:
    return claim("pour", **{"id": device, "pin": 0, "pulses": 586, "et": 8123, "ts": TS, **changes})


def test_one_that_is_refused_fails_none_of_its_neighbours(
    store: Store, claim: MakeClaim, register: Register, other_key: rsa.RSAPrivateKey
) -> None:
    good, revoked, forged = register(), register(), register()
    store.revoke_device(revoked, TS)
    outcomes = store.ingest(
        [
            pour(claim, good, pin=1),
            pour(claim, revoked),
            pour(claim, str(uuid.uuid4())),
            pour(claim, forged, key=other_key),
            Broken(good),
            pour(claim, good, pin=2),
        ],
        TS,
    )
    assert kinds(outcomes) == [Receipt, RefusedError, RefusedError, RefusedError, ZeroDivisionError, Receipt]
    assert [str(outcome) for outcome in outcomes[1:4]] == [
        forms.REVOKED,
        forms.NOT_REGISTERED,
        "the signature is not this device's",
    ]
    assert stored(store) == [good, good]


def test_the_same_record_twice_in_one_commit_is_one_row(store: Store, claim: MakeClaim, register: Register) -> None:
    device = register()
    first, second = store.ingest([pour(claim, device), pour(claim, device.upper())], TS)
    assert isinstance(first, Receipt)
    assert isinstance(second, Receipt)
    assert (first.is_new, second.is_new) == ((True,), (False,))
    assert stored(store) == [device]


def test_the_same_id_from_two_devices_is_two_rows(store: Store, claim: MakeClaim, register: Register) -> None:
    one, two = register(), register()
    store.ingest([pour(claim, one), pour(claim, two)], TS)
    assert sorted(stored(store)) == sorted([one, two])


def test_a_revocation_by_another_process_counts_from_the_next_commit_on(
    store: Store, tmp_path: Path, claim: MakeClaim, register: Register
) -> None:
    device = register()
    assert kinds(store.ingest([pour(claim, device)], TS)) == [Receipt]
    with closing(Store(tmp_path / "hub.db")) as elsewhere:
        elsewhere.prepare()
        elsewhere.revoke_device(device, TS)
    assert kinds(store.ingest([pour(claim, device, pin=2)], TS)) == [RefusedError]
    assert len(stored(store)) == 1


def test_only_what_is_new_is_news_of_its_device(store: Store, claim: MakeClaim, register: Register) -> None:
    talks, repeats = register(), register()
    store.ingest([pour(claim, repeats)], TS + 1)
    store.ingest(
        [
            pour(claim, repeats),
            pour(claim, talks),
            claim("ip", id=talks, ip="10.0.0.7", ts=TS),
            claim("ip", id=talks, ip="10.0.0.8", ts=TS),
        ],
        TS + 5,
    )
    seen = {device.uuid: (device.last_seen_ms, device.address) for device in store.devices()}
    assert seen == {repeats: (TS + 1, None), talks: (TS + 5, "10.0.0.8")}
