"""Records to the server over one connection: sign, post, judge the answer. Says what happened, decides nothing."""

from collections.abc import Callable, Sequence
from typing import Protocol

from kegnet_client.core.errors import TransportError, UntrustedServerError
from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Answer, Disposition, Verdict, judge
from kegnet_client.core.wire import forms
from kegnet_client.core.wire.forms import BaseUrl


class Sender(Protocol):
    """One connection to the server. Used by one thread at a time; `abort` may come from any."""

    max_records: int
    """How many records one request carries."""
    max_connections: int
    """How many of these are of use at once."""

    def send(self, records: Sequence[Record | Heartbeat]) -> list[Verdict]:
        """What came of sending ``records``, of which no two are equal: a verdict on each, in their order."""

    def abort(self) -> None:
        """End the exchange that is under way, as a broken connection would."""

    def close(self) -> None:
        """Close the connection; it is not used any more."""


class Carrier(Protocol):
    """One exchange at a time: `kegnet_client.net.client.Transport`."""

    def post(self, url: str, content_type: str, body: bytes) -> Answer: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class FormSender:
    """Speaks REST v1 or v2, one record a request, as the device with the uuid ``device``.

    ``sign`` is RSA; ``wall_ms`` is the Unix time.
    """

    max_records = 1
    max_connections = 8

    def __init__(
        self, device: str, sign: Callable[[bytes], bytes], base: BaseUrl, carrier: Carrier, wall_ms: Callable[[], int]
    ) -> None:
        self._device = device
        self._sign = sign
        self._base = base
        self._carrier = carrier
        self._wall_ms = wall_ms
        self.abort = carrier.abort
        self.close = carrier.close

    def send(self, records: Sequence[Record | Heartbeat]) -> list[Verdict]:
        """What came of sending the one in ``records``."""
        (record,) = records
        call = forms.call_for(record, self._device, self._base.version)
        url = f"{self._base.url}/{call.name}"
        try:
            answer = self._carrier.post(url, forms.CONTENT_TYPE, call.body(self._sign(call.canonical_string)))
        except TransportError as error:
            return [judge_silence(error, self._base)]
        return [judge(answer, url, self._wall_ms())]


def judge_silence(error: TransportError, base: BaseUrl) -> Verdict:
    """What it means that the server at ``base`` gave no answer."""
    misconfigured = isinstance(error, UntrustedServerError)
    disposition = Disposition.MISCONFIGURED if misconfigured else Disposition.DEFERRED
    return Verdict(disposition, f"{base.host}:{base.port}: {error}")
