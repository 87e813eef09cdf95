"""What taps, kegs and devices are called where they are chosen from or told."""

from collections.abc import Mapping

from sqlalchemy import Connection, select

from kegnet_client.hub.store import entries, schema

Names = Mapping[tuple[str, int | str], str]
"""By kind and number, a device by its uuid."""


def read_names(connection: Connection) -> Names:
    """What taps, kegs and devices are called; a keg by what is in it."""
    beverages = {one.subject: one.body["name"] for one in entries.read_all(connection, "beverage")}
    found: dict[tuple[str, int | str], str] = {
        ("tap", one.subject): str(one.body["name"]) for one in entries.read_all(connection, "tap")
    }
    for uuid, name in connection.execute(select(schema.devices.c.uuid, schema.devices.c.name)):
        found["device", uuid] = str(name)
    for one in entries.read_all(connection, "keg"):
        found["keg", one.subject] = f"{beverages.get(one.body['beverage'], '')} #{one.subject}".strip()
    return found


def read_devices(connection: Connection) -> dict[str, str]:
    """What the devices are called that may send, by uuid."""
    table = schema.devices.c
    statement = select(table.uuid, table.name).where(table.revoked_ms.is_(None)).order_by(table.name, table.id)
    return {str(uuid): str(name) for uuid, name in connection.execute(statement)}
