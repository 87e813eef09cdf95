"""A device's side of the hub: real requests over TLS to a hub in a thread, a database on disk."""

import socket
import sqlite3
import ssl
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kegnet_client.hub.home import Home
from kegnet_client.hub.ingest import body as ingest_body
from kegnet_client.hub.ingest import forms
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.pages import Query
from kegnet_client.hub.store.records import Store

TS = 1_700_000_000_000

Form = Callable[..., bytes]
Post = Callable[[str, bytes], httpx.Response]


@pytest.fixture
def rows(hub_store: Store, device: str) -> Callable[[], dict[str, int]]:
    """How many rows each table has of this test's device."""

    def count() -> dict[str, int]:
        tables = ((schema.pours, "started_ms"), (schema.temperatures, "taken_ms"), (schema.heartbeats, "at_ms"))
        query = Query(1000, equal=(("device", device),))
        return {table.name: len(hub_store.page(table, time, query).rows) for table, time in tables}

    return count


Rows = Callable[[], dict[str, int]]

NOTHING = {"pours": 0, "temperatures": 0, "heartbeats": 0}


def pour(form: Form, device: str, **changes: object) -> bytes:
    return form("pour", **{"id": device, "pin": 0, "pulses": 586, "et": 8123, "ts": TS, **changes})


@pytest.mark.parametrize(
    ("call", "fields", "table"),
    [
        ("v2/pour", {"pin": 0, "pulses": 586, "et": 8123, "ts": TS}, "pours"),
        ("v1/pour", {"pin": 0, "pulses": 586, "et": 8, "ts": TS // 1000}, "pours"),
        ("v2/ping", {"temp": 3875, "ts": TS}, "temperatures"),
        ("v1/ping", {"temp": 0, "ts": TS // 1000}, "temperatures"),
        ("v2/ping", {"temp": -1, "ts": TS}, "heartbeats"),
        ("v1/ip", {"ip": "192.168.1.57", "ts": TS // 1000}, "heartbeats"),
        ("v2/ip", {"ip": "192.168.1.57", "ts": TS}, "heartbeats"),
    ],
)
def test_what_is_signed_is_stored_once_however_often_it_comes(
    post: Post, form: Form, device: str, rows: Rows, hub_store: Store, call: str, fields: dict[str, object], table: str
) -> None:
    body = form(call.partition("/")[2], id=device, **fields)
    answers = [post(call, body) for _ in range(3)]
    assert [(answer.status_code, answer.text) for answer in answers] == [
        (200, "stored\n"),
        (200, "stored before\n"),
        (200, "stored before\n"),
    ]
    assert rows() == NOTHING | {table: 1}
    assert [row.fault for row in hub_store.verify_stored(device)] == [None]


def test_a_device_may_write_its_id_in_capitals(post: Post, form: Form, device: str, rows: Rows) -> None:
    assert post("v2/pour", pour(form, device)).text == "stored\n"
    assert post("v2/pour", pour(form, device.upper())).text == "stored before\n"
    assert rows()["pours"] == 1


@pytest.mark.parametrize("field", ["pin", "pulses", "et", "ts", "sig"])
def test_a_tampered_field_is_401_and_stores_nothing(
    post: Post, form: Form, device: str, rows: Rows, field: str
) -> None:
    fields = dict(parse_qsl(pour(form, device).decode()))
    fields[field] = "AAAA" if field == "sig" else str(int(fields[field]) + 1)
    answer = post("v2/pour", urlencode(fields).encode())
    assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "KegNet")
    assert rows() == NOTHING


def test_another_key_is_401_and_stores_nothing(
    post: Post, form: Form, device: str, rows: Rows, other_key: rsa.RSAPrivateKey
) -> None:
    assert post("v2/pour", pour(form, device, key=other_key)).status_code == 401
    assert rows() == NOTHING


def test_another_devices_uuid_is_401_and_stores_nothing(
    post: Post, form: Form, device: str, rows: Rows, hub_store: Store, other_key: rsa.RSAPrivateKey
) -> None:
    mine = str(uuid.uuid4())
    hub_store.add_device(mine, other_key.public_key(), "mine", TS)
    body = pour(form, mine, key=other_key)
    assert post("v2/pour", body.replace(mine.encode(), device.encode())).status_code == 401
    assert post("v2/pour", body).status_code == 200
    assert rows() == NOTHING


def test_milliseconds_in_v1_are_no_time(post: Post, form: Form, device: str, rows: Rows) -> None:
    assert post("v1/pour", pour(form, device)).status_code == 400  # v2's milliseconds are no seconds
    assert rows() == NOTHING


def test_an_unknown_device_is_401_and_told_how_to_register(post: Post, form: Form) -> None:
    answer = post("v2/pour", pour(form, str(uuid.uuid4())))
    assert answer.status_code == 401
    assert "hub devices add" in answer.text


def test_a_device_with_another_kind_of_key_is_401(post: Post, form: Form, hub_store: Store) -> None:
    modern = str(uuid.uuid4())
    hub_store.add_device(modern, ec.generate_private_key(ec.SECP256R1()).public_key(), "modern", TS)
    assert post("v2/pour", pour(form, modern)).status_code == 401


def test_a_revocation_counts_from_the_next_request_on(
    post: Post, form: Form, device: str, rows: Rows, hub_home: Home
) -> None:
    assert post("v2/pour", pour(form, device)).status_code == 200
    with closing(Store(hub_home.database())) as elsewhere:
        elsewhere.prepare()
        elsewhere.revoke_device(device, TS)
    answer = post("v2/pour", pour(form, device, pulses=600))
    assert (answer.status_code, answer.text) == (401, forms.REVOKED + "\n")
    assert rows()["pours"] == 1


@pytest.mark.parametrize(
    "change", [{"pin": 256}, {"pulses": 0}, {"et": 86_400_001}, {"ts": 0}, {"id": "nobody"}, {"pulses": "1e2"}]
)
def test_a_malformed_record_is_400_with_one_line_of_reason(
    post: Post, form: Form, device: str, rows: Rows, change: dict[str, object]
) -> None:
    answer = post("v2/pour", pour(form, device, **change))
    assert answer.status_code == 400
    assert answer.text.endswith("\n")
    assert answer.text.count("\n") == 1
    assert len(answer.text) < 200
    assert rows() == NOTHING


@pytest.mark.parametrize("body", [b"", b"id", b"\xff\xfe", b"id=1&id=2", b"{}"])
def test_a_body_that_is_no_form_of_ours_is_400(post: Post, body: bytes) -> None:
    assert post("v2/pour", body).status_code == 400


@pytest.mark.parametrize("kind", ["application/json", "", "text/plain", "multipart/form-data; boundary=x"])
def test_another_content_type_is_415(web: httpx.Client, form: Form, device: str, kind: str) -> None:
    answer = web.post("/rest/v2/pour", content=pour(form, device), headers={"Content-Type": kind})
    assert answer.status_code == 415


def test_a_charset_beside_the_content_type_does_no_harm(web: httpx.Client, form: Form, device: str) -> None:
    headers = {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"}
    assert web.post("/rest/v2/pour", content=pour(form, device), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["/rest/v9/pour", "/rest/v2/keg", "/rest/v2/pour/", "/rest/", "/rest/v2/../../api/pours"]
)
def test_other_paths_under_rest_show_nothing(web: httpx.Client, path: str) -> None:
    assert web.post(path).status_code in (401, 404)


def test_reading_where_devices_write_is_405(web: httpx.Client) -> None:
    assert web.get("/rest/v2/pour").status_code == 405


def raw_exchange(url: str, trust: ssl.SSLContext, request: bytes) -> bytes:
    """What the hub answers to ``request``, until it closes the connection."""
    address = (str(urlsplit(url).hostname), int(urlsplit(url).port or 0))
    with (
        socket.create_connection(address, timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


HEAD = b"POST /rest/v2/pour HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 4097\r\n\r\n",
        HEAD + b"Content-Length: 9999999999999999999\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1001\r\n" + b"x" * 0x1001 + b"\r\n",
    ],
    ids=["announced", "absurd", "chunked"],
)
def test_a_large_body_is_413_before_it_was_sent(hub_url: str, trust: ssl.SSLContext, request_bytes: bytes) -> None:
    answer = raw_exchange(hub_url, trust, request_bytes)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_the_largest_body_is_read(post: Post, form: Form, device: str) -> None:
    body = pour(form, device)
    assert post("v2/pour", body + b"&x=" + b"x" * (4096 - len(body) - 3)).status_code == 200
    assert post("v2/pour", body + b"&x=" + b"x" * (4097 - len(body) - 3)).status_code == 413


def test_a_body_that_does_not_come_is_408_and_the_others_are_served(
    hub_url: str, trust: ssl.SSLContext, post: Post, form: Form, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_body, "BODY_DEADLINE_S", 0.3)
    address = (str(urlsplit(hub_url).hostname), int(urlsplit(hub_url).port or 0))
    with (
        socket.create_connection(address, timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as slow,
    ):
        slow.sendall(HEAD + b"Content-Length: 500\r\n\r\nid=")
        assert post("v2/pour", pour(form, device)).status_code == 200
        assert slow.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_a_sender_that_goes_away_leaves_no_trace(
    hub_url: str, trust: ssl.SSLContext, post: Post, form: Form, device: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = (str(urlsplit(hub_url).hostname), int(urlsplit(hub_url).port or 0))
    with (
        socket.create_connection(address, timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as sender,
    ):
        sender.sendall(HEAD + b"Content-Length: 500\r\n\r\nid=")
    assert post("v2/pour", pour(form, device)).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_stored_record_is_one_line_in_the_log(
    post: Post, form: Form, device: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kegnet_client")
    for _ in range(2):
        post("v2/pour", pour(form, device))
        post("v2/ping", form("ping", id=device, temp=3875, ts=TS))
    name = f"tap {device[:4]}"
    assert [record.getMessage() for record in caplog.records if record.name.startswith("kegnet_client")] == [
        f"pour of 586 pulses in 8.1 s on pin 0 from {name}",
        f"reading of 3.9 °C from {name}",
    ]


def test_a_locked_database_is_503_and_passes(
    make_home: Callable[[], Home],
    tmp_path: Path,
    store: Store,
    start: Callable[..., str],
    form: Form,
    device_key: rsa.RSAPrivateKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("kegnet_client.hub.store.database.PATIENCE_S", 0.1)
    caplog.set_level("INFO", "kegnet_client.hub")
    home, tap = make_home(), str(uuid.uuid4())
    store.add_device(tap, device_key.public_key(), "tap", TS)
    url = start(home, store)
    context = ssl.create_default_context(cafile=home.ca_certificate)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    with httpx.Client(base_url=url, verify=context, headers=headers, trust_env=False) as client:
        with closing(sqlite3.connect(tmp_path / "hub.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                answer = client.post("/rest/v2/pour", content=pour(form, tap))
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
            other.execute("ROLLBACK")
        assert client.post("/rest/v2/pour", content=pour(form, tap)).text == "stored\n"
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("kegnet_client.hub")]
    assert "locked" in lines[0]
    assert lines[1:] == ["the database works again", "pour of 586 pulses in 8.1 s on pin 0 from tap"]
