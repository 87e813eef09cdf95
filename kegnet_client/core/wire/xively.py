"""Xively's API v2 (Cosm's, Pachube's): one PUT of the feed a record, and what its answers mean.

A pour is two datastreams, a temperature is one; a server makes those that are missing. Values are text, times ISO 8601
in UTC. A heartbeat is a GET of the feed.

==================== ==========================================================================
``pour-pulses-PIN``  pulses, at the start of the pour
``pour-time-PIN``    its duration in seconds
``temp-SENSOR``      degrees Fahrenheit
==================== ==========================================================================
"""

import json
import re
from datetime import UTC, datetime, timedelta

from kegnet_client.core.records import Pour, Record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire.answer import Answer, judge_failure, quote
from kegnet_client.core.wire.base_url import parse_url

CONTENT_TYPE = "application/json"
KEY_HEADER = "X-ApiKey"
XIVELY_ADVICE = "check apiUrl and feedId under [Xively]"
RATE_LIMIT_S = 60.0
"""How long the next try waits after a 403, which a v2 server answers to too many requests, too."""

_EXAMPLE = "https://HOST/v2"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BAD_RECORD = frozenset({400, 413, 422})
_ASK_LATER = frozenset({408, 425, 429})


def parse_api_url(text: str) -> str:
    """The address of the API, whose path ends in /v2; `ValueError` says what is wrong with it."""
    parsed = parse_url(text, _EXAMPLE)
    if not parsed.path.endswith("/v2"):
        raise ValueError(f"it must end in /v2, the version that is spoken; write it as {_EXAMPLE}")
    return parsed.url


def parse_feed_id(text: str) -> int:
    """The number of a feed; `ValueError` says what is wrong with it."""
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text, re.ASCII):
        raise ValueError("is not the number of a feed; write its digits only")
    return int(text)


def format_feed(record: Record) -> bytes:
    """The content of the request that stores ``record``."""
    if isinstance(record, Pour):
        at = _format_time(record.started_ms)
        values = {
            f"pour-pulses-{record.pin}": str(record.pulses),
            f"pour-time-{record.pin}": _format_decimal(record.elapsed_ms, 3),
        }
    else:
        at = _format_time(record.taken_ms)
        # 1.8 times thousandths is a whole number of ten-thousandths: no binary fraction gets in.
        fahrenheit = record.millidegrees * 18 + 320_000
        values = {f"temp-{record.sensor}": _format_decimal(fahrenheit, 4)}
    streams = [{"id": name, "at": at, "current_value": value} for name, value in values.items()]
    return json.dumps({"version": "1.0.0", "datastreams": streams}, separators=(",", ":")).encode("ascii")


def judge(answer: Answer, url: str, wall_ms: int) -> Verdict:
    """What the ``answer`` to a request to the feed at ``url`` means."""
    status = answer.status
    said = f"the server answered {status}"
    if 200 <= status < 300 and "html" not in answer.headers.get("content-type", ""):
        return Verdict(Disposition.ACCEPTED, said, status)
    if status in _BAD_RECORD:
        return Verdict(Disposition.REJECTED, said + quote(answer.body), status)
    if status in _ASK_LATER or status >= 500:
        return judge_failure(answer, url, wall_ms)
    if status == 401:
        return Verdict(Disposition.MISCONFIGURED, f"{said}: fix the key in apiKeyFile", status, refused=True)
    if status == 403:
        why = "there are too many requests, or the key in apiKeyFile may not write to this feed"
        return Verdict(Disposition.DEFERRED, f"{said}: {why}", status, RATE_LIMIT_S)
    remedy = f"{url} is no feed of a server that speaks Xively's v2; fix apiUrl or feedId"
    return Verdict(Disposition.MISCONFIGURED, f"{said}: {remedy}", status)


def _format_time(unix_ms: int) -> str:
    when = _EPOCH + timedelta(milliseconds=unix_ms)
    return when.isoformat(timespec="milliseconds" if unix_ms % 1000 else "seconds").replace("+00:00", "Z")


def _format_decimal(value: int, places: int) -> str:
    """``value`` with its last ``places`` digits behind the point, as short as it goes."""
    whole, rest = divmod(abs(value), 10**places)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{rest:0{places}}".rstrip("0").rstrip(".")
