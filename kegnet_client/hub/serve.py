"""The hub on the network: uvicorn with TLS, stopped by a signal within two seconds.

The server certificate is renewed here, at the start and then whenever it is due, and goes into the running
TLS context: connections that stand keep theirs, new ones get the new one. So does one that `hub certificate` issued.

No forwarded header counts unless ``proxy`` names who may set it. Connections are counted and bounded before TLS
(`kegnet_client.hub.listener`), and what strangers make uvicorn and asyncio write has a rate
(`kegnet_client.hub.log_rate`).
"""

import asyncio
import datetime
import errno
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol

from kegnet_client.core.errors import ConfigError, KegnetError
from kegnet_client.hub.connections import KEEP_ALIVE_S
from kegnet_client.hub.home import Home
from kegnet_client.hub.listener import ConnectionMiddleware, Listener, limits_of_this_process
from kegnet_client.hub.log_rate import LogRate
from kegnet_client.hub.proxy import PrefixMiddleware, Proxy
from kegnet_client.hub.websocket import MAX_MESSAGE_BYTES, PING_INTERVAL_S, PING_TIMEOUT_S, WebSocketProtocol

RENEWAL_CHECK_S = 5.0
GOODBYE_S = 0.2
_BACKLOG = 1024
# Linux's, from linux/in.h and linux/in6.h.
_IP_FREEBIND = 15
_IPV6_FREEBIND = 78

_log = logging.getLogger(__name__)

Clock = Callable[[], datetime.datetime]


class AddressError(KegnetError):
    """The hub cannot listen where it shall, now: wait until it can, or name another address."""

    exit_code = 75


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
        rate: LogRate | None = None,
        on_ready: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
        clock: Clock = utc_now,
        renewal_check_s: float = RENEWAL_CHECK_S,
    ) -> None:
        self._app = app
        self._home = home
        self._rate = rate or LogRate()
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
        trusted = Proxy(proxy)
        self._listener = Listener(
            listener, self._context, self._make_protocol, limits_of_this_process(), trusted, self._rate
        )
        # The innermost first: who is connected counts by the connection itself, not by what a proxy says.
        asgi: Any = app  # uvicorn and Starlette spell the types of ASGI differently
        asgi = ProxyHeadersMiddleware(asgi, trusted.trusted_hosts())
        asgi = ConnectionMiddleware(PrefixMiddleware(asgi, trusted), self._listener.connections)
        super().__init__(
            uvicorn.Config(
                asgi,
                loop="asyncio",
                http="h11",
                ws=WebSocketProtocol,
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_ping_interval=PING_INTERVAL_S,
                ws_ping_timeout=PING_TIMEOUT_S,
                ws_per_message_deflate=False,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=round(KEEP_ALIVE_S),
                timeout_graceful_shutdown=1,
            )
        )
        self.config.load()

    def serve_until_stopped(self) -> None:
        """Serve; SIGTERM and SIGINT end it cleanly when this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            # uvicorn raises a signal that stopped it once more when it is done, for the handler that was there.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _already_stopped)
        self.run(sockets=[])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and to look after the certificate."""
        await super().startup(sockets)
        self._rate.attach()
        self._listener.start()
        self._renewal = asyncio.create_task(self._renew_when_due())
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way, for a second at most."""
        if self._renewal is not None:
            self._renewal.cancel()
        self._listener.stop()
        self._on_stop()
        bus = getattr(self._app.state, "bus", None)
        if bus is not None:
            bus.end()  # streams last for as long as it gives them something
        dropping = asyncio.create_task(self._drop_idle())
        await super().shutdown(sockets)
        await dropping
        self._listener.connections.end_all()
        self._rate.sum_up()
        self._rate.detach()

    async def _drop_idle(self) -> None:
        # A TLS connection is closed when the other end agrees, and an idle client does not listen.
        await asyncio.sleep(GOODBYE_S)
        self._listener.connections.end_idle()

    def _make_protocol(self) -> asyncio.Protocol:
        return _Protocol(self.config, self.server_state, {})

    async def _renew_when_due(self) -> None:
        while True:
            await asyncio.sleep(self._renewal_check_s)
            self._renew()

    def _renew(self) -> None:
        """Renew the certificate if it is due, and use another one; what is in the way now may not be the next time."""
        try:
            is_new = self._home.renew_certificate(self._clock())
            is_other = self._home.server_certificate.read_bytes() != self._loaded
            if is_other or self._renewal_fails:
                self._load_certificate()
        except (ConfigError, OSError) as error:
            if not self._renewal_fails:
                _log.warning("the server certificate cannot be renewed, the old one serves on: %s", error)
            self._renewal_fails = True
            return
        if is_new or self._renewal_fails:
            _log.info("the server certificate is %s", "renewed" if is_new else "in order again")
        elif is_other:
            _log.info("the server certificate was issued anew, for %s", ", ".join(self._home.hosts()))
        self._renewal_fails = False

    def _load_certificate(self) -> None:
        certificate, key = self._home.server_pair()
        # Read first: if another one takes its place in between, the next look finds that it is another.
        self._loaded = certificate.read_bytes()
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
        addresses = socket.getaddrinfo(bind or None, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise AddressError(f"cannot listen at {where} ({error.strerror}): {remedy}") from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
        _bind(listener, addresses[0][4])
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen at {where} ({error.strerror or error}): {remedy}") from None
    return listener


def _bind(listener: socket.socket, address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> None:
    """Bind to ``address``, whether this machine has it already or not."""
    try:
        listener.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        # At boot the hub may be faster than DHCP. Bound like this, it answers as soon as the address is there.
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        listener.bind(address)
        _log.warning("this machine has no address %s yet: the hub answers there as soon as it has", address[0])


class _Protocol(H11Protocol):
    """uvicorn's, without the timer that it leaves behind where a connection was reset.

    Until it goes off after `KEEP_ALIVE_S`, it holds the connection's 300 kB for TLS, which a stranger can have often.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, _ClosedOnce(transport)))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None


class _ClosedOnce:
    """A transport that is closed once: asyncio's for TLS cannot be aborted any more after it was closed twice.

    Whoever does not answer a goodbye would keep their connection for half a minute, whatever is to end it.
    """

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def close(self) -> None:
        if not self._transport.is_closing():
            self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _already_stopped(_number: int, _frame: FrameType | None) -> None:
    pass
