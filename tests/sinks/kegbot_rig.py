"""A Kegbot sink, the server's model behind it, and a network and a clock that end exchanges and processes."""

from collections.abc import Mapping
from pathlib import Path
from random import Random

from kegnet_client.core.errors import TransportError
from kegnet_client.core.records import Heartbeat, Pour, Record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.kegbot_api import nonce_of, parse_api_url
from kegnet_client.host.clock import Moment
from kegnet_client.sinks.kegbot import Kegbot
from kegnet_client.sinks.kegbot_journal import Journal
from kegnet_client.sinks.kegbot_server import KegbotServer

from ..support.clock import FakeClock
from ..support.kegboard_receiver import KegboardReceiver
from ..support.kegbot import KEY, KegbotModel, StoredDrink

DEVICE = "0a1b2c3d-0000-4000-8000-000000000001"
API = parse_api_url("https://localhost:8000/api")
POUR = Pour(0, 586, 8123, 1_790_000_000_000)


class Killed(BaseException):
    """The process ends here."""


class MortalClock(FakeClock):
    """Ends the process at the ``fatal``-th look from now on, if that is set."""

    fatal = 0

    def now(self) -> Moment:
        self._look()
        return super().now()

    def monotonic_s(self) -> float:
        self._look()
        return super().monotonic_s()

    def _look(self) -> None:
        if self.fatal:
            self.fatal -= 1
            if not self.fatal:
                raise Killed


class Wire:
    """Carries requests to ``model`` in the way that `mishap` says, and then well again.

    ``away``: nothing gets there. ``lost``: the answer does not come back. ``killed``: nor does the process live on.
    ``later``: a worker stores it ``late_s`` later, and nobody hears of it. ``broken``: it is stored, the answer is 500.
    """

    def __init__(self, model: KegbotModel, clock: FakeClock) -> None:
        self.model: KegbotModel | KegboardReceiver = model
        self.clock = clock
        self.mishap = ""
        self.late_s = 30.0
        self.hung_up = 0

    def get(self, url: str, more_headers: Mapping[str, str] | None = None) -> Answer:
        return self._carry("GET", url, more_headers, b"")

    def post(self, url: str, content_type: str, body: bytes, more_headers: Mapping[str, str] | None = None) -> Answer:
        return self._carry("POST", url, more_headers, body)

    def hang_up(self) -> None:
        self.hung_up += 1

    def abort(self) -> None:
        """Nothing is under way that does not end."""

    def close(self) -> None:
        """Nothing is kept."""

    def _carry(self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes) -> Answer:
        mishap = self.mishap if method == "POST" or self.mishap == "away" else ""
        if mishap:
            self.mishap = ""
        if mishap == "away":
            raise TransportError("no connection")
        if isinstance(self.model, KegbotModel):
            self.model.is_broken = mishap == "broken"
        answer = self.model.handle(method, url, headers or {}, body, self.late_s if mishap == "later" else 0)
        self.clock.now_s += 0.05
        if mishap == "killed":
            raise Killed
        if mishap in ("lost", "later"):
            self.clock.now_s += 10
            raise TransportError("no answer within 10 s")
        return answer


class Rig:
    """Pours wait in ``spool`` until the sink takes them."""

    def __init__(self, directory: Path, random: Random, version: str = "1.3", *, reuses_ids: bool = False) -> None:
        self.clock = MortalClock()
        self.model = KegbotModel(self.clock, random, version, reuses_ids=reuses_ids)
        self.wire = Wire(self.model, self.clock)
        self.spool: list[Pour] = []
        self.named: dict[int, str] = {}
        self._directory = directory
        self.sink = self._open()

    def restart(self) -> None:
        """A new process; of the one before nothing is left but what is on disk."""
        self.clock.fatal = 0
        self.wire.mishap = ""
        self.sink.close()
        self.sink = self._open()

    def close(self) -> None:
        self.sink.close()

    def send(self, record: Record | Heartbeat) -> Verdict:
        (verdict,) = self.sink.send([record])
        return verdict

    def deliver(self, pour: Pour) -> Disposition:
        """Send ``pour``, and take it out of the spool if the sink has it."""
        disposition = self.send(pour).disposition
        if disposition is Disposition.ACCEPTED:
            self.spool.remove(pour)
        return disposition

    def finish(self) -> None:
        """All is well from here on, for as long as it takes."""
        for _ in range(40):
            for pour in list(self.spool):
                self.deliver(pour)
            self.send(Heartbeat(self.clock.now_ms))
            self.clock.now_s += 61
        assert self.spool == []

    def drinks_of(self, pour: Pour) -> list[StoredDrink]:
        nonce = f"{nonce_of(pour, DEVICE)}:0"
        return [one for one in self.model.drinks.values() if nonce in one.series.split()]

    def _open(self) -> Kegbot:
        server = KegbotServer(API, KEY, self.wire, self.clock)
        return Kegbot(DEVICE, server, self.named, lambda: Journal(self._directory, self.clock), self.clock)


def lose_answer(rig: Rig, mishap: str = "lost", late_s: float = 30) -> None:
    rig.wire.mishap, rig.wire.late_s = mishap, late_s
    assert rig.send(POUR).disposition is Disposition.DEFERRED
