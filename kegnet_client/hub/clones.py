"""Notices that two machines send as one device: the card of one was copied, and both have its key.

A device names its boot with each request. After a reboot it names another one, and never the one before again: one that
comes back after another is of a second machine that is up at the same time. Both are told so in their answers, and
the alarms' rules by the row of the device.

Limits: it is known from what this process was told since it began; two in containers of one machine share their boot.
To be used by the event loop alone.
"""

import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import update

from kegnet_client.hub.domain.rules import HOUR_MS
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

WRITE_EVERY_MS = 60_000
_FORMER = 8
_MARK = re.compile(r"[0-9a-f]{16}")


class Clones:
    """What this process knows of the boots of devices, which it tells ``store``."""

    def __init__(self, store: Store, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._boots: dict[str, deque[str]] = {}
        self._seen_ms: dict[str, int] = {}
        self._written_ms: dict[str, int] = {}

    async def note(self, device: str, boot: str) -> bool:
        """``device``, which has proven itself, sends from ``boot``; whether it has a clone."""
        now_ms = self._clock_ms()
        if _MARK.fullmatch(boot) and self._is_former(device, boot):
            self._seen_ms[device] = now_ms
            if now_ms - self._written_ms.get(device, -WRITE_EVERY_MS) >= WRITE_EVERY_MS:
                self._written_ms[device] = now_ms
                await self._write(device, now_ms)
        return now_ms - self._seen_ms.get(device, -HOUR_MS) < HOUR_MS

    def _is_former(self, device: str, boot: str) -> bool:
        boots = self._boots.setdefault(device, deque(maxlen=_FORMER))
        if boots and boots[-1] == boot:
            return False
        is_former = boot in boots
        if is_former:
            boots.remove(boot)
        boots.append(boot)
        return is_former

    async def _write(self, device: str, now_ms: int) -> None:
        table = schema.devices
        statement = update(table).where(table.c.uuid == device).values(cloned_ms=now_ms)
        with suppress(StoreError):  # those who store say so; the next time tells it again
            await self._store.writing.run(
                lambda: self._store.write(lambda connection: connection.execute(statement).rowcount)
            )
