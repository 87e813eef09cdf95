"""Websockets: uvicorn's, with a bound for everything that one takes.

A message has at most `MAX_MESSAGE_BYTES`, in however many frames. One is read when the one before it was taken, so
that none wait here. Who reads nothing is sent no more either: whoever sends waits, no ping is answered, and when none
of our own is answered for `PING_TIMEOUT_S`, the connection is ended. Nothing is compressed: it costs each connection
more memory than all else of it.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

MAX_MESSAGE_BYTES = 64 * 1024
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 20.0


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, without the answers to pings that pile up, and without a goodbye to who answers no ping."""

    def keepalive_timeout(self) -> None:
        """End it: a goodbye would be waited for, too."""
        super().keepalive_timeout()
        self.transport.abort()

    def shutdown(self) -> None:
        """Say goodbye, unless one of the two ends has done so already."""
        try:
            super().shutdown()
        except InvalidState:
            self.transport.abort()

    def handle_ping(self) -> None:
        """Answer it, unless the answers before it are still to be read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()
