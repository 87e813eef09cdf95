"""REST v3's signatures, made by one implementation and verified by another, in both directions."""

import asyncio
import base64
import gzip
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kegnet_client.core.records import Heartbeat, Pour, Reading, Record
from kegnet_client.core.wire import batch as wire_batch
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.base_url import parse_base_url
from kegnet_client.hub.app import create_app
from kegnet_client.hub.store.records import Store
from kegnet_client.keys import Identity, PrivateKey
from kegnet_client.net.client import Transport
from kegnet_client.sinks.kegnet_batch import KegnetBatch

DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
NOW_MS = 1_800_000_000_000
HOLDS = "it holds"

Request = dict[str, Any]
Peer = Callable[[str, list[Request]], list[Any]]
Deliver = Callable[..., httpx.Response]


class Wire(Transport):
    """A transport that keeps what is posted, in the words of peer.mjs."""

    def __init__(self) -> None:
        super().__init__(None, 1.0, lambda: 0)
        self.requests: list[Request] = []

    def post(
        self,
        url: str,
        content_type: str,
        body: bytes,
        more_headers: Mapping[str, str] | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> Answer:
        headers = {"content-type": content_type} | {name.lower(): value for name, value in (more_headers or {}).items()}
        content = base64.b64encode(body).decode()
        self.requests.append({"method": "POST", "url": url, "headers": headers, "content": content})
        return Answer(503, {})


def records(number: int) -> list[Record | Heartbeat]:
    pours = [Pour(0, pulses, 1000, NOW_MS + pulses) for pulses in range(1, number - 1)]
    return [Heartbeat(NOW_MS), Reading("28-0316a2795c5b", -500, NOW_MS), *pours]


def send(
    key: PrivateKey, number: int, *, base: str = "https://hub.example/keg/rest/v3", at_ms: int = NOW_MS
) -> Request:
    """What goes over the wire, and what its verifier has to know."""
    identity = Identity(DEVICE, key)
    with closing(Wire()) as wire:
        KegnetBatch(identity, parse_base_url(base), wire, lambda: at_ms).send(records(number))
        (request,) = wire.requests
    return request | known(identity)


def known(identity: Identity) -> Request:
    return {"keyid": DEVICE, "alg": identity.algorithm, "key": identity.public_pem().decode()}


def with_headers(request: Request, **changed: str) -> Request:
    return request | {
        "headers": request["headers"] | {name.replace("_", "-"): value for name, value in changed.items()}
    }


def digest(content: str) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(base64.b64decode(content)).digest()).decode()}:"


# --- ours, verified by the other -------------------------------------------------------------------------------


def test_what_a_device_signs_another_implementation_believes(peer: Peer, key: PrivateKey) -> None:
    requests = [
        send(key, 3),
        send(key, 500),
        send(key, 3, base="https://hub.example:8443/schänke/%7Ekeg/rest/v3"),
        send(key, 3, at_ms=17_000),
        send(key, 3, at_ms=4_102_444_800_000),
    ]
    assert ["content-encoding" in request["headers"] for request in requests] == [False, True, False, False, False]
    assert peer("verify", requests) == [HOLDS] * len(requests)


def test_what_is_changed_on_the_way_it_does_not(peer: Peer, key: PrivateKey) -> None:
    good = send(key, 500)
    headers = good["headers"]
    other = base64.b64encode(gzip.compress(b"{}")).decode()
    unpacked = good | {"headers": {name: value for name, value in headers.items() if name != "content-encoding"}}
    changed = {
        "method": good | {"method": "PUT"},
        "path": good | {"url": good["url"].replace("/keg/", "/beer/")},
        "content": good | {"content": other},
        "content and digest": with_headers(good | {"content": other}, content_digest=digest(other)),
        "type": with_headers(good, content_type="text/plain"),
        "encoding": with_headers(good, content_encoding="br"),
        "no encoding": unpacked,
        "created": with_headers(good, signature_input=headers["signature-input"].replace("=1800000000", "=1800000001")),
        "keyid": with_headers(good, signature_input=headers["signature-input"].replace("3f2b", "4f2b")),
        "signature": with_headers(good, signature=headers["signature"].replace("=:", "=:AAAA")),
        "key": good | known(Identity(DEVICE, ec.generate_private_key(ec.SECP256R1()))),
    }
    first, *verdicts = peer("verify", [good, *changed.values()])
    assert first == HOLDS
    assert [what for what, verdict in zip(changed, verdicts, strict=True) if verdict == HOLDS] == []


# --- the other's, verified by the hub --------------------------------------------------------------------------


@pytest.fixture
def deliver(tmp_path: Path, peer: Peer, key: PrivateKey) -> Iterator[Deliver]:
    """Has the peer sign that many records, for a hub that knows the device; its answer, after ``change`` between."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with closing(Store(tmp_path / "hub.db")) as store:
        store.prepare()
        store.add_device(DEVICE, key.public_key(), "Front bar", NOW_MS)

        async def post(headers: dict[str, str], content: bytes) -> httpx.Response:
            transport = httpx.ASGITransport(create_app(store, "token", b""))
            async with httpx.AsyncClient(transport=transport, base_url="https://hub.example") as client:
                return await client.post("/rest/v3/records", content=content, headers=headers)

        def run(number: int, *, pack: bool = False, change: Callable[[bytes], bytes] = bytes) -> httpx.Response:
            batch = {wire_batch.identify(record, DEVICE): record for record in records(number)}
            content = wire_batch.format_content(DEVICE, batch)
            headers = {"content-type": "application/json"}
            if pack:
                content, headers["content-encoding"] = gzip.compress(content), "gzip"
            to_sign = {"url": "https://hub.example/rest/v3/records", "headers": headers, "created": 17}
            encoded = {"content": base64.b64encode(content).decode(), "key": private}
            (signed,) = peer("sign", [to_sign | known(Identity(DEVICE, key)) | encoded])
            return asyncio.run(post(signed, change(content)))

        yield run


@pytest.mark.parametrize("pack", [False, True])
def test_what_another_implementation_signs_the_hub_believes(deliver: Deliver, pack: bool) -> None:
    answer = deliver(100, pack=pack)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"request": answer.request.headers["content-digest"], "accepted": 100, "rejected": []}


def test_what_is_changed_on_the_way_the_hub_does_not(deliver: Deliver) -> None:
    answer = deliver(3, change=lambda content: content.replace(b"-500", b"-501"))
    assert answer.status_code == 401
    assert "the signature does not hold" in answer.text
