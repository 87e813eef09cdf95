"""Records to a server that speaks Xively's API v2: one PUT of the feed a record, with all of its datastreams.

Limits: delivery is at least once; a repetition has the same time and the same values.
"""

import ssl
from collections.abc import Callable, Sequence

from kegnet_client.config.secret_file import read_secret
from kegnet_client.core.errors import ConfigError, TransportError
from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Verdict
from kegnet_client.core.wire import xively as wire_xively
from kegnet_client.core.wire.answer import judge_silence
from kegnet_client.core.wire.base_url import parse_url
from kegnet_client.net.client import Transport
from kegnet_client.net.tls import client_context
from kegnet_client.sinks.base import Meanwhile, OpenSink, nothing
from kegnet_client.sinks.xively_section import XivelySettings

DEADLINE_S = 10.0


class Xively:
    """Writes to the feed at ``url`` with ``key``."""

    max_records = 1
    # What came last is what a feed shows.
    max_connections = 1
    advice = wire_xively.XIVELY_ADVICE

    def __init__(self, url: str, key: str, transport: Transport, wall_ms: Callable[[], int]) -> None:
        self._url = url
        self._headers = {wire_xively.KEY_HEADER: key}
        self._transport = transport
        self._wall_ms = wall_ms
        at = parse_url(url, url)
        self._where = f"{at.host}:{at.port}"
        self.abort = transport.abort
        self.close = transport.close

    def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
        """What came of the one in ``records``."""
        meanwhile()
        (record,) = records
        try:
            if isinstance(record, Heartbeat):
                answer = self._transport.get(self._url, self._headers)
            else:
                content = wire_xively.format_feed(record)
                answer = self._transport.put(self._url, wire_xively.CONTENT_TYPE, content, self._headers)
        except TransportError as error:
            return [judge_silence(error, self._where)]
        return [wire_xively.judge(answer, self._url, self._wall_ms())]


def address(settings: XivelySettings) -> str:
    """The feed."""
    return f"{settings.api_url}/feeds/{settings.feed_id}"


def connect(settings: XivelySettings, wall_ms: Callable[[], int]) -> OpenSink:
    """Opens connections to the configured feed. Raises `ConfigError` at once."""
    url = address(settings)
    key = read_secret(settings.api_key_file, "apiKeyFile", "key")
    if not key.isascii():
        raise ConfigError(f"{settings.api_key_file}: apiKeyFile: holds no key: a letter in it is not ASCII")
    context: ssl.SSLContext | None = client_context(settings.ca_bundle) if url.startswith("https:") else None

    def open_sink() -> Xively:
        return Xively(url, key, Transport(context, DEADLINE_S, wall_ms, "apiUrl"), wall_ms)

    return open_sink
