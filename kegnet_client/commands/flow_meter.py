"""``kegnet-client flow-meter``: count what flow meters on GPIO lines tell; and take over what pourd was told."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from kegnet_client import __version__
from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.commands.producing import add_daemon_arguments, detach
from kegnet_client.config import parse
from kegnet_client.config.settings import Config
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.host.atomic_file import open_directory, write_file
from kegnet_client.host.clock import Clock
from kegnet_client.host.crash import CrashGuard
from kegnet_client.host.detach import Detached
from kegnet_client.host.log import set_up
from kegnet_client.host.state_file import StateFile, StateWriter
from kegnet_client.host.systemd import Supervisor
from kegnet_client.producers.base import ProducerThread
from kegnet_client.producers.flow_meter import FlowMeter, FlowMeters
from kegnet_client.producers.flow_meter_section import FLOW_METER, FlowMeterSettings
from kegnet_client.producers.gpio_line import GpioLine
from kegnet_client.producers.pour_journal import PourJournal, take_up_others
from kegnet_client.producers.pourd_import import read_pourd
from kegnet_client.spool.section import SPOOL

NAME = "flow-meter"
SIGNALS = {signal.SIGTERM, signal.SIGINT}
END_S = 8.0
"""How long its end waits for disks that hang."""

log = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Add what ``flow-meter`` takes."""
    parser.add_argument("--verbose", action="store_true", help="log each pour, and what drips")
    add_daemon_arguments(parser)
    parser.add_argument("action", nargs="?", choices=("import",), help="take over pourd's settings, and end")
    parser.add_argument("files", nargs="*", type=Path, metavar="pourd0.conf", help="its files, one for each pin")


def handle(options: argparse.Namespace) -> int:
    """Count until SIGTERM or SIGINT, or do the action."""
    if options.action == "import":
        return _import(options)
    set_up(os.environ)
    if options.verbose:
        logging.getLogger(FlowMeter.__module__).setLevel(logging.DEBUG)
    config = configuration.load(options)
    sections = config.sections(FLOW_METER)
    _judge(config.file, sections)
    detached = detach(options, NAME, config.root)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    return _Process(config, sections, detached).run()


class _Process:
    """The process that counts."""

    def __init__(self, config: Config, sections: dict[str, FlowMeterSettings], detached: Detached | None) -> None:
        self._detached = detached
        self._clock = Clock()
        self._supervisor = Supervisor(os.environ)
        self._started_ms = self._clock.wall_ms()
        self._guard = CrashGuard(log, "what is journalled is recorded at the next start")
        spool = config.section(SPOOL).directory
        self._left_behind = take_up_others(spool, NAME, sections, self._clock)
        meters = [self._make_meter(spool, name, settings) for name, settings in sections.items()]
        self._meters = FlowMeters(meters, self._tell, self._clock)
        self._state = StateWriter(StateFile.of_producer(config.root, NAME))

    def run(self) -> int:
        """Count until a signal; the exit code."""
        thread = ProducerThread(NAME, self._meters, self._guard)
        thread.start()
        self._supervisor.ready()
        if self._detached is not None:
            self._detached.ready()
        log.info("kegnet-client %s counts: %s", __version__, ", ".join(self._meters.names))
        signal.sigwait(SIGNALS)
        self._supervisor.stopping()
        thread.stop()
        thread.join(END_S)
        for journal in self._left_behind:
            journal.close()
        self._state.close()
        log.info("stopped; what was counted is in the spool")
        return self._guard.exit_code

    def _make_meter(self, spool: Path, name: str, settings: FlowMeterSettings) -> FlowMeter:
        journal = PourJournal(spool, NAME, name, settings.pin, settings.rules, self._clock)
        journal.start()
        return FlowMeter(name, settings, journal, open_gpio, self._clock)

    def _tell(self) -> None:
        status, problem = self._meters.status(), self._meters.problem
        self._supervisor.alive()
        self._supervisor.status(problem or f"counts {', '.join(self._meters.names)}")
        self._state.write({"version": __version__, "started_ms": self._started_ms, **status})


def open_gpio(settings: FlowMeterSettings) -> GpioLine:
    """The line of ``settings``. Raises `LineError`."""
    return GpioLine(settings.line, settings.chip, settings.bias)


def _judge(file: Path, sections: dict[str, FlowMeterSettings]) -> None:
    if not sections:
        raise ConfigError(
            f"{file}: has no flow meter: take the # from the lines [FlowMeter tap1], line and pin, or run "
            "'kegnet-client flow-meter import pourd0.conf'"
        )
    by_pin: dict[int, str] = {}
    for name, settings in sections.items():
        other = by_pin.setdefault(settings.pin, name)
        if other != name:
            raise ConfigError(
                f"{file}: [FlowMeter {other}] and [FlowMeter {name}] have one pin, {settings.pin}; give each its own"
            )


def _import(options: argparse.Namespace) -> int:
    if not options.files:
        raise UsageError("flow-meter import takes pourd's files: kegnet-client flow-meter import pourd0.conf")
    file = options.config or parse.default_file(configuration.root(options))
    text = parse.read(file)
    known = parse.names(text, FLOW_METER)
    for pourd in options.files:
        name, section = read_pourd(pourd)
        if name in known:
            raise ConfigError(f"{file}: has a [FlowMeter {name}] already; delete that first, or leave out {pourd}")
        known |= {name}
        text = f"{text.rstrip()}\n\n{section}"
    try:
        with open_directory(file.parent) as fd:
            write_file(fd, file.name, text.encode(), file.stat().st_mode & 0o777)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror}); use sudo") from None
    print(f"{file} has {len(options.files)} more; then: sudo systemctl restart kegnet-flow-meter", file=sys.stdout)
    return 0
