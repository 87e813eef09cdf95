"""An answer that nobody asked for: it is not that to the next request, and the connection is not used again."""

import pytest

from ..support.sockets import Connection, Serve
from .exchange import Connect, post

READ_AHEAD_BYTES = 8192
"""What http.client reads at once: an answer of just this size leaves the one behind it in TLS, where nothing shows."""


def answer_of(size: int) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    body = size - len(head % 8000)
    answer = head % body + b"a" * body
    assert len(answer) == size
    return answer


LEFT_OVER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nleft"


@pytest.mark.parametrize("plain", [False, True], ids=["tls", "plain"])
@pytest.mark.parametrize("size", [2000, READ_AHEAD_BYTES - 20, READ_AHEAD_BYTES, READ_AHEAD_BYTES + 1000])
def test_an_answer_behind_the_answer_is_not_that_to_the_next_request(
    serve: Serve, connect: Connect, size: int, plain: bool
) -> None:
    def behave(connection: Connection) -> None:
        connection.request()
        if connection.server.connections == 1:
            connection.stream.sendall(answer_of(size) + LEFT_OVER)
        else:
            connection.answer(body=b"mine")
        connection.request()

    server = serve(behave, plain=plain)
    transport = connect(plain=plain)
    assert len(post(transport, server).body) > 1000
    assert post(transport, server).body == b"mine"
    assert server.connections == 2
    assert len([request for request in server.received if request]) == 2


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_the_body_of_an_answer_that_has_none_is_not_the_next_answer(
    serve: Serve, connect: Connect, status: str
) -> None:
    def behave(connection: Connection) -> None:
        while connection.request():
            connection.answer(status=status, body=LEFT_OVER)

    server, transport = serve(behave), connect()
    for number in range(1, 4):
        answer = post(transport, server)
        assert (answer.status, answer.body, server.connections) == (int(status[:3]), b"", number)
