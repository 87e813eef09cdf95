"""Who may send: a registered device, as a row of the database says it; and which keys it ever had."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, select, update

from kegnet_client.core.errors import UsageError
from kegnet_client.hub.store import database, schema


@dataclass(frozen=True, slots=True)
class Device:
    """A registered device. ``last_seen_ms`` is when it last sent something new, by the hub's clock.

    While it changes its key it has two: what either signed is taken.
    """

    id: int
    uuid: str
    name: str
    key_fingerprint: str
    public_key_pem: str
    next_key_pem: str | None
    added_ms: int
    revoked_ms: int | None
    last_seen_ms: int | None
    address: str | None

    @property
    def keys_pem(self) -> tuple[str, ...]:
        """The public keys that it may sign with."""
        return (self.public_key_pem,) if self.next_key_pem is None else (self.public_key_pem, self.next_key_pem)


def select_devices() -> Select[Any]:
    """The devices, each row with the fields of `Device`, in the order of registration."""
    table, key, next_key = schema.devices, schema.keys.alias(), schema.keys.alias()
    statement = select(
        table.c.id,
        table.c.uuid,
        table.c.name,
        table.c.key.label("key_fingerprint"),
        key.c.pem.label("public_key_pem"),
        next_key.c.pem.label("next_key_pem"),
        table.c.added_ms,
        table.c.revoked_ms,
        table.c.last_seen_ms,
        table.c.address,
    )
    joined = table.join(key, table.c.key == key.c.fingerprint)
    joined = joined.outerjoin(next_key, table.c.next_key == next_key.c.fingerprint)
    return statement.select_from(joined).order_by(table.c.id)


def register(connection: Connection, device: str, name: str, fingerprint: str, pem: str, now_ms: int) -> bool:
    """Register ``device`` with the public key ``pem``; False if its uuid is registered already."""
    row = {"uuid": device, "name": name, "key": fingerprint, "added_ms": now_ms}
    database.insert_new(connection, schema.keys, {"fingerprint": fingerprint, "pem": pem})
    if not database.insert_new(connection, schema.devices, row):
        return False
    _note_key(connection, device, fingerprint, now_ms)
    return True


def find(connection: Connection, text: str) -> Device:
    """The device whose uuid or name is ``text``; `UsageError` where there is none, or where several have that name.

    Of several, the one that is not revoked is meant.
    """
    found = [Device(**row._mapping) for row in connection.execute(select_devices())]
    by_uuid = [one for one in found if one.uuid == text.lower()]
    named = by_uuid or [one for one in found if one.name == text]
    meant = named if len(named) == 1 else [one for one in named if one.revoked_ms is None] or named
    if not meant:
        raise UsageError(
            f"no device has the name or the uuid {text!r}; `kegnet-client hub devices list` shows who is registered"
        )
    if len(meant) > 1:
        uuids = ", ".join(one.uuid for one in meant)
        raise UsageError(f"{len(meant)} devices are called {text!r}: name one by its uuid ({uuids})")
    return meant[0]


def refuse_taken(connection: Connection, name: str) -> None:
    """`UsageError` if a device has this name and is not revoked."""
    table = schema.devices.c
    taken = connection.scalar(select(table.uuid).where(table.name == name, table.revoked_ms.is_(None)).limit(1))
    if taken is not None:
        raise UsageError(
            f"{name!r} is the name of {taken}: take another, or let that one come back by "
            "`kegnet-client hub invite --replace NAME`"
        )


def rename(connection: Connection, device: str, name: str) -> None:
    """Call ``device`` (a uuid) ``name``; `UsageError` if another one is called so."""
    refuse_taken(connection, name)
    table = schema.devices
    connection.execute(update(table).where(table.c.uuid == device).values(name=name))


def replace_key(connection: Connection, device: str, fingerprint: str, pem: str, now_ms: int) -> str:
    """Let ``device`` have the public key ``pem`` alone, and take what it sends, even if it was revoked; its name."""
    table = schema.devices
    is_it = table.c.uuid == device
    name = connection.execute(select(table.c.name).where(is_it).with_for_update()).scalar_one()
    add_key(connection, device, fingerprint, pem, now_ms)
    cancel_replacements(connection, device)
    connection.execute(update(table).where(is_it).values(key=fingerprint, next_key=None, revoked_ms=None))
    return str(name)


def cancel_replacements(connection: Connection, device: str) -> None:
    """Let no invitation that was made before bring ``device`` back; one that was used stays."""
    table = schema.invitations
    connection.execute(delete(table).where(table.c.replaces == device, table.c.used_ms.is_(None)))


def revoke(connection: Connection, device: str, now_ms: int) -> bool:
    """Take nothing more from ``device``; False if it is not registered, or is revoked already."""
    cancel_replacements(connection, device.lower())
    table = schema.devices
    is_it = (table.c.uuid == device.lower()) & table.c.revoked_ms.is_(None)
    return connection.execute(update(table).where(is_it).values(revoked_ms=now_ms)).rowcount > 0


def add_key(connection: Connection, device: str, fingerprint: str, pem: str, now_ms: int) -> None:
    """Keep the public key ``pem``, and that ``device`` has it."""
    database.insert_new(connection, schema.keys, {"fingerprint": fingerprint, "pem": pem})
    _note_key(connection, device, fingerprint, now_ms)


def _note_key(connection: Connection, device: str, fingerprint: str, now_ms: int) -> None:
    table = schema.device_keys
    row = {"device": device, "key": fingerprint, "since_ms": now_ms, "inferred": False}
    if not database.insert_new(connection, table, row):
        # The device had it before, or that was inferred.
        is_it = (table.c.device == device) & (table.c.key == fingerprint)
        connection.execute(update(table).where(is_it).values(inferred=False))
