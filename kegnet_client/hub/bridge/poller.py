"""One controller, asked again and again on a thread of its own: what it shows, or that it does not answer."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from kegnet_client.core.errors import ControllerError
from kegnet_client.core.wire import brewpi
from kegnet_client.host.condition import Condition
from kegnet_client.hub.bridge.exchange import DEADLINE_S, ask
from kegnet_client.hub.bridge.texts import tell_fault
from kegnet_client.hub.domain.numerals import Language

INTERVAL_S = 5.0

_log = logging.getLogger(__name__)

Publish = Callable[[str, int, Mapping[str, Any]], None]
"""Takes a channel, a controller's number and what is published of it there; never waits."""


class Poller:
    """Asks ``controller``. What it shows goes to ``publish``; so do, once, that it fails and that it is well again.

    An alarm is told in the language that ``find_language`` gives then.
    """

    def __init__(
        self,
        controller: brewpi.Controller,
        publish: Publish,
        find_language: Callable[[], Language] = lambda: "en",
        *,
        interval_s: float = INTERVAL_S,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.controller = controller
        self._publish = publish
        self._find_language = find_language
        self._interval_s = interval_s
        self._deadline_s = deadline_s
        self._values: dict[str, str] = {}
        self._silence = Condition(_log)
        self._stop = threading.Event()

    @property
    def name(self) -> str:
        """What people call it."""
        return self.controller.name or f"controller {self.controller.id}"

    def read(self) -> dict[str, Any]:
        """What it shows now, as it is published. Raises `ControllerError`."""
        display = brewpi.parse_display(ask(self.controller, brewpi.LCD, self._deadline_s))
        settings = brewpi.parse_settings(ask(self.controller, brewpi.SETTINGS, self._deadline_s))
        self._values.update(display.values)
        return brewpi.data_payload(self.controller, self._values, display.status, settings)

    def poll(self) -> str | None:
        """Ask once, and publish what came of it; what is wrong, if anything is."""
        try:
            payload = self.read()
        except ControllerError as error:
            if self._silence.text is None:
                text = tell_fault(self._find_language(), error)
                self._publish("alarms", self.controller.id, brewpi.alarm_payload(self.name, text))
            self._silence.begin(str(error), f"{self.name}: {error}; the other controllers go on")
            return str(error)
        if self._silence.text is not None:
            self._publish("logs", self.controller.id, brewpi.log_payload(self.name, "answers again"))
        self._silence.end(f"{self.name}: answers again")
        self._publish("data", self.controller.id, payload)
        return None

    def run(self) -> None:
        """Ask every so often until `stop`; one that is late misses turns, and is not asked twice for them."""
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            self.poll()
            due_s = max(due_s + self._interval_s, time.monotonic())

    def stop(self) -> None:
        """Have `run` end after what is under way."""
        self._stop.set()
