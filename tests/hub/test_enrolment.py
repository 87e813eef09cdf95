"""Joining the hub with a code and changing a key, as a device sees it."""

import base64
import json
import sqlite3
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from kegnet_client.core.errors import UsageError
from kegnet_client.core.wire import enrolment as wire
from kegnet_client.hub.app import wall_ms
from kegnet_client.hub.home import Home
from kegnet_client.hub.ingest import forms
from kegnet_client.hub.store import enrolment, schema
from kegnet_client.hub.store.pages import Query
from kegnet_client.hub.store.records import Store
from kegnet_client.keys import Identity, is_signed

TS = 1_700_000_000_000

Form = Callable[..., bytes]
Call = Callable[..., httpx.Response]
Post = Callable[[str, bytes], httpx.Response]


@pytest.fixture
def call(web: httpx.Client) -> Call:
    """``call("/enroll", code=..., ...)`` posts those fields."""

    def post(path: str, **fields: str) -> httpx.Response:
        return web.post(path, content=json.dumps(fields), headers={"Content-Type": "application/json"})

    return post


@pytest.fixture
def code(hub_store: Store) -> str:
    """The secret of a code that is good for one device, called ``front bar``."""
    return wire.format_secret(enrolment.invite(hub_store, "front bar", wall_ms() + 60_000))


@pytest.fixture
def me(device_key: rsa.RSAPrivateKey) -> Identity:
    """A device that is not registered."""
    return Identity(str(uuid.uuid4()), device_key)


@pytest.fixture
def registered(device: str, device_key: rsa.RSAPrivateKey) -> Identity:
    """A device that is."""
    return Identity(device, device_key)


def request_of(identity: Identity) -> str:
    return identity.certificate_request().decode()


def enrolling(code: str, identity: Identity) -> dict[str, str]:
    return {"code": code, "uuid": identity.uuid, "request": request_of(identity)}


def rotating(old: Identity, new: Identity) -> dict[str, str]:
    request = request_of(new)
    signature = base64.b64encode(old.sign(wire.rotation_bytes(request))).decode()
    return {"device": old.uuid, "request": request, "signature": signature}


def confirming(new: Identity) -> dict[str, str]:
    signature = base64.b64encode(new.sign(wire.confirmation_bytes(new.uuid, new.fingerprint))).decode()
    return {"device": new.uuid, "fingerprint": new.fingerprint, "signature": signature}


def send(post: Post, form: Form, identity: Identity, pulses: int) -> int:
    assert isinstance(identity.key, rsa.RSAPrivateKey)
    body = form("pour", key=identity.key, id=identity.uuid, pin=0, pulses=pulses, et=1, ts=TS)
    return post("v2/pour", body).status_code


def test_the_ca_is_for_everyone(web: httpx.Client, hub_home: Home) -> None:
    answer = web.get("/ca.crt")
    assert (answer.status_code, answer.content) == (200, hub_home.ca_certificate.read_bytes())


@pytest.mark.parametrize("path", ["/ca.crt/", "/enroll/", "/enrol", "/rotate/", "/rotate/x", "/rotate/confirm/x"])
def test_nothing_near_the_open_calls_is_open(web: httpx.Client, path: str) -> None:
    assert web.get(path).headers["www-authenticate"].startswith("Bearer")


def test_a_code_makes_a_device_that_may_send(
    call: Call, post: Post, form: Form, code: str, me: Identity, hub_store: Store
) -> None:
    answer = call("/enroll", **enrolling(code, me))
    assert (answer.status_code, answer.json()) == (200, {"name": "front bar", "service": "/rest/v3"})
    assert send(post, form, me, 1) == 200
    device = hub_store.device(me.uuid)
    assert device is not None
    assert (device.name, device.public_key_pem, device.next_key_pem) == ("front bar", me.public_pem().decode(), None)


def test_a_device_whose_code_has_no_name_is_called_by_its_uuid(call: Call, hub_store: Store, me: Identity) -> None:
    code = wire.format_secret(enrolment.invite(hub_store, None, wall_ms() + 60_000))
    assert call("/enroll", **enrolling(code, me)).json()["name"] == me.uuid[:8]


def test_no_secret_is_in_the_database(hub_store: Store, hub_home: Home, code: str) -> None:
    for file in hub_home.directory.glob("hub.db*"):
        assert code.encode() not in file.read_bytes()
        assert bytes.fromhex(code) not in file.read_bytes()


def test_a_lost_answer_can_be_had_again(call: Call, code: str, me: Identity) -> None:
    fields = enrolling(code, me)
    assert [call("/enroll", **fields).json()["name"] for _ in range(3)] == ["front bar"] * 3


def test_a_wrong_an_expired_and_a_used_code_are_told_apart_and_register_nobody(
    call: Call, code: str, me: Identity, hub_store: Store
) -> None:
    other = Identity(str(uuid.uuid4()), me.key)
    wrong = call("/enroll", **enrolling("0" * 32, other))
    expired = call("/enroll", **enrolling(wire.format_secret(enrolment.invite(hub_store, None, wall_ms())), other))
    call("/enroll", **enrolling(code, me))
    used = call("/enroll", **enrolling(code, other))
    assert [answer.status_code for answer in (wrong, expired, used)] == [401] * 3
    assert "no such code" in wrong.text
    assert "the code has expired" in expired.text
    assert "the code was used already" in used.text
    assert all("hub invite" in answer.text for answer in (wrong, expired, used))
    assert hub_store.device(other.uuid) is None


def test_a_used_code_gives_another_key_nothing(
    call: Call, code: str, me: Identity, other_key: rsa.RSAPrivateKey, hub_store: Store
) -> None:
    call("/enroll", **enrolling(code, me))
    thief = call("/enroll", **enrolling(code, Identity(me.uuid, other_key)))
    assert (thief.status_code, "used already" in thief.text) == (401, True)
    device = hub_store.device(me.uuid)
    assert device is not None
    assert device.keys_pem == (me.public_pem().decode(),)


def test_a_code_is_good_for_one_of_many_at_once(hub_store: Store, code: str, device_key: rsa.RSAPrivateKey) -> None:
    requests = []
    for _ in range(8):
        identity = Identity(str(uuid.uuid4()), device_key)
        requests.append(enrolment.read_request(identity.uuid, request_of(identity)))

    def enrol(request: enrolment.Request) -> bool:
        try:
            enrolment.enrol(hub_store, code, request, wall_ms())
        except forms.RefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(enrol, requests)) == [False] * 7 + [True]
    assert sum(hub_store.device(request.device) is not None for request in requests) == 1


def test_a_uuid_that_is_known_is_409_and_keeps_the_code_good(
    call: Call, code: str, registered: Identity, me: Identity, hub_store: Store
) -> None:
    assert call("/enroll", **enrolling(code, registered)).status_code == 409
    hub_store.revoke_device(registered.uuid, TS)
    assert call("/enroll", **enrolling(code, registered)).status_code == 409
    assert call("/enroll", **enrolling(code, me)).status_code == 200


def test_a_revoked_device_does_not_come_back_with_its_code(
    call: Call, code: str, me: Identity, hub_store: Store
) -> None:
    call("/enroll", **enrolling(code, me))
    hub_store.revoke_device(me.uuid, TS)
    answer = call("/enroll", **enrolling(code, me))
    assert (answer.status_code, answer.text) == (401, forms.REVOKED + "\n")


def csr(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *names: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def test_a_request_that_is_not_the_devices_own_is_400(
    call: Call, code: str, me: Identity, device_key: rsa.RSAPrivateKey, other_key: rsa.RSAPrivateKey, hub_store: Store
) -> None:
    good = request_of(me)
    der = bytearray(base64.b64decode("".join(good.splitlines()[1:-1])))
    der[-1] ^= 1
    broken = f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.b64encode(der).decode()}\n-----END CERTIFICATE REQUEST-----"
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 (to be refused)
    cases = {
        "": "not a certificate request",
        "\ud800": "not a certificate request",
        me.public_pem().decode(): "not a certificate request",
        broken: "not signed with its own key",
        csr(device_key): "only CN",
        csr(device_key, str(uuid.uuid4())): "only CN",
        csr(device_key, me.uuid, me.uuid): "only CN",
        csr(weak, me.uuid): "too weak",
        csr(ec.generate_private_key(ec.SECP384R1()), me.uuid): "of a kind that KegNet does not use",
    }
    for request, why in cases.items():
        answer = call("/enroll", code=code, uuid=me.uuid, request=request)
        assert (answer.status_code, why in answer.text) == (400, True), (why, answer.text)
    assert call("/enroll", code=code, uuid="tap", request=good).status_code == 400
    assert hub_store.device(me.uuid) is None
    assert call("/enroll", **enrolling(code, me)).status_code == 200


@pytest.mark.parametrize("path", ["/enroll", "/rotate", "/rotate/confirm"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"{}", b'{"code": 1, "device": []}', b"[" * 15_000, b"\xff"]
)
def test_what_is_not_the_call_is_400(web: httpx.Client, path: str, body: bytes) -> None:
    answer = web.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.text.startswith("expected a JSON object")) == (400, True)


@pytest.mark.parametrize("path", ["/enroll", "/rotate", "/rotate/confirm"])
def test_another_type_and_too_much_are_refused_unread(web: httpx.Client, path: str) -> None:
    assert web.post(path, data={"code": "x"}).status_code == 415
    assert web.post(path, json={"code": "x" * 20_000}).status_code == 413


def test_a_database_that_cannot_write_is_503_and_keeps_the_code_good(
    call: Call, code: str, me: Identity, hub_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kegnet_client.hub.store.database.PATIENCE_S", 0.1)
    with closing(sqlite3.connect(hub_home.directory / "hub.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = call("/enroll", **enrolling(code, me))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert call("/enroll", **enrolling(code, me)).status_code == 200


def test_texts_that_are_no_text_are_refused_and_no_crash(call: Call, registered: Identity, code: str) -> None:
    odd = "\ud800"
    good = request_of(registered)
    assert call("/enroll", code=odd, uuid=registered.uuid, request=good).status_code == 401
    assert call("/enroll", code=code, uuid=odd, request=good).status_code == 400
    assert call("/rotate", device=registered.uuid, request=good, signature=odd).status_code == 400
    assert call("/rotate/confirm", device=odd, fingerprint=odd, signature="").status_code == 400
    assert call("/rotate/confirm", device=registered.uuid, fingerprint=odd, signature="").status_code == 401


def test_both_keys_are_taken_from_the_announcement_to_the_confirmation(
    call: Call, post: Post, form: Form, registered: Identity, other_key: rsa.RSAPrivateKey, hub_store: Store
) -> None:
    new = Identity(registered.uuid, other_key)
    assert send(post, form, new, 1) == 401
    for again in range(2):
        assert call("/rotate", **rotating(registered, new)).status_code == 200
        assert [send(post, form, who, 10 + 2 * again + n) for n, who in enumerate((registered, new))] == [200, 200]
    for again in range(2):
        assert call("/rotate/confirm", **confirming(new)).status_code == 200
        assert [send(post, form, who, 20 + 2 * again + n) for n, who in enumerate((registered, new))] == [401, 200]
    assert [one.fault for one in hub_store.verify_stored(registered.uuid)] == [None] * 6
    rows = hub_store.page(schema.pours, "started_ms", Query(100, equal=(("device", registered.uuid),))).rows
    assert {row.key for row in rows} == {registered.fingerprint, new.fingerprint}


def test_a_new_key_that_was_lost_is_replaced_by_the_next(
    call: Call, post: Post, form: Form, registered: Identity, other_key: rsa.RSAPrivateKey
) -> None:
    lost = Identity(registered.uuid, rsa.generate_private_key(65537, 2048))
    new = Identity(registered.uuid, other_key)
    assert call("/rotate", **rotating(registered, lost)).status_code == 200
    assert call("/rotate", **rotating(registered, new)).status_code == 200
    assert [send(post, form, who, n) for n, who in enumerate((registered, lost, new), 1)] == [200, 401, 200]
    assert call("/rotate/confirm", **confirming(lost)).status_code == 401


def test_a_new_key_in_use_may_announce_another_without_having_been_confirmed(
    call: Call, post: Post, form: Form, registered: Identity, other_key: rsa.RSAPrivateKey
) -> None:
    new = Identity(registered.uuid, other_key)
    newer = Identity(registered.uuid, rsa.generate_private_key(65537, 2048))
    call("/rotate", **rotating(registered, new))
    assert call("/rotate", **rotating(new, newer)).status_code == 200
    assert [send(post, form, who, n) for n, who in enumerate((registered, new, newer), 1)] == [401, 200, 200]


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_keys_of_every_kind_can_announce_and_confirm(
    call: Call, registered: Identity, hub_store: Store, kind: str
) -> None:
    make = ed25519.Ed25519PrivateKey.generate if kind == "ed25519" else lambda: ec.generate_private_key(ec.SECP256R1())
    one, two = Identity(registered.uuid, make()), Identity(registered.uuid, make())
    for old, new in ((registered, one), (one, two)):
        assert call("/rotate", **rotating(old, new)).status_code == 200
        assert call("/rotate/confirm", **confirming(new)).status_code == 200
    device = hub_store.device(registered.uuid)
    assert device is not None
    assert device.keys_pem == (two.public_pem().decode(),)


def test_nobody_elses_signature_changes_a_key(
    call: Call, registered: Identity, other_key: rsa.RSAPrivateKey, hub_store: Store
) -> None:
    thief = Identity(registered.uuid, other_key)
    good = rotating(registered, thief)
    refused = [
        call("/rotate", **rotating(thief, thief)),
        call("/rotate", **good | {"signature": base64.b64encode(registered.sign(good["request"].encode())).decode()}),
        call("/rotate", **good | {"signature": ""}),
        call("/rotate", **good | {"request": good["request"] + "\n"}),
        call("/rotate/confirm", **confirming(thief)),
    ]
    assert [answer.status_code for answer in refused] == [401] * 5
    assert call("/rotate", **good | {"signature": "?"}).status_code == 400
    assert call("/rotate", **rotating(registered, registered)).status_code == 400
    device = hub_store.device(registered.uuid)
    assert device is not None
    assert device.keys_pem == (registered.public_pem().decode(),)


def test_only_the_new_key_itself_confirms(call: Call, registered: Identity, other_key: rsa.RSAPrivateKey) -> None:
    new = Identity(registered.uuid, other_key)
    call("/rotate", **rotating(registered, new))
    by_the_old = registered.sign(wire.confirmation_bytes(new.uuid, new.fingerprint))
    for fields in (
        confirming(new) | {"signature": base64.b64encode(by_the_old).decode()},
        confirming(new) | {"fingerprint": registered.fingerprint},
        confirming(registered),
    ):
        assert call("/rotate/confirm", **fields).status_code == 401
    assert call("/rotate/confirm", **confirming(new) | {"device": "tap"}).status_code == 400
    assert call("/rotate/confirm", **confirming(new)).status_code == 200


def test_a_revoked_device_is_refused_with_both_keys_and_changes_none(
    call: Call, post: Post, form: Form, registered: Identity, other_key: rsa.RSAPrivateKey, hub_store: Store
) -> None:
    new = Identity(registered.uuid, other_key)
    call("/rotate", **rotating(registered, new))
    hub_store.revoke_device(registered.uuid, TS)
    assert [send(post, form, who, n) for n, who in enumerate((registered, new), 1)] == [401, 401]
    for answer in (call("/rotate", **rotating(registered, new)), call("/rotate/confirm", **confirming(new))):
        assert (answer.status_code, answer.text) == (401, forms.REVOKED + "\n")
    with pytest.raises(UsageError, match="already"):
        hub_store.add_device(registered.uuid, other_key.public_key(), "again", TS)


def test_an_unknown_device_changes_nothing(call: Call, me: Identity, other_key: rsa.RSAPrivateKey) -> None:
    assert "not registered" in call("/rotate", **rotating(me, Identity(me.uuid, other_key))).text
    assert "not registered" in call("/rotate/confirm", **confirming(me)).text


def test_a_p256_signature_is_the_two_numbers_and_not_der() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    raw = Identity("", key).sign(b"data")
    assert is_signed(key.public_key(), raw, b"data")
    assert not is_signed(key.public_key(), raw, b"other")
    der = key.sign(b"data", ec.ECDSA(hashes.SHA256()))
    assert decode_dss_signature(der)
    assert not is_signed(key.public_key(), der, b"data")
    assert not is_signed(key.public_key(), bytes(64), b"data")
