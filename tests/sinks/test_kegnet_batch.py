"""What a REST v3 request is, to the byte, for each kind of key, and what comes of its answer."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kegnet_client.core.errors import TransportError, UntrustedServerError
from kegnet_client.core.records import Heartbeat, Pour, Reading, Record
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire import batch
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.base_url import parse_base_url
from kegnet_client.keys import Identity, PrivateKey
from kegnet_client.net.client import Transport
from kegnet_client.sinks.kegnet_batch import KegnetBatch

DEVICE = "0a1b2c3d-0000-4000-8000-000000000001"
BASE = "https://hub.example:8443/keg/rest/v3"
WALL_MS = 1_800_000_000_999
POUR = Pour(3, 1234, 5999, WALL_MS - 1)
READING = Reading("28-0316a2795c5b", -500, WALL_MS)
HEARTBEAT = Heartbeat(WALL_MS)
ALGORITHMS = {"rsa": "rsa-v1_5-sha256", "p256": "ecdsa-p256-sha256", "ed25519": "ed25519"}


@dataclass(frozen=True)
class Request:
    """What was posted; header names are lower case."""

    url: str
    content_type: str
    headers: dict[str, str]
    content: bytes

    @property
    def unpacked(self) -> bytes:
        return gzip.decompress(self.content) if "content-encoding" in self.headers else self.content


class Wire(Transport):
    """A transport that keeps what is posted and answers what ``answer`` makes of it."""

    def __init__(self) -> None:
        super().__init__(None, 1.0, lambda: 0)
        self.answer: Callable[[Request], Answer] = acknowledge
        self.requests: list[Request] = []
        self.aborted = 0
        self.closed = 0

    def post(
        self,
        url: str,
        content_type: str,
        body: bytes,
        more_headers: Mapping[str, str] | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> Answer:
        headers = {name.lower(): value for name, value in (more_headers or {}).items()}
        self.requests.append(Request(url, content_type, headers, body))
        return self.answer(self.requests[-1])

    def abort(self) -> None:
        self.aborted += 1

    def hang_up(self) -> None:
        """The next request gets another connection."""

    def close(self) -> None:
        self.closed += 1
        super().close()


Open = Callable[..., KegnetBatch]


def acknowledge(request: Request, *rejected: int) -> Answer:
    """Every record is accepted but those at the indexes ``rejected``."""
    size = len(json.loads(request.unpacked)["records"])
    reasons = [{"index": index, "reason": f"no {index}"} for index in rejected]
    said = {"request": request.headers["content-digest"], "accepted": size - len(reasons), "rejected": reasons}
    body = json.dumps(said).encode()
    return Answer(200, {"content-type": "application/json"}, body)


def bound(request: Request, said: dict[str, Any]) -> Answer:
    """What is ``said``, as an answer to ``request``."""
    body = json.dumps({"request": request.headers["content-digest"], **said}).encode()
    return Answer(200, {"content-type": "application/json"}, body)


def pours(number: int) -> list[Record]:
    return [Pour(0, pulses, 1000, WALL_MS + pulses) for pulses in range(1, number + 1)]


def of_size(size: int) -> list[Record]:
    """A content of exactly ``size`` bytes, by the name of a sensor that is longer than any."""
    nameless = Reading("", 0, WALL_MS)
    missing = size - len(batch.format_content(DEVICE, {batch.identify(nameless, DEVICE): nameless}))
    return [Reading("2" * missing, 0, WALL_MS)]


def verify(key: PrivateKey, signature: bytes, data: bytes) -> None:
    """As the standard says it (RFC 9421, section 3.3), or `InvalidSignature`."""
    match key:
        case rsa.RSAPrivateKey():
            key.public_key().verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        case ed25519.Ed25519PrivateKey():
            key.public_key().verify(signature, data)
        case ec.EllipticCurvePrivateKey():
            r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            key.public_key().verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))


@pytest.fixture(scope="module")
def keys() -> dict[str, PrivateKey]:
    """A key of each kind."""
    return {
        "rsa": rsa.generate_private_key(65537, 2048),
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    Transport.close(wire)


@pytest.fixture
def sink(keys: dict[str, PrivateKey], wire: Wire) -> Open:
    """``sink(kind, ...)`` sends over ``wire``."""

    def make(kind: str = "ed25519", *, base: str = BASE, uuid: str = DEVICE, wall_ms: int = WALL_MS) -> KegnetBatch:
        return KegnetBatch(Identity(uuid, keys[kind]), parse_base_url(base), wire, lambda: wall_ms)

    return make


# --- the content -----------------------------------------------------------------------------------------------


def test_records_go_in_one_request_in_their_order_each_under_its_identity(sink: Open, wire: Wire) -> None:
    sink().send([READING, POUR, HEARTBEAT])

    (request,) = wire.requests
    assert (request.url, request.content_type) == (f"{BASE}/records", "application/json")
    assert json.loads(request.content) == {
        "device": DEVICE,
        "records": [
            {
                "id": hashlib.sha256(f"{DEVICE},28-0316a2795c5b,-500,1800000000999".encode()).hexdigest()[:32],
                "type": "reading",
                "sensor": "28-0316a2795c5b",
                "millidegrees": -500,
                "taken_ms": 1800000000999,
            },
            {
                "id": hashlib.sha256(f"{DEVICE},3,1234,5999,1800000000998".encode()).hexdigest()[:32],
                "type": "pour",
                "pin": 3,
                "pulses": 1234,
                "elapsed_ms": 5999,
                "started_ms": 1800000000998,
            },
            {
                "id": hashlib.sha256(f"{DEVICE},1800000000999".encode()).hexdigest()[:32],
                "type": "heartbeat",
                "at_ms": 1800000000999,
            },
        ],
    }


@pytest.mark.parametrize(("size", "is_packed"), [(1023, False), (1024, False), (1025, True), (20_000, True)])
def test_what_is_over_a_kilobyte_is_compressed_and_what_is_not_is_sent_as_it_is(
    sink: Open, wire: Wire, size: int, is_packed: bool
) -> None:
    sink().send(of_size(size))

    (request,) = wire.requests
    assert request.headers.get("content-encoding") == ("gzip" if is_packed else None)
    assert len(request.unpacked) == size
    assert len(request.content) < size or not is_packed


def test_a_resend_carries_the_same_bytes(sink: Open, wire: Wire) -> None:
    for _ in range(2):
        sink().send(pours(100))

    first, second = wire.requests
    assert first == second
    assert first.content[4:8] == bytes(4), "the time of the compression is in it"


# --- the signature ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 100])
@pytest.mark.parametrize("kind", ALGORITHMS)
def test_the_signature_is_over_just_what_rest_v3_lists_and_holds(
    sink: Open, wire: Wire, keys: dict[str, PrivateKey], kind: str, number: int
) -> None:
    sink(kind).send(pours(number))

    (request,) = wire.requests
    digest = base64.b64encode(hashlib.sha256(request.content).digest()).decode()
    assert request.headers["content-digest"] == f"sha-256=:{digest}:"
    components = {
        "@method": "POST",
        "@path": "/keg/rest/v3/records",
        "content-type": "application/json",
        **({"content-encoding": "gzip"} if number > 1 else {}),
        "content-digest": f"sha-256=:{digest}:",
    }
    names = " ".join(f'"{name}"' for name in components)
    parameters = f'({names});created=1800000000;keyid="{DEVICE}";alg="{ALGORITHMS[kind]}";tag="kegnet-v3"'
    assert request.headers["signature-input"] == f"kegnet={parameters}"

    signature = re.fullmatch(r"kegnet=:([A-Za-z0-9+/]+=*):", request.headers["signature"])
    assert signature
    signed = [f'"{name}": {value}' for name, value in components.items()]
    base = "\n".join([*signed, f'"@signature-params": {parameters}']).encode()
    verify(keys[kind], base64.b64decode(signature[1]), base)
    with pytest.raises(InvalidSignature):
        verify(keys[kind], base64.b64decode(signature[1]), base + b" ")


def test_nothing_else_stands_in_the_head(sink: Open, wire: Wire) -> None:
    sink().send([POUR])
    sink().send(pours(100))

    small, large = (request.headers.keys() - {"content-type"} for request in wire.requests)
    assert small == {"content-digest", "signature-input", "signature"}
    assert large == small | {"content-encoding"}


def test_a_uuid_in_capitals_is_that_device_too(sink: Open, wire: Wire) -> None:
    sink(uuid=DEVICE.upper()).send([POUR])
    sink().send([POUR])

    first, second = wire.requests
    assert first.content == second.content
    assert f';keyid="{DEVICE}";' in first.headers["signature-input"]


@pytest.mark.parametrize(
    ("wall_ms", "created"), [(0, 0), (17_999, 17), (1_386_531_209_417, 1_386_531_209), (7_258_118_400_000, 7258118400)]
)
def test_created_is_what_this_clock_says_whatever_that_is(sink: Open, wire: Wire, wall_ms: int, created: int) -> None:
    sink(wall_ms=wall_ms).send([POUR])

    assert f");created={created};keyid=" in wire.requests[0].headers["signature-input"]


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("", "/rest/v3/records"),
        ("/schänke", "/sch%C3%A4nke/rest/v3/records"),
        ("/%7ekeg/%C3%A4", "/~keg/%C3%A4/rest/v3/records"),
        ("/a|b", "/a%7Cb/rest/v3/records"),
    ],
)
def test_the_signed_path_is_the_one_that_goes_over_the_wire(
    sink: Open, wire: Wire, keys: dict[str, PrivateKey], prefix: str, path: str
) -> None:
    sink(base=f"https://hub.example{prefix}/rest/v3").send([POUR])

    (request,) = wire.requests
    assert request.url == f"https://hub.example{path}"
    _, _, parameters = request.headers["signature-input"].partition("=")
    base = (
        f'"@method": POST\n"@path": {path}\n"content-type": application/json\n'
        f'"content-digest": {request.headers["content-digest"]}\n"@signature-params": {parameters}'
    )
    signature = base64.b64decode(request.headers["signature"].removeprefix("kegnet=:").removesuffix(":"))
    verify(keys["ed25519"], signature, base.encode())


# --- the answer ------------------------------------------------------------------------------------------------


def test_each_record_has_the_verdict_on_it(sink: Open, wire: Wire) -> None:
    wire.answer = lambda request: acknowledge(request, 1, 3)
    verdicts = sink().send([READING, POUR, HEARTBEAT, *pours(2)])

    assert [verdict.disposition for verdict in verdicts] == [
        Disposition.ACCEPTED,
        Disposition.REJECTED,
        Disposition.ACCEPTED,
        Disposition.REJECTED,
        Disposition.ACCEPTED,
    ]
    assert [verdict.reason for verdict in verdicts if verdict.disposition is Disposition.REJECTED] == [
        "the server says: no 1",
        "the server says: no 3",
    ]


def test_a_verdict_on_another_record_than_was_sent_is_none(sink: Open, wire: Wire) -> None:
    rejection = {"index": 0, "id": batch.identify(READING, DEVICE), "reason": "no"}
    said = {"accepted": 1, "rejected": [rejection]}
    wire.answer = lambda request: bound(request, said)

    assert [verdict.disposition for verdict in sink().send([POUR, READING])] == [Disposition.DEFERRED] * 2


@pytest.mark.parametrize(
    ("status", "disposition", "may_be_the_cause"),
    [
        (200, Disposition.DEFERRED, False),
        (400, Disposition.MISCONFIGURED, False),
        (401, Disposition.MISCONFIGURED, False),
        (413, Disposition.DEFERRED, True),
        (500, Disposition.DEFERRED, True),
        (429, Disposition.DEFERRED, False),
    ],
)
def test_an_answer_without_verdicts_is_one_for_all(
    sink: Open, wire: Wire, status: int, disposition: Disposition, may_be_the_cause: bool
) -> None:
    wire.answer = lambda _: Answer(status, {})
    verdicts = sink().send(pours(3))

    assert [(one.disposition, one.code, one.record_may_be_the_cause) for one in verdicts] == [
        (disposition, status, may_be_the_cause)
    ] * 3


def test_the_answer_is_judged_by_the_clock_of_this_machine_and_the_address_it_came_from(sink: Open, wire: Wire) -> None:
    wire.answer = lambda _: Answer(401, {"date": "Fri, 15 Jan 2027 07:00:00 GMT"})
    assert "this clock is 60 min ahead" in sink().send([POUR])[0].reason
    wire.answer = lambda _: Answer(404, {})
    assert f"{BASE}/records is not where" in sink().send([POUR])[0].reason


@pytest.mark.parametrize(
    ("error", "disposition"),
    [
        (TransportError("no route to hub.example"), Disposition.DEFERRED),
        (UntrustedServerError("hub.example shows a certificate of somebody else"), Disposition.MISCONFIGURED),
    ],
)
def test_without_an_answer_every_record_is_kept_and_none_is_blamed(
    sink: Open, wire: Wire, error: TransportError, disposition: Disposition
) -> None:
    def fail(_request: Request) -> Answer:
        raise error

    wire.answer = fail
    verdicts = sink().send(pours(3))

    assert [(one.disposition, one.reason, one.code) for one in verdicts] == [
        (disposition, f"hub.example:8443: {error}", None)
    ] * 3
    assert not any(one.record_may_be_the_cause for one in verdicts)


def test_its_connection_is_aborted_and_closed_with_it(sink: Open, wire: Wire) -> None:
    one = sink()
    one.abort()
    assert (wire.aborted, wire.closed) == (1, 0)
    one.close()
    assert (wire.aborted, wire.closed) == (1, 1)
