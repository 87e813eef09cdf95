"""What a server says before its answer: it is not the answer, and the answer is not that to the next request."""

import time

import pytest

from kegnet_client.core.errors import TransportError

from ..support.sockets import Connection, Serve
from .exchange import Connect

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("interim", ["100 Continue", "102 Processing", "103 Early Hints"])
@pytest.mark.parametrize("pause_s", [0.0, 0.1], ids=["at once", "later"])
def test_each_request_gets_its_own_answer_after_what_is_said_before_it(
    serve: Serve, connect: Connect, interim: str, pause_s: float
) -> None:
    def behave(connection: Connection) -> None:
        while request := connection.request():
            head = f"HTTP/1.1 {interim}\r\nLink: </style.css>\r\n\r\n".encode()
            connection.stream.sendall(head * 2)
            time.sleep(pause_s)
            connection.answer(body=request.rpartition(b"\r\n")[2])

    server, transport = serve(behave), connect()
    for body in (b"id=1", b"id=2", b"id=3"):
        answer = transport.post(server.url, FORM, body)
        assert (answer.status, answer.body) == (200, body)
    assert server.connections == 1


def test_a_server_that_never_comes_to_its_answer_is_left_at_the_deadline(serve: Serve, connect: Connect) -> None:
    def behave(connection: Connection) -> None:
        connection.request()
        while not connection.server.closing.is_set():
            connection.stream.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
            time.sleep(0.01)

    with pytest.raises(TransportError, match=r"no whole answer within 0\.5 s"):
        connect(0.5).post(serve(behave).url, FORM, b"id=1")
