"""KegNet REST v3: many records in one request, one verdict a record. What goes over the wire, and back.

Both ends use this module. A request is a JSON object with the device's uuid and its records, each under the
identity (`identify`) that follows from its content; a signature over the whole request (HTTP Message
Signatures, RFC 9421, over a Content-Digest, RFC 9530) is made and verified by those who hold the keys. The
answer says of each record whether it is stored or never will be.

Security: `parse_content` takes bytes from anyone. They are bounded by whoever read them (`MAX_CONTENT_BYTES`),
and whatever they hold ends as records, as a reason beside a record, or as one error about all of it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from kegnet_client.core.errors import KegnetError, RecordError
from kegnet_client.core.records import Heartbeat, Pour, Reading, Record, make_heartbeat, make_pour, make_reading
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire.answer import Answer, judge_failure, quote
from kegnet_client.core.wire.forms import is_uuid, record_id

CALL = "records"
"""The last part of the path."""
CONTENT_TYPE = "application/json"
BOOT_HEADER = "KegNet-Boot"
"""What a device calls the boot that it sends from: 16 hexadecimal digits. It is not signed."""
WARNING_HEADER = "KegNet-Warning"
"""On an answer: what is wrong with the device beside its records, in a line of text."""
CLONE_WARNING = (
    "another machine sends as this device: its card was copied. On the copy, `kegnet-client enroll --replace` with a "
    "code of `hub invite` makes it a device of its own"
)
MAX_RECORDS = 500
MAX_CONTENT_BYTES = 256 * 1024
"""Before compression."""
COMPRESS_FROM_BYTES = 1024
"""A content of this size or less is not worth compressing."""

SIGNATURE_LABEL = "kegnet"
SIGNATURE_TAG = "kegnet-v3"
COVERED = ("@method", "@path", "content-type", "content-encoding", "content-digest")
"""What a signature covers; the encoding only where it is sent."""

MAX_REASON_CHARACTERS = 200
"""So that the verdicts on a whole batch stay below what a client reads of an answer."""

_NOT_THIS_PROTOCOL = frozenset({400, 409, 415, 422})
_ID = re.compile(r"[\x20-\x7e]{1,64}", re.ASCII)


class ContentError(KegnetError):
    """A request is not REST v3, so that no record in it is to blame: fix what made it."""

    exit_code = 65


class TooMuchError(KegnetError):
    """There is more in one request than may be: send less at once."""

    exit_code = 65


@dataclass(frozen=True, slots=True)
class Item:
    """One record of a request: ``record`` with its ``id``, or the ``reason`` why it is none.

    ``id`` is as it was sent, which for what is none may be anything or missing.
    """

    id: str | None
    record: Record | Heartbeat | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """A request's content: who says to send it, and what."""

    device: str
    items: tuple[Item, ...]


def covered(is_encoded: bool) -> tuple[str, ...]:
    """The components that a signature has to cover; ``is_encoded`` says that there is a Content-Encoding."""
    return COVERED if is_encoded else tuple(name for name in COVERED if name != "content-encoding")


def canonical_string(record: Record | Heartbeat, device: str) -> bytes:
    """What makes ``record`` itself; that of a pour is what REST v2 signs."""
    if isinstance(record, Pour):  # each record of a backlog comes by here: a match would take three times as long
        pin, pulses, elapsed_ms, started_ms = record
        return f"{device},{pin},{pulses},{elapsed_ms},{started_ms}".encode()
    if isinstance(record, Reading):
        return f"{device},{record.sensor},{record.millidegrees},{record.taken_ms}".encode()
    return f"{device},{record.at_ms}".encode()


def identify(record: Record | Heartbeat, device: str) -> str:
    """The idempotency key of ``record`` from ``device`` (a lower-case uuid): 32 hexadecimal digits."""
    return record_id(canonical_string(record, device))


def format_content(device: str, batch: Mapping[str, Record | Heartbeat]) -> bytes:
    """The content of the request that carries ``batch``, each record under its identity."""
    items = [make_item(identity, record) for identity, record in batch.items()]
    return json.dumps({"device": device, "records": items}, separators=(",", ":")).encode("ascii")


def make_item(identity: str, record: Record | Heartbeat) -> dict[str, str | int]:
    """``record`` under its ``identity``, as one object of JSON."""
    if isinstance(record, Pour):
        pin, pulses, elapsed_ms, started_ms = record
        return {
            "id": identity,
            "type": "pour",
            "pin": pin,
            "pulses": pulses,
            "elapsed_ms": elapsed_ms,
            "started_ms": started_ms,
        }
    if isinstance(record, Reading):
        sensor, millidegrees, taken_ms = record
        return {
            "id": identity,
            "type": "reading",
            "sensor": sensor,
            "millidegrees": millidegrees,
            "taken_ms": taken_ms,
        }
    return {"id": identity, "type": "heartbeat", "at_ms": record.at_ms}


def parse_content(content: bytes) -> Content:
    """What ``content`` (not compressed) says.

    `ContentError` where it is not this protocol, `TooMuchError` for more than `MAX_RECORDS`.
    """
    try:
        fields = json.loads(content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        raise ContentError("the content is nested too deeply") from None
    except ValueError as error:
        raise ContentError(f"the content is not JSON in UTF-8: {error}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("device"), str) or not is_uuid(fields["device"]):
        raise ContentError("expected an object with a device, a uuid")
    batch = fields.get("records")
    if not isinstance(batch, list) or not all(isinstance(one, dict) for one in batch):
        raise ContentError("expected records, a list of objects")
    if len(batch) > MAX_RECORDS:
        raise TooMuchError(f"{len(batch)} records, {MAX_RECORDS} may come at once")
    ids = [one["id"] for one in batch if isinstance(one.get("id"), str)]
    if len(set(ids)) != len(ids):
        raise ContentError("each id may stand there once")
    return Content(fields["device"], tuple(_parse_item(one, fields["device"]) for one in batch))


def format_verdicts(digest: str, items: Sequence[Item], reasons: Mapping[int, str]) -> bytes:
    """The answer to the request with the Content-Digest ``digest`` and ``items``, of which those at the indexes in
    ``reasons`` are rejected."""
    rejected = []
    for index, reason in sorted(reasons.items()):
        item = {"index": index, "id": items[index].id, "reason": reason[:MAX_REASON_CHARACTERS]}
        rejected.append({name: value for name, value in item.items() if value is not None})
    verdicts = {"request": digest, "accepted": len(items) - len(rejected), "rejected": rejected}
    return json.dumps(verdicts, separators=(",", ":")).encode("ascii")


def judge(answer: Answer, digest: str, ids: Sequence[str], url: str, wall_ms: int) -> list[Verdict]:
    """What ``answer`` to a POST of the records ``ids`` to ``url`` means for each of them; ``digest`` is the request's
    Content-Digest.

    `Disposition.ACCEPTED`, and `Disposition.REJECTED` for more than one, come from verdicts alone; any other
    is about the request and the same for all.
    """
    if not 200 <= answer.status < 300:
        return [_judge_failure(answer, len(ids), url, wall_ms)] * len(ids)
    try:
        return _parse_verdicts(answer, digest, ids)
    except _NoAcknowledgementError as error:
        return [Verdict(Disposition.DEFERRED, f"the server answered {answer.status} {error}", answer.status)] * len(ids)


class _NoAcknowledgementError(Exception):
    """An answer acknowledges nothing; says which."""


def _parse_verdicts(answer: Answer, digest: str, ids: Sequence[str]) -> list[Verdict]:
    """The verdicts of an acknowledgement.

    Read strictly: what can be understood in two ways, or says that there was an error, acknowledges nothing.
    """
    without = f"without a verdict on each record, which is no acknowledgement{quote(answer.body)}"
    content_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status != 200 or content_type != CONTENT_TYPE:
        raise _NoAcknowledgementError(without)
    try:
        fields = json.loads(answer.body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise _NoAcknowledgementError(without) from None
    if not isinstance(fields, dict) or "error" in fields:
        raise _NoAcknowledgementError(without)
    if "request" in fields and fields["request"] != digest:
        raise _NoAcknowledgementError("to another request, which is no acknowledgement")
    try:
        reasons = _parse_reasons(fields, ids)
    except ValueError:
        raise _NoAcknowledgementError(without) from None
    if "request" not in fields:
        raise _NoAcknowledgementError("without the request's digest, which is no acknowledgement; update the hub")
    stored = Verdict(Disposition.ACCEPTED, "the server answered 200", 200)
    return [
        Verdict(Disposition.REJECTED, f"the server says{reasons[index]}", 200) if index in reasons else stored
        for index in range(len(ids))
    ]


def _judge_failure(answer: Answer, size: int, url: str, wall_ms: int) -> Verdict:
    status = answer.status
    said = f"the server answered {status}"
    if status in _NOT_THIS_PROTOCOL:
        reason = f"{said} to {url}: it does not take this for REST v3; fix serviceBaseURL{quote(answer.body)}"
        return Verdict(Disposition.MISCONFIGURED, reason, status)
    if status == 413:
        if size == 1:
            return Verdict(Disposition.REJECTED, said + quote(answer.body), status)
        return Verdict(Disposition.DEFERRED, f"{said} to {size} records", status, record_may_be_the_cause=True)
    return judge_failure(answer, url, wall_ms)


def _parse_reasons(fields: Mapping[str, Any], ids: Sequence[str]) -> dict[int, str]:
    """Why which records are rejected, by their indexes; `ValueError` unless there is one verdict on each."""
    accepted, rejected = fields.get("accepted"), fields.get("rejected")
    if not _is_integer(accepted) or accepted < 0 or not isinstance(rejected, list):
        raise ValueError("not the counts")
    reasons = dict(_parse_rejection(one, ids) for one in rejected)
    if accepted + len(rejected) != len(ids) or len(reasons) != len(rejected):
        raise ValueError("not one verdict on each")
    return reasons


def _parse_rejection(rejection: Any, ids: Sequence[str]) -> tuple[int, str]:
    if not isinstance(rejection, dict):
        raise ValueError("not a rejection")
    index, reason = rejection.get("index"), rejection.get("reason", "")
    if not _is_integer(index) or not 0 <= index < len(ids) or rejection.get("id", ids[index]) != ids[index]:
        raise ValueError("not a rejection of what was sent")
    if not isinstance(reason, str):
        raise ValueError("not a reason")
    return index, quote(reason.encode("utf-8", "replace")) or ": no reason"


def _parse_item(fields: dict[str, Any], device: str) -> Item:
    claimed = fields.get("id")
    identity = claimed if isinstance(claimed, str) and _ID.fullmatch(claimed) else None
    try:
        record = _parse_record(fields)
    except RecordError as error:
        return Item(identity, None, str(error))
    expected = identify(record, device)
    if claimed != expected:
        return Item(identity, None, f"id is not that of this record, which is {expected}")
    return Item(identity, record)


def _parse_record(fields: dict[str, Any]) -> Record | Heartbeat:
    match fields.get("type"):
        case "pour":
            pin, pulses, elapsed_ms, started_ms = (
                _take_integer(fields, name) for name in ("pin", "pulses", "elapsed_ms", "started_ms")
            )
            return make_pour(pin, pulses, elapsed_ms, started_ms)
        case "reading":
            sensor = fields.get("sensor")
            if not isinstance(sensor, str):
                raise RecordError("sensor is missing or no string")
            return make_reading(sensor[:40], _take_integer(fields, "millidegrees"), _take_integer(fields, "taken_ms"))
        case "heartbeat":
            return make_heartbeat(_take_integer(fields, "at_ms"))
        case unknown:
            raise RecordError(f"type is {str(unknown)[:40]!r}, expected pour, reading or heartbeat")


def _take_integer(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RecordError(f"{name} is missing or no integer")
    return value


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        # Readers differ in which one they take, and what is proven must mean one thing.
        raise ValueError("a name stands twice in one object")
    return fields


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")
