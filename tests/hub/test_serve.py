"""The hub on the network, with its certificates."""

import contextlib
import datetime
import errno
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.hub import connections, pki, serve
from kegnet_client.hub.app import create_app
from kegnet_client.hub.home import Home
from kegnet_client.hub.store.records import Store

from ..support.waits import wait_until

Serve = Callable[..., str]


def peer_certificate(url: str, context: ssl.SSLContext) -> x509.Certificate:
    address = (str(urlsplit(url).hostname), int(urlsplit(url).port or 0))
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")


def test_the_strictest_verification_accepts_the_hub(hub_url: str, trust: ssl.SSLContext) -> None:
    assert trust.verify_flags & ssl.VERIFY_X509_STRICT
    assert peer_certificate(hub_url, trust).issuer.rfc4514_string().startswith("CN=KegNet hub CA")


def test_no_other_ca_does(hub_url: str, make_home: Callable[[], Home]) -> None:
    other = ssl.create_default_context(cafile=make_home().ca_certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        peer_certificate(hub_url, other)


def test_old_tls_is_refused(hub_url: str, hub_home: Home) -> None:
    old = ssl.create_default_context(cafile=hub_home.ca_certificate)
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert peer_certificate(hub_url, old)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        peer_certificate(hub_url, old)


def test_a_certificate_that_is_due_is_swapped_in_the_running_hub(
    make_home: Callable[[], Home], store: Store, start: Serve
) -> None:
    home = make_home()
    days = 0
    looks = threading.Semaphore(0)

    def clock() -> datetime.datetime:
        looks.release()
        return serve.utc_now() + datetime.timedelta(days=days)

    url = start(home, store, clock=clock, renewal_check_s=0.01)
    context = ssl.create_default_context(cafile=home.ca_certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    before = peer_certificate(url, context)
    days = 270
    while looks.acquire(blocking=False):
        pass
    for _ in range(3):  # the look that was under way, the one that renews, and one that proves it is over
        assert looks.acquire(timeout=10)
    # By this test's clock the new certificate is from the future: its signature is verified below, its time is not.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    after = peer_certificate(url, context)
    assert after.serial_number != before.serial_number
    assert after.public_key() == before.public_key()
    after.verify_directly_issued_by(x509.load_pem_x509_certificate(home.ca_certificate.read_bytes()))
    assert pki.hosts_of(home.server_certificate.read_bytes()) == ["localhost", "127.0.0.1"]
    assert home.server_certificate.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("missing", "later", "said"),
    [("ca.key", 270, "ca.key is missing"), ("", 30 * 365, "this machine's clock shows")],
    ids=["no CA", "a clock that jumped past the CA"],
)
def test_a_renewal_that_fails_is_told_once_and_the_old_certificate_serves_on(
    make_home: Callable[[], Home],
    store: Store,
    start: Serve,
    caplog: pytest.LogCaptureFixture,
    missing: str,
    later: int,
    said: str,
) -> None:
    home = make_home()
    days = 0
    looks = threading.Semaphore(0)

    def clock() -> datetime.datetime:
        looks.release()
        return serve.utc_now() + datetime.timedelta(days=days)

    url = start(home, store, clock=clock, renewal_check_s=0.01)
    if missing:
        (home.directory / missing).unlink()
    days = later
    while looks.acquire(blocking=False):
        pass
    for _ in range(4):
        assert looks.acquire(timeout=10)
    assert peer_certificate(url, ssl.create_default_context(cafile=home.ca_certificate))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert said in warnings[0]


def test_a_renewal_that_a_full_disk_put_off_is_made_up_for(
    make_home: Callable[[], Home], store: Store, start: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home()
    days = 0
    looks = threading.Semaphore(0)
    renew = Home.renew_certificate

    def clock() -> datetime.datetime:
        looks.release()
        return serve.utc_now() + datetime.timedelta(days=days)

    def renew_on_a_full_disk(home: Home, now: datetime.datetime) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    url = start(home, store, clock=clock, renewal_check_s=0.01)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # by this test's clock the new one is from the future
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    before = peer_certificate(url, trusting)
    monkeypatch.setattr(Home, "renew_certificate", renew_on_a_full_disk)
    days = 270
    for _ in range(4):
        assert looks.acquire(timeout=10)
    monkeypatch.setattr(Home, "renew_certificate", renew)
    while looks.acquire(blocking=False):
        pass
    for _ in range(3):
        assert looks.acquire(timeout=10)
    assert peer_certificate(url, trusting).serial_number != before.serial_number


def test_a_certificate_that_came_due_while_the_hub_was_off_is_renewed_at_the_start(
    make_home: Callable[[], Home], store: Store, start: Serve
) -> None:
    home = make_home()
    ca_key, ca, key = (path.read_bytes() for path in (home.ca_key, home.ca_certificate, home.server_key))
    old = pki.issue_server(ca_key, ca, key, ["localhost"], serve.utc_now() - datetime.timedelta(days=390))
    home.server_certificate.write_bytes(old)
    url = start(home, store)
    fresh = peer_certificate(url, ssl.create_default_context(cafile=home.ca_certificate))
    assert fresh.not_valid_after_utc > serve.utc_now() + datetime.timedelta(days=300)


def test_a_hub_whose_certificate_is_due_starts_without_its_ca_key_too(
    make_home: Callable[[], Home], store: Store, start: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    home = make_home()
    home.ca_key.unlink()
    url = start(home, store, clock=lambda: serve.utc_now() + datetime.timedelta(days=270))
    assert peer_certificate(url, ssl.create_default_context(cafile=home.ca_certificate))
    assert "ca.key is missing" in caplog.text


def test_a_key_that_does_not_belong_to_the_certificate_says_what_to_do(
    make_home: Callable[[], Home], store: Store, start: Serve
) -> None:
    home = make_home()
    home.server_key.write_bytes(pki.make_key())
    with pytest.raises(ConfigError, match="put back the pair"):
        start(home, store)


@pytest.mark.parametrize("content", [b"x", None], ids=["damaged", "gone"])
def test_a_certificate_that_is_none_is_not_said_to_serve_on(
    make_home: Callable[[], Home], store: Store, start: Serve, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    home = make_home()
    home.server_certificate.unlink()
    if content is not None:
        home.server_certificate.write_bytes(content)
    with pytest.raises(ConfigError, match=r"put (back the pair|it back)"):
        start(home, store)
    assert caplog.text == ""


def test_a_connection_without_a_request_is_closed(
    hub_url: str, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "UNPROVEN_IDLE_S", 1.0)
    address = (str(urlsplit(hub_url).hostname), int(urlsplit(hub_url).port or 0))
    with (
        socket.create_connection(address, timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"POST /rest/v2/pour HTTP/1.1\r\nHost:")
        assert connection.recv(100) == b""


@pytest.mark.parametrize("more", [b"P", b"POST /rest/v2/pour HTTP/1.1\r\nHost:", b"xx"], ids=["byte", "head", "body"])
def test_a_connection_that_begins_another_request_and_never_ends_it_is_closed(
    hub_url: str, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(connections, "UNPROVEN_IDLE_S", 1.0)
    address = (str(urlsplit(hub_url).hostname), int(urlsplit(hub_url).port or 0))
    with (
        socket.create_connection(address, timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        length = 1000 if more == b"xx" else 0
        connection.sendall(f"GET /docs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        answer = b""
        while b"in this browser.\n" not in answer:
            answer += connection.recv(10000)
        connection.sendall(more)
        drips = threading.Event()
        dripping = threading.Thread(target=_drip, args=(connection, drips))
        dripping.start()
        try:
            assert connection.recv(100) == b""
        finally:
            drips.set()
            dripping.join()


def _drip(connection: ssl.SSLSocket, enough: threading.Event) -> None:
    while not enough.wait(0.1):
        with contextlib.suppress(OSError):
            connection.sendall(b"x")


def test_a_connection_is_kept_between_requests(hub_url: str, trust: ssl.SSLContext) -> None:
    with httpx.Client(base_url=hub_url, verify=trust, trust_env=False) as client:
        streams = [client.get("/docs").extensions["network_stream"].get_extra_info("client_addr") for _ in range(3)]
    assert len(set(streams)) == 1


@pytest.mark.parametrize("bind", [None, "127.0.0.1"])
@pytest.mark.parametrize(
    ("proxy", "told"),
    [(None, "127.0.0.1"), ("10.0.0.2", "127.0.0.1"), ("127.0.0.1", "203.0.113.7"), ("127.0.0.0/8", "203.0.113.7")],
)
def test_a_forwarded_address_counts_from_the_proxy_that_was_named_alone(
    make_home: Callable[[], Home],
    store: Store,
    start: Serve,
    caplog: pytest.LogCaptureFixture,
    bind: str | None,
    proxy: str | None,
    told: str,
) -> None:
    home = make_home()
    url = start(home, store, bind=bind, proxy=proxy).replace("localhost", "127.0.0.1")
    context = ssl.create_default_context(cafile=home.ca_certificate)
    httpx.post(f"{url}/enroll", json={}, headers={"X-Forwarded-For": "203.0.113.7"}, verify=context, trust_env=False)
    (line,) = [record.getMessage() for record in caplog.records if record.name.endswith("hub.refusals")]
    assert line.startswith(f"{told} is refused: ")


@pytest.mark.parametrize("proxy", ["not-an-address", "", "*", "10.0.0.1/8", "10.0.0.1:80"])
def test_a_proxy_that_is_no_address_is_refused(make_home: Callable[[], Home], store: Store, proxy: str) -> None:
    home = make_home()
    with serve.listen("127.0.0.1", 0) as listener, pytest.raises(UsageError, match="--proxy"):
        serve.HubServer(create_app(store, home.token(), home.ca()), home, listener, proxy=proxy)


def test_a_port_that_is_taken_says_so() -> None:
    with serve.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}.*--port"):
            serve.listen("127.0.0.1", port)


def test_a_port_that_cannot_be_says_so() -> None:
    with pytest.raises(ConfigError, match="--port"):
        serve.listen(None, 70000)


@pytest.mark.parametrize("bind", ["192.0.2.1", "2001:db8::1"])
def test_an_address_that_this_machine_does_not_have_yet_is_listened_at_and_told(
    bind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serve.listen(bind, 0) as listener:
        assert listener.getsockname()[0] == bind
    assert [record.getMessage() for record in caplog.records] == [
        f"this machine has no address {bind} yet: the hub answers there as soon as it has"
    ]


def test_a_name_that_cannot_be_resolved_yet_is_something_to_wait_for() -> None:
    with pytest.raises(serve.AddressError, match="--bind") as caught:
        serve.listen("nowhere.invalid", 0)
    assert caught.value.exit_code == 75  # systemd starts it again; with ConfigError's 78 it would stay down


def test_every_address_of_the_machine_is_served_by_default() -> None:
    with serve.listen(None, 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


@pytest.mark.case(125)
def test_a_certificate_for_another_name_is_taken_by_the_running_hub_and_devices_trust_it_as_before(
    make_home: Callable[[], Home], store: Store, start: Serve
) -> None:
    home = make_home()
    url = start(home, store, renewal_check_s=0.01)
    trusting = ssl.create_default_context(cafile=home.ca_certificate)  # as a device that enrolled before does
    before = peer_certificate(url, trusting)
    home.issue_certificate(["bar.example", "localhost"], serve.utc_now())
    wait_until(
        lambda: peer_certificate(url, trusting).serial_number != before.serial_number, "the hub serves the old one"
    )
    after = peer_certificate(url, trusting)
    assert after.public_key() == before.public_key()
    assert pki.hosts_of(after.public_bytes(serialization.Encoding.PEM)) == ["bar.example", "localhost"]


def test_a_certificate_that_is_damaged_while_the_hub_runs_is_told_and_the_one_before_serves_on(
    make_home: Callable[[], Home], store: Store, start: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kegnet_client")
    home = make_home()
    url = start(home, store, renewal_check_s=0.01)
    good = home.server_certificate.read_bytes()
    home.server_certificate.write_bytes(b"x")
    wait_until(lambda: "the old one serves on" in caplog.text, "nothing was told")
    assert peer_certificate(url, ssl.create_default_context(cafile=home.ca_certificate))
    home.server_certificate.write_bytes(good)
    wait_until(lambda: "in order again" in caplog.text, "the good one was not taken")
