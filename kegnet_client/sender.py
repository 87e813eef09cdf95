"""One record to the server: sign it, post it, judge the answer. Says what happened, decides nothing."""

from collections.abc import Callable
from typing import Protocol

from kegnet_client.core.delivery import Answer, Disposition, Verdict, judge
from kegnet_client.core.errors import TransportError, UntrustedServerError
from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.rest import CONTENT_TYPE, BaseUrl, call_for


class Post(Protocol):
    """One exchange: `kegnet_client.transport.Transport.post`."""

    def __call__(self, url: str, content_type: str, body: bytes) -> Answer: ...


class Sender:
    """Speaks to the server at ``base`` as the device with the uuid ``device``; ``wall_ms`` is the Unix time."""

    def __init__(
        self, device: str, sign: Callable[[bytes], bytes], base: BaseUrl, post: Post, wall_ms: Callable[[], int]
    ) -> None:
        self._device = device
        self._sign = sign
        self._base = base
        self._where = f"{base.host}:{base.port}"
        self._post = post
        self._wall_ms = wall_ms

    def send(self, record: Record | Heartbeat) -> Verdict:
        """What came of sending ``record``."""
        call = call_for(record, self._device, self._base.version)
        url = f"{self._base.url}/{call.name}"
        try:
            answer = self._post(url, CONTENT_TYPE, call.body(self._sign(call.canonical_string)))
        except UntrustedServerError as error:
            return Verdict(Disposition.MISCONFIGURED, f"{self._where}: {error}")
        except TransportError as error:
            return Verdict(Disposition.DEFERRED, f"{self._where}: {error}")
        return judge(answer, url, self._wall_ms())
