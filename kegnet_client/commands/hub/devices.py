"""``kegnet-client hub devices``: who may send."""

import argparse
import json
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from kegnet_client.commands.hub.actions import Actions, add_json, handle_action
from kegnet_client.commands.hub.home import find_home, local_time, open_store
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.core.wire.forms import is_uuid
from kegnet_client.keys import PublicKey, key_kind, load_public_key

if TYPE_CHECKING:
    from sqlalchemy import Connection

handle = handle_action

_WHO = "the device's name, or its uuid"


def add_arguments(parser: Parser) -> None:
    """Add the actions, each with what it takes."""
    actions = Actions(parser)
    add = actions.add("add", "register a device's public key", _add)
    add.add_argument("uuid", metavar="UUID")
    add.add_argument("public_key", metavar="PUBLIC_KEY.pem", type=Path)
    add.add_argument("--name", help="what the log and the lists call it (default: the uuid's first part)")
    listing = actions.add("list", "show the devices", _list)
    listing.add_argument(
        "--silent", metavar="AGE", help="only those that sent nothing new for so long, such as 30m, 1h or 2d"
    )
    add_json(listing)
    rename = actions.add("rename", "call a device by another name", _rename)
    rename.add_argument("device", metavar="NAME", help=_WHO)
    rename.add_argument("name", metavar="NEW_NAME")
    rekey = actions.add("rekey", "take another public key from a device, and no other any more", _rekey)
    rekey.add_argument("device", metavar="NAME", help=_WHO)
    rekey.add_argument("public_key", metavar="PUBLIC_KEY.pem", type=Path)
    revoke = actions.add("revoke", "take nothing more from a device; what it sent stays", _revoke)
    revoke.add_argument("device", metavar="NAME", help=_WHO)


def check_name(text: str) -> str:
    """A device's name as it may be; `UsageError` if it is none."""
    if not text.isprintable() or not 1 <= len(text) <= 100:
        raise UsageError("--name takes 1 to 100 printable characters")
    return text


def _add(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms

    uuid = _check_uuid(options.uuid)
    name = check_name(uuid.partition("-")[0] if options.name is None else options.name)
    key = _read_key(options.public_key)
    with closing(open_store(find_home(options))) as store:
        store.add_device(uuid, key, name, wall_ms())
    print(f"{name} ({uuid}) may send, signed with this {key_kind(key)} key.")
    return 0


def _list(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms

    silent_ms = None if options.silent is None else _to_ms(options.silent)
    with closing(open_store(find_home(options))) as store:
        devices = store.devices()
        if silent_ms is not None:
            before_ms = wall_ms() - silent_ms
            devices = [
                one for one in devices if one.revoked_ms is None and (one.last_seen_ms or one.added_ms) <= before_ms
            ]
        if options.json:
            names = ("uuid", "name", "key_fingerprint", "added_ms", "revoked_ms", "last_seen_ms", "address")
            print(json.dumps([{name: getattr(one, name) for name in names} for one in devices]))
            return 0
        for device in devices:
            kind = key_kind(load_public_key(device.public_key_pem.encode()))
            seen = "never seen" if device.last_seen_ms is None else f"last seen {local_time(device.last_seen_ms)}"
            state = seen if device.revoked_ms is None else f"revoked {local_time(device.revoked_ms)}, {seen}"
            if device.next_key_pem is not None and device.revoked_ms is None:
                state += ", changes its key (both are taken)"
            print(f"{device.uuid}  {device.name}  {kind}  {state}")
    return 0


def _rename(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import devices

    name = check_name(options.name)

    def work(connection: "Connection") -> str:
        device = devices.find(connection, options.device)
        devices.rename(connection, device.uuid, name)
        return f"{device.uuid} is called {name} from now on, and no longer {device.name}."

    with closing(open_store(find_home(options))) as store:
        print(store.write(work))
    return 0


def _rekey(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import devices
    from kegnet_client.keys import key_fingerprint, normal_pem

    key = _read_key(options.public_key)
    pem = normal_pem(key)

    def work(connection: "Connection") -> str:
        device = devices.find(connection, options.device)
        devices.replace_key(connection, device.uuid, key_fingerprint(pem), pem, wall_ms())
        again = "" if device.revoked_ms is None else " It is not revoked any more."
        return f"{device.name} ({device.uuid}) may send, signed with this {key_kind(key)} key alone.{again}"

    with closing(open_store(find_home(options))) as store:
        print(store.write(work))
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import devices

    def work(connection: "Connection") -> str:
        device = devices.find(connection, options.device)
        devices.revoke(connection, device.uuid, wall_ms())
        return f"{device.name} ({device.uuid}) is revoked: nothing more is taken from it, what it sent stays."

    with closing(open_store(find_home(options))) as store:
        print(store.write(work))
    return 0


def _read_key(path: Path) -> PublicKey:
    from kegnet_client.host.regular_file import read_regular
    from kegnet_client.keys import MAX_KEY_FILE_BYTES

    try:
        return load_public_key(read_regular(path, MAX_KEY_FILE_BYTES))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _to_ms(age: str) -> int:
    """``30m``, ``1h`` or ``2d`` in milliseconds."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", age)
    if match is None:
        raise UsageError(f"--silent {age!r}: write a whole number and s, m, h or d, such as 1h")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]] * 1000


def _check_uuid(text: str) -> str:
    if not is_uuid(text):
        raise UsageError(f"{text!r} is not a UUID: it stands in the device's client.conf")
    return text.lower()
