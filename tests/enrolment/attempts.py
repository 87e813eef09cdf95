"""A try to enrol: what it meets, and what it leaves."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.core.errors import KegnetError
from kegnet_client.enrolment.enroll import enroll

from .hub import Hub

ENROL = "POST /enroll"


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every path below ``root`` with its mode and content."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
    }


def refusal(kind: type[KegnetError], root: Path, url: str, code: str) -> str:
    """What ``enroll`` says, having left everything as it was."""
    before = tree(root)
    with pytest.raises(kind) as caught:
        enroll(root, SECTIONS, url, code, {}, pause=lambda _: None)
    assert type(caught.value) is kind
    assert tree(root) == before
    return str(caught.value)


@contextmanager
def answering(hub: Hub, ca: bytes, status: int = 500, body: bytes = b"") -> Iterator[tuple[str, list[str]]]:
    """A server with the certificate of ``hub`` that gives out ``ca`` and answers what is posted; what it is asked."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(f"GET {self.path}")
            self.answer(200, ca)

        def do_POST(self) -> None:
            received.append(f"POST {self.path}")
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(status, body)

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # a handshake that the client ended
                super().handle()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(hub.home.server_certificate, hub.home.server_key)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
