"""Whom the device trusts: the CA bundle to the TLS settings of a client.

The bundle is read once, so that a file that is replaced later changes nothing before the next reload, and
it is all that is trusted: a bundle that is missing or unusable is a `ConfigError`, never a wider trust.

Security: the context is built by hand. ``ssl.create_default_context`` would add the system's store and
write session keys to where ``SSLKEYLOGFILE`` says; nothing here comes from the environment.
"""

import re
import ssl
from pathlib import Path

from kegnet_client.core.errors import ConfigError
from kegnet_client.host.regular_file import read_regular

SYSTEM_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
"""What ``caBundle = system`` means. The package ca-certificates keeps it up to date."""

MAX_BUNDLE_BYTES = 4 * 1024 * 1024
_BEGIN = b"-----BEGIN CERTIFICATE-----"
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


def client_context(path: Path) -> ssl.SSLContext:
    """TLS for a client that trusts what the bundle at ``path`` (the setting ``caBundle``) holds, and nothing else."""
    bundle = read_ca_bundle(path)
    try:
        return context_for(bundle)
    except ValueError as error:
        raise ConfigError(f"{path}: caBundle: {error}; {_remedy(path)}") from None


def read_ca_bundle(path: Path) -> bytes:
    """The bytes of the bundle at ``path``."""
    try:
        return read_regular(path, MAX_BUNDLE_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{path}: caBundle: does not exist; {_remedy(path)}") from None
    except PermissionError:
        raise ConfigError(
            f"{path}: caBundle: may not be read by the user that runs kegnet-client; it holds no secret: make the "
            "file and its directories readable"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: caBundle: cannot be read ({error.strerror}); {_remedy(path)}") from None


def context_for(bundle: bytes) -> ssl.SSLContext:
    """TLS for a client that trusts the PEM certificates in ``bundle``; `ValueError` says what is wrong with them."""
    # What stands between the certificates is comments, in any encoding, and none of OpenSSL's business.
    certificates = _CERTIFICATE.findall(bundle)
    if not certificates:
        raise ValueError(f"holds no PEM certificate ({_BEGIN.decode()})")
    if len(certificates) != bundle.count(_BEGIN):
        raise ValueError("one of its certificates is cut off")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Both are PROTOCOL_TLS_CLIENT's defaults; they carry the promise, so they stand here.
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    # What a certificate calls its subject is not checked by those who issue it: common names are not names.
    context.hostname_checks_common_name = False
    for number, certificate in enumerate(certificates, 1):
        try:
            context.load_verify_locations(cadata=certificate.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise ValueError(f"its certificate number {number} of {len(certificates)} is damaged") from None
    return context


def _remedy(path: Path) -> str:
    if path == SYSTEM_CA_BUNDLE:
        return "install it: `sudo apt install ca-certificates`, or name the server's own CA with caBundle"
    return "copy the server's CA certificate (PEM) there, or write `caBundle = system` for a public server"
