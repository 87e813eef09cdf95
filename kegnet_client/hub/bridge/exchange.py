"""One question to a controller: a connection, a word, a bounded answer in a bounded time."""

import socket
import time

from kegnet_client.core.errors import ControllerError
from kegnet_client.core.wire import brewpi

MAX_REPLY_BYTES = 64 * 1024
DEADLINE_S = 5.0


def ask(controller: brewpi.Controller, word: bytes, deadline_s: float = DEADLINE_S) -> bytes:
    """What ``controller`` answers to ``word``. Raises `ControllerError`.

    Limit: the deadline does not shorten a name lookup that hangs.
    """
    until_s = time.monotonic() + deadline_s
    try:
        with _connect(controller, deadline_s) as connection:
            _wait_until(connection, until_s)
            connection.sendall(word)
            return _read(connection, until_s)
    except TimeoutError:
        raise ControllerError("no whole answer within {seconds:g} s", seconds=deadline_s) from None
    except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError, so is a name that IDNA refuses
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "that is no address"
        raise ControllerError("no connection to {where} ({reason})", where=_where(controller), reason=reason) from None


def _connect(controller: brewpi.Controller, deadline_s: float) -> socket.socket:
    if not controller.socket:
        if not (controller.address and controller.port):
            raise ControllerError("its entry at the hub has neither a socket nor an address with a port")
        return socket.create_connection((controller.address, brewpi.parse_port(controller.port)), deadline_s)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(deadline_s)
        connection.connect(controller.socket)
    except BaseException:
        connection.close()
        raise
    return connection


def _read(connection: socket.socket, until_s: float) -> bytes:
    reply = b""
    while True:
        _wait_until(connection, until_s)
        try:
            more = connection.recv(MAX_REPLY_BYTES)
        except ConnectionResetError:
            raise ControllerError("it cut the connection") from None
        reply += more
        if len(reply) > MAX_REPLY_BYTES:
            raise ControllerError("its answer is longer than {most} bytes", most=MAX_REPLY_BYTES)
        if not more or brewpi.is_whole(reply):
            return reply


def _wait_until(connection: socket.socket, until_s: float) -> None:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    connection.settimeout(left_s)


def _where(controller: brewpi.Controller) -> str:
    return brewpi.clean(controller.socket or f"{controller.address} port {controller.port}")
