"""A device's side of REST v3: real requests over TLS to a hub in a thread, a database on disk."""

import json
import sqlite3
import ssl
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kegnet_client.core.wire import batch as wire_batch
from kegnet_client.hub.home import Home
from kegnet_client.hub.ingest import forms
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.pages import Query
from kegnet_client.hub.store.records import Store

TS = 1_700_000_000_000
SENSOR = "28-0316a2795c5b"

Record = dict[str, object]
MakeBatch = Callable[..., tuple[dict[str, str], bytes]]
MakeRecord = Callable[..., Record]
Send = Callable[..., httpx.Response]


@pytest.fixture
def send(web: httpx.Client, batch: MakeBatch) -> Send:
    """``send(device, records, ...)`` as a device does it."""

    def post(device: str, what: object, **options: object) -> httpx.Response:
        headers, content = batch(device, what, **options)
        return web.post("/rest/v3/records", content=content, headers=headers)

    return post


@pytest.fixture
def pours(device: str, record: MakeRecord) -> list[Record]:
    """Three of the device."""
    return [record("pour", device, pin=pin, pulses=586, elapsed_ms=8123, started_ms=TS) for pin in range(3)]


@pytest.fixture
def stored(hub_store: Store, device: str) -> Callable[[], int]:
    """How many pours of the device are stored."""
    query = Query(1000, equal=(("device", device),))
    return lambda: len(hub_store.page(schema.pours, "started_ms", query).rows)


@pytest.fixture
def kept(hub_home: Home, device: str) -> Callable[[], int]:
    """How many requests of the device are kept."""

    def count() -> int:
        with closing(sqlite3.connect(hub_home.database())) as connection:
            (row,) = connection.execute("SELECT count(*) FROM requests WHERE device = ?", (device,))
        return int(row[0])

    return count


Count = Callable[[], int]


@pytest.mark.parametrize("pack", [False, True])
def test_a_batch_is_stored_once_however_often_it_comes(
    send: Send, device: str, pours: list[Record], stored: Count, kept: Count, hub_store: Store, pack: bool
) -> None:
    for _ in range(3):
        answer = send(device, pours, pack=pack)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        digest = answer.request.headers["content-digest"]
        assert answer.json() == {"request": digest, "accepted": 3, "rejected": []}
    assert (stored(), kept()) == (3, 1)
    assert [one.fault for one in hub_store.verify_stored(device)] == [None] * 3


def test_each_row_points_at_the_request_that_brought_it(
    send: Send, device: str, pours: list[Record], kept: Count, hub_store: Store
) -> None:
    send(device, pours[:2])
    send(device, pours)  # brings the third alone
    send(device, pours[1:])  # brings nothing
    rows = hub_store.page(schema.pours, "started_ms", Query(10, equal=(("device", device),))).rows
    by_pin = [row.request for row in sorted(rows, key=lambda row: int(row.pin))]
    assert by_pin[0] == by_pin[1] != by_pin[2]
    assert kept() == 2


def test_a_pour_that_comes_over_v2_and_v3_is_one_row(
    send: Send,
    device: str,
    pours: list[Record],
    stored: Count,
    post: Callable[[str, bytes], httpx.Response],
    form: Callable[..., bytes],
) -> None:
    fields = {"id": device, "pulses": 586, "et": 8123, "ts": TS}
    assert post("v2/pour", form("pour", pin=0, **fields)).text == "stored\n"
    assert send(device, pours).json()["accepted"] == 3
    assert post("v2/pour", form("pour", pin=1, **fields)).text == "stored before\n"
    assert stored() == 3


@pytest.mark.parametrize("make", [lambda: ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate])
def test_devices_with_modern_keys_are_heard(
    send: Send,
    record: MakeRecord,
    hub_store: Store,
    make: Callable[[], ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey],
) -> None:
    modern, key = str(uuid.uuid4()), make()
    hub_store.add_device(modern, key.public_key(), "modern", TS)
    pour = record("pour", modern, pin=0, pulses=586, elapsed_ms=8123, started_ms=TS)
    assert send(modern, [pour], key=key).json()["accepted"] == 1
    assert [one.fault for one in hub_store.verify_stored(modern)] == [None]


def test_every_sensor_is_shown(send: Send, device: str, record: MakeRecord, reader: httpx.Client) -> None:
    sensors = [SENSOR, "28-0316a2795c5c"]
    readings = [record("reading", device, sensor=name, millidegrees=3875, taken_ms=TS) for name in sensors]
    assert send(device, readings).json()["accepted"] == 2
    shown = reader.get("/api/temperatures", params={"device": device}).json()["items"]
    assert {(one["sensor"], one["millidegrees"], one["taken_ms"]) for one in shown} == {
        (name, 3875, TS) for name in sensors
    }
    only = reader.get("/api/temperatures", params={"device": device, "sensor": SENSOR}).json()["items"]
    assert [one["sensor"] for one in only] == [SENSOR]


def test_verdicts_add_up_and_what_is_good_is_stored(
    send: Send, device: str, pours: list[Record], stored: Count
) -> None:
    pours[1]["pulses"] = 0
    answer = send(device, [*pours, {"type": "keg"}]).json()
    assert answer["accepted"] == 2
    assert [(one["index"], one.get("id")) for one in answer["rejected"]] == [(1, pours[1]["id"]), (3, None)]
    assert stored() == 2


def test_no_answer_to_a_device_may_be_cached(
    send: Send, device: str, pours: list[Record], web: httpx.Client, other_key: rsa.RSAPrivateKey
) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    answers = [
        send(device, pours),
        send(device, pours, key=other_key),
        send(device, b"{}"),
        web.post("/rest/v2/pour", content=b"id=1", headers=form),
        *(web.post(path, json={}) for path in ("/enroll", "/rotate", "/rotate/confirm")),
        web.get("/ca.crt"),
    ]

    assert [answer.status_code for answer in answers] == [200, 401, 400, 400, 400, 400, 400, 200]
    assert {answer.headers.get("cache-control") for answer in answers} == {"no-store"}


def test_a_batch_without_a_good_record_is_answered_and_not_kept(send: Send, device: str, kept: Count) -> None:
    assert send(device, [{"type": "keg"}]).json()["accepted"] == 0
    assert send(device, []).json()["accepted"] == 0
    assert kept() == 0


def test_a_forged_an_unknown_and_a_revoked_devices_batch_is_401(
    send: Send, device: str, pours: list[Record], stored: Count, other_key: rsa.RSAPrivateKey, hub_home: Home
) -> None:
    assert send(device, pours, key=other_key).status_code == 401
    answer = send(str(uuid.uuid4()), pours)
    assert (answer.status_code, answer.text) == (401, forms.NOT_REGISTERED + "\n")
    with closing(Store(hub_home.database())) as elsewhere:
        elsewhere.prepare()
        elsewhere.revoke_device(device, TS)
    answer = send(device, pours)
    assert (answer.status_code, answer.text) == (401, forms.REVOKED + "\n")
    assert answer.headers["www-authenticate"].startswith("KegNet")
    assert stored() == 0


def test_another_path_than_the_signed_one_is_401(
    web: httpx.Client, batch: MakeBatch, device: str, pours: list[Record]
) -> None:
    headers, content = batch(device, pours, path="/keg/rest/v3/records")
    assert web.post("/rest/v3/records", content=content, headers=headers).status_code == 401
    headers, content = batch(device, pours)
    assert web.post("/rest/v3/records?x=1", content=content, headers=headers).status_code == 200


def test_a_header_that_comes_twice_is_not_read_as_one(
    web: httpx.Client, batch: MakeBatch, device: str, pours: list[Record]
) -> None:
    headers, content = batch(device, pours)
    for name in ("content-type", "content-digest", "signature", "signature-input"):
        twice = [*headers.items(), (name, headers[name])]
        assert web.post("/rest/v3/records", content=content, headers=twice).status_code in (401, 415)


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [("text/plain", ""), ("application/x-www-form-urlencoded", ""), ("application/json", "br")],
)
def test_what_is_not_json_or_gzip_of_it_is_415(
    web: httpx.Client, batch: MakeBatch, device: str, pours: list[Record], content_type: str, encoding: str
) -> None:
    headers, content = batch(device, pours, encoding=encoding)
    headers["content-type"] = content_type
    assert web.post("/rest/v3/records", content=content, headers=headers).status_code == 415


def test_what_is_not_the_protocol_is_400_and_too_much_is_413(
    send: Send, device: str, record: MakeRecord, stored: Count
) -> None:
    assert send(device, b"[]").status_code == 400
    many = [record("pour", device, pin=0, pulses=1 + n, elapsed_ms=1, started_ms=TS) for n in range(501)]
    assert send(device, many, pack=True).status_code == 413
    assert send(device, b" " * (wire_batch.MAX_CONTENT_BYTES + 1)).status_code == 413
    assert send(device, b" " * (wire_batch.MAX_CONTENT_BYTES + 1), pack=True).status_code == 413
    assert stored() == 0
    assert send(device, many[:500], pack=True).json()["accepted"] == 500
    assert stored() == 500


def test_a_batch_is_one_line_in_the_log_and_a_few_records_are_told_one_by_one(
    send: Send, device: str, record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kegnet_client")
    pours = [record("pour", device, pin=0, pulses=586, elapsed_ms=n, started_ms=TS) for n in range(5)]
    send(device, pours[:1])
    send(device, pours)
    send(device, pours)
    name = f"tap {device[:4]}"
    assert [one.getMessage() for one in caplog.records if one.name.startswith("kegnet_client")] == [
        f"pour of 586 pulses in 0.0 s on pin 0 from {name}",
        f"4 records from {name}",
    ]


def test_a_locked_database_is_503_and_passes(
    make_home: Callable[[], Home],
    tmp_path: Path,
    store: Store,
    start: Callable[..., str],
    batch: MakeBatch,
    record: MakeRecord,
    device_key: rsa.RSAPrivateKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kegnet_client.hub.store.database.PATIENCE_S", 0.1)
    home, tap = make_home(), str(uuid.uuid4())
    store.add_device(tap, device_key.public_key(), "tap", TS)
    url = start(home, store)
    headers, content = batch(tap, [record("heartbeat", tap, at_ms=TS)])
    context = ssl.create_default_context(cafile=home.ca_certificate)
    with httpx.Client(base_url=url, verify=context, headers=headers, trust_env=False) as client:
        with closing(sqlite3.connect(tmp_path / "hub.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = client.post("/rest/v3/records", content=content)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
            other.execute("ROLLBACK")
        assert json.loads(client.post("/rest/v3/records", content=content).content)["accepted"] == 1
