"""Of several hub processes on one database, one alone tells others."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

from kegnet_client.hub.store.lead import LOOK_S, lead
from kegnet_client.hub.store.records import Store

from ..support.postgresql import PostgreSQL


class Work:
    """Notes who works."""

    def __init__(self) -> None:
        self.now: set[str] = set()
        self.changed = asyncio.Event()

    def of(self, name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def work() -> None:
            assert not self.now, "two work at a time"
            self.now.add(name)
            self.changed.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.now.discard(name)

        return work

    async def next(self) -> str:
        """Who begins next."""
        async with asyncio.timeout(30):
            await self.changed.wait()
        self.changed.clear()
        (name,) = self.now
        return name


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_one_leads_and_another_takes_over_when_it_ends(postgresql_server: PostgreSQL) -> None:
    url = postgresql_server.make_database()

    async def run(stores: dict[str, Store]) -> None:
        work = Work()
        tasks = {name: asyncio.create_task(lead(store, work.of(name))) for name, store in stores.items()}
        first = await work.next()
        await asyncio.sleep(LOOK_S * 2)
        assert work.now == {first}
        await end(tasks.pop(first))
        second = await work.next()
        assert second != first
        await end(tasks.pop(second))

    with closing(Store(url)) as one, closing(Store(url)) as other:
        asyncio.run(run({"one": one, "other": other}))


def test_a_lock_that_is_lost_ends_the_work(postgresql_server: PostgreSQL) -> None:
    url = postgresql_server.make_database()

    async def run(store: Store) -> None:
        work = Work()
        task = asyncio.create_task(lead(store, work.of("only")))
        await work.next()
        with postgresql_server.connect() as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        assert await work.next() == "only"
        await end(task)

    with closing(Store(url)) as store:
        asyncio.run(run(store))


def test_on_sqlite_the_one_process_leads(store: Store) -> None:
    async def run() -> None:
        work = Work()
        task = asyncio.create_task(lead(store, work.of("only")))
        assert await work.next() == "only"
        await end(task)

    asyncio.run(run())
