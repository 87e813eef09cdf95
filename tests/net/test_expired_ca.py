"""A CA bundle that is out of date: the server's own certificate is good, and no renewal of it helps."""

import contextlib
import datetime
import socket
import ssl
import threading
from pathlib import Path

import pytest

from kegnet_client.core.errors import UntrustedServerError
from kegnet_client.hub import pki
from kegnet_client.net.client import Transport
from kegnet_client.net.tls import context_for

NOW = datetime.datetime.now(datetime.UTC)
LONG_AGO = NOW - datetime.timedelta(days=25 * 365)


def test_a_ca_that_has_expired_is_named_as_what_may_be_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pki, "clock_is_wrong", lambda _: False)
    ca_key, key = pki.make_key(), pki.make_key()
    old, new = (pki.make_ca(ca_key, "test", made) for made in (LONG_AGO, NOW))
    chain = tmp_path / "chain.pem"
    chain.write_bytes(pki.issue_server(ca_key, new, key, ["localhost"], NOW) + key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            plain, _ = listener.accept()
            with plain, contextlib.suppress(OSError):
                server.wrap_socket(plain, server_side=True)

        thread = threading.Thread(target=refuse)
        thread.start()
        transport = Transport(context_for(old), 10.0, lambda: int(NOW.timestamp() * 1000))
        with pytest.raises(UntrustedServerError, match="the CA in caBundle has expired"):
            transport.post(f"https://localhost:{listener.getsockname()[1]}/rest/v2/pour", "text/plain", b"id=1")
        transport.close()
        thread.join()
