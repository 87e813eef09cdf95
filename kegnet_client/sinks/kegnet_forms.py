"""Records to a KegNet server by REST v1 or v2, one a request: sign, post, judge the answer."""

from collections.abc import Callable, Sequence
from typing import Protocol

from kegnet_client.core.errors import TransportError
from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire import forms
from kegnet_client.core.wire.answer import Answer, judge, judge_silence
from kegnet_client.core.wire.base_url import KEGNET_ADVICE, BaseUrl
from kegnet_client.sinks.address_report import AddressReport
from kegnet_client.sinks.base import Meanwhile, nothing


class Carrier(Protocol):
    """One exchange at a time: `kegnet_client.net.client.Transport`."""

    def post(self, url: str, content_type: str, body: bytes, *, meanwhile: Meanwhile = nothing) -> Answer: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class KegnetForms:
    """Speaks REST v1 or v2, one record a request, as the device with the uuid ``device``.

    ``sign`` is RSA; ``wall_ms`` is the Unix time. ``addresses`` says when this device's address goes along, on v2.
    """

    max_records = 1
    max_connections = 8
    advice = KEGNET_ADVICE

    def __init__(
        self,
        device: str,
        sign: Callable[[bytes], bytes],
        base: BaseUrl,
        carrier: Carrier,
        wall_ms: Callable[[], int],
        addresses: AddressReport | None = None,
    ) -> None:
        self._device = device
        self._sign = sign
        self._base = base
        self._carrier = carrier
        self._wall_ms = wall_ms
        self._addresses = addresses
        self.abort = carrier.abort
        self.close = carrier.close

    def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
        """What came of sending the one in ``records``."""
        (record,) = records
        call = forms.call_for(record, self._device, self._base.version)
        try:
            answer = self._post(call, meanwhile)
        except TransportError as error:
            return [judge_silence(error, f"{self._base.host}:{self._base.port}")]
        verdict = judge(answer, self._url(call), self._wall_ms())
        if verdict.disposition is Disposition.ACCEPTED:
            self._tell_address()
        return [verdict]

    def _tell_address(self) -> None:
        """What comes of it is no matter of the record: some servers know no such call."""
        if self._addresses is None or (address := self._addresses.take()) is None:
            return
        try:
            self._post(forms.address_call(address, self._wall_ms(), self._device))
        except TransportError:
            self._addresses.fail()

    def _post(self, call: forms.Call, meanwhile: Meanwhile = nothing) -> Answer:
        body = call.body(self._sign(call.canonical_string))
        return self._carrier.post(self._url(call), forms.CONTENT_TYPE, body, meanwhile=meanwhile)

    def _url(self, call: forms.Call) -> str:
        return f"{self._base.url}/{call.name}"
