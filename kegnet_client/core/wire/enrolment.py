"""How a device joins a hub and changes its key: what both ends say, to the byte.

The code that ``hub invite`` prints is ``kegnet_`` and 48 bytes in URL-safe base64: the SHA-256 of the hub's CA
certificate (DER), by which the device knows the hub, and a secret of 16 bytes, by which the hub knows the device.
One by which a device comes back has 16 bytes more: the uuid that it had.

============================ ============================================== ====================================
call                         request                                        answer
============================ ============================================== ====================================
``GET /ca.crt``              nothing                                        the CA certificate, PEM
``POST /enroll``             ``code`` (the secret), ``uuid``, ``request``   ``name``, ``service`` (``/rest/v3``)
``POST /rotate``             ``device``, ``request``, ``signature``         200
``POST /rotate/confirm``     ``device``, ``fingerprint``, ``signature``     200
============================ ============================================== ====================================

Bodies are JSON objects whose values are strings. ``request`` is a PKCS#10 certificate request in PEM with the
uuid as its CN; a ``signature`` is base64 over `rotation_bytes` by a key in force, or over `confirmation_bytes` by
the new one, made as for REST (RSA: PKCS #1 v1.5; P-256: r and s, 32 bytes each; all with SHA-256) or plain
Ed25519. Each request may be sent again: the answer is the same. 400 is malformed, 401 refused, 409 a uuid that
is registered, 503 later; the reason is a line of text.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from uuid import UUID

CA_PATH = "/ca.crt"
ENROL_PATH = "/enroll"
ROTATE_PATH = "/rotate"
CONFIRM_PATH = "/rotate/confirm"
PATHS = (CA_PATH, ENROL_PATH, ROTATE_PATH, CONFIRM_PATH)

SERVICE = "/rest/v3"
"""Where an enrolled device sends its records."""

CONTENT_TYPE = "application/json"
SECRET_BYTES = 16

_PREFIX = "kegnet_"
_HASH_BYTES = 32
_CODE = re.compile(_PREFIX + r"[A-Za-z0-9_-]{64}([A-Za-z0-9_-]{22})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Code:
    """A one-time code, taken apart. ``secret`` is as it is sent; ``device`` is the uuid that comes back with it."""

    ca_sha256: bytes
    secret: str = field(repr=False)
    device: str | None = None


def format_code(ca_der: bytes, secret: bytes, device: str | None = None) -> str:
    """The code to paste on the device, or on the one that takes the place of ``device`` (a uuid)."""
    uuid_bytes = b"" if device is None else UUID(device).bytes
    text = base64.urlsafe_b64encode(hashlib.sha256(ca_der).digest() + secret + uuid_bytes)
    return _PREFIX + text.decode("ascii").rstrip("=")


def parse_code(text: str) -> Code:
    """The code ``text``; `ValueError` says what is wrong with it."""
    if not _CODE.fullmatch(text):
        raise ValueError(
            f"is not an enrolment code: it has {_PREFIX} and then 64 or 86 letters, digits, - and _; paste it whole"
        )
    encoded = text.removeprefix(_PREFIX)
    data = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    secret_end = _HASH_BYTES + SECRET_BYTES
    device = str(UUID(bytes=data[secret_end:])) if len(data) > secret_end else None
    return Code(data[:_HASH_BYTES], format_secret(data[_HASH_BYTES:secret_end]), device)


def format_secret(secret: bytes) -> str:
    """The secret as it is sent to the hub."""
    return secret.hex()


def hash_secret(text: str) -> str:
    """What the hub keeps of a secret: with 128 random bits in it, one round of SHA-256 does."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def rotation_bytes(request_pem: str) -> bytes:
    """What a key in force signs to announce the key in ``request_pem``."""
    return b"kegnet-rotate-key," + request_pem.encode("utf-8", "surrogatepass")


def confirmation_bytes(device: str, fingerprint: str) -> bytes:
    """What the new key signs, once it is in use, to retire the one before it."""
    return f"kegnet-confirm-key,{device},{fingerprint}".encode("utf-8", "surrogatepass")
