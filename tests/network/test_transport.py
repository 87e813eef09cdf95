"""One exchange over real sockets: with good servers, with bad ones, and with what is none."""

import contextlib
import datetime
import gc
import gzip
import itertools
import socket
import ssl
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kegnet_client import __version__
from kegnet_client.core.delivery import Answer
from kegnet_client.core.errors import TransportError, UntrustedServerError
from kegnet_client.transport import MAX_BODY_BYTES, Transport

if TYPE_CHECKING:
    from tests.network.conftest import Authority, Behaviour, Connect, Connection, Serve, Server

FORM = "application/x-www-form-urlencoded"
DAY = datetime.timedelta(days=1)
DEADLINE_S = 0.5
AT_ONCE_S = 2.0
"""What counts as in time where a deadline or an abort should end it."""
WAIT_S = 20.0
NOW_MS = 1_800_000_000_000


def post(transport: Transport, server: "Server", body: bytes = b"id=1") -> Answer:
    return transport.post(server.url, FORM, body)


def header(request: bytes, name: str) -> list[str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    pairs = (line.split(": ", 1) for line in lines)
    return [value for key, value in pairs if key.lower() == name.lower()]


# What is sent and what comes back


def test_the_body_and_the_headers_arrive_exactly(serve: "Serve", connect: "Connect") -> None:
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
    serve: "Serve", connect: "Connect", extra: tuple[str, ...]
) -> None:
    def behave(connection: "Connection") -> None:
        connection.request()
        connection.answer("Retry-After: 120", *extra, status="503 Busy", body=b"later\0\xff")

    answer = post(connect(), serve(behave))
    assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "120", b"later\0\xff")


def test_plain_http_works_for_a_server_on_this_machine(serve: "Serve") -> None:
    transport = Transport(None, WAIT_S, lambda: NOW_MS)
    try:
        assert post(transport, serve(plain=True)).status == 200
    finally:
        transport.close()


def test_a_cookie_is_not_sent_back(serve: "Serve", connect: "Connect") -> None:
    def behave(connection: "Connection") -> None:
        while connection.request():
            connection.answer("Set-Cookie: who=you; Path=/")

    server, transport = serve(behave), connect()
    post(transport, server)
    post(transport, server)
    assert header(server.received[1], "Cookie") == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Elsewhere", "308 For Ever"])
def test_a_redirect_is_an_answer_and_is_not_followed(serve: "Serve", connect: "Connect", status: str) -> None:
    target = serve()

    def behave(connection: "Connection") -> None:
        while connection.request():
            connection.answer(f"Location: {target.url}", status=status)

    server = serve(behave)
    answer = post(connect(), server)
    assert (answer.status, answer.headers["location"]) == (int(status[:3]), target.url)
    assert (len(server.received), target.connections) == (1, 0)


def test_a_connection_is_kept_between_exchanges(serve: "Serve", connect: "Connect") -> None:
    server, transport = serve(), connect()
    for _ in range(5):
        assert post(transport, server).status == 200
    assert (len(server.received), server.connections) == (5, 1)


def test_a_connection_whose_answer_broke_off_is_not_used_again(serve: "Serve", connect: "Connect") -> None:
    number = itertools.count()

    def behave(connection: "Connection") -> None:
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
    serve: "Serve", connect: "Connect"
) -> None:
    def behave(connection: "Connection") -> None:
        connection.request()
        connection.answer()

    server, transport = serve(behave), connect()
    for number in range(1, 4):
        server.left.clear()
        assert post(transport, server).status == 200
        assert server.left.wait(WAIT_S)
        assert server.connections == number


# Whom it believes


def expired(authority: "Authority") -> Path:
    return authority.issue(begin=-3 * DAY, end=-DAY)


def not_yet_valid(authority: "Authority") -> Path:
    return authority.issue(begin=DAY, end=2 * DAY)


def wrong_name(authority: "Authority") -> Path:
    return authority.issue("portal.example")


def wrong_address(authority: "Authority") -> Path:
    return authority.issue("192.0.2.1")


def self_signed(authority: "Authority") -> Path:
    return authority.self_signed()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (expired, "has expired: renew it there, or set this clock, which says 2027-01-15 08:00 UTC"),
        (not_yet_valid, "is not valid yet: this clock says 2027-01-15 08:00 UTC"),
        (wrong_name, "is for another host"),
        (wrong_address, "is for another host"),
        (self_signed, "is signed by itself or by an unknown CA"),
    ],
)
def test_a_server_with_a_bad_certificate_sees_nothing_and_the_message_says_why(
    serve: "Serve", connect: "Connect", ours: "Authority", make: "Callable[[Authority], Path]", what: str
) -> None:
    server = serve(chain=make(ours))
    with pytest.raises(UntrustedServerError) as caught:
        post(connect(wall_ms=lambda: NOW_MS), server)
    assert str(caught.value).startswith("the server's certificate " + what)
    assert_saw_nothing(server)


def test_a_server_of_an_unknown_ca_sees_nothing_and_the_message_says_why(
    serve: "Serve", connect: "Connect", other: "Authority"
) -> None:
    server = serve(chain=other.issue())
    with pytest.raises(UntrustedServerError, match="is from a CA that is not in caBundle: put that CA there"):
        post(connect(), server)
    assert_saw_nothing(server)


def test_an_address_is_checked_against_the_certificate_too(
    serve: "Serve", connect: "Connect", ours: "Authority"
) -> None:
    by_name, by_address = serve(), serve(chain=ours.issue("127.0.0.1"))
    good = by_address.url.replace("localhost", "127.0.0.1")
    assert connect().post(good, FORM, b"").status == 200
    with pytest.raises(UntrustedServerError, match="is for another host"):
        connect().post(by_name.url.replace("localhost", "127.0.0.1"), FORM, b"")
    assert_saw_nothing(by_name)


def test_a_server_that_speaks_tls_1_1_only_sees_nothing_and_the_message_says_why(
    serve: "Serve", connect: "Connect", ours: "Authority"
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = ssl.TLSVersion.TLSv1_1
        context = ssl.create_default_context(cafile=ours.bundle)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = old
    server = serve(lambda connection: connection.stream.close(), tls=old)
    with socket.create_connection(("127.0.0.1", server.port)) as plain:  # it does speak that
        context.wrap_socket(plain, server_hostname="localhost").close()
    with pytest.raises(TransportError, match=r"TLS failed .*PROTOCOL"):
        post(connect(), server)
    server.settle()
    assert server.handshakes == 1


def test_a_server_without_tls_sees_nothing(serve: "Serve", connect: "Connect") -> None:
    seen: list[bytes] = []

    def behave(connection: "Connection") -> None:
        seen.append(connection.plain.recv(65536))
        connection.plain.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = serve(behave, shake_hands=False)
    with pytest.raises(TransportError, match="TLS failed"):
        post(connect(), server)
    server.settle()
    assert b"POST" not in seen[0]


def test_no_other_authorities_than_the_bundles_are_believed(
    serve: "Serve", connect: "Connect", other: "Authority", monkeypatch: pytest.MonkeyPatch
) -> None:
    # In real life `other` would be one of the hundred and more in the system's store or in certifi's.
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(other.bundle))
    monkeypatch.setattr("certifi.where", lambda: str(other.bundle))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(other.bundle))
    server = serve(chain=other.issue())
    transport = connect()
    for _ in range(2):
        with pytest.raises(UntrustedServerError):
            post(transport, server)
    assert_saw_nothing(server)


# What the environment says


def test_nothing_in_the_environment_has_an_effect(
    serve: "Serve",
    connect: "Connect",
    other: "Authority",
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    proxy, server = serve(plain=True), serve()
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://localhost:{proxy.port}")
        monkeypatch.setenv(name.upper(), f"http://localhost:{proxy.port}")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(other.bundle))
    netrc, keys = tmp_path / "netrc", tmp_path / "keys"
    netrc.write_text("machine localhost login tap password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    assert post(connect(), server).status == 200
    assert header(server.received[0], "Authorization") == []
    assert proxy.connections == 0
    assert not keys.exists()


# One deadline over the whole exchange


def drip_the_status_line(connection: "Connection") -> None:
    connection.request()
    connection.drip(b"HTTP/1.1 200 " + b"O" * 1000)


def drip_the_headers(connection: "Connection") -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")
    connection.drip(b"X-Patience: " + b"x" * 1000)


def drip_the_body(connection: "Connection") -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    connection.drip(b"x" * 1000)


def drip_a_body_without_end(connection: "Connection") -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    connection.drip(b"x" * 1000)


def drip_headers_of_the_last_answer(connection: "Connection") -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
    connection.drip(b"X-Patience: " + b"x" * 1000)


def say_continue_for_ever(connection: "Connection") -> None:
    connection.request()
    connection.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def say_nothing(connection: "Connection") -> None:
    connection.request()
    connection.server.closing.wait()


@pytest.mark.parametrize(
    "behave",
    [
        drip_the_status_line,
        drip_the_headers,
        drip_the_body,
        drip_a_body_without_end,
        drip_headers_of_the_last_answer,
        say_continue_for_ever,
        say_nothing,
    ],
)
def test_an_answer_that_takes_too_long_is_ended_by_the_deadline(
    serve: "Serve", connect: "Connect", behave: "Behaviour"
) -> None:
    assert_ended_by_the_deadline(connect(DEADLINE_S), serve(behave))


def test_a_dripped_handshake_is_ended_by_the_deadline(serve: "Serve", connect: "Connect") -> None:
    def behave(connection: "Connection") -> None:
        assert connection.server.context is not None
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server_side = connection.server.context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(connection.plain.recv(65536))
        with pytest.raises(ssl.SSLWantReadError):
            server_side.do_handshake()
        connection.drip(outgoing.read())

    assert_ended_by_the_deadline(connect(DEADLINE_S), serve(behave, shake_hands=False))


def test_a_slow_name_lookup_leaves_no_exchange_without_a_deadline(
    serve: "Serve", connect: "Connect", monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def look_up_slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(DEADLINE_S + 0.2)
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_slowly)
    assert_ended_by_the_deadline(connect(DEADLINE_S), serve(drip_the_body))


def test_an_exchange_after_one_that_took_too_long_is_its_own(serve: "Serve", connect: "Connect") -> None:
    def behave(connection: "Connection") -> None:
        if connection.server.connections == 1:
            say_nothing(connection)
        while connection.request():
            connection.answer()

    server, transport = serve(behave), connect(DEADLINE_S)
    assert_ended_by_the_deadline(transport, server)
    assert post(transport, server).status == 200


@pytest.mark.parametrize("shake_hands", [True, False], ids=["answer", "handshake"])
def test_abort_from_another_thread_ends_an_exchange_at_once(
    serve: "Serve", connect: "Connect", shake_hands: bool
) -> None:
    def behave(connection: "Connection") -> None:
        if shake_hands:
            connection.request()
        else:
            connection.plain.recv(1)
            connection.server.asked.set()
        connection.server.closing.wait()

    server, transport = serve(behave, shake_hands=shake_hands), connect()
    errors: list[TransportError] = []

    def exchange() -> None:
        with pytest.raises(TransportError) as caught:
            post(transport, server)
        errors.append(caught.value)

    thread = threading.Thread(target=exchange)
    thread.start()
    assert server.asked.wait(WAIT_S)
    started_s = time.monotonic()
    transport.abort()
    thread.join(WAIT_S)
    assert time.monotonic() - started_s < AT_ONCE_S
    assert errors


# What breaks


def reset(connection: "Connection") -> None:
    connection.request()
    connection.reset()


def hang_up(connection: "Connection") -> None:
    connection.request()


def hang_up_in_the_body(connection: "Connection") -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


def talk_nonsense(connection: "Connection") -> None:
    connection.request()
    connection.stream.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def send_endless_headers(connection: "Connection") -> None:
    connection.request()
    connection.stream.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-More: of the same\r\n" * 100_000)


def send_chunks_of_less_than_nothing(size: bytes) -> "Behaviour":
    def behave(connection: "Connection") -> None:
        connection.request()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.stream.sendall(head + size + b"\r\n" + bytes(100_000))

    return behave


@pytest.mark.parametrize(
    ("behave", "what"),
    [
        (reset, "the connection broke|no connection"),
        (hang_up, "the connection broke"),
        (hang_up_in_the_body, "the connection broke"),
        (talk_nonsense, "the connection broke"),
        (send_endless_headers, "the connection broke"),
        (send_chunks_of_less_than_nothing(b"-5"), "the connection broke"),
        (send_chunks_of_less_than_nothing(b"-1"), "the connection broke"),
    ],
)
def test_a_connection_that_breaks_after_the_request_was_read_is_no_answer(
    serve: "Serve", connect: "Connect", behave: "Behaviour", what: str
) -> None:
    server = serve(behave)
    with pytest.raises(TransportError, match=what) as caught:
        post(connect(), server)
    assert not isinstance(caught.value, UntrustedServerError)
    assert len(server.received) == 1, "no retry here, that is for the one who knows"


def test_without_a_bundle_there_is_no_tls_at_all(serve: "Serve") -> None:
    server = serve()
    transport = Transport(None, DEADLINE_S, lambda: NOW_MS)
    with pytest.raises(TransportError):
        post(transport, server)
    transport.close()
    assert server.received == []


def test_a_port_where_nobody_listens_is_told(connect: "Connect") -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError, match=r"no connection \(Connection refused\)"):
        connect().post(f"https://127.0.0.1:{port}/", FORM, b"")


def test_a_name_that_does_not_exist_is_told(connect: "Connect") -> None:
    with pytest.raises(TransportError, match="the server's name is not found"):
        connect().post("https://kegnet.invalid/rest/v2/pour", FORM, b"")


@pytest.mark.parametrize("host", [".kegnet", "*.kegnet", "a..b", "a" * 64 + ".example"])
def test_a_name_that_cannot_exist_is_told_too(connect: "Connect", host: str) -> None:
    with pytest.raises(TransportError):
        connect().post(f"https://{host}/rest/v2/pour", FORM, b"")


# What costs too much


@pytest.mark.parametrize("head", [b"Connection: close", b"Content-Length: 1000000000000"], ids=["open", "long"])
def test_an_endless_body_is_read_up_to_a_bound_and_the_connection_closed(
    serve: "Serve", connect: "Connect", head: bytes
) -> None:
    sent = 0

    def behave(connection: "Connection") -> None:
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


def test_a_gzip_bomb_is_not_inflated(serve: "Serve", connect: "Connect") -> None:
    bomb = gzip.compress(bytes(30_000_000))
    assert len(bomb) < MAX_BODY_BYTES

    def behave(connection: "Connection") -> None:
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
    serve: "Serve", connect: "Connect", ours: "Authority", other: "Authority"
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = listener.getsockname()[1]
    behaviours: list[Behaviour] = [reset, hang_up, hang_up_in_the_body, talk_nonsense, say_nothing_until_it_leaves]
    servers = [serve(behave) for behave in behaviours] + [serve(chain=other.issue()), serve(chain=expired(ours))]
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
        gc.collect()  # what earlier tests left must not go between the two counts
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    before = fail(2 * len(urls))
    assert fail(300) == before


def say_nothing_until_it_leaves(connection: "Connection") -> None:
    connection.request()
    connection.request()


def test_closing_ends_the_connection_and_the_thread(serve: "Serve", connect: "Connect") -> None:
    server = serve()
    before = threading.active_count()
    transport = connect()
    post(transport, server)
    transport.close()
    assert server.left.wait(WAIT_S)
    server.settle()
    until_s = time.monotonic() + WAIT_S
    while threading.active_count() > before and time.monotonic() < until_s:
        time.sleep(0.01)
    assert threading.active_count() == before


def assert_saw_nothing(server: "Server") -> None:
    server.settle()
    assert server.connections > 0
    assert server.received in ([], [b""] * server.connections)


def assert_ended_by_the_deadline(transport: Transport, server: "Server") -> None:
    started_s = time.monotonic()
    with pytest.raises(TransportError, match=r"no whole answer within 0\.5 s|no answer within 0\.5 s") as caught:
        post(transport, server)
    assert DEADLINE_S * 0.9 < time.monotonic() - started_s < AT_ONCE_S
    assert not isinstance(caught.value, UntrustedServerError)
