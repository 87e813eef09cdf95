"""A REST v3 request to what the hub stores. Pure: no I/O, no clock, no database.

`read_batch` only looks whose it says it is. Nothing in it is trusted, unpacked or parsed before `Batch.prove` has
found that a key of that device signed it (`RefusedError`: 401). The algorithm is that of the registered key,
whatever the request says. The signature must cover what REST v3 lists and nothing else, because that is kept, and
the request can be verified again from it.

What it was made of is then read strictly and up to a bound (`ContentError`: 400, `TooMuchError`: 413), so that a
gzip bomb costs no more than the content that is allowed. Each record in it gets its own verdict.

When it was signed does not matter: a Pi has no battery for its clock, and a replay finds its records stored.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    InvalidSignature,
    MappingKeyResolver,
    algorithms,
)

from kegnet_client.core.wire import batch
from kegnet_client.core.wire.base_url import Version
from kegnet_client.core.wire.batch import ContentError, TooMuchError
from kegnet_client.hub.ingest import forms as ingest_forms
from kegnet_client.hub.ingest.forms import Proven, RefusedError, SignedRequest
from kegnet_client.keys import PublicKey, key_fingerprint, load_registered

ENCODING = "gzip"

_MAX_TOLD = 100
_GZIP = 16 + zlib.MAX_WBITS
_KEY_ID = re.compile(rf'{batch.SIGNATURE_LABEL}=\([^()]*\)[^()]*;keyid="([0-9a-f-]{{36}})"', re.ASCII)


@dataclass(frozen=True, slots=True)
class Batch:
    """A request that someone says is from ``device`` (a lower-case uuid)."""

    device: str
    request: SignedRequest

    @property
    def max_records(self) -> int:
        """How many it may hold."""
        return batch.MAX_RECORDS

    def prove(self, keys_pem: Sequence[str], now_ms: int) -> Proven:
        """The records in it that are well-formed, proven to be signed with one of ``keys_pem``, and the verdicts."""
        signer = _find_signer(self.request, self.device, keys_pem, now_ms)
        content = batch.parse_content(_unpack(self.request))
        if content.device != self.device:
            raise RefusedError("the content is another device's")
        records: list[tuple[str, ingest_forms.Content]] = []
        reasons = {}
        for index, item in enumerate(content.items):
            if item.id is None or item.record is None:
                reasons[index] = item.reason
            else:
                records.append((item.id, item.record))
        verdicts = batch.format_verdicts(self.request.content_digest, content.items, reasons)
        fingerprint = key_fingerprint(signer)
        return Proven(self.device, Version.V3, tuple(records), fingerprint, self.request, verdicts, len(reasons))


def read_batch(request: SignedRequest) -> Batch:
    """``request``, and whose it says it is."""
    named = _KEY_ID.search(request.signature_input)
    if named is None:
        raise RefusedError(f"Signature-Input has no signature {batch.SIGNATURE_LABEL} with a device's uuid as keyid")
    return Batch(named[1], request)


def _find_signer(request: SignedRequest, device: str, keys_pem: Sequence[str], now_ms: int) -> str:
    """The one of ``keys_pem`` that signed ``request``."""
    fault = ""
    for pem in keys_pem:
        try:
            _verify(request, device, pem, now_ms)
        except HTTPMessageSignaturesException as error:
            # Where the mathematics say no, they give no reason.
            fault = str(error) or "it is not this device's"
        else:
            return pem
    raise RefusedError(
        f"the signature does not hold over the path {request.path[:_MAX_TOLD]}: {fault} "
        "(a proxy that shortens the path has to be named with --proxy, and to say so with X-Forwarded-Prefix)"
    )


def _verify(request: SignedRequest, device: str, key_pem: str, now_ms: int) -> None:
    covered = batch.covered(request.content_encoding is not None)
    fields = {"content-type": request.content_type, "content-digest": request.content_digest}
    if request.content_encoding is not None:
        fields["content-encoding"] = request.content_encoding
    signature = {"signature-input": request.signature_input, "signature": request.signature}
    (result,) = Verifier(device, key_pem, now_ms).verify(
        Message("POST", f"https://hub{request.path}", {**fields, **signature}),
        max_age=None,
        expect_tag=batch.SIGNATURE_TAG,
        expect_label=batch.SIGNATURE_LABEL,
        require_components=covered,
        body=request.content,
    )
    if len(result.covered_components) != len(covered) + 1:  # beside them stands @signature-params
        raise InvalidSignature(f"it covers more than {', '.join(covered)}")
    for name, value in {"@path": request.path, **fields}.items():
        # The library takes URLs apart and headers' outer spaces off: what is kept has to be what was signed, exactly.
        if result.covered_components[f'"{name}"'] != value:
            raise InvalidSignature(f"{name} is not as it was signed")


class Verifier(HTTPMessageVerifier):
    """Verifies what one key may have signed, whenever that was."""

    def __init__(self, device: str, key_pem: str, now_ms: int) -> None:
        key = load_registered(key_pem)
        super().__init__(
            signature_algorithm=_algorithm(key),
            key_resolver=MappingKeyResolver(public_keys={device: key}, private_keys={}),
        )
        self._now_ms = now_ms

    def validate_created_and_expires(self, sig_input: Any, max_age: object = None) -> None:
        """``created`` may be any time; a signature that has expired is not one."""
        if "created" not in sig_input.params:
            raise InvalidSignature("created is missing")
        expires = sig_input.params.get("expires")
        if expires is not None and expires * 1000 < self._now_ms:
            raise InvalidSignature("the signature has expired")


@dataclass(frozen=True, slots=True)
class Message:
    """A request in the shape that `Verifier` wants."""

    method: str
    url: str
    headers: Mapping[str, str]


def _algorithm(key: PublicKey) -> type[HTTPSignatureAlgorithm]:
    if isinstance(key, rsa.RSAPublicKey):
        return algorithms.RSA_V1_5_SHA256
    return algorithms.ED25519 if isinstance(key, ed25519.Ed25519PublicKey) else algorithms.ECDSA_P256_SHA256


def _unpack(request: SignedRequest) -> bytes:
    """The content before compression."""
    if request.content_encoding is None:
        return request.content
    stream = zlib.decompressobj(_GZIP)
    try:
        content = stream.decompress(request.content, batch.MAX_CONTENT_BYTES + 1)
    except zlib.error as error:
        raise ContentError(f"the content is not gzip: {error}") from None
    if len(content) > batch.MAX_CONTENT_BYTES:
        raise TooMuchError(f"the content has more than {batch.MAX_CONTENT_BYTES} bytes before compression")
    if not stream.eof or stream.unused_data:
        raise ContentError("the content is not one whole gzip stream")
    return content
