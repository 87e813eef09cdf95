"""What only one of several hub processes on a database does: it holds a lock there for as long as it does it.

On SQLite there is one process. On PostgreSQL the lock is that of a connection of its own: whoever dies, or is cut off
from the database, holds it no more, and another one takes over within seconds.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from kegnet_client.host.condition import Condition
from kegnet_client.hub.store.records import Store

LOOK_S = 2.0
_ANSWER_S = 5.0
_LOCK = int.from_bytes(b"outlets")

_log = logging.getLogger(__name__)


async def lead(store: Store, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Until cancelled: do ``work`` while no other process on ``store`` does. It is cancelled when the lock is lost."""
    if store.is_sqlite:
        await work()
        return
    # psycopg is there where the database is PostgreSQL, and only there.
    import psycopg

    conninfo = store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    trouble = Condition(_log)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                conninfo, autocommit=True, connect_timeout=2
            ) as connection:
                while not await _is_ours(connection):
                    trouble.end()
                    await asyncio.sleep(LOOK_S)
                trouble.end("others hear what is new from this hub again")
                await _work_while_connected(connection, work)
        except (psycopg.Error, TimeoutError) as error:
            text = " ".join(str(error).split()) or "no answer"
            trouble.begin(text, f"others hear nothing new from this hub until the database answers: {text}")
        await asyncio.sleep(LOOK_S)


async def _is_ours(connection: Any) -> bool:
    async with asyncio.timeout(_ANSWER_S):
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
        return bool((await cursor.fetchone())[0])


async def _work_while_connected(connection: Any, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.create_task(work())
    try:
        while not task.done():
            async with asyncio.timeout(_ANSWER_S):
                await connection.execute("SELECT 1")
            await asyncio.wait({task}, timeout=LOOK_S)
        task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
