"""Who changes a device while another process of the hub takes what it sent: on SQLite and on PostgreSQL."""

import base64
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import event

from kegnet_client.core.wire import enrolment as wire
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest.forms import NOT_REGISTERED, REVOKED, Claim, RefusedError, read_claim
from kegnet_client.hub.ingest.rows import Receipt
from kegnet_client.hub.store import enrolment
from kegnet_client.hub.store.records import Store
from kegnet_client.keys import Identity

from ...support.device import STARTED_MS
from ...support.postgresql import PostgreSQL
from ...support.waits import WAIT_S, wait_until
from .signed_request import Request

pytestmark = pytest.mark.case(57)

_T = TypeVar("_T")


class TwoProcesses:
    """Two of the hub's processes on one database, as far as that can tell: ``one`` and ``other``."""

    def __init__(self, database: Path | str, server: PostgreSQL | None) -> None:
        self.one, self.other = Store(database), Store(database)
        self.one.prepare()
        self._server = server
        self._other_began = False
        event.listen(self.other._engine, "checkout", self._note)

    def overlap(self, first: Callable[[], object], second: Callable[[], _T]) -> _T:
        """What ``second`` gives, which waits for the database when ``first``, of process ``one``, commits."""
        with ThreadPoolExecutor(1) as thread:
            waiting: list[Future[_T]] = []

            def begin_second(_connection: object) -> None:
                self._other_began = False
                waiting.append(thread.submit(second))
                wait_until(self._waits, "the second does not wait for the first")
                assert not waiting[0].done()

            event.listen(self.one._engine, "commit", begin_second)
            try:
                first()
            finally:
                event.remove(self.one._engine, "commit", begin_second)
            return waiting[0].result(WAIT_S)

    def close(self) -> None:
        self.one.close()
        self.other.close()

    def _note(self, *_connection: object) -> None:
        self._other_began = True

    def _waits(self) -> bool:
        # SQLite lets nobody see who waits; whoever has a connection while another writes has to.
        return self._other_began if self._server is None else self._server.count_waiting() > 0


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TwoProcesses]:
    server = request.getfixturevalue("postgresql_server") if request.param == "PostgreSQL" else None
    with closing(TwoProcesses(tmp_path / "hub.db" if server is None else server.make_database(), server)) as hub:
        yield hub


@pytest.fixture
def old(hub: TwoProcesses, key: rsa.RSAPrivateKey) -> Identity:
    """A registered device, with the key that it was registered with."""
    hub.one.add_device(device := str(uuid.uuid4()), key.public_key(), "tap", 1)
    return Identity(device, key)


@pytest.fixture
def new(old: Identity, other_key: rsa.RSAPrivateKey) -> Identity:
    """The same device, with the key that it changes to."""
    return Identity(old.uuid, other_key)


def pour(device: Identity, pulses: int) -> Claim:
    assert isinstance(device.key, rsa.RSAPrivateKey)
    return read_claim("pour", Version.V2, Request("v2", device.uuid, device.key, [pulses]).body)


def ingest(store: Store, *pours: Claim) -> list[str]:
    """For each whether it was taken, or why not."""
    outcomes = store.ingest(pours, STARTED_MS)
    return ["taken" if isinstance(one, Receipt) else str(one) for one in outcomes]


def announce(store: Store, old: Identity, new: Identity) -> None:
    request = new.certificate_request().decode()
    signature = base64.b64encode(old.sign(wire.rotation_bytes(request))).decode()
    enrolment.rotate(store, enrolment.read_request(new.uuid, request), signature, STARTED_MS)


def confirm(store: Store, new: Identity) -> None:
    signature = base64.b64encode(new.sign(wire.confirmation_bytes(new.uuid, new.fingerprint))).decode()
    enrolment.confirm(store, new.uuid, new.fingerprint, signature)


def invite(store: Store) -> str:
    return wire.format_secret(enrolment.invite(store, "front bar", STARTED_MS + 1))


def enrol(store: Store, code: str, device: Identity) -> str:
    request = enrolment.read_request(device.uuid, device.certificate_request().decode())
    try:
        return enrolment.enrol(store, code, request, STARTED_MS)
    except (RefusedError, enrolment.KnownError) as error:
        return type(error).__name__


def test_a_confirmed_key_is_taken_and_the_old_one_is_not(hub: TwoProcesses, old: Identity, new: Identity) -> None:
    announce(hub.one, old, new)
    pours = pour(new, 1), pour(old, 2)
    found = hub.overlap(partial(confirm, hub.one, new), partial(ingest, hub.other, *pours))
    assert found == ["taken", "the signature is not this device's"]


def test_an_announced_key_is_taken_beside_the_old_one(hub: TwoProcesses, old: Identity, new: Identity) -> None:
    pours = pour(new, 1), pour(old, 2)
    found = hub.overlap(partial(announce, hub.one, old, new), partial(ingest, hub.other, *pours))
    assert found == ["taken", "taken"]


def test_a_revoked_device_is_refused_and_its_neighbour_is_not(
    hub: TwoProcesses, old: Identity, key: rsa.RSAPrivateKey
) -> None:
    hub.one.add_device(neighbour := str(uuid.uuid4()), key.public_key(), "neighbour", 1)
    pours = pour(old, 1), pour(Identity(neighbour, key), 2)
    found = hub.overlap(partial(hub.one.revoke_device, old.uuid, STARTED_MS), partial(ingest, hub.other, *pours))
    assert found == [REVOKED, "taken"]


def test_a_change_of_key_waits_for_what_the_old_one_signed(hub: TwoProcesses, old: Identity, new: Identity) -> None:
    announce(hub.one, old, new)
    hub.overlap(partial(ingest, hub.one, pour(old, 1)), partial(confirm, hub.other, new))
    assert ingest(hub.one, pour(old, 1), pour(old, 2), pour(new, 3))[1:] == [
        "the signature is not this device's",
        "taken",
    ]
    assert [one.fault for one in hub.one.verify_stored()] == [None, None]


def test_a_device_that_enrols_twice_at_once_is_told_the_same(hub: TwoProcesses, key: rsa.RSAPrivateKey) -> None:
    device = Identity(str(uuid.uuid4()), key)
    code = invite(hub.one)
    names: list[str] = []
    names.append(
        hub.overlap(lambda: names.append(enrol(hub.one, code, device)), partial(enrol, hub.other, code, device))
    )
    assert names == ["front bar", "front bar"]
    assert ingest(hub.one, pour(device, 1)) == ["taken"]


def test_a_code_is_good_for_one_of_two_devices_at_once(hub: TwoProcesses, key: rsa.RSAPrivateKey) -> None:
    first, second = (Identity(str(uuid.uuid4()), key) for _ in range(2))
    code = invite(hub.one)
    refused = hub.overlap(partial(enrol, hub.one, code, first), partial(enrol, hub.other, code, second))
    assert refused == "RefusedError"
    assert ingest(hub.one, pour(first, 1), pour(second, 2)) == ["taken", NOT_REGISTERED]


def test_who_takes_the_same_devices_in_another_order_does_not_block_itself(
    hub: TwoProcesses, key: rsa.RSAPrivateKey
) -> None:
    devices = [Identity(str(uuid.uuid4()), key) for _ in range(10)]
    for device in devices:
        hub.one.add_device(device.uuid, key.public_key(), "tap", 1)
    pours = [pour(device, 1) for device in devices]

    def ingest_often(store: Store, *pours: Claim) -> list[str]:
        return [outcome for _ in range(30) for outcome in ingest(store, *pours)]

    with ThreadPoolExecutor(2) as threads:
        work = [threads.submit(ingest_often, hub.one, *pours), threads.submit(ingest_often, hub.other, *pours[::-1])]
        assert {outcome for one in work for outcome in one.result(WAIT_S)} == {"taken"}
    assert hub.one.count() == 10
