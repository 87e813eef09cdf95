"""Says to the other hub processes on a PostgreSQL database that something was committed, and hears it from them.

One NOTIFY follows each group of commits, on a connection of its own and after the commit, and carries nothing: what is
new stands in the table of events. When it fails, nobody misses anything: everybody looks at the table anyway
(`kegnet_client.hub.bus.LOOK_S`), only later.
"""

import logging
import threading
from collections.abc import Callable

from sqlalchemy import URL

from kegnet_client.host.condition import Condition

CHANNEL = "kegnet_events"
RETRY_S = 5.0
_WAIT_S = 1.0

_log = logging.getLogger(__name__)


class Notifier:
    """Calls ``on_news`` when another process, or this one, has committed something; `tell` is for this one's."""

    def __init__(self, url: URL, on_news: Callable[[], None]) -> None:
        # psycopg is there where the database is PostgreSQL, and only there.
        import psycopg

        self._psycopg = psycopg
        self._conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._on_news = on_news
        self._stop = threading.Event()
        self._to_tell = threading.Event()
        self._trouble = Condition(_log)
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
            for name, work in (("events heard", self._listen), ("events told", self._notify))
        ]

    def start(self) -> None:
        """From now on, until `stop`."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End within a second or so."""
        self._stop.set()
        self._to_tell.set()
        for thread in self._threads:
            thread.join()

    def tell(self) -> None:
        """Something was committed here; from any thread, and without a wait."""
        self._to_tell.set()

    def _run(self, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                work()
            except self._psycopg.Error as error:
                text = " ".join(str(error).split())
                self._trouble.begin(text, f"other hub processes are heard of later than usual: {text}")
                self._stop.wait(RETRY_S)

    def _listen(self) -> None:
        with self._psycopg.connect(self._conninfo, autocommit=True, connect_timeout=2) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self._on_news()  # what came while nobody listened
            self._trouble.end("other hub processes are heard of at once again")
            while not self._stop.is_set():
                for _ in connection.notifies(timeout=_WAIT_S, stop_after=1):
                    self._on_news()

    def _notify(self) -> None:
        with self._psycopg.connect(self._conninfo, autocommit=True, connect_timeout=2) as connection:
            while not self._stop.is_set():
                self._to_tell.wait()
                self._to_tell.clear()
                if not self._stop.is_set():
                    connection.execute(f"NOTIFY {CHANNEL}")
