"""Takes connections from the listening socket, bounded before TLS, and hands them to the protocol above.

asyncio's own way counts nothing before the handshake is done, gives it a minute, and logs a traceback for every turn
of the event loop when descriptors run out. Here a connection is counted from its acceptance until its socket is closed
(`kegnet_client.hub.connections`), and descriptors are kept for what else the hub opens. Nothing is made for TLS, which
takes 300 kB, before the other end has sent something.
"""

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from kegnet_client.hub.connections import HANDSHAKE_S, Connection, Connections, Limits
from kegnet_client.hub.log_rate import NOT_ACCEPTED, PUSHED_OUT, LogRate
from kegnet_client.hub.proxy import Proxy

RESERVED_DESCRIPTORS = 128
"""For the database, the pages' files and the log."""
SWEEP_S = 1.0
ACCEPT_PAUSE_S = 1.0
_ACCEPTS_A_TURN = 32
_PROOF = "kegnet.proof"
_CUT = "kegnet.cut"

_log = logging.getLogger(__name__)


def limits_of_this_process() -> Limits:
    """What its descriptors allow, after the soft limit was raised to what is needed, if that may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = Limits().total + RESERVED_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    return Limits.for_descriptors(wanted if soft == resource.RLIM_INFINITY else soft - RESERVED_DESCRIPTORS)


class Listener:
    """The connections that come to ``listening``, secured with ``context``, each for a new protocol."""

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext,
        make_protocol: Callable[[], asyncio.Protocol],
        limits: Limits,
        proxy: Proxy,
        rate: LogRate,
    ) -> None:
        self.connections = Connections(limits, proxy.__contains__, self._log_pushed_out)
        self._listening = listening
        self._context = context
        self._make_protocol = make_protocol
        self._rate = rate
        self._handshakes: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[None] | None = None
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Take connections from now on."""
        self._loop = asyncio.get_running_loop()
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._accept)
        self._sweeping = self._loop.create_task(self._sweep())

    def stop(self) -> None:
        """Take no more connections; those that stand go on."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _accept(self) -> None:
        # A few at a time, so that a flood of connections leaves the event loop turns for the others.
        for _ in range(_ACCEPTS_A_TURN):
            try:
                plain, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._rest(error)
                return
            self._begin(plain)

    def _begin(self, plain: socket.socket) -> None:
        accepted = _Accepted(fileno=plain.detach())
        try:
            accepted.setblocking(False)
            peer, local = accepted.getpeername()[:2], accepted.getsockname()[:2]
        except OSError:  # it is gone already
            accepted.close()
            return
        connection = Connection(peer, local, lambda: self._drop(accepted))
        if not self.connections.admit(connection, self._loop.time()):
            accepted.close()
            return
        accepted.on_close = lambda: self.connections.forget(connection)
        self._loop.add_reader(accepted, self._secure_if_alive, accepted, connection)

    def _drop(self, silent: "_Accepted") -> None:
        self._loop.remove_reader(silent)
        silent.close()

    def _secure_if_alive(self, accepted: "_Accepted", connection: Connection) -> None:
        self._loop.remove_reader(accepted)
        try:
            is_alive = accepted.recv(1, socket.MSG_PEEK) != b""
        except OSError:
            is_alive = False
        if not is_alive:
            accepted.close()
            return
        connection.end = connection.close = accepted.cut
        task = self._loop.create_task(self._secure(accepted, connection))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _secure(self, accepted: "_Accepted", connection: Connection) -> None:
        try:
            transport, _protocol = await self._loop.connect_accepted_socket(
                self._make_protocol, accepted, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError as error:  # no TLS, too slow, cut: nobody is there to be told
            # Its frames hold what was made for TLS, in a circle that is freed late.
            error.with_traceback(None)
            accepted.close()
        except BaseException:
            accepted.close()
            raise
        else:
            self.connections.establish(connection, transport.close, transport.abort, self._loop.time())

    def _rest(self, error: OSError) -> None:
        """No connection can be taken; try again when something that it needs may be there."""
        if self._rate.allows(NOT_ACCEPTED):
            _log.warning("no connection can be taken now (%s); those that stand are served", error.strerror or error)
        self.connections.push_out_stranger()
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(ACCEPT_PAUSE_S, self._loop.add_reader, self._listening, self._accept)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.connections.end_overdue(self._loop.time())
            self._rate.sum_up_when_due()

    def _log_pushed_out(self, connection: Connection) -> None:
        if self._rate.allows(PUSHED_OUT):
            kind = "that were not used for long" if connection.is_proven else "without a signature or token"
            _log.warning("%s has many connections %s: some are ended to make room", connection.address, kind)


class _Accepted(socket.socket):
    """An accepted socket that tells of its end, whoever closes it and whenever."""

    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        super().close()
        if self.on_close is not None:
            self.on_close()
            self.on_close = None

    def cut(self) -> None:
        """End the connection, whoever waits for it; the socket is closed by who has it."""
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)


class ConnectionMiddleware:
    """ASGI middleware that tells ``connections`` of each request, and lets what is inside prove who it is from."""

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        self._app = app
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = self._connections.find(scope.get("client"), scope.get("server"))
        if connection is None:
            await self._app(scope, receive, send)
            return
        extensions = scope.setdefault("extensions", {})
        extensions[_PROOF] = lambda: self._connections.prove(connection)
        extensions[_CUT] = lambda: connection.end()  # not bound here: TLS gives it another
        loop = asyncio.get_running_loop()
        self._connections.begin_request(connection, loop.time())
        try:
            await self._app(scope, receive, send)
        finally:
            self._connections.end_request(connection, loop.time())


def prove(scope: Scope) -> None:
    """A signature or a token in the request of ``scope`` holds: its connection is a known one's from now on."""
    proof = scope.get("extensions", {}).get(_PROOF)
    if proof is not None:
        proof()


def cut(scope: Scope) -> None:
    """End the connection of ``scope`` at once: its other end takes nothing any more."""
    end = scope.get("extensions", {}).get(_CUT)
    if end is not None:
        end()
