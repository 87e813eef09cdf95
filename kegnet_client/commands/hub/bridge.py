"""``kegnet-client hub bridge``: poll BrewPi controllers, and publish at the hub what they say.

The main thread waits for signals and nothing else, so that it ends in time whatever hangs.
"""

import argparse
import faulthandler
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kegnet_client.commands.hub.home import add_directory, find_home
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import ConfigError, ControllerError, UsageError
from kegnet_client.core.wire.base_url import is_loopback
from kegnet_client.host.clock import Clock
from kegnet_client.host.crash import CrashGuard
from kegnet_client.host.log import set_up
from kegnet_client.host.regular_file import read_regular
from kegnet_client.host.systemd import Supervisor
from kegnet_client.hub import DEFAULT_PORT
from kegnet_client.hub.bridge.bridge import Bridge
from kegnet_client.hub.bridge.hub_link import HubLink
from kegnet_client.hub.bridge.poller import Poller
from kegnet_client.hub.entrance import reachable_host
from kegnet_client.net.client import Transport
from kegnet_client.net.tls import client_context

if TYPE_CHECKING:
    from kegnet_client.hub.home import Home

HUB_DEADLINE_S = 10.0
STATUS_EVERY_S = 5.0
_SIGNALS = {signal.SIGTERM, signal.SIGINT}
_MAX_TOKEN_BYTES = 4096
_ABSENT = "absent"
"""What the unit's SetCredential= puts where the hub's directory has no such file."""

_log = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Add what ``hub bridge`` takes."""
    add_directory(parser)
    parser.add_argument("--hub", metavar="URL", help="where the hub answers (default: that of the hub's directory)")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the hub's CA certificate (default: DIR/ca.crt)")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a token that may operate (default: DIR/token)")
    parser.add_argument("--once", action="store_true", help="poll and publish once, print what it was, and end")


def handle(options: argparse.Namespace) -> int:
    """Poll until SIGTERM or SIGINT."""
    way = _find_way(options)
    if not options.once:
        # Blocked in every thread from here on, so that they wait for the main one.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    transport = Transport(client_context(way.ca), HUB_DEADLINE_S, Clock().wall_ms)
    link = HubLink(way.url, _read_token(way.token_file), transport)
    if options.once:
        return _poll_once(link)
    set_up(os.environ)
    return _Process(link, os.environ).run()


class _Way(NamedTuple):
    """How the hub is reached, and as whom."""

    url: str
    ca: Path
    token_file: Path


class _Process:
    """The bridge as a service."""

    def __init__(self, link: HubLink, environ: Mapping[str, str]) -> None:
        self._guard = CrashGuard(_log, "the bridge ends")
        self._bridge = Bridge(link, self._guard)
        self._supervisor = Supervisor(environ)

    def run(self) -> int:
        """Serve until a signal; the exit code."""
        # The watchdog ends a process that hangs with SIGABRT: where each thread stands goes to stderr then.
        if sys.stderr is not None:
            faulthandler.enable()
        self._bridge.start()
        # A hub that is away is no reason to be called late: it is waited for as long as it takes.
        self._supervisor.ready()
        _log.info("the bridge polls the hub's controllers")
        watchdog_s = self._supervisor.watchdog_s
        tick_s = min(watchdog_s / 2, STATUS_EVERY_S) if watchdog_s else 0
        while (signal.sigtimedwait(_SIGNALS, tick_s) if tick_s else signal.sigwaitinfo(_SIGNALS)) is None:
            self._supervisor.status(self._bridge.status())
            if watchdog_s and time.monotonic() - self._bridge.alive_at_s < watchdog_s:
                self._supervisor.alive()
        self._supervisor.stopping()
        self._bridge.stop()
        _log.info("the bridge stopped")
        return self._guard.exit_code


def _poll_once(link: HubLink) -> int:
    """A line for each controller on stdout, and how many messages the hub took."""
    controllers = link.controllers()
    if not controllers:
        print("The hub has no controllers: add one on its page, or by POST /iocontrollers.")
    language = link.language()
    failed = False
    for controller in controllers:
        said: list[str] = []

        def publish(channel: str, number: int, payload: Mapping[str, Any], said: list[str] = said) -> None:
            said.append(f"{channel}: {json.dumps(payload)}")
            link.publish(channel, number, payload)

        poller = Poller(controller, publish, lambda: language)
        failed |= poller.poll() is not None
        for line in said:
            print(f"{poller.name}: {line}", flush=True)
    count = link.send()
    link.close()
    print(f"{count} message{'' if count == 1 else 's'} published.")
    return ControllerError.exit_code if failed else 0


def _find_way(options: argparse.Namespace) -> _Way:
    """What is not said is taken from the hub's directory, which then has to be on this machine."""
    url, ca, token_file = options.hub, options.ca, options.token_file
    if url is not None:
        url = url.rstrip("/")
        if not url.startswith("https://") or not url[8:] or not url.isprintable() or set(" ?#@") & set(url):
            raise UsageError(f"--hub {options.hub!a}: write it as https://HOST:{DEFAULT_PORT}")
    if url is None or ca is None or token_file is None:
        home = find_home(options)
        url = url or _url_of(home)
        ca, token_file = ca or home.ca_certificate, token_file or home.token_file
    return _Way(url, ca, token_file)


def _url_of(home: "Home") -> str:
    from kegnet_client.hub.hub_section import HUB

    settings, hosts = home.config().section(HUB), home.hosts()
    # One that listens at one address is not at this machine's loopback.
    near = next((host for host in hosts if is_loopback(host)), hosts[0])
    host = near if settings.bind is None else reachable_host(hosts)
    return f"https://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _read_token(path: Path) -> str:
    try:
        token = read_regular(path, _MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist: kegnet-client hub token make bridge --role operate prints what to put there"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): run this as the user who owns it") from None
    if token == _ABSENT:
        raise ConfigError(
            "the bridge has no token yet: sudo sh -c 'umask 077; kegnet-client hub token make bridge --role operate "
            "> /var/lib/kegnet-hub/bridge.token', then start it again"
        )
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise ConfigError(f"{path} holds no token: it is one line of letters, digits, - and _")
    return token
