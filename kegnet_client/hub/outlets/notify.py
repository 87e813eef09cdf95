"""Sends a message when an alarm is raised, and one when its cause is gone, to whoever hub.conf names.

What is told is marked in the table of events before it is sent, with the times of the messages of the last hour: a hub
that is started again, or another process that takes over, goes on from there, tells nothing twice and keeps the limit.

Apprise sends, on a thread for each address, which no request waits for. Addresses hold passwords: no line of the log
has one, so Apprise's own are not shown.
"""

import asyncio
import json
import logging
import queue
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import apprise
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from kegnet_client.core.errors import ConfigError
from kegnet_client.host.condition import Condition
from kegnet_client.hub.bus import Bus, CutOffError, LostError
from kegnet_client.hub.domain.alarms import Moment, What
from kegnet_client.hub.outlets.notify_section import NotifySettings
from kegnet_client.hub.store import alarms, events
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.events import Event
from kegnet_client.hub.store.records import Store

CHANNEL = "_notified"
"""Where it is marked what was told."""
HOUR_MS = 3_600_000
EVERY_S = 60.0
RETRY_S = 5.0
PAUSES_S: Sequence[float] = (5.0, 30.0, 120.0)
"""Before each further try to send a message."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``is_good`` says that something is over."""

    text: str
    is_good: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What was told up to the event with the id ``event``, when within the last hour, and how many were not since."""

    event: int
    sent_ms: tuple[int, ...] = ()
    left_out: int = 0


class Notify:
    """The outlet to all that ``settings`` name; `ConfigError` if Apprise does not know one of them."""

    def __init__(self, settings: NotifySettings, pauses_s: Sequence[float] = PAUSES_S) -> None:
        for name in ("apprise", "urllib3"):  # they tell of addresses, which hold passwords
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._per_hour = settings.per_hour
        self._addresses = [_Address(number, url, pauses_s) for number, url in enumerate(settings.urls, 1)]

    async def run(self, store: Store, bus: Bus, clock_ms: Callable[[], int]) -> None:
        """Until cancelled."""
        for address in self._addresses:
            address.start()
        try:
            while True:
                try:
                    await self._follow(store, bus, clock_ms)
                except (CutOffError, LostError, StoreError):  # those who store say so
                    await asyncio.sleep(RETRY_S)
        finally:
            for address in self._addresses:
                address.stop()

    async def _follow(self, store: Store, bus: Bus, clock_ms: Callable[[], int]) -> None:
        told = await run_in_threadpool(store.read, _read_told)
        oldest, _ = await run_in_threadpool(store.event_bounds)
        since_ms = clock_ms() - HOUR_MS  # what was not told for an hour is no news any more
        after = max(oldest - 1, 0 if told is None else told.event)
        async with aclosing(bus.follow((alarms.CHANNEL,), after, EVERY_S)) as following:
            async for came in following:
                event, found = (came if isinstance(came, Event) else None), None
                if event is not None:
                    found = read_message(event)
                    if found is None or event.at_ms < since_ms:
                        continue
                message = await run_in_threadpool(store.write, self._claiming(event, found, clock_ms()))
                if message is not None:
                    for address in self._addresses:
                        address.send(message)

    def _claiming(
        self, event: Event | None, message: Message | None, now_ms: int
    ) -> Callable[[Connection], Message | None]:
        def claim(connection: Connection) -> Message | None:
            """Mark ``message`` as told; what is to be sent, if anything."""
            told = _read_told(connection) or Told(0)
            if event is not None and event.id <= told.event:
                return None
            changed, sent = decide(told, event.id if event else told.event, message, now_ms, self._per_hour)
            if changed != told:
                body = {"event": changed.event, "sent_ms": changed.sent_ms, "left_out": changed.left_out}
                events.append(connection, now_ms, [(CHANNEL, body)])
            return sent

        return claim


def read_message(event: Event) -> Message | None:
    """What an event of an alarm is to those who are not looking; None where it is no news to them."""
    body = json.loads(event.body)
    alarm, what = body["alarm"], What(body["what"])
    if not Moment((alarm["rule"], alarm["subject"]), what, event.at_ms).is_news:
        return None
    if what is What.CLEARED:
        return Message(f"It is over: {alarm['text']}", is_good=True)
    return Message(alarm["text"])


def decide(told: Told, event: int, message: Message | None, now_ms: int, per_hour: int) -> tuple[Told, Message | None]:
    """What is sent now, and what is told after that: ``message``, how many were left out, both, or nothing. Pure."""
    sent_ms = tuple(one for one in told.sent_ms if now_ms - HOUR_MS < one <= now_ms)
    if len(sent_ms) >= per_hour:
        return (told if message is None else Told(event, sent_ms, told.left_out + 1)), None
    left_out = f"{told.left_out} more were left out, to send no more than {per_hour} an hour"
    if message is None:
        if not told.left_out:
            return told, None
        message = Message(left_out)
    elif told.left_out:
        message = Message(f"{message.text}\n{left_out}", message.is_good)
    return Told(event, (*sent_ms, now_ms)), message


def _read_told(connection: Connection) -> Told | None:
    last = events.read_last(connection, CHANNEL, 1)
    if not last:
        return None
    body = json.loads(last[0].body)
    return Told(body["event"], tuple(body["sent_ms"]), body["left_out"])


class _Address:
    """Sends messages to ``url``, one after the other, on a thread that nobody waits for."""

    def __init__(self, number: int, url: str, pauses_s: Sequence[float]) -> None:
        kind = re.match(r"[a-z0-9]{2,20}(?=://)", url.lower())
        self._name = f"address {number} of [notify]" + (f" ({kind[0]})" if kind else "")
        self._apprise = apprise.Apprise()
        if not self._apprise.add(url):
            raise ConfigError(
                f"{self._name} in hub.conf is none that Apprise can send to: `apprise -v -b TEXT URL` says what it "
                "lacks"
            )
        self._pauses_s = pauses_s
        self._trouble = Condition(_log)
        self._waiting: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin to send."""
        self._stop = threading.Event()
        self._waiting = queue.SimpleQueue()
        # A server that answers slowly does not hold up the hub's end.
        threading.Thread(target=self._run, args=(self._waiting, self._stop), name="notifications", daemon=True).start()

    def stop(self) -> None:
        """Send nothing more than what is under way."""
        self._stop.set()
        self._waiting.put(None)

    def send(self, message: Message) -> None:
        """Send ``message`` when those before it are sent or given up."""
        self._waiting.put(message)

    def _run(self, waiting: "queue.SimpleQueue[Message | None]", stop: threading.Event) -> None:
        while (message := waiting.get()) is not None:
            for pause_s in (*self._pauses_s, None):
                if self._send(message):
                    self._trouble.end(f"{self._name} gets messages again")
                    break
                self._trouble.begin(
                    "refused",
                    f"{self._name} does not take a message, which is tried again a few times: "
                    "`apprise -v -b TEXT URL` says why",
                )
                if pause_s is None or stop.wait(pause_s):
                    break

    def _send(self, message: Message) -> bool:
        kind = apprise.NotifyType.SUCCESS if message.is_good else apprise.NotifyType.WARNING
        title = "KegNet" if message.is_good else "KegNet alarm"
        return bool(self._apprise.notify(message.text, title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT))
