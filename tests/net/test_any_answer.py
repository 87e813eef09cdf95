"""Whatever a server says is an answer or none: nothing that it can send ends the program, or stays behind."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kegnet_client.core.errors import TransportError
from kegnet_client.net.client import MAX_BODY_BYTES, Transport

from ..support.sockets import Connection, Serve
from ..support.waits import WAIT_S
from .exchange import NOW_MS, post

PARTS = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n", b"HTTP/1.1 103 Early Hints\r\n", b"HTTP/1.0 204 No\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n", b"HTTP/2 200\r\n", b"HTTP/1.1 099 Low\r\n", b"HTTP/1.1 -1 None\r\n",
    b"Content-Length: 3\r\n", b"Content-Length: -3\r\n", b"Content-Length: \xb2\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"X: \xff\x00\r\n", b" folded\r\n", b": none\r\n",
    b"\r\n", b"\n", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n", b"-1\r\n", b"-5\r\n", b"+3\r\n", b"0x3\r\n", b"1_0\r\n",
    b"zz\r\n", b"\x00", b"\xff" * 70_000,
]  # fmt: skip
BEGINNINGS = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
ANSWERS = st.lists(st.sampled_from(PARTS) | st.binary(max_size=20), max_size=12).map(b"".join)


def test_whatever_a_server_says_is_an_answer_or_none(serve: Serve) -> None:
    said = b""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.stream.sendall(said)

    server, transport = serve(behave, plain=True), Transport(None, WAIT_S, lambda: NOW_MS)

    @settings(max_examples=4 * settings().max_examples)
    @given(
        st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]),
        ANSWERS,
    )
    def ask(head: bytes, rest: bytes) -> None:
        nonlocal said
        said = head + rest
        try:
            answer = post(transport, server)
        except TransportError:
            return
        assert str(answer.status).encode() in said
        assert len(answer.body) <= MAX_BODY_BYTES

    ask()
    transport.close()
