"""Requests by the letter of the protocols (v2's form; v3's RFC 9421 and 9530), made without the program's own code."""

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ...support.device import STARTED_MS

COVERED = ("@method", "@path", "content-type", "content-digest")

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


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
