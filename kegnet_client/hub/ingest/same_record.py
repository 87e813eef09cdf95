"""One record that comes by several versions of the protocol, which know more or less of it.

A device whose acknowledgement was lost, and whose configuration then changed to another version, sends its record
again by that one. v3 tells a reading's sensor, v2 does not; nor does v1, which cuts times off to seconds, too. So what
comes by a version that knows less is the stored record that it could be, and what comes by one that knows more is the
stored record that it would have been by the other. What the versions cannot tell apart is one then: readings of two
sensors at one temperature in one millisecond (v2) or second (v1), pours of as many pulses at one tap in a second (v1).

Only looks, in the transaction that stores; changes nothing. A pour of v2 and one of v3 have the same id anyway.
"""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection, Table, bindparam, select

from kegnet_client.core.records import Pour
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest.contents import other_ids
from kegnet_client.hub.ingest.forms import Content, NamelessReading, Proven
from kegnet_client.hub.store import schema


def find_known(connection: Connection, proven: Iterable[Proven]) -> set[tuple[Table, str, str]]:
    """The table, device and id of the records in ``proven`` that another version brought before."""
    known: set[tuple[Table, str, str]] = set()
    by_other_id: dict[tuple[Table, str], dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in proven:
        for its_id, content in one.records:
            table = schema.pours if isinstance(content, Pour) else schema.temperatures
            if one.version is not Version.V1:
                for other_id, protocols in other_ids(one.device, content).items():
                    for protocol in protocols:
                        by_other_id[table, one.device][other_id, protocol].append(its_id)
            if one.version is not Version.V3 and _is_known_better(connection, one.device, one.version, content):
                known.add((table, one.device, its_id))
    for (table, device), ids in by_other_id.items():
        asked = {"device": device, "ids": list({other_id for other_id, _ in ids})}
        for row in connection.execute(_BY_ID[table], asked):
            known |= {(table, device, its_id) for its_id in ids.get((row.record_id, row.protocol), ())}
    return known


def _is_known_better(connection: Connection, device: str, version: Version, content: Content) -> bool:
    """Whether a version that knows more of ``content`` brought it."""
    values: dict[str, str | int] = {"device": device, "version": version.value}
    cut_ms = version.ms_per_unit - 1
    match content:
        case Pour(pin, pulses, elapsed_ms, started_ms) if version is Version.V1:
            values |= {"pin": pin, "pulses": pulses}
            values |= {"elapsed_ms": elapsed_ms, "elapsed_to_ms": elapsed_ms + cut_ms}
            values |= {"from_ms": started_ms, "to_ms": started_ms + cut_ms}
            return connection.execute(_POUR, values).first() is not None
        case NamelessReading(millidegrees, taken_ms):
            values |= {"millidegrees": millidegrees, "from_ms": taken_ms, "to_ms": taken_ms + cut_ms}
            return connection.execute(_READING, values).first() is not None
        case _:
            return False


# Made once, as in `kegnet_client.hub.ingest.rows`.
_pours, _temperatures = schema.pours.c, schema.temperatures.c
_POUR = select(_pours.id).where(
    _pours.device == bindparam("device"),
    _pours.started_ms.between(bindparam("from_ms"), bindparam("to_ms")),
    _pours.pin == bindparam("pin"),
    _pours.pulses == bindparam("pulses"),
    _pours.elapsed_ms.between(bindparam("elapsed_ms"), bindparam("elapsed_to_ms")),
    _pours.protocol > bindparam("version"),
)
_READING = select(_temperatures.id).where(
    _temperatures.device == bindparam("device"),
    _temperatures.taken_ms.between(bindparam("from_ms"), bindparam("to_ms")),
    _temperatures.millidegrees == bindparam("millidegrees"),
    _temperatures.protocol > bindparam("version"),
)
_BY_ID = {
    table: select(table.c.record_id, table.c.protocol).where(
        table.c.device == bindparam("device"), table.c.record_id.in_(bindparam("ids", expanding=True))
    )
    for table in (schema.pours, schema.temperatures)
}
