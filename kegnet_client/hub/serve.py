"""The hub on the network: uvicorn with TLS, stopped by a signal within two seconds.

The server certificate is renewed here, at the start and then whenever it is due, and goes into the running
TLS context: connections that stand keep theirs, new ones get the new one.

No forwarded header counts unless ``proxy`` names who may set it. The number of connections is bounded, and
one that has not begun a request in `FIRST_REQUEST_S`, or has sent a part of another for as long, is closed, so that
silent and slow ones cannot use them up.
What has not finished its TLS handshake is not counted; asyncio ends it after a minute.
"""

import asyncio
import datetime
import ipaddress
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.hub.home import Home

MAX_CONNECTIONS = 500
KEEP_ALIVE_S = 90
FIRST_REQUEST_S = 30.0
RENEWAL_CHECK_S = 60.0
GOODBYE_S = 0.2

_log = logging.getLogger(__name__)

Clock = Callable[[], datetime.datetime]


def utc_now() -> datetime.datetime:
    """The time, with its zone."""
    return datetime.datetime.now(datetime.UTC)


class HubServer(uvicorn.Server):
    """A uvicorn server for ``app`` on the listening socket ``listener``, with the certificate in ``home``.

    ``on_ready`` is called when it answers, ``on_stop`` when it is about to stop. `run` returns after a signal or
    after ``should_exit`` was set.
    """

    def __init__(
        self,
        app: FastAPI,
        home: Home,
        listener: socket.socket,
        *,
        proxy: str | None = None,
        on_ready: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
        clock: Clock = utc_now,
        renewal_check_s: float = RENEWAL_CHECK_S,
    ) -> None:
        self._home = home
        self._listener = listener
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._clock = clock
        self._renewal_check_s = renewal_check_s
        self._renewal: asyncio.Task[None] | None = None
        self._renewal_fails = False
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load_certificate()
        self._renew()
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=proxy is not None,
                forwarded_allow_ips=[] if proxy is None else _trusted(proxy),
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
            )
        )
        self.config.load()
        self.config.ssl = self._context

    def serve_until_stopped(self) -> None:
        """Serve; SIGTERM and SIGINT end it cleanly when this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            # uvicorn raises a signal that stopped it once more when it is done, for the handler that was there.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _already_stopped)
        self.run(sockets=[self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and to look after the certificate."""
        await super().startup(sockets)
        self._renewal = asyncio.create_task(self._renew_when_due())
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way, for a second at most."""
        if self._renewal is not None:
            self._renewal.cancel()
        self._on_stop()
        dropping = asyncio.create_task(self._drop_idle())
        await super().shutdown(sockets)
        await dropping
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    async def _drop_idle(self) -> None:
        # A TLS connection is closed when the other end agrees, and an idle client does not listen.
        await asyncio.sleep(GOODBYE_S)
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Protocol) and connection.is_idle:
                connection.transport.abort()

    async def _renew_when_due(self) -> None:
        while True:
            await asyncio.sleep(self._renewal_check_s)
            self._renew()

    def _renew(self) -> None:
        """Renew the certificate if it is due, and use it; what is in the way now may not be the next time."""
        try:
            is_new = self._home.renew_certificate(self._clock())
            if is_new or self._renewal_fails:
                self._load_certificate()
        except (ConfigError, OSError) as error:
            if not self._renewal_fails:
                _log.warning("the server certificate cannot be renewed, the old one serves on: %s", error)
            self._renewal_fails = True
            return
        if is_new or self._renewal_fails:
            _log.info("the server certificate is %s", "renewed" if is_new else "in order again")
        self._renewal_fails = False

    def _load_certificate(self) -> None:
        certificate, key = self._home.server_pair()
        try:
            self._context.load_cert_chain(certificate, key)
        except OSError as error:
            raise ConfigError(
                f"{certificate} and {key} cannot be used together ({error}): put back the pair that "
                "`kegnet-client hub init` made"
            ) from None


def listen(bind: str | None, port: int) -> socket.socket:
    """A listening socket at ``bind``, or at every address of this machine; port 0 takes a free one."""
    where = f"{bind or 'every address'}, port {port}"
    remedy = "choose another with --bind and --port"
    if not 0 <= port <= 65535:
        raise ConfigError(f"cannot listen at {where} (ports go up to 65535): {remedy}")
    dual = bind is None and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in (bind or "") else socket.AF_INET
    try:
        listener = socket.create_server((bind or "", port), family=family, dualstack_ipv6=dual, backlog=128)
    except OSError as error:
        raise ConfigError(f"cannot listen at {where} ({error.strerror or error}): {remedy}") from None
    # asyncio does it only for sockets made with an explicit protocol; without it an answer takes 40 ms longer.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _trusted(proxy: str) -> list[str]:
    # uvicorn takes anything, and believes nobody where it is no address.
    try:
        network = ipaddress.ip_network(proxy)
    except ValueError:
        raise UsageError(f"--proxy {proxy!r}: write an IP address, or a network such as 192.168.1.0/24") from None
    if network.version == 6:
        return [str(network)]
    # How IPv4 arrives at a socket for both families.
    return [str(network), f"::ffff:{network.network_address}/{96 + network.prefixlen}"]


class _Protocol(H11Protocol):
    """uvicorn's, but for connections that never get as far as a request, or as another one."""

    _too_slow: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.loop.call_later(FIRST_REQUEST_S, self._close_without_request)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.is_idle:
            self._stop_waiting()
        elif self._too_slow is None:  # uvicorn waits for the rest for ever
            self._too_slow = self.loop.call_later(FIRST_REQUEST_S, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._too_slow is not None:
            self._too_slow.cancel()
            self._too_slow = None

    def _close_if_idle(self) -> None:
        if self.is_idle:
            self.transport.close()

    def _close_without_request(self) -> None:
        if self.scope is None:
            self.transport.close()


def _already_stopped(_number: int, _frame: FrameType | None) -> None:
    pass
