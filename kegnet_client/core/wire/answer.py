"""An answer over HTTP, and what it means for the records of a request.

`judge` turns an answer of REST v1 and v2 into a `Verdict`. Of all statuses only a 2xx takes a record out of
the spool, and only 400, 409, 413 and 422 put it aside for good: any other leaves it where it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from kegnet_client.core.errors import TransportError, UntrustedServerError
from kegnet_client.core.verdict import Disposition, Verdict

MAX_RETRY_AFTER_S = 3600.0
MAX_SKEW_S = 300.0

_ASK_LATER = frozenset({408, 425, 429})
_BAD_RECORD = frozenset({400, 409, 413, 422})
_REFUSED = frozenset({401, 403})
_REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
_LOGIN = re.compile(r"(basic|bearer|digest|negotiate)\b", re.IGNORECASE)
"""How a server or a proxy asks for a login in WWW-Authenticate; what KegNet servers say there is none of these."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer; header names are lower case, the body may be cut."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def judge(answer: Answer, url: str, wall_ms: int) -> Verdict:
    """What REST v1's and v2's ``answer`` to a POST of one record to ``url`` means for that record."""
    status = answer.status
    said = f"the server answered {status}"
    if 200 <= status < 300:
        return Verdict(Disposition.ACCEPTED, said, status)
    if status in _BAD_RECORD:
        return Verdict(Disposition.REJECTED, said + quote(answer.body), status)
    return judge_failure(answer, url, wall_ms)


def judge_failure(answer: Answer, url: str, wall_ms: int) -> Verdict:
    """What an ``answer`` means that says nothing of the records, in any version: later, or something to fix."""
    status = answer.status
    said = f"the server answered {status}"
    if status in _ASK_LATER or 500 <= status < 600:
        retry_after_s = parse_retry_after(answer.headers.get("retry-after"), answer.headers.get("date"), wall_ms)
        alone = status >= 500 and retry_after_s is None
        return Verdict(Disposition.DEFERRED, said, status, retry_after_s, alone)
    reason = f"{said}: {_remedy(answer, url, wall_ms)}"
    return Verdict(Disposition.MISCONFIGURED, reason, status, refused=status in _REFUSED)


def judge_silence(error: TransportError, server: str) -> Verdict:
    """What it means that ``server`` (host and port) gave no answer."""
    refused = isinstance(error, UntrustedServerError)
    disposition = Disposition.MISCONFIGURED if refused else Disposition.DEFERRED
    return Verdict(disposition, f"{server}: {error}", refused=refused)


def parse_retry_after(value: str | None, date: str | None, wall_ms: int) -> float | None:
    """Seconds to wait, 0 to `MAX_RETRY_AFTER_S`; None for no header or one that makes no sense.

    A point in time is taken relative to the server's own ``date``, so that our clock need not be right.
    """
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]+", value, re.ASCII):
        seconds = float(value)  # infinite for absurdly many digits, where int() would raise
    else:
        until_ms = _http_date_ms(value)
        if until_ms is None:
            return None
        from_ms = _http_date_ms(date)
        seconds = (until_ms - (wall_ms if from_ms is None else from_ms)) / 1000
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _remedy(answer: Answer, url: str, wall_ms: int) -> str:
    status = answer.status
    if status in _REFUSED:
        server_ms = _http_date_ms(answer.headers.get("date"))
        if server_ms is not None and abs(server_ms - wall_ms) > MAX_SKEW_S * 1000:
            minutes = round((wall_ms - server_ms) / 60_000)
            side = "ahead of" if minutes > 0 else "behind"
            return f"this clock is {abs(minutes)} min {side} the server's; set it (timedatectl)"
        if _LOGIN.match(answer.headers.get("www-authenticate", "")):
            return f"{url} asks for a login, so it is not where records go; fix serviceBaseURL"
        if answer.headers.get("content-type", "").startswith("text/plain") and (why := quote(answer.body)):
            return f"it refuses this device or its key{why}; check there that uuid and key are registered, not revoked"
        return "it does not know this device or its key; register the uuid and the public key there"
    if status in _REDIRECTS:
        location = answer.headers.get("location", "")
        return f"redirects are not followed; put the final address into serviceBaseURL{quote(location.encode())}"
    return f"{url} is not where it takes records; fix serviceBaseURL"


def quote(body: bytes) -> str:
    """The beginning of ``body`` as a harmless suffix of a message."""
    text = " ".join(body[:200].decode("utf-8", "replace").split())
    text = "".join(character if character.isprintable() else "?" for character in text)
    return f": {text}" if text else ""


def _http_date_ms(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        when = parsedate_to_datetime(text)
        return int(_as_utc(when).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _as_utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when
