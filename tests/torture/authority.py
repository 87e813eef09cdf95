"""Who is who here: a CA, a certificate from it for localhost, and the one key of all devices."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kegnet_client.hub import pki
from kegnet_client.keys import generate_private_key


class Authority:
    """Made anew for each run of the rig; ``directory`` keeps what a server loads."""

    def __init__(self, directory: Path) -> None:
        now, ca_key, key = datetime.now(UTC), pki.make_key(), pki.make_key()
        self.ca_pem = pki.make_ca(ca_key, "torture", now)
        self._chain = directory / "server.pem"
        self._chain.write_bytes(pki.issue_server(ca_key, self.ca_pem, key, ["localhost"], now) + key)
        self.device_pem = generate_private_key()
        private_key = load_pem_private_key(self.device_pem, None)
        if not isinstance(private_key, rsa.RSAPrivateKey):
            raise TypeError("REST v2 is signed with RSA")
        self.device_key = private_key.public_key()

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._chain)
        return context
