"""``kegnet-client hub devices``: who may send."""

import argparse
from contextlib import closing
from pathlib import Path

from kegnet_client.commands.hub.actions import Actions, handle_action
from kegnet_client.commands.hub.home import find_home, local_time, open_store
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.core.wire.forms import is_uuid
from kegnet_client.keys import key_kind, load_public_key

handle = handle_action


def add_arguments(parser: Parser) -> None:
    """Add the actions, each with what it takes."""
    actions = Actions(parser)
    add = actions.add("add", "register a device's public key", _add)
    add.add_argument("uuid", metavar="UUID")
    add.add_argument("public_key", metavar="PUBLIC_KEY.pem", type=Path)
    add.add_argument("--name", help="what the log and the lists call it (default: the uuid's first part)")
    actions.add("list", "show the devices", _list)
    revoke = actions.add("revoke", "take nothing more from a device; what it sent stays", _revoke)
    revoke.add_argument("uuid", metavar="UUID")


def check_name(text: str) -> str:
    """A device's name as it may be; `UsageError` if it is none."""
    if not text.isprintable() or not 1 <= len(text) <= 100:
        raise UsageError("--name takes 1 to 100 printable characters")
    return text


def _add(options: argparse.Namespace) -> int:
    from kegnet_client.host.regular_file import read_regular
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.keys import MAX_KEY_FILE_BYTES

    uuid = _check_uuid(options.uuid)
    name = check_name(uuid.partition("-")[0] if options.name is None else options.name)
    try:
        key = load_public_key(read_regular(options.public_key, MAX_KEY_FILE_BYTES))
    except OSError as error:
        raise ConfigError(f"{options.public_key} cannot be read: {error.strerror}") from None
    except ConfigError as error:
        raise ConfigError(f"{options.public_key}: {error}") from None
    with closing(open_store(find_home(options))) as store:
        store.add_device(uuid, key, name, wall_ms())
    print(f"{name} ({uuid}) may send, signed with this {key_kind(key)} key.")
    return 0


def _list(options: argparse.Namespace) -> int:

    with closing(open_store(find_home(options))) as store:
        for device in store.devices():
            kind = key_kind(load_public_key(device.public_key_pem.encode()))
            seen = "never seen" if device.last_seen_ms is None else f"last seen {local_time(device.last_seen_ms)}"
            state = seen if device.revoked_ms is None else f"revoked {local_time(device.revoked_ms)}, {seen}"
            if device.next_key_pem is not None and device.revoked_ms is None:
                state += ", changes its key (both are taken)"
            print(f"{device.uuid}  {device.name}  {kind}  {state}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms

    uuid = _check_uuid(options.uuid)
    with closing(open_store(find_home(options))) as store:
        store.revoke_device(uuid, wall_ms())
    print(f"{uuid} is revoked: nothing more is taken from it, what it sent stays.")
    return 0


def _check_uuid(text: str) -> str:
    if not is_uuid(text):
        raise UsageError(f"{text!r} is not a UUID: it stands in the device's client.conf")
    return text.lower()
