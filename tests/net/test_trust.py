"""Who cannot prove to be the server sees nothing, and the message says why."""

import socket
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from kegnet_client.core.errors import TransportError, UntrustedServerError

from ..support.authority import Authority
from ..support.sockets import Connection, Serve, Server
from .exchange import FORM, NOW_MS, Connect, expired, post


def not_yet_valid(authority: Authority) -> Path:
    return authority.issue(days=2)


def wrong_name(authority: Authority) -> Path:
    return authority.issue("portal.example")


def wrong_address(authority: Authority) -> Path:
    return authority.issue("192.0.2.1")


def common_name(authority: Authority) -> Path:
    return authority.common_name_only()


def self_signed(authority: Authority) -> Path:
    return authority.self_signed()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (expired, "has expired: renew it there, or set this clock, which says 2027-01-15 08:00 UTC"),
        (not_yet_valid, "is not valid yet: this clock says 2027-01-15 08:00 UTC"),
        (wrong_name, "is for another host"),
        (wrong_address, "is for another host"),
        (common_name, "is for another host"),
        (self_signed, "is signed by itself or by an unknown CA"),
    ],
)
def test_a_server_with_a_bad_certificate_sees_nothing_and_the_message_says_why(
    serve: Serve, connect: Connect, authority: Authority, make: Callable[[Authority], Path], what: str
) -> None:
    server = serve(chain=make(authority))
    with pytest.raises(UntrustedServerError) as caught:
        post(connect(wall_ms=lambda: NOW_MS), server)
    assert str(caught.value).startswith("the server's certificate " + what)
    assert_saw_nothing(server)


def test_a_server_of_an_unknown_ca_sees_nothing_and_the_message_says_why(
    serve: Serve, connect: Connect, other_authority: Authority
) -> None:
    server = serve(chain=other_authority.issue())
    with pytest.raises(UntrustedServerError, match="is from a CA that is not in caBundle: put that CA there"):
        post(connect(), server)
    assert_saw_nothing(server)


def test_an_address_is_checked_against_the_certificate_too(
    serve: Serve, connect: Connect, authority: Authority
) -> None:
    by_name, by_address = serve(), serve(chain=authority.issue("127.0.0.1"))
    good = by_address.url.replace("localhost", "127.0.0.1")
    assert connect().post(good, FORM, b"").status == 200
    with pytest.raises(UntrustedServerError, match="is for another host"):
        connect().post(by_name.url.replace("localhost", "127.0.0.1"), FORM, b"")
    assert_saw_nothing(by_name)


def test_a_server_that_speaks_tls_1_1_only_sees_nothing_and_the_message_says_why(
    serve: Serve, connect: Connect, authority: Authority
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = ssl.TLSVersion.TLSv1_1
        context = ssl.create_default_context(cafile=authority.bundle)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = old
    server = serve(lambda connection: connection.stream.close(), tls=old)
    with socket.create_connection(("127.0.0.1", server.port)) as plain:  # it does speak that
        context.wrap_socket(plain, server_hostname="localhost").close()
    with pytest.raises(TransportError, match=r"TLS failed .*PROTOCOL"):
        post(connect(), server)
    server.settle()
    assert server.handshakes == 1


def test_a_server_without_tls_sees_nothing(serve: Serve, connect: Connect) -> None:
    seen: list[bytes] = []

    def behave(connection: Connection) -> None:
        seen.append(connection.plain.recv(65536))
        connection.plain.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = serve(behave, shake_hands=False)
    with pytest.raises(TransportError, match="TLS failed"):
        post(connect(), server)
    server.settle()
    assert b"POST" not in seen[0]


def test_no_other_authorities_than_the_bundles_are_believed(
    serve: Serve, connect: Connect, other_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In real life `other_authority` would be one of the hundred and more in the system's store or in certifi's.
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(other_authority.bundle))
    monkeypatch.setattr("certifi.where", lambda: str(other_authority.bundle))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(other_authority.bundle))
    server = serve(chain=other_authority.issue())
    transport = connect()
    for _ in range(2):
        with pytest.raises(UntrustedServerError):
            post(transport, server)
    assert_saw_nothing(server)


def assert_saw_nothing(server: Server) -> None:
    server.settle()
    assert server.connections > 0
    assert server.received in ([], [b""] * server.connections)
