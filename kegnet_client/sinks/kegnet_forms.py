"""Records to a KegNet server by REST v1 or v2, one a request: sign, post, judge the answer."""

from collections.abc import Callable, Sequence
from typing import Protocol

from kegnet_client.core.errors import TransportError
from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Verdict
from kegnet_client.core.wire import forms
from kegnet_client.core.wire.answer import Answer, judge, judge_silence
from kegnet_client.core.wire.base_url import KEGNET_ADVICE, BaseUrl


class Carrier(Protocol):
    """One exchange at a time: `kegnet_client.net.client.Transport`."""

    def post(self, url: str, content_type: str, body: bytes) -> Answer: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class KegnetForms:
    """Speaks REST v1 or v2, one record a request, as the device with the uuid ``device``.

    ``sign`` is RSA; ``wall_ms`` is the Unix time.
    """

    max_records = 1
    max_connections = 8
    advice = KEGNET_ADVICE

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
            return [judge_silence(error, f"{self._base.host}:{self._base.port}")]
        return [judge(answer, url, self._wall_ms())]
