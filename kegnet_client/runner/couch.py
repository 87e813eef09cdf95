"""A CouchDB database by HTTP: the few requests that programs on devices take.

It is a carrier, not an authority: what it says is judged elsewhere. Passwords go over https alone, or within this
machine. One object serves one thread.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from kegnet_client.core.errors import ServerRefusalError, TransportError, UsageError
from kegnet_client.runner.url import check_url

DEADLINE_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
"""A change with its document; a longer one is left out."""
FEED_HEARTBEAT_S = 30.0
FILTER = "kegnet/programs"
_ATTEMPTS = 5

_log = logging.getLogger(__name__)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Login:
    """A user of the database."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the feed. ``document`` is None where it is deleted."""

    id: str
    sequence: object
    deleted: bool
    document: Document | None


class Couch:
    """The ``database`` (such as nedm/raspberries) at ``url``; ``ca`` is a file, None for the system's."""

    def __init__(self, url: str, database: str, login: Login | None, ca: Path | None = None) -> None:
        self.url = check_url(url)
        self.database = database
        self._login = login
        self._session = requests.Session()
        self._session.trust_env = False
        # What compresses keeps lines back until it has enough of them.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.verify = str(ca) if ca is not None else True

    def beside(self, database: str) -> "Couch":
        """Another database of the same server, by the same user."""
        other = Couch(self.url, database, self._login)
        other._session.verify = self._session.verify
        return other

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, identifier: str) -> Document | None:
        """A document; None where there is none. Raises `TransportError`, `ServerRefusalError`, as all here do."""
        status, answer = self.ask("GET", self._path(identifier))
        return None if status == 404 else _as_document(status, answer)

    def put(self, identifier: str, body: Mapping[str, Any]) -> bool:
        """Write a document; False where another revision than that of ``body`` is there."""
        status, answer = self.ask("PUT", self._path(identifier), body)
        if status == 409:
            return False
        _as_document(status, answer)
        return True

    def update(self, identifier: str, change: Callable[[Document], Document | None]) -> None:
        """Write what ``change`` makes of the document (empty where there is none); None leaves it."""
        for _ in range(_ATTEMPTS):
            old = self.get(identifier) or {}
            new = change(dict(old))
            if new is None or self.put(identifier, new | ({"_rev": old["_rev"]} if "_rev" in old else {})):
                return
        raise TransportError(f"{self.url}: {identifier} changes too often to be written")

    def replace(self, document: Document) -> None:
        """Put ``document`` in place of whatever has its ``_id``."""
        self.update(document["_id"], lambda _old: document)

    def documents(self, **query: object) -> list[Document]:
        """All documents (``_all_docs``) within the bounds of ``query``."""
        status, answer = self.ask("GET", self._path("_all_docs"), query={"include_docs": True, **query})
        rows = _as_document(status, answer).get("rows")
        if not isinstance(rows, list):
            raise TransportError(f"{self.url}: answered without documents: is it a CouchDB?")
        return [row["doc"] for row in rows if isinstance(row, dict) and isinstance(row.get("doc"), dict)]

    def follow(self, since: object, filter_query: Mapping[str, str]) -> Iterator[Change | None]:
        """The changes after ``since``, then as they come; None for each heartbeat. Ends when the server does."""
        query: dict[str, object] = {
            "feed": "continuous",
            "heartbeat": int(FEED_HEARTBEAT_S * 1000),
            "include_docs": True,
            "since": since,
            **filter_query,
        }
        response = self._send("GET", self._path("_changes"), None, query, 2.5 * FEED_HEARTBEAT_S)
        with response:
            if response.status_code != 200:
                raise _refusal(self.url, response.status_code, b"".join(self._pieces(response)))
            yield from _read_lines(self._pieces(response))

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, object] | None = None
    ) -> tuple[int, object]:
        """One request; the status, and the answer as JSON says it. ``path`` begins after the server's URL."""
        with self._send(method, path, body, query or {}, DEADLINE_S) as response:
            data = bytearray()
            for piece in self._pieces(response):
                data += piece
                if len(data) > MAX_ANSWER_BYTES:
                    raise TransportError(f"{self.url}: the answer has more than {MAX_ANSWER_BYTES} bytes")
        if response.status_code in (401, 403):
            raise _refusal(self.url, response.status_code, bytes(data))
        try:
            return response.status_code, json.loads(data)
        except (ValueError, RecursionError):
            raise TransportError(f"{self.url}: answered {response.status_code} and no JSON: is it a CouchDB?") from None

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, object],
        deadline_s: float,
    ) -> requests.Response:
        """As often as a login may be necessary, which ends by itself now and then."""
        words = {name: value if isinstance(value, str) else json.dumps(value) for name, value in query.items()}
        if self._login is not None and not self._session.cookies:
            self._log_in(self._login)
        for is_last in (False, True):
            response = self._request(
                method, self.url + path, json=body, params=words, timeout=(DEADLINE_S, deadline_s), stream=True
            )
            if response.status_code != 401 or self._login is None or is_last:
                return response
            response.close()
            self._log_in(self._login)
        raise AssertionError("not reached")

    def _log_in(self, login: Login) -> None:
        form = {"name": login.user, "password": login.password}
        response = self._request("POST", f"{self.url}/_session", data=form, timeout=DEADLINE_S)
        if response.status_code != 200:
            raise _refusal(self.url, response.status_code, response.content[:500])

    def _request(self, method: str, url: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, url, allow_redirects=False, **options)
        except (requests.RequestException, ValueError) as error:
            raise TransportError(f"{self.url}: {_why(error)}") from None

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_content(None)
        except (requests.RequestException, OSError) as error:
            raise TransportError(f"{self.url}: {_why(error)}") from None

    def _path(self, identifier: str) -> str:
        return f"/{quote(self.database, safe='')}/{quote(identifier, safe='_')}"


def _read_lines(pieces: Iterator[bytes]) -> Iterator[Change | None]:
    rest = bytearray()
    is_too_long = False
    for piece in pieces:
        rest += piece
        *lines, rest = rest.split(b"\n")
        for line in lines:
            if is_too_long:
                is_too_long = False
                continue
            if not line.strip():
                yield None
            elif (change := _read_change(bytes(line))) is not None:
                yield change
        if len(rest) > MAX_LINE_BYTES:
            is_too_long = True
            rest = bytearray()


def _read_change(line: bytes) -> Change | None:
    """None for the line that ends a feed, and for one that is left out."""
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise TransportError("the feed holds a line that is no JSON") from None
    except (ValueError, RecursionError) as error:
        # Nested too deep, or a number of thousands of digits: it would end the feed each time that it comes.
        _log.warning("a document of the database cannot be read, and is left out: %s", error)
        return None
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        if isinstance(row, dict) and "last_seq" in row:
            return None
        raise TransportError("the feed holds a line that is no change")
    document = row.get("doc")
    deleted = row.get("deleted") is True
    return Change(row["id"], row.get("seq"), deleted, document if isinstance(document, dict) and not deleted else None)


def _as_document(status: int, answer: object) -> Document:
    if not 200 <= status < 300 or not isinstance(answer, dict):
        raise TransportError(f"the database answered {status}: {str(answer)[:200]!a}")
    return answer


def _refusal(url: str, status: int, data: bytes) -> ServerRefusalError | TransportError:
    said = data.decode("utf-8", "replace").strip()[:200]
    if status in (401, 403):
        return ServerRefusalError(f"{url}: refuses this user ({status}, {said!a})")
    return TransportError(f"{url}: answered {status}: {said!a}")


def _why(error: BaseException) -> str:
    """The innermost reason, without what every layer adds."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error)[:200] or type(error).__name__


def read_login(path: Path) -> Login:
    """The one line USER:PASSWORD of a file. Raises `UsageError`."""
    try:
        user, colon, password = path.read_text("utf-8").strip().partition(":")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    if not user or not colon or not password or "\n" in password:
        raise UsageError(f"{path}: is not one line USER:PASSWORD")
    return Login(user, password)
