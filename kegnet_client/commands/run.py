"""``kegnet-client run``: the parts wired together, signals, and what systemd and the status are told.

The main thread waits for signals and nothing else, so that it answers them whatever hangs: the exchange runs
in the uploader's thread, the bus is read in the thermometer's. Both are daemon threads; a name lookup that
never returns does not hold up the end of the process.
"""

import argparse
import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from kegnet_client import __version__
from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.commands.verbosity import add_verbosity, level_of
from kegnet_client.config.settings import Config
from kegnet_client.core.errors import KegnetError
from kegnet_client.core.records import Heartbeat, Reading
from kegnet_client.delivery.engine import Engine
from kegnet_client.delivery.progress import Progress, add_up
from kegnet_client.delivery.report import make_sinks, make_state, make_status_line
from kegnet_client.delivery.uploader import log_left_behind
from kegnet_client.host.clock import Clock
from kegnet_client.host.crash import CrashGuard
from kegnet_client.host.log import set_up
from kegnet_client.host.state_file import StateFile, StateWriter
from kegnet_client.host.systemd import Supervisor
from kegnet_client.producers.base import Producer, ProducerThread
from kegnet_client.producers.heartbeat import SignOfLife
from kegnet_client.producers.one_wire import BusReader
from kegnet_client.producers.thermometer import Thermometer
from kegnet_client.producers.thermometer_section import THERMOMETER
from kegnet_client.sinks.destinations import open_all
from kegnet_client.sinks.kegnet_section import DEFAULT_PING_INTERVAL_S, KEGNET
from kegnet_client.spool.directory import Spool, enqueue
from kegnet_client.spool.section import SPOOL

log = logging.getLogger(__name__)

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def add_arguments(parser: Parser) -> None:
    """Add what ``run`` takes."""
    add_verbosity(parser)


def handle(options: argparse.Namespace) -> int:
    """Deliver until SIGTERM or SIGINT."""
    set_up(os.environ, level=level_of(options))
    return Daemon(lambda: configuration.load(options), os.environ).run()


class Producers:
    """What this process itself produces under one configuration: temperatures, and heartbeats without them."""

    def __init__(self, config: Config, bus: BusReader, takes_all_sensors: bool, daemon: "Daemon") -> None:
        self.bus = bus
        self.interval_s = _ping_interval_s(config)
        sign_of_life = SignOfLife(self.interval_s, daemon.send_heartbeat, daemon.clock)

        def take(reading: Reading) -> None:
            daemon.enqueue(reading)
            sign_of_life.taken()

        thermometer = Thermometer(
            bus=bus,
            interval_s=self.interval_s,
            sensor=config.section(THERMOMETER).sensor,
            all_sensors=takes_all_sensors,
            enqueue=take,
            changed=daemon.tell_again,
            clock=daemon.clock,
        )
        self.all: dict[str, Producer] = {"thermometer": thermometer, "heartbeat": sign_of_life}
        self._threads = [ProducerThread(name, producer, daemon.guard) for name, producer in self.all.items()]

    def start(self) -> None:
        """Produce, each in a thread of its own."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Have them end soon."""
        for thread in self._threads:
            thread.stop()


class Daemon:
    """The process that ``run`` is; ``load`` reads the configuration, at the start and for each reload."""

    def __init__(self, load: Callable[[], Config], environ: Mapping[str, str]) -> None:
        self.clock = Clock()
        self._progress: defaultdict[str, Progress] = defaultdict(Progress)
        self._load = load
        self._environ = environ
        self._supervisor = Supervisor(environ)
        self._started_ms = self.clock.wall_ms()
        self._ready = False
        self._first = threading.Lock()
        """Around the look whether it is ready, which several uploaders may have at once."""
        self.guard = CrashGuard(log, "it ends, the spool is untouched")

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
        self._config = config
        # What is there by now stays to the end: in a backlog the collector would look through it again and again. The
        # engine comes after it, since a reload leaves one behind.
        gc.freeze()
        self._engine = self._make_engine(config, spool)
        bus = BusReader(config.section(THERMOMETER).directory)
        self._producers = Producers(config, bus, self._takes_all_sensors(), self)
        self._engine.start()
        self._producers.start()
        self._serve()
        self._supervisor.stopping()
        self._producers.stop()
        self._engine.stop()
        self._state.close()
        log.info("stopped; what is in the spool waits for the next start")
        return self.guard.exit_code

    def enqueue(self, reading: Reading) -> None:
        """Spool ``reading`` by the configuration in force. Raises `SpoolError`."""
        enqueue(self._engine.spool.path, reading)

    def send_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Send it by the configuration in force."""
        self._engine.heartbeat(heartbeat)

    def tell_again(self) -> None:
        """Tell systemd and the status how things are, if the uploader is not about to tell all of it."""
        if self._ready:
            self._tell()

    def _report(self) -> None:
        """Tell how things are; called by each uploader, once a second at most."""
        with self._first:
            if self._engine.is_scanned and not self._ready:
                self._ready = True
                self._supervisor.ready()
                log.info("kegnet-client %s %s", __version__, self._engine)
        self._tell()

    def _tell(self) -> None:
        statuses = [(producer.status(), producer.problem) for producer in self._producers.all.values()]
        engine = self._engine
        servers = {one.name: one.server for one in engine.destinations}
        at_work = {name: self._progress[name] for name in engine.uploaders}
        progress = add_up(at_work, servers)
        key = next((one.key for one in engine.destinations if one.key), None)
        state = make_state(progress, self._started_ms, ", ".join(servers.values()), key, statuses)
        if len(at_work) > 1:
            state["sinks"] = make_sinks(at_work, servers)
        now_ms = self.clock.wall_ms()
        # Of this round or the one before: what is older says nothing of now.
        since_ms = now_ms - 2000 * self._producers.interval_s
        fresh = [one for one in state["temperatures"] if one["taken_ms"] >= since_ms]
        self._supervisor.status(make_status_line(progress, fresh, now_ms))
        self._state.write(state)

    def _serve(self) -> None:
        tick_s = self._feed_watchdog()
        while True:
            caught = signal.sigwaitinfo(SIGNALS) if tick_s is None else signal.sigtimedwait(SIGNALS, tick_s)
            if caught is not None:
                if caught.si_signo != signal.SIGHUP:
                    return
                self._reload()
                # The engine before is a ring of references that holds a backlog's names and a CA store: left to
                # itself, the collector comes for it once in dozens of reloads.
                gc.collect()
            tick_s = self._feed_watchdog()

    def _feed_watchdog(self) -> float | None:
        """In how many seconds that is to be done again; None where nobody waits for it."""
        watchdog_s = self._supervisor.watchdog_s
        if watchdog_s is None:
            return None
        is_alive = self.clock.monotonic_s() - self._engine.alive_at_s < watchdog_s
        if is_alive:
            self._supervisor.alive()
        self._engine.nudge()  # else it would sleep for as long as there is nothing to do
        # After a suspend it was long ago, though nothing hangs: there is another look soon.
        return watchdog_s / (2 if is_alive else 10)

    def _make_engine(self, config: Config, spool: Spool) -> Engine:
        destinations = open_all(config, self.clock, self._environ)
        return Engine(destinations, spool, self.clock, self._progress, self._report, self.guard)

    def _reload(self) -> None:
        """Take over what the configuration says now, or keep what there is if it is not good."""
        self._supervisor.reloading()
        old, was_producing = self._engine, self._producing()
        spool = old.spool
        try:
            config = self._load()
            directory = config.section(SPOOL).directory
            if not _is_same(directory, spool.path):
                spool = Spool(directory)
                spool.lock()
            new = self._make_engine(config, spool)
        except KegnetError as error:
            if spool is not old.spool:
                spool.close()
            for line in str(error).splitlines():
                log.error("reload: %s", line)
            log.error("reload: the configuration has faults; the previous one stays in use")
        else:
            old.stop()
            old.leave_queues()
            if spool is not old.spool:
                old.leave_spool()
                log_left_behind(old.spool.path)
            self._config, self._engine = config, new
            new.start()
            if [str(one) for one in new.destinations] != [str(one) for one in old.destinations]:
                self._try_at_once()
            if self._producing() != was_producing:
                self._replace_producers()
            log.info("reloaded: %s", new)
        if self._ready:  # else `_report` says so once the first scan is done
            self._supervisor.ready()

    def _try_at_once(self) -> None:
        """Show in the status within seconds whether a new server can be reached, and not with the next record."""
        if self.clock.doubt() is None:
            self.send_heartbeat(Heartbeat(self.clock.wall_ms()))

    def _replace_producers(self) -> None:
        self._producers.stop()
        directory, bus = self._config.section(THERMOMETER).directory, self._producers.bus
        # A read that hangs is not joined by another one of the same bus.
        bus = bus if bus.directory == directory else BusReader(directory)
        self._producers = Producers(self._config, bus, self._takes_all_sensors(), self)
        self._producers.start()

    def _producing(self) -> tuple[object, ...]:
        """What of the configuration is the producers'; all else they follow without an interruption."""
        return self._config.section(THERMOMETER), _ping_interval_s(self._config), self._takes_all_sensors()

    def _takes_all_sensors(self) -> bool:
        """Whether every sensor is told of: REST v1 and v2 know one temperature a device."""
        all_know = all(one.knows_sensors for one in self._engine.destinations)
        return all_know and self._config.section(THERMOMETER).sensor is None


def _ping_interval_s(config: Config) -> int:
    kegnet = config.find(KEGNET)
    return DEFAULT_PING_INTERVAL_S if kegnet is None else kegnet.ping_interval_s


def _is_same(one: Path, other: Path) -> bool:
    """Whether both name one directory, by whatever way."""
    try:
        return one == other or one.samefile(other)
    except OSError:
        return False
