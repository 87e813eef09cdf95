"""The commands under ``kegnet-client hub``.

Only the parser is built on import: what the hub needs beyond the client is imported by the command that runs,
so that the client never loads it and a missing extra is one clear message.
"""

import argparse
import datetime
import ipaddress
import logging
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kegnet_client import __version__
from kegnet_client.core.errors import ConfigError, RecordError, UsageError
from kegnet_client.core.wire.forms import is_uuid

if TYPE_CHECKING:
    from kegnet_client.hub.home import Home
    from kegnet_client.hub.store.records import Store

DEFAULT_PORT = 8443
MAX_VALID_MINUTES = 7 * 24 * 60
_PROGRESS_S = 0.2
_EXTRA = {"fastapi", "fastapi_offline", "sqlalchemy", "uvicorn", "pydantic", "starlette"}


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the hub's commands; each sets ``handler``, which takes the namespace and returns the exit code."""
    init = _add(subparsers, "init", "make a certificate authority, a server certificate and a token", _init)
    init.add_argument(
        "--host",
        action="append",
        metavar="NAME",
        help="name or address that devices will use, may be repeated (default: this machine's, and localhost)",
    )
    init.add_argument("--database", metavar="URL", help="postgresql+psycopg://USER@HOST/NAME (default: a SQLite file)")

    run = _add(subparsers, "run", "serve until stopped", _run)
    run.add_argument("--bind", metavar="ADDRESS", help="listen at this address only (default: at all)")
    run.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="default: %(default)s; 0 takes a free one and prints it"
    )
    run.add_argument(
        "--proxy", metavar="ADDRESS", help="believe the X-Forwarded headers of this proxy or network (default: none)"
    )

    invite = _add(subparsers, "invite", "print the command that enrols one device", _invite)
    invite.add_argument("--name", help="what the log and the lists will call it (default: its uuid's first part)")
    invite.add_argument(
        "--valid-minutes",
        type=int,
        default=60,
        metavar="MINUTES",
        help="how long it may be used (default: %(default)s)",
    )
    invite.add_argument(
        "--url",
        metavar="URL",
        help=f"where the device reaches the hub (default: its certificate's name, {DEFAULT_PORT})",
    )

    devices = subparsers.add_parser("devices", help="who may send", description="who may send")
    actions = devices.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = _add(actions, "add", "register a device's public key", _add_device)
    add.add_argument("uuid", metavar="UUID")
    add.add_argument("public_key", metavar="PUBLIC_KEY.pem", type=Path)
    add.add_argument("--name", help="what the log and the lists call it (default: the uuid's first part)")
    _add(actions, "list", "show the devices", _list_devices)
    revoke = _add(actions, "revoke", "take nothing more from a device; what it sent stays", _revoke_device)
    revoke.add_argument("uuid", metavar="UUID")

    _add(subparsers, "verify", "verify the signature of every stored record again", _verify)


def _add(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    command: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(name, help=summary, description=summary)
    parser.add_argument("--version", action="version", version=f"kegnet-client {__version__}")
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="the hub's directory (default: $KEGNET_HUB_DIR, or else /var/lib/kegnet-hub)",
    )
    parser.set_defaults(handler=lambda arguments: _with_extra(command, arguments))
    return parser


def _with_extra(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    try:
        return command(arguments)
    except ModuleNotFoundError as error:
        if error.name == "psycopg":
            raise ConfigError(
                "a PostgreSQL database needs psycopg: sudo ./service/install --hub (on a 64-bit system), "
                "or in a virtual environment of your own pip install 'kegnet-client[postgresql]'"
            ) from None
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigError(
            "the hub needs its extra: sudo ./service/install --hub, "
            "or in a virtual environment of your own pip install 'kegnet-client[hub]'"
        ) from None


def _init(arguments: argparse.Namespace) -> int:
    from kegnet_client.hub import pki
    from kegnet_client.hub.store.database import check_url
    from kegnet_client.hub.store.records import Store

    name = socket.gethostname()
    hosts = [pki.check_host(host) for host in arguments.host or ("localhost", "127.0.0.1", "::1")]
    if not arguments.host and pki.is_host(name):
        hosts.append(name.lower())
    home = _home(arguments)
    home.refuse_if_initialised()
    if arguments.database is not None:
        check_url(arguments.database)
        # A database that cannot be reached is found out before anything is made.
        with closing(Store(arguments.database)) as store:
            store.prepare()
    home.initialise(list(dict.fromkeys(hosts)), arguments.database, datetime.datetime.now(datetime.UTC))
    with closing(_open_store(home)):
        pass
    print(f"The hub's directory is {home.directory}, its certificate is for {', '.join(hosts)}.")
    print(f"Devices trust it with {home.ca_certificate}; the token for reading is in {home.token_file}.")
    print("Next: kegnet-client hub run; then kegnet-client hub invite for each device, which prints what to run there.")
    print("For a device that has its key already: kegnet-client hub devices add UUID PUBLIC_KEY.pem.")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from kegnet_client.host.stdout import tell
    from kegnet_client.host.systemd import Supervisor
    from kegnet_client.hub import serve
    from kegnet_client.hub.app import create_app

    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("kegnet_client").setLevel(logging.INFO)
    home = _home(arguments)
    token, ca = home.token(), home.ca()
    with closing(_open_store(home)) as store, serve.listen(arguments.bind, arguments.port) as listener:
        host = home.hosts()[0] if arguments.bind is None else arguments.bind
        port = listener.getsockname()[1]
        url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

        def say_ready() -> None:
            tell(f"The hub answers at {url} and is read at {url}/docs?token=TOKEN; the token is in {home.token_file}")
            supervisor = Supervisor(os.environ)
            supervisor.status(f"answers at {url}")
            supervisor.ready()

        server = serve.HubServer(
            create_app(store, token, ca),
            home,
            listener,
            proxy=arguments.proxy,
            on_ready=say_ready,
            on_stop=store.hurry,
        )
        server.serve_until_stopped()
    return 0


def _invite(arguments: argparse.Namespace) -> int:
    from kegnet_client.core.wire.enrolment import format_code
    from kegnet_client.hub import pki
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import enrolment

    if not 1 <= arguments.valid_minutes <= MAX_VALID_MINUTES:
        raise UsageError(f"--valid-minutes takes 1 to {MAX_VALID_MINUTES} (a week)")
    name = None if arguments.name is None else _name(arguments.name)
    home = _home(arguments)
    hosts = home.hosts()
    if arguments.url is None:
        host = next((host for host in hosts if not _is_loopback(host)), hosts[0])
        port = DEFAULT_PORT
    else:
        host, port = _host_and_port(arguments.url)
    if host not in hosts:
        raise UsageError(
            f"--url: the hub's certificate is for {', '.join(hosts)}, so no device would believe {host}; "
            "a hub is made for other names with `kegnet-client hub init --host NAME`"
        )
    expires_ms = wall_ms() + arguments.valid_minutes * 60_000
    ca_der = pki.ca_der(home.ca())
    with closing(_open_store(home)) as store:
        code = format_code(ca_der, enrolment.invite(store, name, expires_ms))
    print(f"Within {arguments.valid_minutes} minutes, once, on the device:\n", file=sys.stderr)
    sys.stderr.flush()
    print(f"sudo kegnet-client enroll https://{f'[{host}]' if ':' in host else host}:{port} {code}")
    if _is_loopback(host):
        print(
            f"\nThis works on this machine alone: the hub's certificate is for {', '.join(hosts)}. "
            "A hub is made for other names with `kegnet-client hub init --host NAME`.",
            file=sys.stderr,
        )
    return 0


def _add_device(arguments: argparse.Namespace) -> int:
    from kegnet_client.host.regular_file import read_regular
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.ingest import forms
    from kegnet_client.keys import MAX_KEY_FILE_BYTES

    uuid = _uuid(arguments.uuid)
    name = _name(uuid.partition("-")[0] if arguments.name is None else arguments.name)
    try:
        key = forms.load_public_key(read_regular(arguments.public_key, MAX_KEY_FILE_BYTES))
    except OSError as error:
        raise ConfigError(f"{arguments.public_key} cannot be read: {error.strerror}") from None
    except ConfigError as error:
        raise ConfigError(f"{arguments.public_key}: {error}") from None
    with closing(_open_store(_home(arguments))) as store:
        store.add_device(uuid, key, name, wall_ms())
    print(f"{name} ({uuid}) may send, signed with this {forms.key_kind(key)} key.")
    return 0


def _list_devices(arguments: argparse.Namespace) -> int:
    from kegnet_client.hub.ingest import forms

    with closing(_open_store(_home(arguments))) as store:
        for device in store.devices():
            kind = forms.key_kind(forms.load_public_key(device.public_key_pem.encode()))
            seen = "never seen" if device.last_seen_ms is None else f"last seen {_local(device.last_seen_ms)}"
            state = seen if device.revoked_ms is None else f"revoked {_local(device.revoked_ms)}, {seen}"
            if device.next_key_pem is not None and device.revoked_ms is None:
                state += ", changes its key (both are taken)"
            print(f"{device.uuid}  {device.name}  {kind}  {state}")
    return 0


def _revoke_device(arguments: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms

    uuid = _uuid(arguments.uuid)
    with closing(_open_store(_home(arguments))) as store:
        store.revoke_device(uuid, wall_ms())
    print(f"{uuid} is revoked: nothing more is taken from it, what it sent stays.")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    kinds: Counter[str] = Counter()
    faults = 0
    with closing(_open_store(_home(arguments))) as store, _Progress(store.count()) as progress:
        for one in store.verify_stored():
            kinds[one.table] += 1
            if one.fault is not None:
                faults += 1
                progress.print(f"{one.table} {one.id} of {one.device}, record {one.record_id}: {one.fault}")
            progress.step()
    found = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no records"
    if faults:
        print(f"{faults} of {kinds.total()} records do not verify ({found}): each is named above.")
        return RecordError.exit_code
    print(f"Every record verifies: {found}.")
    return 0


class _Progress:
    """How far it is, in one line of the terminal, where there is one."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._shows = sys.stderr.isatty()
        self._due_s = 0.0

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_error: object) -> None:
        self._erase()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if self._shows and time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + _PROGRESS_S
            print(f"\r{self._done} of {self._total} records", end="", file=sys.stderr, flush=True)

    def print(self, line: str) -> None:
        """``line``, not mixed up with the progress."""
        self._erase()
        print(line, flush=True)

    def _erase(self) -> None:
        if self._shows:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _home(arguments: argparse.Namespace) -> "Home":
    from kegnet_client.hub.home import DEFAULT_DIRECTORY, DIRECTORY_VARIABLE, Home

    return Home(arguments.dir or Path(os.environ.get(DIRECTORY_VARIABLE) or DEFAULT_DIRECTORY))


def _open_store(home: "Home") -> "Store":
    from kegnet_client.hub.store.database import check_url
    from kegnet_client.hub.store.records import Store

    database = home.database()
    if isinstance(database, str):
        try:
            check_url(database)
        except UsageError:
            raise ConfigError(
                f"{home.settings}: database is none that the hub can use: write it as "
                "postgresql+psycopg://USER@HOST/NAME or sqlite:////PATH"
            ) from None
    store = Store(database)
    store.prepare()
    return store


def _uuid(text: str) -> str:
    if not is_uuid(text):
        raise UsageError(f"{text!r} is not a UUID: it stands in the device's client.conf")
    return text.lower()


def _name(text: str) -> str:
    if not text.isprintable() or not 1 <= len(text) <= 100:
        raise UsageError("--name takes 1 to 100 printable characters")
    return text


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url.rstrip("/"))
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "https" or not parts.hostname or url.rstrip("/") != f"https://{parts.netloc}" or "@" in url:
        raise UsageError(f"--url {url!r}: write it as https://HOST:{DEFAULT_PORT}")
    return parts.hostname, 443 if port is None else port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _local(unix_ms: int) -> str:
    return datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC).astimezone().isoformat(" ", "seconds")
