"""As much of a CouchDB as the runner asks for, with faults on demand, and without users.

As a program (``small_couch.py PORT``) it serves until it is ended, which takes nothing but Python.
"""

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Document = dict[str, Any]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go, some of them killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class SmallCouch:
    """The server at ``url``; ``feeds`` counts how often its feed was asked for, and from where."""

    def __init__(self, port: int = 0) -> None:
        self.documents: dict[str, Document] = {}
        self.changes: list[tuple[int, str]] = []
        self.changed = threading.Condition()
        self.feeds: list[str] = []
        self.logins = 0
        self.refuse_next = 0
        """How many requests get a 401."""
        self.forbidden: set[str] = set()
        """The documents that nobody may write."""
        self.raw: list[bytes] = []
        """What the feed says before anything else, a piece for each time that it is asked for; then it ends."""
        self.is_ended = False
        self.cuts = 0
        self._server = _Server(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        with self.changed:
            self.is_ended = True
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def put(self, document: Document) -> None:
        """Whatever was there."""
        with self.changed:
            number = len(self.changes) + 1
            self.documents[document["_id"]] = {**document, "_rev": f"{number}-x"}
            self.changes.append((number, document["_id"]))
            self.changed.notify_all()

    def get(self, identifier: str) -> Document | None:
        with self.changed:
            document = self.documents.get(identifier)
        return None if document is None or document.get("_deleted") else document

    def delete(self, identifier: str) -> None:
        self.put({"_id": identifier, "_deleted": True})

    def wait_for(self, identifier: str, holds: Callable[[Document], object], timeout_s: float = 30.0) -> Document:
        """Until the document is there and ``holds``."""
        with self.changed:
            came = self.changed.wait_for(
                lambda: identifier in self.documents and holds(self.documents[identifier]), timeout_s
            )
            assert came, f"{identifier} is {self.documents.get(identifier)}"
            return self.documents[identifier]

    def cut(self) -> None:
        """End every feed, in the middle of a line."""
        with self.changed:
            self.cuts += 1
            self.changed.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        couch = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one piece: in two it waits for the client's delayed acknowledgement

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is the base class's)
                pass

            def answer(self, status: int, value: object, *headers: tuple[str, str]) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                for name, text in headers:
                    self.send_header(name, text)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))

            def is_refused(self) -> bool:
                with couch.changed:
                    refused = couch.refuse_next > 0
                    couch.refuse_next -= refused
                if refused:
                    self.body()
                    self.answer(401, {"error": "unauthorized"})
                return refused

            def do_POST(self) -> None:
                self.body()
                couch.logins += 1
                self.answer(200, {"ok": True}, ("Set-Cookie", f"AuthSession={couch.logins}; Path=/"))

            def do_PUT(self) -> None:
                if self.is_refused():
                    return
                document = json.loads(self.body())
                document["_id"] = identifier = self.identifier()
                if identifier in couch.forbidden:
                    self.answer(403, {"error": "forbidden"})
                    return
                old = couch.get(identifier)
                if old is not None and old["_rev"] != document.get("_rev"):
                    self.answer(409, {"error": "conflict"})
                    return
                couch.put(document)
                self.answer(201, {"ok": True, "id": identifier})

            def do_GET(self) -> None:
                if self.is_refused():
                    return
                if self.identifier() == "_changes":
                    self.feed()
                elif (document := couch.get(self.identifier())) is None:
                    self.answer(404, {"error": "not_found"})
                else:
                    self.answer(200, document)

            def identifier(self) -> str:
                return "/".join(unquote(part) for part in urlsplit(self.path).path.split("/")[2:])

            def feed(self) -> None:
                since = parse_qs(urlsplit(self.path).query)["since"][0]
                couch.feeds.append(since)
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.flush()
                if couch.raw:
                    self.chunk(couch.raw.pop(0))
                    self.chunk(b"")
                    return
                sent = int(since)
                cuts = couch.cuts
                while True:
                    with couch.changed:
                        while len(couch.changes) == sent and not couch.is_ended and couch.cuts == cuts:
                            couch.changed.wait()
                        if couch.cuts != cuts:
                            self.chunk(b'{"seq":')
                            self.close_connection = True
                            return
                        if couch.is_ended:
                            return
                        new = couch.changes[sent:]
                        sent = len(couch.changes)
                    newest = {identifier: number for number, identifier in new}
                    for identifier, number in sorted(newest.items(), key=lambda one: one[1]):
                        # As CouchDB does, of each document the last change alone.
                        document = couch.documents[identifier]
                        row = {"seq": number, "id": identifier, "doc": document}
                        row |= {"deleted": True} if document.get("_deleted") else {}
                        self.chunk(json.dumps(row).encode() + b"\n")

            def chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

        return Handler


if __name__ == "__main__":
    SmallCouch(int(sys.argv[1])).serve()
