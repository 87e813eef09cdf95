"""``kegnet-client run``: the parts wired together, signals, and what systemd and the status are told.

The main thread waits for signals and nothing else, so that it answers them whatever hangs: the exchange runs
in the uploader's thread, the bus is read in the thermometer's. Both are daemon threads; a name lookup that
never returns does not hold up the end of the process.
"""

import argparse
import faulthandler
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from kegnet_client import __version__
from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.config.settings import Config
from kegnet_client.core.errors import KegnetError
from kegnet_client.core.records import Reading, format_celsius
from kegnet_client.core.retry_policy import LinkState
from kegnet_client.core.wire.base_url import Version
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader, log_left_behind
from kegnet_client.host.clock import Clock
from kegnet_client.host.log import CRASHED_ID, set_up
from kegnet_client.host.state_file import StateFile, StateWriter
from kegnet_client.host.systemd import Supervisor
from kegnet_client.producers.one_wire import BusReader
from kegnet_client.producers.thermometer import Thermometer
from kegnet_client.producers.thermometer_section import THERMOMETER
from kegnet_client.sinks.kegnet_section import KEGNET
from kegnet_client.sinks.open import connect, find_identity
from kegnet_client.spool.directory import Spool, enqueue, printable
from kegnet_client.spool.section import SPOOL

log = logging.getLogger(__name__)

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
FINISH_S = 1.0
"""How long a stop waits for the exchange that is under way before it breaks it off."""
ABORT_S = 0.5
EXIT_CRASHED = 70
MAX_STUCK_TOLD = 20
"""So many files that cannot be taken are named; a producer that goes on making them must not fill what is written."""


def add_arguments(_parser: Parser) -> None:
    """It takes nothing."""


def handle(options: argparse.Namespace) -> int:
    """Deliver until SIGTERM or SIGINT."""
    set_up(os.environ)
    return Daemon(lambda: configuration.load(options), os.environ).run()


class Engine:
    """One configuration's delivery. Raises `ConfigError` when it cannot be; nothing runs before `start`."""

    def __init__(self, config: Config, spool: Spool, environ: Mapping[str, str], daemon: "Daemon") -> None:
        self.config = config
        self.settings = settings = config.section(KEGNET)
        self.spool = spool
        identity = find_identity(settings, environ)
        self.key = identity.fingerprint
        open_sink = connect(settings, daemon.clock, identity)
        self.uploader = Uploader(spool, open_sink, daemon.clock, random.random, daemon.progress, daemon.report)
        self._thread = threading.Thread(target=daemon.guard, args=(self.uploader.run,), name="uploader", daemon=True)

    def __str__(self) -> str:
        return f"delivers from {self.spool.path} to {self.settings.base.url} as {self.settings.uuid}"

    def start(self) -> None:
        """Deliver, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End within `FINISH_S` and `ABORT_S`; what hangs for longer is left behind and does no harm."""
        self.uploader.stop()
        self._thread.join(FINISH_S)
        if self._thread.is_alive():
            self.uploader.abort()
            self._thread.join(ABORT_S)

    def leave_spool(self) -> None:
        """Give up the spool after `stop`, once what was left behind cannot use it any more."""
        if self._thread.is_alive():
            threading.Thread(target=self._leave_spool_later, name="leaving", daemon=True).start()
        else:
            self.spool.close()

    def _leave_spool_later(self) -> None:
        self._thread.join()
        self.spool.close()


class Daemon:
    """The process that ``run`` is; ``load`` reads the configuration, at the start and for each reload."""

    def __init__(self, load: Callable[[], Config], environ: Mapping[str, str]) -> None:
        self.clock = Clock()
        self.progress = Progress()
        self._load = load
        self._environ = environ
        self._supervisor = Supervisor(environ)
        self._started_ms = self.clock.wall_ms()
        self._ready = False
        self._crashed = False
        self._main = threading.get_ident()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit code. Raises `KegnetError` when it cannot start."""
        # The watchdog ends a process that hangs with SIGABRT: where each thread stands goes to stderr then.
        if sys.stderr is not None:  # whoever starts daemons may close it
            faulthandler.enable()
        config = self._load()
        spool = Spool(config.section(SPOOL).directory)
        spool.lock()
        # Blocked in every thread from here on, so that each waits until this one asks for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._state = StateWriter(StateFile(config.root))
        self._engine = Engine(config, spool, self._environ, self)
        self._thermometer = self._make_thermometer(BusReader(config.section(THERMOMETER).directory))
        self._engine.start()
        self._thermometer.start()
        self._serve()
        self._supervisor.stopping()
        self._thermometer.stop()
        self._engine.stop()
        self._state.close()
        log.info("stopped; what is in the spool waits for the next start")
        return EXIT_CRASHED if self._crashed else 0

    def guard(self, work: Any) -> None:
        """Run ``work`` as a thread that must not end by itself: if it does, the process ends, loudly."""
        try:
            work()
        except Exception:
            log.exception(
                "a fault in kegnet-client itself, please report it; it ends, the spool is untouched",
                extra={"MESSAGE_ID": CRASHED_ID},
            )
            self._crashed = True
            signal.pthread_kill(self._main, signal.SIGTERM)

    def report(self) -> None:
        """Tell systemd and the status how things are; called by the uploader, once a second at most."""
        if self._engine.uploader.scanned.is_set() and not self._ready:
            self._ready = True
            self._supervisor.ready()
            log.info("kegnet-client %s %s", __version__, self._engine)
        self._tell()

    def _tell_again(self) -> None:
        if self._ready:  # else the uploader is about to tell all of it
            self._tell()

    def _tell(self) -> None:
        self._supervisor.status(self._status_line())
        self._state.write(self._snapshot())

    def _serve(self) -> None:
        tick_s = (self._supervisor.watchdog_s or 0) / 2
        while True:
            caught = signal.sigtimedwait(SIGNALS, tick_s) if tick_s else signal.sigwaitinfo(SIGNALS)
            if caught is not None:
                if caught.si_signo != signal.SIGHUP:
                    return
                self._reload()
            self._feed_watchdog()

    def _feed_watchdog(self) -> None:
        if self._supervisor.watchdog_s is None:
            return
        uploader = self._engine.uploader
        if self.clock.monotonic_s() - uploader.alive_at_s < self._supervisor.watchdog_s:
            self._supervisor.alive()
        uploader.nudge()  # else it would sleep for as long as there is nothing to do

    def _reload(self) -> None:
        """Take over what the configuration says now, or keep what there is if it is not good."""
        self._supervisor.reloading()
        old = self._engine
        spool = old.spool
        try:
            config = self._load()
            directory = config.section(SPOOL).directory
            if not _is_same(directory, spool.path):
                spool = Spool(directory)
                spool.lock()
            new = Engine(config, spool, self._environ, self)
        except KegnetError as error:
            if spool is not old.spool:
                spool.close()
            for line in str(error).splitlines():
                log.error("reload: %s", line)
            log.error("reload: the configuration is not good, the one before it stays in force")
        else:
            old.stop()
            if spool is not old.spool:
                old.leave_spool()
                log_left_behind(old.spool.path)
            self._engine = new
            new.start()
            if _measuring(config) != _measuring(old.config):
                self._replace_thermometer()
            log.info("reloaded: %s", new)
        if self._ready:  # else `report` says so once the first scan is done
            self._supervisor.ready()

    def _make_thermometer(self, bus: BusReader) -> Thermometer:
        """One that follows the configuration in force wherever that need not interrupt it."""
        config = self._engine.config
        return Thermometer(
            bus=bus,
            interval_s=config.section(KEGNET).ping_interval_s,
            sensor=config.section(THERMOMETER).sensor,
            all_sensors=_takes_all_sensors(config),
            enqueue=lambda reading: enqueue(self._engine.spool.path, reading),
            heartbeat=lambda heartbeat: self._engine.uploader.heartbeat(heartbeat),
            changed=self._tell_again,
            clock=self.clock,
        )

    def _replace_thermometer(self) -> None:
        old = self._thermometer
        old.stop()
        directory = self._engine.config.section(THERMOMETER).directory
        # A read that hangs is not joined by another one of the same bus.
        self._thermometer = self._make_thermometer(old.bus if old.bus.directory == directory else BusReader(directory))
        self._thermometer.start()

    def _status_line(self) -> str:
        progress = self.progress
        parts = [f"{progress.waiting} record{'' if progress.waiting == 1 else 's'} waiting"]
        if progress.last_accepted_ms:
            when = datetime.fromtimestamp(progress.last_accepted_ms / 1000).astimezone()
            today = datetime.fromtimestamp(self.clock.wall_ms() / 1000).astimezone().date()
            parts.append(f"last acknowledged at {when:{'%H:%M:%S' if when.date() == today else '%Y-%m-%d %H:%M:%S'}}")
        parts += [format_celsius(reading.millidegrees) for reading in self._fresh_readings()]
        if progress.link in (LinkState.DEFERRED, LinkState.MISCONFIGURED):
            parts.append(f"{progress.link.value}: {progress.link_reason}")
        parts += filter(None, (progress.spool_problem, progress.watch_problem))
        return ", ".join(parts)

    def _fresh_readings(self) -> list[Reading]:
        """What the sensors said this round or the one before: what is older says nothing of now."""
        since_ms = self.clock.wall_ms() - 2000 * self._engine.settings.ping_interval_s
        return [one for one in self._thermometer.latest().values() if one.taken_ms >= since_ms]

    def _snapshot(self) -> dict[str, Any]:
        progress, thermometer, settings = self.progress, self._thermometer, self._engine.settings
        return {
            "version": __version__,
            "started_ms": self._started_ms,
            "server": settings.base.url,
            "key": self._engine.key,
            "link": progress.link.value,
            "link_reason": progress.link_reason,
            "last_status": progress.last_status,
            "last_acknowledged_ms": progress.last_accepted_ms,
            "counters": {
                "accepted": progress.accepted,
                "rejected": progress.rejected,
                "deferred": progress.deferred,
                "misconfigured": progress.misconfigured,
                "readings_not_taken": thermometer.not_taken,
            },
            "temperatures": [
                {"sensor": one.sensor, "millidegrees": one.millidegrees, "taken_ms": one.taken_ms}
                for one in thermometer.latest().values()
            ],
            "problems": [
                *_tell_stuck(dict(progress.stuck)),
                *filter(None, (progress.spool_problem, progress.watch_problem, thermometer.problem)),
            ],
        }


def _tell_stuck(stuck: Mapping[str, str]) -> list[str]:
    told = [f"{printable(name)} stays where it is: {why}" for name, why in islice(stuck.items(), MAX_STUCK_TOLD)]
    more = len(stuck) - len(told)
    return [*told, f"{more} more stay where they are"] if more else told


def _measuring(config: Config) -> tuple[object, ...]:
    """What of ``config`` is the thermometer's."""
    return config.section(THERMOMETER), config.section(KEGNET).ping_interval_s, _takes_all_sensors(config)


def _takes_all_sensors(config: Config) -> bool:
    """Whether the server is told of every sensor: REST v1 and v2 know one temperature a device."""
    return config.section(KEGNET).base.version is Version.V3 and config.section(THERMOMETER).sensor is None


def _is_same(one: Path, other: Path) -> bool:
    """Whether both name one directory, by whatever way."""
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False
