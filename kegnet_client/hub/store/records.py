"""What the hub keeps: who may send, what was sent, and the proof of it.

What `Store.ingest` returned from is on disk. Nothing is cached: a device added or revoked by another process
counts from the next request on.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, func, select

from kegnet_client.core.errors import UsageError
from kegnet_client.hub.ingest import verify
from kegnet_client.hub.ingest.rows import Outcome, Submission, ingest
from kegnet_client.hub.ingest.verify import Verification
from kegnet_client.hub.store import devices, events, schema
from kegnet_client.hub.store.database import Database
from kegnet_client.hub.store.devices import Device, register, select_devices
from kegnet_client.hub.store.events import Event
from kegnet_client.hub.store.pages import Form, Query, Rows, TextPage, read_page, select_page
from kegnet_client.keys import PublicKey, key_fingerprint, normal_pem


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first, and where the next page goes on."""

    rows: Sequence[Row[Any]]
    next: tuple[int, int] | None


class Store(Database):
    """The database at ``database``, with what the hub does in it."""

    def add_device(self, uuid: str, key: PublicKey, name: str, now_ms: int) -> None:
        """Register a device; `UsageError` if there is one with this uuid, revoked or not."""
        pem = normal_pem(key)

        def work(connection: Connection) -> bool:
            return register(connection, uuid.lower(), name, key_fingerprint(pem), pem, now_ms)

        if not self.write(work):
            raise UsageError(
                f"{uuid} is registered already; `kegnet-client hub devices rekey {uuid} PUBLIC_KEY.pem` gives it "
                "another key"
            )

    def revoke_device(self, uuid: str, now_ms: int) -> None:
        """Take nothing more from a device; `UsageError` if there is no such device."""
        if not self.write(lambda connection: devices.revoke(connection, uuid, now_ms)) and self.device(uuid) is None:
            raise UsageError(f"{uuid} is not registered; `kegnet-client hub devices list` shows who is")

    def device(self, uuid: str) -> Device | None:
        """The device with this uuid, revoked or not."""
        statement = select_devices().where(schema.devices.c.uuid == uuid.lower())
        row = self.look(lambda connection: connection.execute(statement).first())
        return None if row is None else Device(**row._mapping)

    def devices(self) -> list[Device]:
        """Every device, in the order of registration."""
        return [Device(**row._mapping) for row in self.rows(select_devices())]

    def ingest(self, submissions: Sequence[Submission], received_ms: int) -> list[Outcome]:
        """Store ``submissions`` in one transaction; an outcome for each. On return what is new is on disk."""
        return self.write(lambda connection: ingest(connection, submissions, received_ms))

    def page(self, rows: Table | Select[Any], time_column: str, query: Query) -> Page:
        """Those of ``rows`` that ``query`` asks for, newest first, for whoever needs them as such."""
        found = self.rows(select_page(rows, time_column, query))
        if len(found) <= query.limit:
            return Page(found, None)
        last = found[query.limit - 1]._mapping
        return Page(found[: query.limit], (last[time_column], last["id"]))

    async def page_text(self, rows: Rows, names: Sequence[str], time_column: str, query: Query, form: Form) -> TextPage:
        """The same page as the database puts its columns ``names`` together."""
        return await self.read_soon(lambda connection: read_page(connection, rows, names, time_column, query, form))

    def event_bounds(self) -> tuple[int, int]:
        """The ids of the oldest and of the newest event that are kept; 1 and 0 where there is none."""
        return self.look(events.read_bounds)

    def events_after(self, last_id: int, limit: int, channels: Collection[str] | None = None) -> list[Event]:
        """At most ``limit`` events after ``last_id``, the oldest first; of ``channels``, or of all."""
        return self.look(lambda connection: events.read_after(connection, last_id, limit, channels))

    def count(self) -> int:
        """How many records there are."""
        return sum(self.rows(select(func.count()).select_from(table))[0][0] for table in schema.RECORDS)

    def verify_stored(self, device: str | None = None) -> Iterator[Verification]:
        """Verify every stored row again, or those of one device, from the stored bytes and keys alone."""
        return verify.verify_stored(self, device)
