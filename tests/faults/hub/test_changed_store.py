"""Somebody changes, removes or makes up what is stored: ``hub verify`` names the row, and goes on."""

import base64
import json
import sqlite3
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.core.wire import enrolment as wire
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest import batch
from kegnet_client.hub.ingest.forms import SignedRequest, read_claim
from kegnet_client.hub.ingest.rows import Receipt, Submission
from kegnet_client.hub.ingest.verify import Verification
from kegnet_client.hub.store import enrolment
from kegnet_client.hub.store.records import Store
from kegnet_client.keys import Identity, PrivateKey

from ...support.device import STARTED_MS
from ...support.program import COMMAND
from .hub_process import Hub
from .signed_request import Request

pytestmark = pytest.mark.case(63)


def pour(device: str, key: PrivateKey, pulses: int) -> Submission:
    return read_claim("pour", Version.V2, Request("v2", device, key, [pulses]).body)


def pours(device: str, key: PrivateKey, *pulses: int) -> Submission:
    request = Request("v3", device, key, pulses)
    names = ("Content-Type", "Content-Digest", "Signature-Input", "Signature")
    content_type, digest, signature_input, signature = (request.headers[name] for name in names)
    return batch.read_batch(
        SignedRequest(request.path, content_type, None, digest, signature_input, signature, request.body)
    )


class Kept:
    """A store with a good pour of v2 and a request of v3 with three, and what is done to it."""

    def __init__(self, store: Store, path: Path, key: rsa.RSAPrivateKey, other_key: rsa.RSAPrivateKey) -> None:
        self.store = store
        self.key, self.other_key = key, other_key
        self.device, self.other = str(uuid.uuid4()), str(uuid.uuid4())
        self._path = path
        store.add_device(self.device, key.public_key(), "tap", 1)
        store.add_device(self.other, other_key.public_key(), "other tap", 1)
        self.take(pour(self.device, key, 1))
        self.take(pours(self.device, key, 2, 3, 4))

    def take(self, submission: Submission) -> None:
        (outcome,) = self.store.ingest([submission], STARTED_MS)
        assert isinstance(outcome, Receipt), outcome

    def change(self, *statements: str) -> None:
        with closing(sqlite3.connect(self._path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def faults(self) -> list[Verification]:
        return [one for one in self.store.verify_stored() if one.fault is not None]


@pytest.fixture
def kept(tmp_path: Path, key: rsa.RSAPrivateKey, other_key: rsa.RSAPrivateKey) -> Iterator[Kept]:
    with closing(Store(tmp_path / "hub.db")) as store:
        store.prepare()
        yield Kept(store, tmp_path / "hub.db", key, other_key)


@pytest.mark.parametrize("make", [pour, pours], ids=["v2", "v3"])
def test_a_record_signed_with_another_devices_key_is_a_fault(kept: Kept, make: Callable[..., Submission]) -> None:
    # Somebody who can write into the database lets the hub itself take it, and then covers that up.
    own = kept.store.device(kept.device)
    assert own is not None
    kept.change(f"UPDATE devices SET key = (SELECT key FROM devices WHERE uuid = '{kept.other}')")  # noqa: S608 - fixed text
    kept.take(make(kept.device, kept.other_key, 9))
    kept.change(f"UPDATE devices SET key = '{own.key_fingerprint}' WHERE uuid = '{kept.device}'")  # noqa: S608 - fixed text
    (fault,) = kept.faults()
    assert (fault.table, fault.id, fault.fault) == ("pours", 5, "its device never had the key that signed it")


def test_a_key_that_was_changed_is_still_good_for_what_it_signed(kept: Kept) -> None:
    old, new = Identity(kept.device, kept.key), Identity(kept.device, rsa.generate_private_key(65537, 2048))
    request = new.certificate_request().decode()
    signature = base64.b64encode(old.sign(wire.rotation_bytes(request))).decode()
    enrolment.rotate(kept.store, enrolment.read_request(kept.device, request), signature, 0)
    kept.take(pour(kept.device, new.key, 9))
    confirmation = base64.b64encode(new.sign(wire.confirmation_bytes(kept.device, new.fingerprint))).decode()
    enrolment.confirm(kept.store, kept.device, new.fingerprint, confirmation)
    found = list(kept.store.verify_stored())
    assert [(one.fault, one.is_inferred) for one in found] == [(None, False)] * 5


def test_a_row_deleted_out_of_a_request_is_a_fault(kept: Kept) -> None:
    kept.change("DELETE FROM pours WHERE pulses = 3")
    (fault,) = kept.faults()
    assert (fault.table, fault.id, fault.device) == ("pours", None, kept.device)
    assert fault.fault == "it is missing: the request 1 holds it"


def test_all_rows_deleted_out_of_a_request_are_faults(kept: Kept) -> None:
    kept.change("DELETE FROM pours WHERE request IS NOT NULL")
    assert [one.id for one in kept.faults()] == [None] * 3


def test_a_request_that_was_changed_and_robbed_of_its_rows_is_a_fault(kept: Kept) -> None:
    kept.change("DELETE FROM pours WHERE request IS NOT NULL", "UPDATE requests SET content = x'00'")
    (fault,) = kept.faults()
    assert (fault.table, fault.id, fault.record_id) == ("requests", 1, None)


def test_a_record_that_another_request_brought_first_is_not_missing(kept: Kept) -> None:
    kept.take(pours(kept.device, kept.key, 1, 3, 9))
    assert kept.faults() == []
    kept.change("DELETE FROM pours WHERE pulses = 3")
    assert [one.fault for one in kept.faults()] == ["it is missing: the request 1 holds it"]


@pytest.mark.parametrize(
    "change",
    [
        "path = path || '?x=1'",
        "path = path || '#x'",
        "path = '@elsewhere' || path",
        "path = '/' || path",
        "path = path || char(10)",
        "content_type = ' ' || content_type",
        "content_digest = content_digest || ' '",
    ],
)
def test_a_request_that_is_not_to_the_byte_what_was_signed_is_a_fault(kept: Kept, change: str) -> None:
    kept.change(f"UPDATE requests SET {change}")  # noqa: S608 - fixed text
    assert [one.id for one in kept.faults()] == [2, 3, 4]


@pytest.mark.parametrize(
    "change",
    [
        "pin = CAST(x'ff' AS TEXT)",
        "record_id = CAST(x'ff41' AS TEXT)",
        "device = CAST(x'ff41' AS TEXT)",
        "key = CAST(x'ff' AS TEXT)",
        "protocol = CAST(x'ff' AS TEXT)",
        "pulses = x'00ff'",
        "elapsed_ms = 9e999",
        "started_ms = 'noon'",
        "signed = 99999999999999",
        "signature = 'text'",
        "signed = CAST(x'ff' AS TEXT)",
    ],
)
def test_whatever_stands_in_a_row_is_its_own_fault(kept: Kept, change: str) -> None:
    kept.change(f"UPDATE pours SET {change} WHERE id = 1")  # noqa: S608 - fixed text
    found = list(kept.store.verify_stored())
    assert [(one.table, one.id) for one in found if one.fault is not None] == [("pours", 1)]
    assert len(found) == 4


@pytest.mark.parametrize(
    "change",
    [
        "content = 99999999999999",
        "path = CAST(x'ff' AS TEXT)",
        "path = x'ff'",
        "signature_input = CAST(x'ff' AS TEXT)",
        "content_encoding = x'00'",
        "signature = ''",
    ],
)
def test_whatever_stands_in_a_request_is_the_fault_of_its_rows(kept: Kept, change: str) -> None:
    kept.take(pours(kept.device, kept.key, 8, 9))
    kept.change(f"UPDATE requests SET {change} WHERE id = 1")  # noqa: S608 - fixed text
    found = list(kept.store.verify_stored())
    assert [one.id for one in found if one.fault is not None] == [2, 3, 4]
    assert len(found) == 6


def test_an_inferred_pair_makes_its_rows_neither_good_nor_faulty(kept: Kept) -> None:
    kept.change("UPDATE device_keys SET inferred = 1")
    found = list(kept.store.verify_stored())
    assert [(one.fault, one.is_inferred) for one in found] == [(None, True)] * 4


def test_a_value_that_is_no_text_is_named_and_hides_no_other_row(hub: Hub, key: rsa.RSAPrivateKey) -> None:
    (device,) = hub.register(key)
    for pulses in (1, 2, 3):
        assert hub.send(Request("v2", device, key, [pulses])).status_code == 200
    with closing(sqlite3.connect(hub.directory / "hub.db")) as connection, connection:
        connection.execute("UPDATE pours SET record_id = CAST(x'ff41' AS TEXT) WHERE id = 1")
        connection.execute("UPDATE pours SET elapsed_ms = 9e999 WHERE id = 2")
    with hub.client(Authorization=f"Bearer {hub.token}") as client:
        for accept in ("application/json", "text/csv"):
            answer = client.get("/api/pours", headers={"Accept": accept})
            assert answer.status_code == 200, answer.text
        shown = json.loads(client.get("/api/pours").text)["items"]
    assert [item["pulses"] for item in shown] == [3, 2, 1]
    argv = [str(COMMAND), "hub", "verify", "--dir", str(hub.directory)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 65
    named = [line.partition(" of ")[0] for line in done.stdout.splitlines()]
    assert named == ["pours 1", "pours 2", "2"]
