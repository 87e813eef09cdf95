"""``kegnet-client runner``: run the signed programs that a database has for this device, in boxes.

It is a process and a user of its own, which never sees the device's key. The main thread waits for signals and nothing
else.
"""

import argparse
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.config.settings import Config
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.host.clock import Clock
from kegnet_client.host.crash import CrashGuard
from kegnet_client.host.lock_file import take_lock
from kegnet_client.host.log import set_up
from kegnet_client.host.systemd import Supervisor as Systemd
from kegnet_client.runner.section import RUNNER, RunnerSettings
from kegnet_client.sinks.kegnet_section import KEGNET
from kegnet_client.spool.section import SPOOL

if TYPE_CHECKING:
    from kegnet_client.runner.identity import Identity

END_S = 30.0
LOCK = "lock"
_SIGNALS = {signal.SIGTERM, signal.SIGINT}

_log = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Add what ``runner`` takes."""
    parser.add_argument(
        "action",
        choices=("start", "identity"),
        nargs="?",
        default="start",
        help="start it, in the foreground (so it does without a word), or print who this device is for the database",
    )
    parser.add_argument("--json", action="store_true", help="identity: for module database add-device")


def handle(options: argparse.Namespace) -> int:
    """Run programs until SIGTERM or SIGINT, or print who this device is."""
    config = configuration.load(options)
    settings = config.section(RUNNER)
    if options.action == "identity":
        return _print_identity(_identify(config, settings), is_json=options.json)
    if options.json:
        raise UsageError("--json is for runner identity")
    if settings.url is None and not settings.discovery:
        raise ConfigError(f"{config.file}: [Runner] url is not set, nor discovery = yes: no database, no programs")
    from kegnet_client.commands.module import explain_missing

    # Blocked in every thread from here on, so that they wait for the main one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    set_up(os.environ)
    try:
        from kegnet_client.commands.runner_discovery import Discovery

        guard = CrashGuard(_log, "the runner ends")
        identity = _identify(config, settings)
        discovery = Discovery(config, settings, identity)
        url = settings.url or discovery.server()
        if settings.discovery:
            _start(guard, discovery.responder.run, "discovery")
        code = _wait_for_server(guard) if url is None else _Process(config, settings, url, identity, guard).run()
    except ModuleNotFoundError as error:
        raise explain_missing(error) from None
    if discovery.has_news:
        _log.info("the runner begins anew, with the server that was announced")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 (itself)
    return code


def _wait_for_server(guard: CrashGuard) -> int:
    Systemd(os.environ).ready()
    _log.info("no server is known here: one that is announced by a signature is waited for")
    signal.sigwaitinfo(_SIGNALS)
    return guard.exit_code


def _start(guard: CrashGuard, work: Callable[[], None], name: str) -> threading.Thread:
    # Daemons: neither a lookup that never returns nor a database that is slow holds up the end.
    thread = threading.Thread(target=guard, args=(work,), name=name, daemon=True)
    thread.start()
    return thread


class _Process:
    """The runner as a service."""

    def __init__(
        self, config: Config, settings: RunnerSettings, url: str, identity: "Identity", guard: CrashGuard
    ) -> None:
        # Only here: --help and identity do without.
        from kegnet_client.runner.box import Boxes, can_forbid_namespaces
        from kegnet_client.runner.cgroup import Groups
        from kegnet_client.runner.couch import Couch, Login
        from kegnet_client.runner.feed import Feed
        from kegnet_client.runner.judge import Allowed, Judge
        from kegnet_client.runner.reporter import Reporter
        from kegnet_client.runner.sequences import Sequences
        from kegnet_client.runner.shelf import Shelf
        from kegnet_client.runner.supervisor import Supervisor
        from kegnet_client.runner.trust import ALLOWED, REVOKED, Trust, find_ssh_keygen

        forbids_namespaces = can_forbid_namespaces()
        groups = Groups()
        self._problems = [groups.problem] if groups.problem else []
        if not forbids_namespaces:
            self._problems.append(
                "programs can make namespaces in their boxes: /proc/sys is read-only, or bubblewrap old"
            )
        for problem in self._problems:
            _log.warning("%s", problem)
        find_ssh_keygen()
        self._url = url
        self._identity = identity
        self._lock = _lock_directory(settings)
        login = Login(self._identity.user, self._identity.password)
        conf = config.root / "conf"
        trust = Trust(conf / ALLOWED, conf / REVOKED)
        allowed = Allowed(
            settings.allow_network,
            settings.allow_spool,
            settings.allow_devices or frozenset(),
            settings.allow_gpio or frozenset(),
            settings.most_memory_mib,
        )
        spool = config.section(SPOOL).directory
        try:
            shelf = Shelf(settings.directory)
        except OSError as error:
            raise ConfigError(f"{settings.directory}: cannot be used: {error.strerror}") from None
        sequences = Sequences(settings.directory)
        couches = [Couch(url, settings.database, login, settings.ca_bundle) for _ in range(2)]
        self._reporter = Reporter(couches[0], self._identity.mac_id, shelf, self._state)
        self._feed = Feed(couches[1], lambda change: self._supervisor.offer(change))
        self._supervisor = Supervisor(
            Judge(self._identity.names, trust, allowed, sequences),
            trust,
            sequences,
            shelf,
            Boxes((config.root, settings.directory), spool, forbids_namespaces, groups),
            Clock(),
            tell=self._reporter.tell,
            changed=self._reporter.changed,
            done=self._reporter.done,
            resync=self._feed.resync,
        )
        self._systemd = Systemd(os.environ)
        self._guard = guard

    def run(self) -> int:
        """Serve until a signal; the exit code."""
        if sys.stderr is not None:
            faulthandler.enable()
        supervisor = _start(self._guard, self._supervisor.run, "supervisor")
        _start(self._guard, self._reporter.run, "reporter")
        _start(self._guard, self._feed.run, "feed")
        # A database that is away is no reason to be called late: what is kept here runs.
        self._systemd.ready()
        _log.info("the runner is device %s for %s", self._identity.mac_id, self._url)
        signal.sigwaitinfo(_SIGNALS)
        self._systemd.stopping()
        self._supervisor.stop()
        supervisor.join(END_S)
        _log.info("the runner stopped")
        return self._guard.exit_code

    def _state(self) -> dict[str, Any]:
        from kegnet_client.runner.identity import own_address

        programs, refused = self._supervisor.status()
        running = [one["id"] for one in programs if one["state"] in ("running", "probation")]
        return {
            "uuid": self._identity.uuid,
            "ip": own_address(self._url),
            "running_ids": running,
            "programs": programs,
            "refused": refused,
            "problems": self._problems,
        }


def _identify(config: Config, settings: RunnerSettings) -> "Identity":
    from kegnet_client.runner.identity import Identity, find_mac_id, load_password, make_directory

    kegnet = config.find(KEGNET)
    mac_id = settings.mac_id or find_mac_id()
    make_directory(settings.directory)
    password = load_password(settings.directory)
    return Identity(None if kegnet is None else kegnet.uuid, mac_id, settings.user or str(mac_id), password)


def _lock_directory(settings: RunnerSettings) -> int:
    directory_fd = os.open(settings.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock = take_lock(directory_fd, LOCK)
    except OSError as error:
        raise ConfigError(f"{settings.directory}: cannot be locked: {error.strerror}") from None
    finally:
        os.close(directory_fd)
    if lock is None:
        raise ConfigError(f"{settings.directory}: another runner uses it; stop that one first")
    return lock


def _print_identity(identity: "Identity", *, is_json: bool) -> int:
    values = {
        "uuid": identity.uuid,
        "mac_id": identity.mac_id,
        "user": identity.user,
        "password": identity.password,
    }
    if is_json:
        print(json.dumps(values))
    else:
        for name, value in values.items():
            print(f"{name}: {value}")
    return 0
