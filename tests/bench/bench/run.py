"""One run of the bench: its settings, its stage, its sink, its results, and how far it is."""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .contestants import Contestant
from .process import NoFigureError, Process
from .results import Results
from .sink import Helper, Sink
from .stage import Device, Stage


@dataclass(frozen=True)
class Settings:
    """``program`` is the kegnet-client to measure; ``quick`` is smaller counts and fewer rounds."""

    program: Path
    quick: bool
    rounds: int


class Run:
    """What the measurements work with. `close` ends and removes all of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.results = Results()
        self._held = ExitStack()
        try:
            # Below TMPDIR; everything that is measured lives in it.
            directory = self._held.enter_context(tempfile.TemporaryDirectory(prefix="kegnet-bench-"))
            self.stage = Stage(Path(directory))
            self.sink = Sink(self.stage.chain)
            self._held.callback(self.sink.close)
        except BaseException:
            self._held.close()
            raise
        self._started_s = time.monotonic()

    def close(self) -> None:
        """End and remove all of it."""
        self._held.close()

    def tell(self, text: str) -> None:
        """The progress line, for who looks on."""
        if sys.stderr.isatty():
            minutes, seconds = divmod(int(time.monotonic() - self._started_s), 60)
            print(f"\r\x1b[K{minutes}:{seconds:02} {text}", end="", file=sys.stderr, flush=True)

    def in_turn(self, what: str, contestants: Sequence[Contestant], rounds: int | None = None) -> Iterator[Contestant]:
        """Each contestant that is here, one after the other, all of them again in each round."""
        present = []
        for one in contestants:
            if absence := one.absence():
                self.results.note(f"{one.column}: left out, {absence}")
            else:
                present.append(one)
        rounds = rounds or self.settings.rounds
        for number in range(rounds):
            for one in present:
                self.tell(f"{what}: {one.column}, round {number + 1} of {rounds}")
                yield one

    @contextmanager
    def device(self, protocol: str, port: int | None = None) -> Iterator[Device]:
        """A new device that delivers to the sink, or to ``port``."""
        device = self.stage.device(protocol, self.sink.port if port is None else port)
        try:
            yield device
        finally:
            self.stage.discard(device)

    @contextmanager
    def proxy(self, round_trip_ms: int) -> Iterator[int]:
        """A port behind which the sink is so far away."""
        proxy = Helper("proxy", self.sink.port, round_trip_ms)
        try:
            yield proxy.port
        finally:
            proxy.close()

    @contextmanager
    def process(self, contestant: Contestant, device: Device, before: Sequence[str] = ()) -> Iterator[Process]:
        """``contestant``, started on ``device``; the sink counts from here on."""
        command = contestant.command(device)
        self.sink.reset()
        with Process(command.argv, device.root / "log", command.environment, before) as process:
            yield process

    @contextmanager
    def measuring(self, what: str, column: str) -> Iterator[None]:
        """Where a contestant that fails costs its own figure only, visibly."""
        try:
            yield
        except NoFigureError as error:
            reason = str(error).replace(f"{self.stage.directory}/", "")
            self.results.note(f"{column}: no figure for {what}: {reason}")
