"""The hub's own certificate authority, and the server certificate that it signs.

Both pass RFC 5280's rules as OpenSSL's strict mode checks them, which Python 3.13 turns on by default. The CA
is what devices pin, so it lives for twenty years; a server certificate lives for about a year and is renewed
in time, with the same key, so that renewing replaces one file and can fail in no half-way.

Certificates are valid from a day before they are made: a device's clock may be a little behind.
Pure but for randomness: PEM in, PEM out.
"""

import datetime
import ipaddress
import re
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kegnet_client import RELEASED_MS
from kegnet_client.core.errors import ConfigError, UsageError

CA_LIFE = datetime.timedelta(days=20 * 365 + 5)
SERVER_LIFE = datetime.timedelta(days=398)
BACKDATED = datetime.timedelta(days=1)

_RELEASED = datetime.datetime.fromtimestamp(RELEASED_MS / 1000, datetime.UTC)
_DNS_NAME = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.I
)


def make_key() -> bytes:
    """A new P-256 private key, as PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_ca(key_pem: bytes, name: str, now: datetime.datetime) -> bytes:
    """A CA certificate for the key, as PEM."""
    if clock_is_wrong(now):
        raise ConfigError(
            f"this machine's clock shows {now:%Y-%m-%d}, which is in the past: set it (timedatectl), then again"
        )
    key = _load_key(key_pem, "the CA's key")
    subject = _name(f"KegNet hub CA of {name}")
    certificate = (
        _builder(key, subject, subject, now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def issue_server(ca_key_pem: bytes, ca_pem: bytes, key_pem: bytes, hosts: list[str], now: datetime.datetime) -> bytes:
    """A server certificate for ``hosts`` (names and addresses), as PEM."""
    ca_key, ca = _load_pair(ca_key_pem, ca_pem)
    if now >= ca.not_valid_after_utc:
        raise ConfigError(
            f"ca.crt is good until {ca.not_valid_after_utc:%Y-%m-%d}, and this machine's clock shows {now:%Y-%m-%d}: "
            "if that is wrong, set it (timedatectl)"
        )
    key = _load_key(key_pem, "the server's key")
    ca_identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(key, _name(hosts[0]), ca.subject, now, SERVER_LIFE, ca.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def hosts_of(certificate_pem: bytes) -> list[str]:
    """The names and addresses that a server certificate is for."""
    certificate = _load_certificate(certificate_pem, "the server's certificate")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def signer_of(ca_key_pem: bytes, ca_pem: bytes) -> Callable[[bytes], bytes]:
    """What signs with the CA's key: r and s, 32 bytes each, for `kegnet_client.keys.is_signed`."""
    key, _ = _load_pair(ca_key_pem, ca_pem)

    def sign(data: bytes) -> bytes:
        pair = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return b"".join(number.to_bytes(32, "big") for number in pair)

    return sign


def ca_public_key(certificate_pem: bytes) -> ec.EllipticCurvePublicKey:
    """The key in a CA's certificate, which has to be one that `make_ca` makes."""
    certificate = _load_certificate(certificate_pem, "the CA's certificate")
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError("the CA's certificate is not one that `kegnet-client hub init` makes")
    return key


def ca_der(certificate_pem: bytes) -> bytes:
    """The CA certificate's own bytes, as devices know it by."""
    return _load_certificate(certificate_pem, "the CA's certificate").public_bytes(serialization.Encoding.DER)


def life_of(certificate_pem: bytes, whose: str) -> tuple[datetime.datetime, datetime.datetime]:
    """From when until when a certificate is good."""
    certificate = _load_certificate(certificate_pem, f"{whose} certificate")
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def needs_renewal(certificate_pem: bytes, now: datetime.datetime) -> bool:
    """Whether two thirds of the certificate's life are over, or it is from the future.

    Never while this machine's clock is certainly wrong: a certificate made then would help nobody.
    """
    begin, end = life_of(certificate_pem, "the server's")
    return not clock_is_wrong(now) and not begin <= now < begin + (end - begin) * 2 / 3


def clock_is_wrong(now: datetime.datetime) -> bool:
    """Whether ``now`` is before this program was made."""
    return now < _RELEASED


def is_host(host: str) -> bool:
    """Whether ``host`` is an address, or a name that a certificate can carry."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _DNS_NAME.fullmatch(host) is not None
    return "%" not in host


def check_host(host: str) -> str:
    """``host`` as a certificate carries it; `UsageError` if none can."""
    if not is_host(host):
        raise UsageError(f"--host {host!r} is neither an address nor a host name")
    return host.lower()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    issuer: x509.Name,
    now: datetime.datetime,
    life: datetime.timedelta,
    latest: datetime.datetime | None = None,
) -> x509.CertificateBuilder:
    end = now + life if latest is None else min(now + life, latest)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _load_key(pem: bytes, what: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{what} is not the one that `kegnet-client hub init` made: put that one back")
    return key


def _load_pair(ca_key_pem: bytes, ca_pem: bytes) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key, certificate = _load_key(ca_key_pem, "the CA's key"), _load_certificate(ca_pem, "the CA's certificate")
    if key.public_key() != certificate.public_key():
        raise ConfigError("ca.key does not belong to ca.crt: put back the pair that `kegnet-client hub init` made")
    return key, certificate


def _load_certificate(pem: bytes, what: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise ConfigError(f"{what} is not the one that `kegnet-client hub init` made: put that one back") from None
