"""The bridge's two halves together: a thread for the hub, one for each controller.

All are daemon threads that nobody waits for: the end of the process is held up by none of them.
"""

import logging
import threading
import time
from collections.abc import Callable

from kegnet_client.core.errors import ServerRefusalError, TransportError
from kegnet_client.core.wire import brewpi
from kegnet_client.host.condition import Condition
from kegnet_client.hub.bridge.exchange import DEADLINE_S
from kegnet_client.hub.bridge.hub_link import HubLink, MessageError
from kegnet_client.hub.bridge.poller import INTERVAL_S, Poller
from kegnet_client.hub.domain.numerals import Language

REFRESH_S = 60.0
RETRY_S = 5.0

_log = logging.getLogger(__name__)

Guard = Callable[[Callable[[], object]], None]
"""Runs the work of a thread, and sees to a fault of our own in it."""


class Bridge:
    """Polls what the hub behind ``link`` lists, until `stop`."""

    def __init__(
        self,
        link: HubLink,
        guard: Guard,
        *,
        interval_s: float = INTERVAL_S,
        deadline_s: float = DEADLINE_S,
        refresh_s: float = REFRESH_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._link = link
        self._guard = guard
        self._interval_s = interval_s
        self._deadline_s = deadline_s
        self._refresh_s = refresh_s
        self._retry_s = retry_s
        self._language: Language = "en"
        self._pollers: dict[int, Poller] = {}
        self._threads: list[threading.Thread] = []
        self._absence = Condition(_log)
        self._refusal = Condition(_log)
        self._stop = threading.Event()
        self.alive_at_s = time.monotonic()
        """When the hub's thread was last seen to go on."""

    def start(self) -> None:
        """Begin."""
        self._start_thread("hub", self._run)

    def stop(self) -> None:
        """Have all threads end soon."""
        self._stop.set()
        self._link.wake()
        for poller in tuple(self._pollers.values()):
            poller.stop()

    def wait(self, seconds: float) -> None:
        """For the threads to end after `stop`, each for so long at most."""
        for thread in tuple(self._threads):
            thread.join(seconds)

    def status(self) -> str:
        """One line for people."""
        count = len(self._pollers)
        return self._absence.text or f"{count} controller{'' if count == 1 else 's'}"

    def _run(self) -> None:
        refresh_at_s = time.monotonic()
        while not self._stop.is_set():
            self.alive_at_s = time.monotonic()
            try:
                if self._link.send():
                    self._refusal.end("the hub takes every message again")
                if time.monotonic() >= refresh_at_s:
                    self._language = self._link.language()
                    self._follow(self._link.controllers())
                    refresh_at_s = time.monotonic() + self._refresh_s
            except MessageError as error:
                self._refusal.begin(str(error), f"{error}; such messages are dropped", key=str(error))
            except (TransportError, ServerRefusalError) as error:
                self._absence.begin(
                    f"the hub: {error}",
                    f"the hub: {error}; the controllers are polled on, and the newest of each is kept for it",
                    key=type(error),
                )
                self._stop.wait(self._retry_s)
            else:
                self._absence.end("the hub takes what is published again")
                self._link.wait(min(self._retry_s, max(0.0, refresh_at_s - time.monotonic())))

    def _follow(self, controllers: list[brewpi.Controller]) -> None:
        """Poll these and no other ones; one whose entry changed begins anew."""
        wanted = {one.id: one for one in controllers}
        for number, poller in tuple(self._pollers.items()):
            if wanted.get(number) != poller.controller:
                poller.stop()
                del self._pollers[number]
        for number, controller in wanted.items():
            if number not in self._pollers:
                poller = Poller(
                    controller,
                    self._link.publish,
                    lambda: self._language,
                    interval_s=self._interval_s,
                    deadline_s=self._deadline_s,
                )
                self._pollers[number] = poller
                self._start_thread(f"controller {number}", poller.run)

    def _start_thread(self, name: str, work: Callable[[], object]) -> None:
        self._threads = [one for one in self._threads if one.is_alive()]
        self._threads.append(threading.Thread(target=self._guard, args=(work,), name=name, daemon=True))
        self._threads[-1].start()
