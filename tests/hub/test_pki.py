"""The hub's CA and its server certificates."""

import datetime

import pytest
from cryptography import x509

import kegnet_client
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.hub import pki

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.fromtimestamp(kegnet_client.RELEASED_MS / 1000, datetime.UTC) + 10 * DAY


@pytest.fixture(scope="module")
def ca_key() -> bytes:
    """A CA's key."""
    return pki.make_key()


@pytest.fixture(scope="module")
def ca(ca_key: bytes) -> bytes:
    """A CA."""
    return pki.make_ca(ca_key, "here", NOW)


def issue(ca_key: bytes, ca: bytes, now: datetime.datetime = NOW) -> bytes:
    return pki.issue_server(ca_key, ca, pki.make_key(), ["keg.local", "192.168.1.5", "::1"], now)


def test_the_ca_lives_for_twenty_years_and_signs_servers_only(ca: bytes) -> None:
    certificate = x509.load_pem_x509_certificate(ca)
    assert certificate.not_valid_after_utc.year == NOW.year + 20
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)


def test_a_server_certificate_names_its_hosts_and_is_valid_since_yesterday(ca_key: bytes, ca: bytes) -> None:
    pem = issue(ca_key, ca)
    certificate = x509.load_pem_x509_certificate(pem)
    assert pki.hosts_of(pem) == ["keg.local", "192.168.1.5", "::1"]
    assert certificate.not_valid_before_utc == NOW - DAY
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))


@pytest.mark.parametrize(
    ("days", "due"), [(0, False), (264, False), (266, True), (1000, True), (-2, True), (-20, False)]
)
def test_renewal_is_due_at_two_thirds_and_never_by_a_wrong_clock(
    ca_key: bytes, ca: bytes, days: int, due: bool
) -> None:
    assert pki.needs_renewal(issue(ca_key, ca), NOW + days * DAY) is due


def test_no_server_certificate_outlives_its_ca(ca_key: bytes, ca: bytes) -> None:
    last = x509.load_pem_x509_certificate(ca).not_valid_after_utc
    renewed = x509.load_pem_x509_certificate(issue(ca_key, ca, last - 100 * DAY))
    assert renewed.not_valid_after_utc == last


def test_no_ca_is_made_while_the_clock_is_in_the_past(ca_key: bytes) -> None:
    with pytest.raises(ConfigError, match="timedatectl"):
        pki.make_ca(ca_key, "here", datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))


def test_a_foreign_ca_key_is_noticed(ca: bytes) -> None:
    with pytest.raises(ConfigError, match=r"ca\.key does not belong"):
        issue(pki.make_key(), ca)


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_garbage_says_what_to_put_back(ca_key: bytes, ca: bytes, pem: bytes) -> None:
    for wrong in ((pem, ca), (ca_key, pem)):
        with pytest.raises(ConfigError, match="put that one back"):
            issue(*wrong)


@pytest.mark.parametrize("host", ["keg.local", "KEG", "10.0.0.1", "fe80::1", "a_b.example", "1.example"])
def test_hosts_that_a_certificate_can_carry(host: str) -> None:
    assert pki.check_host(host) == host.lower()


@pytest.mark.parametrize("host", ["", "a b", "https://keg", "keg:8443", "fe80::1%eth0", "ä.example", "a..b", "x" * 64])
def test_hosts_that_it_cannot(host: str) -> None:
    with pytest.raises(UsageError, match="--host"):
        pki.check_host(host)


@pytest.mark.parametrize("now", [NOW + 21 * 365 * DAY, datetime.datetime.max.replace(tzinfo=datetime.UTC)])
def test_no_certificate_is_made_by_a_clock_that_is_past_the_ca(
    ca_key: bytes, ca: bytes, now: datetime.datetime
) -> None:
    with pytest.raises(ConfigError, match="set it"):
        issue(ca_key, ca, now)
