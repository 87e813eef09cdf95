"""Kegbot's API v1, as servers of 1.0 to 1.3 have it: pours to drinks, temperatures, and what the answers say.

A server of that kind knows no repetition: the same post twice makes two drinks. So each drink carries a nonce, by which
it is found again (`nonce_of`), as one more pair in its ``tick_time_series``, which the server keeps as it is: an offset
in milliseconds that no pour has, with no pulses. It is compared as a number.

=============== ==========================================================================================
drink           ``POST taps/METER``: ``tap_name``, ``ticks``, ``duration`` (seconds), ``record_date`` for 1.3,
                ``pour_time`` and ``now`` for 1.0 to 1.2 (which ignore the other), ``tick_time_series``
temperature     ``POST thermo-sensors/NAME``: ``temp_c``; the server dates it itself
cancelling      ``POST cancel-drink``: ``id``
what it answers ``{"object": {..}}`` or ``{"objects": [..]}``, with ``meta``; or ``{"error": {"code", "message"}}``
=============== ==========================================================================================
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from kegnet_client.core.errors import KegnetError
from kegnet_client.core.records import Pour, Reading
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire import answer as wire_answer
from kegnet_client.core.wire.answer import Answer, judge_failure
from kegnet_client.core.wire.base_url import ServerUrl, parse_url
from kegnet_client.core.wire.batch import canonical_string

CONTENT_TYPE = "application/x-www-form-urlencoded"
KEY_HEADER = "X-Kegbot-Api-Key"
KEGBOT_ADVICE = "check apiUrl, apiKeyFile and taps under [Kegbot]"
DRINKS_A_PAGE = 100
NONCE_BITS = 48

_EXAMPLE = "https://HOST/api"
_METER = re.compile(r"[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}")
_KEY = re.compile(r"[A-Za-z0-9]{16,128}")
_PAIR = re.compile(r"\b([0-9]{1,20}):([0-9]{1,20})\b", re.ASCII)
_MAX_ML_PER_TICK = 1000
_REFUSED = (401, 403)
_GONE = 410


class AnswerError(KegnetError):
    """What answered does not speak Kegbot's API: fix the address."""

    exit_code = 78


@dataclass(frozen=True, slots=True)
class Tap:
    """A tap of the server's, by its meter's name. ``ml_per_tick`` is 0 where the server does not tell it."""

    meter: str
    has_keg: bool
    ml_per_tick: float = 0.0


@dataclass(frozen=True, slots=True)
class Drink:
    """A drink of the server's. ``nonces`` is None where the server does not tell what it keeps of its series."""

    id: int
    nonces: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class DrinkPost:
    """A drink to be: ``ended_ms`` is the Unix time of its last pulse, ``now_s`` that of the post."""

    ticks: int
    duration_s: int
    ended_ms: int
    now_s: int
    nonce: int


def parse_api_url(text: str) -> ServerUrl:
    """The address of the API, which ends in ``/api/v1`` whatever was written; `ValueError` says what is wrong."""
    address = parse_url(text, _EXAMPLE)
    url = address.url.removesuffix("/v1")
    if not url.endswith("/api"):
        raise ValueError(f"it must end in /api; write it as {_EXAMPLE}")
    path = address.path.removesuffix("/").removesuffix("/v1")
    return ServerUrl(f"{url}/v1", address.host, address.port, f"{path}/v1")


def parse_meter_names(text: str) -> dict[int, str]:
    """Which meter of the server's each pin is, from ``PIN:METER, PIN:METER``; `ValueError` says what is wrong."""
    meters: dict[int, str] = {}
    for part in text.split(","):
        pin, _, meter = part.strip().partition(":")
        if not re.fullmatch(r"0|[1-9][0-9]{0,2}", pin, re.ASCII) or int(pin) > 255 or not _METER.fullmatch(meter):
            raise ValueError("write it as 0:kegboard.flow0, 1:kegboard.flow1, a pin (0 to 255) and its meter's name")
        if int(pin) in meters:
            raise ValueError(f"names pin {pin} twice; write it once")
        meters[int(pin)] = meter
    return meters


def is_key(text: str) -> bool:
    """Whether ``text`` can be an API key."""
    return _KEY.fullmatch(text) is not None


def nonce_of(pour: Pour, device: str) -> int:
    """What ``pour`` of ``device``, a lower-case uuid, is known by: 48 bits that follow from its content."""
    digest = hashlib.sha256(canonical_string(pour, device)).digest()
    return int.from_bytes(digest[: NONCE_BITS // 8])


def format_pour(pour: Pour, meter: str, nonce: int, now_ms: int) -> bytes:
    """The form that makes a drink of ``pour`` at the tap with ``meter``."""
    ended_ms = pour.started_ms + pour.elapsed_ms
    ended = datetime.fromtimestamp(ended_ms // 1000, UTC)
    fields = {
        "tap_name": meter,
        "ticks": str(pour.pulses),
        # With its offset: 1.3 takes none without.
        "record_date": f"{ended:%Y-%m-%dT%H:%M:%S}.{ended_ms % 1000:03}+00:00",
        "pour_time": str(ended_ms // 1000),
        "now": str(now_ms // 1000),
        "tick_time_series": _format_series(pour, nonce),
    }
    if pour.elapsed_ms >= 1000:
        fields["duration"] = str(pour.elapsed_ms // 1000)
    return urlencode(fields).encode("ascii")


def parse_drink_post(body: bytes) -> DrinkPost:
    """What a server makes of the form ``body``; `ValueError` or `KeyError` where it is none."""
    fields = dict(parse_qsl(body.decode("ascii"), strict_parsing=True))
    ended = datetime.fromisoformat(fields["record_date"])
    if ended.tzinfo is None:
        raise ValueError("record_date has no offset")
    (nonce,) = find_nonces(fields["tick_time_series"])
    return DrinkPost(
        ticks=int(fields["ticks"]),
        duration_s=int(fields.get("duration", "0")),
        ended_ms=round(ended.timestamp() * 1000),
        now_s=int(fields["now"]),
        nonce=nonce,
    )


def find_nonces(series: str) -> frozenset[int]:
    """The nonces in a drink's ``tick_time_series``."""
    return frozenset(int(offset) for offset, ticks in _PAIR.findall(series) if int(ticks) == 0)


def format_temperature(reading: Reading) -> bytes:
    """The form that tells of ``reading``."""
    sign, whole, rest = "-" * (reading.millidegrees < 0), *divmod(abs(reading.millidegrees), 1000)
    return f"temp_c={sign}{whole}.{rest:03}".encode("ascii")


def parse_temperature(body: bytes) -> int:
    """The thousandths of a degree in such a form; `ValueError` or `KeyError` where it is none."""
    return round(float(dict(parse_qsl(body.decode("ascii"), strict_parsing=True))["temp_c"]) * 1000)


def format_cancel(drink: int) -> bytes:
    """The form that cancels ``drink``."""
    return urlencode({"id": drink}).encode("ascii")


def tap_path(meter: str) -> str:
    """Where drinks of the tap with ``meter`` go."""
    return f"taps/{quote(meter, safe='')}"


def sensor_path(sensor: str) -> str:
    """Where temperatures of ``sensor`` go."""
    return f"thermo-sensors/{quote(sensor, safe='')}"


def parse_taps(answer: Answer) -> dict[str, Tap]:
    """The taps in a good ``answer``, by the name of their meters. Raises `AnswerError`."""
    taps = [_parse_tap(one) for one in _parse_objects(answer)]
    return {tap.meter: tap for tap in taps}


def parse_drinks(answer: Answer) -> list[Drink]:
    """The drinks in a good ``answer``, the highest id first. Raises `AnswerError`."""
    drinks = [_parse_drink(one) for one in _parse_objects(answer)]
    return sorted(drinks, key=lambda drink: -drink.id)


def parse_drink(answer: Answer) -> Drink:
    """The one drink in a good ``answer``. Raises `AnswerError`."""
    return _parse_drink(_parse_envelope(answer).get("object"))


def find_meter(taps: Mapping[str, Tap], pin: int, named: Mapping[int, str]) -> str | None:
    """The meter of ``pin``: the ``named`` one, or the only one that is called ``.flowPIN``; None for neither."""
    if pin in named:
        return named[pin]
    found = [meter for meter in taps if meter.endswith(f".flow{pin}")]
    return found[0] if len(found) == 1 else None


def find_error(answer: Answer) -> str:
    """What the server says is wrong, as a suffix of a message; empty where it does not say it in its own way."""
    try:
        error = _parse_envelope(answer).get("error")
    except AnswerError:
        return ""
    message = error.get("message") if isinstance(error, dict) else None
    return "" if message is None else wire_answer.quote(str(message).encode("utf-8", "replace"))


def is_later_version(answer: Answer) -> bool:
    """Whether what answers a question for its version so is a Kegbot of 2.0 or later."""
    return answer.status == _GONE


def is_unknown(answer: Answer) -> bool:
    """Whether the server says in its own way that what was asked for is not there."""
    return answer.status == 404 and find_error(answer) != ""


def judge_refusal(answer: Answer, url: str, wall_ms: int) -> Verdict:
    """What an ``answer`` from ``url`` means that is not good and says nothing of a record."""
    said = f"the server answered {answer.status}{find_error(answer)}"
    if answer.status in _REFUSED:
        remedy = "it takes no request without a good API key; put one, of a user on the staff there, into apiKeyFile"
        return Verdict(Disposition.MISCONFIGURED, f"{said}: {remedy}", answer.status, refused=True)
    verdict = judge_failure(answer, url, wall_ms)
    if verdict.disposition is Disposition.DEFERRED:
        return verdict
    if 300 <= answer.status < 400:
        to = wire_answer.quote(answer.headers.get("location", "").encode())
        return Verdict(
            Disposition.MISCONFIGURED,
            f"{said}: redirects are not followed; put the final address into apiUrl{to}",
            answer.status,
        )
    remedy = "see to the server, whether it is set up" if answer.status == 400 else _not_there(url)
    return Verdict(Disposition.MISCONFIGURED, f"{said}: {remedy}", answer.status)


def judge_nonsense(answer: Answer, url: str) -> Verdict:
    """What it means that a good ``answer`` from ``url`` is not Kegbot's."""
    said = f"the server answered {answer.status} with something else than Kegbot's JSON"
    return Verdict(Disposition.MISCONFIGURED, f"{said}: {_not_there(url)}", answer.status)


def _not_there(url: str) -> str:
    return f"{url} is not where a Kegbot server answers; fix apiUrl under [Kegbot]"


def _format_series(pour: Pour, nonce: int) -> str:
    pairs = [(0, pour.pulses)] if pour.pulses == 1 else [(0, 1), (pour.elapsed_ms, pour.pulses - 1)]
    return " ".join(f"{offset_ms}:{ticks}" for offset_ms, ticks in [*pairs, (nonce, 0)])


def _parse_envelope(answer: Answer) -> dict[str, Any]:
    try:
        envelope = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise AnswerError("it is not JSON") from None
    if not isinstance(envelope, dict):
        raise AnswerError("it has no object")
    return envelope


def _parse_objects(answer: Answer) -> list[Any]:
    objects = _parse_envelope(answer).get("objects")
    if not isinstance(objects, list):
        raise AnswerError("it has no objects")
    return objects


def _parse_tap(fields: Any) -> Tap:
    if not isinstance(fields, dict) or not isinstance(fields.get("meter_name"), str):
        raise AnswerError("a tap of it has no meter's name")
    ml = fields.get("ml_per_tick")
    if not isinstance(ml, int | float) or not 0 < ml < _MAX_ML_PER_TICK:
        ml = 0.0
    return Tap(fields["meter_name"], fields.get("current_keg_id") is not None, float(ml))


def _parse_drink(fields: Any) -> Drink:
    number = fields.get("id") if isinstance(fields, dict) else None
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise AnswerError("a drink of it has no id")
    series = fields.get("tick_time_series")
    return Drink(number, None if series is None else find_nonces(str(series)))
