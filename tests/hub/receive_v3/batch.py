"""A batch as the hub receives it."""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kegnet_client.hub.ingest.forms import Proven, SignedRequest

DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
OTHER = "11111111-2222-4333-8444-555555555555"
TS = 1_700_000_000_000
NOW_MS = TS + 1000
POUR = {"pin": 0, "pulses": 586, "elapsed_ms": 8123, "started_ms": TS}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Record = dict[str, object]
MakeBatch = Callable[..., tuple[dict[str, str], bytes]]
MakeRecord = Callable[..., Record]
Prove = Callable[..., Proven]


def as_received(headers: dict[str, str], content: bytes, path: str = "/rest/v3/records") -> SignedRequest:
    return SignedRequest(
        path=path,
        content_type=headers.get("content-type", ""),
        content_encoding=headers.get("content-encoding"),
        content_digest=headers.get("content-digest", ""),
        signature_input=headers.get("signature-input", ""),
        signature=headers.get("signature", ""),
        content=content,
    )
