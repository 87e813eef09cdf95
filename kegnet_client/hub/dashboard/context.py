"""What every page has at hand: the store, the bus, who looks, in which words and units."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar, cast

from fastapi import Request
from nicegui import background_tasks, ui
from pydantic import ValidationError
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from kegnet_client.core.errors import UsageError
from kegnet_client.hub.access import principal
from kegnet_client.hub.bus import Bus, CutOffError
from kegnet_client.hub.dashboard.together import Together
from kegnet_client.hub.dashboard.words import Words
from kegnet_client.hub.dashboard.wrong import tell_why
from kegnet_client.hub.domain.roles import Principal, Role
from kegnet_client.hub.entrance import Entrance
from kegnet_client.hub.store import bodies, entries, house
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

REFRESH_S = 10.0
"""Ages are shown anew this often, whether anything happened or not."""
PAUSE_S = 0.1
"""At least so long between two refreshes: what comes thick and fast is shown together, and holds up no device."""
REST = 4.0
"""And so many times what the last one took, but no longer than `REFRESH_S`: however many pages are open, most of the
time is left to the devices, and a machine that was held up for a minute shows what is new soon after it."""
RETRY_S = 2.0
AFTER_FAULT_S = 60.0

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Hub:
    """What the pages stand on."""

    store: Store
    bus: Bus
    clock_ms: Callable[[], int]
    entrance: Entrance
    first_sha256: str
    notified: int = 0
    """How many addresses are told of alarms."""
    _together: dict[Callable[[Connection, int], object], Together[object]] = field(default_factory=dict, init=False)

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """What ``work`` reads, without holding up anybody else."""
        return await self.store.read_soon(work)

    async def read_together(self, work: Callable[[Connection, int], _T]) -> _T:
        """As `read`, once for all pages that ask at about the same time; ``work`` is a module's, and told the time."""
        if work not in self._together:
            self._together[work] = Together(
                lambda: self.store.read_soon(lambda connection: work(connection, self.clock_ms()))
            )
        return cast(_T, await self._together[work].ask())

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """What ``work`` gives, once it is on disk."""
        return await run_in_threadpool(self.store.write, work)


class Visit:
    """One visit to a page. What is told goes to the ``page`` itself: what was pressed may be drawn anew by then."""

    def __init__(
        self,
        hub: Hub,
        who: Principal,
        settings: bodies.Settings,
        page: AbstractContextManager[object],
    ) -> None:
        self._page = page
        self.hub = hub
        self.who = who
        self.settings = settings
        self.words = Words(settings.language)
        self.fresh_ms = hub.clock_ms()
        """When all that the page shows was read anew last."""
        self.on_fresh: Callable[[bool], None] = lambda _is_fresh: None
        """Told after each try to show what is new whether the page does."""
        self._not_fresh: set[object] = set()

    @classmethod
    async def begin(cls, hub: Hub, request: Request) -> "Visit":
        """The visit of whoever asks."""
        page = ui.context.client
        return cls(hub, principal(request.scope), await hub.read(house.read_settings), page)

    @property
    def may_operate(self) -> bool:
        """Whether what changes something is shown at all."""
        return self.who.role >= Role.OPERATE

    @property
    def may_admit(self) -> bool:
        """Whether what lets others in is shown."""
        return self.who.role >= Role.ADMIN

    async def say(
        self, kind: str, subject: int | None, body: bodies.Body, seen_id: int | None = None
    ) -> entries.Entry | None:
        """Say it in the name of who looks, and tell on the page whether it holds; the entry, if it does.

        Where ``seen_id`` is told, and the subject has another entry by now, nothing is changed.
        """
        now_ms = self.hub.clock_ms()
        found: list[entries.Entry] = []
        await self.do(
            lambda connection: found.append(house.say(connection, kind, subject, body, self.who.name, now_ms, seen_id))
        )
        return found[-1] if found else None

    async def do(self, work: Callable[[Connection], object], needs: Role = Role.OPERATE) -> bool:
        """Do ``work`` in one transaction if who looks has the role it ``needs``; tell on the page whether it holds."""
        if self.who.role < needs:
            self.tell(self.words("may_not"), "negative")
            return False
        try:
            await self.hub.write(work)
        except entries.ChangedError:
            self.tell(self.words("changed_meanwhile"), "negative")
            return False
        except (house.WrongEntryError, house.UnknownError, StoreError, UsageError, ValidationError) as error:
            self.tell_wrong(error)
            return False
        self.tell(self.words("saved"), "positive")
        return True

    def tell_wrong(self, error: Exception) -> None:
        """Tell on the page what cannot be."""
        self.tell(self.words("wrong", text=tell_why(self.words, error)), "negative")

    def tell(self, text: str, look: Literal["positive", "negative"]) -> None:
        """Tell something on the page."""
        with self._page:
            ui.notify(text, type=look)

    def follow(
        self, channels: Collection[str], refresh: Callable[[], Awaitable[None]], pause_s: float = PAUSE_S
    ) -> None:
        """Call ``refresh`` after each event of ``channels``, and every `REFRESH_S`, for as long as the page is open.

        What comes within ``pause_s`` of the last one is shown with the next.
        """

        def tell(*, is_fresh: bool) -> None:
            (self._not_fresh.discard if is_fresh else self._not_fresh.add)(refresh)
            if not self._not_fresh:
                self.fresh_ms = self.hub.clock_ms()
            self.on_fresh(not self._not_fresh)

        if ui.context.client.is_deleted:  # to make room, while the page was being made
            return
        task = background_tasks.create(keep_fresh(self.hub.bus, channels, refresh, pause_s, tell), name="page")
        ui.context.client.on_delete(task.cancel)


class Tell(Protocol):
    """Told after each refresh whether it showed all that is new."""

    def __call__(self, *, is_fresh: bool) -> None: ...


async def keep_fresh(
    bus: Bus,
    channels: Collection[str],
    refresh: Callable[[], Awaitable[None]],
    pause_s: float,
    tell: Tell,
) -> None:
    """As `Visit.follow`, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with bus.subscribe(channels) as subscription:
                while True:
                    began_s = loop.time()
                    await refresh()
                    tell(is_fresh=True)
                    await asyncio.sleep(max(pause_s, min(REFRESH_S, REST * (loop.time() - began_s))))
                    try:
                        async with asyncio.timeout(REFRESH_S):
                            await subscription.get()
                    except TimeoutError:
                        continue
                    subscription.drop_waiting()  # what is read next tells of them, too
        except CutOffError:
            await asyncio.sleep(RETRY_S)
        except StoreError:
            tell(is_fresh=False)
            await asyncio.sleep(RETRY_S)
        except Exception:  # the page's outermost frame: else it would stand there for hours as if nothing had happened
            tell(is_fresh=False)
            _log.exception(
                "a fault in kegnet-client itself, please report it; the page is shown anew in %.0f s", AFTER_FAULT_S
            )
            await asyncio.sleep(AFTER_FAULT_S)
