"""What a record says, as the hub keeps it: under which kind, in which columns, under which ids. Pure: no database."""

from collections.abc import Mapping
from typing import Any

from kegnet_client.core.records import Heartbeat, Pour, Reading
from kegnet_client.core.wire.base_url import Version
from kegnet_client.core.wire.forms import record_id
from kegnet_client.hub.ingest.forms import Address, Content, NamelessReading, Proven

POURS = "pours"
TEMPERATURES = "temperatures"
HEARTBEATS = "heartbeats"
KINDS = (POURS, TEMPERATURES, HEARTBEATS)
"""The names of the tables of records, too."""

_SECOND_MS = Version.V1.ms_per_unit
_BY_V1 = (Version.V1.value,)
_BY_V1_OR_V2 = (Version.V1.value, Version.V2.value)


def kind_of(content: Content) -> str:
    """Which of `KINDS` it is."""
    match content:
        case Pour():
            return POURS
        case Reading() | NamelessReading():
            return TEMPERATURES
        case Heartbeat() | Address():
            return HEARTBEATS


def columns_of(content: Content) -> dict[str, Any]:
    """What ``content`` is in its table."""
    match content:
        case Pour(pin, pulses, elapsed_ms, started_ms):
            return {"pin": pin, "pulses": pulses, "elapsed_ms": elapsed_ms, "started_ms": started_ms}
        case Reading(sensor, millidegrees, taken_ms):
            return {"sensor": sensor, "millidegrees": millidegrees, "taken_ms": taken_ms}
        case NamelessReading(millidegrees, taken_ms):
            return {"sensor": None, "millidegrees": millidegrees, "taken_ms": taken_ms}
        case Heartbeat(at_ms):
            return {"address": None, "at_ms": at_ms}
        case Address(address, at_ms):
            return {"address": address, "at_ms": at_ms}


def other_ids(device: str, content: Content) -> dict[str, tuple[str, ...]]:
    """The ids under which ``content`` is stored where versions that know less of it brought it, each with these."""
    match content:
        case Pour(pin, pulses, elapsed_ms, started_ms):
            return {_id(device, pin, pulses, _floor(elapsed_ms), _floor(started_ms)): _BY_V1}
        case Reading(_, millidegrees, taken_ms):
            # In this order: on the full second both are the same.
            return {
                _id(device, millidegrees, _floor(taken_ms)): _BY_V1,
                _id(device, millidegrees, taken_ms): _BY_V1_OR_V2,
            }
        case NamelessReading(millidegrees, taken_ms):
            return {_id(device, millidegrees, _floor(taken_ms)): _BY_V1}
        case _:  # of heartbeats and addresses none is sent again
            return {}


def find_difference(row: Mapping[str, Any], kind: str, proven: Proven, record_id: str, content: Content) -> str | None:
    """What of a stored ``row`` among ``kind`` is not what ``proven`` says; None where all of it is."""
    signed = {
        **columns_of(content),
        "device": proven.device,
        "record_id": record_id,
        "protocol": proven.version.value,
        "key": proven.key_fingerprint,
    }
    changed = [name for name, value in signed.items() if row.get(name) != value]
    if kind_of(content) != kind or changed:
        return f"the columns {', '.join(changed)} do not hold what was signed"
    return None


def _id(*values: str | int) -> str:
    return record_id(",".join(map(str, values)).encode("ascii"))


def _floor(time_ms: int) -> int:
    return time_ms - time_ms % _SECOND_MS
