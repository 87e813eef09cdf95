"""``kegnet-client kegboard``: pours and temperatures of Kegboards on USB, each of a section [Kegboard NAME]."""

import argparse
import functools
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.commands.producing import ProducerProcess, add_daemon_arguments, detach, hold_section, reading_rules
from kegnet_client.config.settings import Config
from kegnet_client.core.errors import ConfigError
from kegnet_client.host.clock import Clock
from kegnet_client.host.detach import Detached
from kegnet_client.host.log import set_up
from kegnet_client.host.systemd import Supervisor
from kegnet_client.producers.base import Stop
from kegnet_client.producers.board_link import BoardLink, find_socket
from kegnet_client.producers.board_sensors import BoardSensors
from kegnet_client.producers.kegboard import Kegboard
from kegnet_client.producers.kegboard_port import BoardPort, open_board
from kegnet_client.producers.kegboard_section import KEGBOARD, KegboardSettings
from kegnet_client.producers.total_meters import TotalMeters
from kegnet_client.spool.directory import enqueue
from kegnet_client.spool.section import SPOOL

KIND = "kegboard"

log = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Add what ``kegboard`` takes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the section (default: each one)")
    parser.add_argument(
        "--device", type=Path, metavar="PATH", help="the board that is there, if a section is for it; else end at once"
    )
    parser.add_argument("--verbose", action="store_true", help="log each message of the board")
    add_daemon_arguments(parser)


def handle(options: argparse.Namespace) -> int:
    """Produce until SIGTERM or SIGINT."""
    set_up(os.environ)
    config = configuration.load(options)
    sections = find_sections(config)
    if options.name is not None:
        sections = {name: one for name, one in sections.items() if name == options.name.lower()}
    if options.device is not None:
        sections = dict(_find_for(options.device, sections))
        if not sections:
            log.info("no section [%s] is for %s, which is left alone", KEGBOARD.name, options.device)
            Supervisor(os.environ).ready()  # a service that ends before it was ready has failed
            return 0
    elif not sections:
        raise ConfigError(f"{config.file}: there is no section [{KEGBOARD.title(options.name or 'NAME')}]: write one")
    detached = detach(options, KIND, config.root)
    return _produce(config, sections, options.device, detached, is_verbose=options.verbose)


def find_sections(config: Config) -> Mapping[str, KegboardSettings]:
    """The sections of ``config``, by name. `ConfigError` unless each has meters and a board of its own."""
    sections = config.sections(KEGBOARD)
    anywhere = [name for name, settings in sections.items() if settings.device is None]
    faults = []
    if len(anywhere) > 1:
        titles = " and ".join(f"[{KEGBOARD.title(name)}]" for name in anywhere)
        faults.append(f"{config.file}: {titles} name no device: with several boards all but one need theirs")
    pins: dict[int, str] = {}
    devices: dict[Path, str] = {}
    for name, settings in sections.items():
        title = f"[{KEGBOARD.title(name)}]"
        if (other := pins.setdefault(settings.pin, title)) != title:
            faults.append(f"{config.file}: {title} pin: {settings.pin} is the first one of {other}, too; write another")
        if settings.device is not None and (other := devices.setdefault(settings.device, title)) != title:
            faults.append(f"{config.file}: {title} device: it is that of {other}, too; write another")
    if faults:
        raise ConfigError(faults)
    return sections


def _find_for(device: Path, sections: Mapping[str, KegboardSettings]) -> Iterator[tuple[str, KegboardSettings]]:
    """The section that is for the board at ``device``: the one that names it, or else the one that names none."""
    named = [(name, one) for name, one in sections.items() if one.device and _is_same(one.device, device)]
    found = named or [(name, one) for name, one in sections.items() if one.device is None and _says_hello(device)]
    yield from found[:1]


def _says_hello(device: Path) -> bool:
    """Whether a Kegboard is there. Raises `BoardError` when it cannot be opened."""
    with BoardPort(device, Stop()) as port:
        return port.says_hello()


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _produce(
    config: Config,
    sections: Mapping[str, KegboardSettings],
    device: Path | None,
    detached: Detached | None,
    *,
    is_verbose: bool,
) -> int:
    clock, spool = Clock(), config.section(SPOOL).directory
    process = ProducerProcess(KIND, config.root, clock, detached)
    rules = reading_rules(config)
    locks = [hold_section(spool, KIND, name) for name in sections]
    for number, (name, settings) in enumerate(sections.items()):
        changed = functools.partial(process.tell, name)
        link = BoardLink(find_socket(config.root), name, settings.pin, clock)
        meters = TotalMeters(spool, KIND, name, settings.rules, clock, changed, link.create_drink)
        meters.start()
        if number == 0:
            meters.take_up_others(list(config.sections(KEGBOARD)))
        board = Kegboard(
            name,
            open_port=functools.partial(open_board, device or settings.device),
            first_pin=settings.pin,
            meters=meters,
            sensors=BoardSensors(rules, functools.partial(enqueue, spool), clock),
            link=link,
            changed=changed,
            clock=clock,
            is_verbose=is_verbose,
        )
        process.add(name, board)
    code = process.run()
    for lock in locks:
        os.close(lock)
    return code
