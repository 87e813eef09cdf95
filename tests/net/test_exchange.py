"""What is sent arrives exactly, the answer comes back as it is, and nothing in the environment has an effect."""

import contextlib
import itertools
import ssl
from pathlib import Path

import pytest

from kegnet_client import __version__
from kegnet_client.core.errors import TransportError
from kegnet_client.net.client import Transport

from ..support.authority import Authority
from ..support.sockets import Connection, Serve
from ..support.waits import WAIT_S
from .exchange import FORM, NOW_MS, Connect, header, post


def test_the_body_and_the_headers_arrive_exactly(serve: Serve, connect: Connect) -> None:
    server = serve()
    body = bytes(range(256)) * 40
    post(connect(), server, body)
    head, _, received = server.received[0].partition(b"\r\n\r\n")
    assert received == body
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /rest/v2/pour HTTP/1.1"
    assert sorted(lines[1:]) == [
        "Accept-Encoding: identity",
        f"Content-Length: {len(body)}",
        f"Content-Type: {FORM}",
        f"Host: localhost:{server.port}",
        f"User-Agent: kegnet-client/{__version__}",
    ]


@pytest.mark.parametrize("extra", [(), ("Connection: close",)], ids=["kept", "closed"])
def test_the_answer_comes_back_with_its_status_headers_and_body(
    serve: Serve, connect: Connect, extra: tuple[str, ...]
) -> None:
    def behave(connection: Connection) -> None:
        connection.request()
        connection.answer("Retry-After: 120", *extra, status="503 Busy", body=b"later\0\xff")

    answer = post(connect(), serve(behave))
    assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "120", b"later\0\xff")


def test_plain_http_works_for_a_server_on_this_machine(serve: Serve) -> None:
    transport = Transport(None, WAIT_S, lambda: NOW_MS)
    try:
        assert post(transport, serve(plain=True)).status == 200
    finally:
        transport.close()


def test_a_cookie_is_not_sent_back(serve: Serve, connect: Connect) -> None:
    def behave(connection: Connection) -> None:
        while connection.request():
            connection.answer("Set-Cookie: who=you; Path=/")

    server, transport = serve(behave), connect()
    post(transport, server)
    post(transport, server)
    assert header(server.received[1], "Cookie") == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Elsewhere", "308 For Ever"])
def test_a_redirect_is_an_answer_and_is_not_followed(serve: Serve, connect: Connect, status: str) -> None:
    target = serve()

    def behave(connection: Connection) -> None:
        while connection.request():
            connection.answer(f"Location: {target.url}", status=status)

    server = serve(behave)
    answer = post(connect(), server)
    assert (answer.status, answer.headers["location"]) == (int(status[:3]), target.url)
    assert (len(server.received), target.connections) == (1, 0)


def test_a_connection_is_kept_between_exchanges(serve: Serve, connect: Connect) -> None:
    server, transport = serve(), connect()
    for _ in range(5):
        assert post(transport, server).status == 200
    assert (len(server.received), server.connections) == (5, 1)


def test_a_connection_whose_answer_broke_off_is_not_used_again(serve: Serve, connect: Connect) -> None:
    number = itertools.count()

    def behave(connection: Connection) -> None:
        connection.request()
        if next(number):
            connection.answer()
        else:
            connection.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")
            assert isinstance(connection.stream, ssl.SSLSocket)
            # The end of TLS, but not of TCP yet: the connection does not look dropped.
            with contextlib.suppress(OSError):
                connection.stream.unwrap()

    server, transport = serve(behave), connect()
    with pytest.raises(TransportError, match="the connection broke"):
        post(transport, server)
    assert post(transport, server).status == 200
    assert server.connections == 2


def test_a_connection_that_the_server_closed_while_idle_is_renewed_without_an_error(
    serve: Serve, connect: Connect
) -> None:
    def behave(connection: Connection) -> None:
        connection.request()
        connection.answer()

    server, transport = serve(behave), connect()
    for number in range(1, 4):
        server.left.clear()
        assert post(transport, server).status == 200
        assert server.left.wait(WAIT_S)
        assert server.connections == number


# What the environment says


def test_nothing_in_the_environment_has_an_effect(
    serve: Serve,
    connect: Connect,
    other_authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    proxy, server = serve(plain=True), serve()
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://localhost:{proxy.port}")
        monkeypatch.setenv(name.upper(), f"http://localhost:{proxy.port}")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(other_authority.bundle))
    netrc, keys = tmp_path / "netrc", tmp_path / "keys"
    netrc.write_text("machine localhost login tap password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    assert post(connect(), server).status == 200
    assert header(server.received[0], "Authorization") == []
    assert proxy.connections == 0
    assert not keys.exists()
