"""A connection that breaks is no answer, and no server costs more than its bounds: memory, descriptors, threads."""

import gzip
import socket
import tracemalloc

import pytest

from kegnet_client.core.errors import TransportError, UntrustedServerError
from kegnet_client.net.client import MAX_BODY_BYTES, Transport

from ..support.authority import Authority
from ..support.descriptors import open_descriptors
from ..support.sockets import Behaviour, Connection, Serve, Server
from ..support.threads import threads_named
from ..support.waits import WAIT_S, wait_until
from .exchange import DEADLINE_S, FORM, NOW_MS, Connect, expired, post

# What breaks


def reset(connection: Connection) -> None:
    connection.request()
    connection.reset()


def hang_up(connection: Connection) -> None:
    connection.request()


def hang_up_in_the_body(connection: Connection) -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


def talk_nonsense(connection: Connection) -> None:
    connection.request()
    connection.stream.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def send_endless_headers(connection: Connection) -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-More: of the same\r\n" * 100_000)


def send_chunks_of_less_than_nothing(size: bytes) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.request()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.stream.sendall(head + size + b"\r\n" + bytes(100_000))

    return behave


def send_trailers_without_end(connection: Connection) -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    while True:
        connection.stream.sendall(b"X-More: of the same\r\n" * 1000)


def speak_another_protocol(connection: Connection) -> None:
    connection.request()
    connection.answer("Upgrade: websocket", status="101 Switching Protocols")
    connection.answer()


@pytest.mark.parametrize(
    ("behave", "what"),
    [
        (reset, "the connection broke|no connection"),
        (hang_up, r"the connection broke \(the server closed it without an answer\)"),
        (hang_up_in_the_body, "the connection broke"),
        (talk_nonsense, "the connection broke"),
        (send_endless_headers, "the connection broke"),
        (send_chunks_of_less_than_nothing(b"-5"), "the connection broke"),
        (send_chunks_of_less_than_nothing(b"-1"), "the connection broke"),
        (send_trailers_without_end, "the connection broke"),
        (speak_another_protocol, "the connection broke"),
    ],
)
def test_a_connection_that_breaks_after_the_request_was_read_is_no_answer(
    serve: Serve, connect: Connect, behave: Behaviour, what: str
) -> None:
    server = serve(behave)
    with pytest.raises(TransportError, match=what) as caught:
        post(connect(), server)
    assert not isinstance(caught.value, UntrustedServerError)
    assert len(server.received) == 1, "no retry here, that is for the one who knows"


def test_a_fault_of_our_own_is_not_taken_for_a_server_that_gives_no_answer(serve: Serve, connect: Connect) -> None:
    server, transport = serve(), connect()
    with pytest.raises(ValueError, match="Invalid header value"):
        transport.post(server.url, "text/plain\r\n", b"id=1")
    assert post(transport, server).status == 200


def test_without_a_bundle_there_is_no_tls_at_all(serve: Serve) -> None:
    server = serve()
    transport = Transport(None, DEADLINE_S, lambda: NOW_MS)
    with pytest.raises(TransportError):
        post(transport, server)
    transport.close()
    assert server.received == []


def test_a_port_where_nobody_listens_is_told(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError, match=r"no connection \(Connection refused\)"):
        connect().post(f"https://127.0.0.1:{port}/", FORM, b"")


def test_a_name_that_does_not_exist_is_told(connect: Connect) -> None:
    with pytest.raises(TransportError, match="the server's name is not found"):
        connect().post("https://kegnet.invalid/rest/v2/pour", FORM, b"")


@pytest.mark.parametrize("host", [".kegnet", "*.kegnet", "a..b", "a" * 64 + ".example"])
def test_a_name_that_cannot_exist_is_told_too(connect: Connect, host: str) -> None:
    with pytest.raises(TransportError):
        connect().post(f"https://{host}/rest/v2/pour", FORM, b"")


# What costs too much


@pytest.mark.parametrize("head", [b"Connection: close", b"Content-Length: 1000000000000"], ids=["open", "long"])
def test_an_endless_body_is_read_up_to_a_bound_and_the_connection_closed(
    serve: Serve, connect: Connect, head: bytes
) -> None:
    sent = 0

    def behave(connection: Connection) -> None:
        nonlocal sent
        connection.request()
        connection.stream.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        while True:
            connection.stream.sendall(bytes(16384))
            sent += 16384

    server, transport = serve(behave), connect()
    tracemalloc.start()
    try:
        answer = post(transport, server)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status, len(answer.body)) == (200, MAX_BODY_BYTES)
    assert peak < 2_000_000
    assert server.left.wait(WAIT_S), "the server writes for ever"
    assert sent < 50_000_000


def test_a_gzip_bomb_is_not_inflated(serve: Serve, connect: Connect) -> None:
    bomb = gzip.compress(bytes(30_000_000))
    assert len(bomb) < MAX_BODY_BYTES

    def behave(connection: Connection) -> None:
        connection.request()
        connection.answer("Content-Encoding: gzip", body=bomb)

    server, transport = serve(behave), connect()
    tracemalloc.start()
    try:
        answer = post(transport, server)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.body == bomb
    assert peak < 2_000_000


def test_hundreds_of_failures_leave_nothing_behind(
    serve: Serve, connect: Connect, authority: Authority, other_authority: Authority
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = listener.getsockname()[1]
    behaviours: list[Behaviour] = [reset, hang_up, hang_up_in_the_body, talk_nonsense, say_nothing_until_it_leaves]
    servers = [*map(serve, behaviours), serve(chain=other_authority.issue()), serve(chain=expired(authority))]
    urls = [server.url for server in servers] + [f"https://localhost:{refused}/", "https://kegnet.invalid/"]
    patient, hasty = connect(), connect(0.05)

    def fail(times: int) -> tuple[int, int]:
        for number in range(times):
            url = urls[number % len(urls)]
            transport = hasty if url == servers[4].url else patient
            with pytest.raises(TransportError):
                transport.post(url, FORM, b"id=1")
        for server in servers:
            server.settle()
        return len(open_descriptors()), len(threads_named("deadline"))

    descriptors, threads = fail(2 * len(urls))
    more_descriptors, more_threads = fail(300)
    assert more_descriptors <= descriptors
    assert more_threads <= threads


def say_nothing_until_it_leaves(connection: Connection) -> None:
    connection.request()
    connection.request()


def test_closing_ends_the_connection_and_the_thread(serve: Serve, connect: Connect) -> None:
    server = serve()
    transport = connect()
    post(transport, server)
    assert len(threads_named("deadline")) == 1
    transport.close()
    assert server.left.wait(WAIT_S)
    server.settle()
    wait_until(lambda: not threads_named("deadline"), "its thread did not end")


def test_a_connection_in_doubt_ends_by_a_reset() -> None:
    ends: list[str] = []

    def say_nothing(connection: Connection) -> None:
        connection.request()
        try:
            connection.stream.recv(1024)
            ends.append("end")
        except ConnectionResetError:
            ends.append("reset")

    server = Server(None, say_nothing, shake_hands=False)
    for resets in (False, True):
        transport = Transport(None, 1.0, lambda: NOW_MS, resets=resets)
        with pytest.raises(TransportError, match=r"no (whole )?answer"):  # two timers are due at once
            transport.post(server.url, "text/plain", b"x")
        transport.close()
        server.settle()
    server.close()
    assert ends == ["end", "reset"]
