"""The Kegbot server of the tests on real sockets, on `..support.sockets`."""

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

from kegnet_client.core.wire.answer import Answer

from ..support.clock import FakeClock
from ..support.kegboard_receiver import KegboardReceiver
from ..support.kegbot import KegbotModel
from ..support.sockets import Connection, Server

_LOCK = threading.Lock()
_WRONG_EVENT = Answer(400, {}, b'{"error": "invalid", "detail": "no such pin"}')
_WRONG = Answer(
    400, {}, b'{"error": {"code": "BadRequestError", "message": "no such pin"}, "meta": {"result": "error"}}'
)


def serve(
    connection: Connection,
    model: KegbotModel | KegboardReceiver,
    reject: int | None = None,
    loses: Callable[[], bool] = lambda: False,
) -> None:
    """Answer as ``model`` does, but call the post of the record number ``reject`` wrong, and lose what ``loses`` says
    of the answers to a post."""
    recorded = 0
    while request := connection.request():
        head, _, body = request.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        method, path, _ = line.split(" ")
        recorded += method == "POST"
        if method == "POST" and recorded == reject:
            answer = _WRONG if isinstance(model, KegbotModel) else _WRONG_EVENT
        else:
            with _LOCK:
                answer = model.handle(method, path, dict(one.split(": ", 1) for one in lines), body)
        if method == "POST" and loses():
            connection.reset()
            return
        connection.answer("Content-Type: application/json", status=f"{answer.status} Status", body=answer.body)


class KegbotServer:
    """The model of the server, at an address; it resets every connection while it is away."""

    def __init__(self, chain: Path, model: KegbotModel | KegboardReceiver) -> None:
        self.model = model
        self.is_away = False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self._server = Server(context, self._behave, shake_hands=False)
        self.url = f"https://localhost:{self._server.port}/api"

    def close(self) -> None:
        self._server.close()

    def _behave(self, connection: Connection) -> None:
        if self.is_away:
            connection.reset()
        else:
            connection.shake_hands()
            serve(connection, self.model)


def accept(connection: Connection) -> None:
    """Take everything."""
    serve(connection, KegbotModel(FakeClock(), Random(1)))  # noqa: S311 (no secret)


def reject_second(connection: Connection) -> None:
    """Call the second record wrong."""
    serve(connection, KegbotModel(FakeClock(), Random(1)), reject=2)  # noqa: S311 (no secret)


def accept_events(connection: Connection) -> None:
    """Take everything, as a server of 2.0."""
    serve(connection, _make_receiver())


def reject_second_event(connection: Connection) -> None:
    """Call the second record wrong, as a server of 2.0; the first one is told twice, because of its pairing."""
    serve(connection, _make_receiver(), reject=3)


def _make_receiver() -> KegboardReceiver:
    receiver = KegboardReceiver(FakeClock())
    receiver.pairing = "allowed"
    receiver.taps = {"kegnet-0a1b2c3d.flow0": True, "kegnet-0a1b2c3d.flow1": True}
    return receiver
