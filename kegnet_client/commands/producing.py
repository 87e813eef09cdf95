"""A process that runs producers of one kind: signals, and what systemd and the status are told of each.

The main thread waits for signals and nothing else, so that it answers them whatever hangs.
"""

import argparse
import faulthandler
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from kegnet_client import __version__
from kegnet_client.commands.parser import Parser
from kegnet_client.commands.producer_status import state_file
from kegnet_client.config.settings import Config
from kegnet_client.core.errors import BoardError, SpoolError
from kegnet_client.core.wire.base_url import Version
from kegnet_client.host.atomic_file import open_directory
from kegnet_client.host.clock import Clock
from kegnet_client.host.crash import CrashGuard
from kegnet_client.host.detach import Detached
from kegnet_client.host.lock_file import take_lock
from kegnet_client.host.root import DEFAULT_ROOT
from kegnet_client.host.state_file import StateWriter
from kegnet_client.host.systemd import Supervisor
from kegnet_client.producers.base import Producer, ProducerThread
from kegnet_client.producers.board_sensors import ReadingRules
from kegnet_client.producers.thermometer_section import THERMOMETER
from kegnet_client.sinks.kegnet_section import DEFAULT_PING_INTERVAL_S, KEGNET
from kegnet_client.spool.directory import explain

CLOSE_S = 6.0
"""How long the end waits for a producer: for what flows to be on disk."""
_SIGNALS = {signal.SIGTERM, signal.SIGINT}

log = logging.getLogger(__name__)


def add_daemon_arguments(parser: Parser) -> None:
    """Add what every command that produces takes to go on without a terminal; services do not need it."""
    parser.add_argument("--daemon", action="store_true", help="go on without the terminal, and log to syslog")
    parser.add_argument("--pid-file", type=Path, metavar="PATH", help="where its pid stands then")


def detach(options: argparse.Namespace, kind: str, root: Path) -> Detached | None:
    """Go on in a process of its own, if that is wanted. Raises `DaemonError`."""
    if not options.daemon:
        return None
    directory = Path("/run") if root == DEFAULT_ROOT else root
    return Detached((options.pid_file or directory / f"kegnet-{kind}.pid").absolute())


def reading_rules(config: Config) -> ReadingRules:
    """What readings of a board's sensors are reported by ``config``: those of the 1-Wire bus are, and as often."""
    kegnet, sensor = config.find(KEGNET), config.section(THERMOMETER).sensor
    if kegnet is None:
        return ReadingRules(DEFAULT_PING_INTERVAL_S, sensor, all_sensors=sensor is None)
    # REST v1 and v2 know one temperature a device.
    return ReadingRules(kegnet.ping_interval_s, sensor, kegnet.base.version is Version.V3 and sensor is None)


def hold_section(spool: Path, kind: str, name: str) -> int:
    """Hold the section ``name`` for this process: two would count the same twice. A descriptor that ends it."""
    try:
        with open_directory(spool) as fd:
            lock = take_lock(fd, f".{kind}.{name}.lock")
    except OSError as error:
        raise SpoolError(f"{spool}: {explain(error)}") from error
    if lock is None:
        raise BoardError(
            f"another process runs kegnet-client {kind} for {name}: end that one, or give a second board a section of "
            "its own"
        )
    return lock


class ProducerProcess:
    """The process that the command ``kind`` is: `add` producers, then `run`."""

    def __init__(self, kind: str, root: Path, clock: Clock, detached: Detached | None = None) -> None:
        # Blocked in every thread from here on, so that each waits until the main one asks for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._kind = kind
        self._root = root
        self._detached = detached
        self._supervisor = Supervisor(os.environ)
        self._started_ms = clock.wall_ms()
        self._producers: dict[str, Producer] = {}
        self._states: dict[str, StateWriter] = {}
        self._guard = CrashGuard(log, f"kegnet-client {kind} ends")

    def add(self, name: str, producer: Producer) -> None:
        """Run ``producer``, of the section ``name``, too."""
        self._producers[name] = producer
        self._states[name] = StateWriter(state_file(self._root, self._kind, name))

    def tell(self, name: str) -> None:
        """How the producer ``name`` stands has changed; from any thread."""
        if name not in self._states:  # it is not added yet, and told then
            return
        producer = self._producers[name]
        state: dict[str, Any] = {"version": __version__, "kind": self._kind, "name": name}
        state |= {"started_ms": self._started_ms, "problem": producer.problem, **producer.status()}
        self._states[name].write(state)
        problems = [f"{name}: {one.problem}" for name, one in self._producers.items() if one.problem]
        self._supervisor.status("; ".join(problems) or ", ".join(self._producers))

    def run(self) -> int:
        """Produce until SIGTERM or SIGINT; the exit code."""
        if sys.stderr is not None:
            faulthandler.enable()
        threads = [ProducerThread(name, producer, self._guard) for name, producer in self._producers.items()]
        for thread in threads:
            thread.start()
        for name in self._producers:
            self.tell(name)
        self._supervisor.ready()
        if self._detached is not None:
            self._detached.ready()
        signal.sigwaitinfo(_SIGNALS)
        self._supervisor.stopping()
        for thread in threads:
            thread.stop()
        for thread in threads:
            thread.join(CLOSE_S)
        for state in self._states.values():
            state.close()
        return self._guard.exit_code
