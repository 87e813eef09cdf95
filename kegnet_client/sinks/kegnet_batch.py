"""Records to a KegNet server by REST v3: many in one request, signed as an HTTP message (RFC 9421).

Imported only where v3 is spoken, because of what it imports.

Security: the signature covers the method, the path and, by its digest, every byte of the content. It does not
cover the host, which the server's certificate proves.
"""

import base64
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from http_message_signatures import HTTPMessageSigner, algorithms

from kegnet_client.core.errors import TransportError
from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire import batch as wire_batch
from kegnet_client.core.wire.answer import judge_silence
from kegnet_client.core.wire.base_url import KEGNET_ADVICE, BaseUrl
from kegnet_client.keys import Identity
from kegnet_client.net.client import Transport
from kegnet_client.sinks.base import Meanwhile, nothing

_ALGORITHMS = {
    one.algorithm_id: one for one in (algorithms.RSA_V1_5_SHA256, algorithms.ECDSA_P256_SHA256, algorithms.ED25519)
}
_FASTEST = 1
"""The compression that costs least: a batch shrinks to a third of its size by it, to a quarter by the slowest."""


@dataclass(slots=True)
class _Message:
    """What is signed, in the shape that the library wants."""

    url: str
    headers: dict[str, str]
    method: str = "POST"


class KegnetBatch:
    """Speaks REST v3 as ``identity``; ``wall_ms`` is the Unix time.

    ``boot`` is what the server may tell this machine's boot by; ``on_warning`` is told what it says of the device with
    each answer, None if nothing.
    """

    max_records = wire_batch.MAX_RECORDS
    # The second is for a server with a round trip between; near by, two that make batches are in each other's way.
    max_connections = 2
    advice = KEGNET_ADVICE

    def __init__(
        self,
        identity: Identity,
        base: BaseUrl,
        transport: Transport,
        wall_ms: Callable[[], int],
        boot: str | None = None,
        on_warning: Callable[[str | None], None] = lambda _text: None,
    ) -> None:
        self._identity = identity
        self._device = identity.uuid.lower()
        self._base = base
        # As it goes over the wire: what is signed is the path as the server sees it.
        self._url = transport.spell(f"{base.url}/{wire_batch.CALL}")
        self._transport = transport
        self._also = {} if boot is None else {wire_batch.BOOT_HEADER: boot}
        self._on_warning = on_warning
        self._wall_ms = wall_ms
        self._signer = HTTPMessageSigner(signature_algorithm=_ALGORITHMS[identity.algorithm])
        self.abort = transport.abort
        self.close = transport.close

    def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
        """What came of sending ``records``."""
        batch = {wire_batch.identify(record, self._device): record for record in records}
        message, content = self._sign(wire_batch.format_content(self._device, batch))
        try:
            headers = message.headers | self._also
            answer = self._transport.post(self._url, wire_batch.CONTENT_TYPE, content, headers, meanwhile)
        except TransportError as error:
            return [judge_silence(error, f"{self._base.host}:{self._base.port}")] * len(records)
        verdicts = wire_batch.judge(answer, message.headers["Content-Digest"], list(batch), self._url, self._wall_ms())
        if answer.status == 200:
            self._on_warning(answer.headers.get(wire_batch.WARNING_HEADER.lower()))
        if answer.status == 200 and any(one.disposition is Disposition.DEFERRED for one in verdicts):
            # It may have been the answer to another request: the next one gets a connection without a past.
            self._transport.hang_up()
        return verdicts

    def _sign(self, content: bytes) -> tuple[_Message, bytes]:
        """The request that carries ``content``, and its content as sent."""
        message = _Message(self._url, {"Content-Type": wire_batch.CONTENT_TYPE})
        if len(content) > wire_batch.COMPRESS_FROM_BYTES:
            content = gzip.compress(content, _FASTEST, mtime=0)
            message.headers["Content-Encoding"] = "gzip"
        prepared = self._signer.prepare(
            message,
            key_id=self._device,
            created=datetime.fromtimestamp(self._wall_ms() / 1000, UTC),
            label=wire_batch.SIGNATURE_LABEL,
            tag=wire_batch.SIGNATURE_TAG,
            covered_component_ids=wire_batch.covered("Content-Encoding" in message.headers),
            body=content,
        )
        # What the library's own `apply` does, but for making the base once more to see whether it is the same.
        signature = base64.b64encode(self._identity.sign(prepared.signature_base)).decode("ascii")
        message.headers["Signature-Input"] = f"{prepared.label}={prepared.signature_params}"
        message.headers["Signature"] = f"{prepared.label}=:{signature}:"
        return message, content
