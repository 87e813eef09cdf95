"""A CA, and the certificates of servers, good and bad."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from kegnet_client.hub import pki


class Authority:
    """A CA of its own: ``ca`` is its certificate, ``bundle`` the file that holds it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = pki.make_key()
        self.ca = pki.make_ca(self._key, directory.name, datetime.now(UTC))
        self.bundle = directory / "ca.pem"
        self.bundle.write_bytes(self.ca)

    def issue(self, *hosts: str, days: int = 0) -> Path:
        """A server's certificate, made so many days from now, and its key."""
        key = pki.make_key()
        when = datetime.now(UTC) + timedelta(days=days)
        return self._write(pki.issue_server(self._key, self.ca, key, [*(hosts or ("localhost",))], when), key)

    def common_name_only(self, host: str = "localhost") -> Path:
        """The same, but that it calls its host by a common name alone, as it was done before names had their place."""
        ca_key = load_pem_private_key(self._key, None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        now, ca = datetime.now(UTC), x509.load_pem_x509_certificate(self.ca)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]))
            .issuer_name(ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .sign(ca_key, hashes.SHA256())
        )
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self._write(certificate.public_bytes(Encoding.PEM), key_pem)

    def self_signed(self) -> Path:
        """The same for a server that vouches for itself."""
        key = pki.make_key()
        return self._write(pki.make_ca(key, "localhost", datetime.now(UTC)), key)

    def _write(self, certificate: bytes, key: bytes) -> Path:
        chain = self._directory / f"{uuid.uuid4().hex}.pem"
        chain.write_bytes(certificate + key)
        return chain
