"""``kegnet-client hub token``: who may read or change what."""

import argparse
import datetime
import json
from contextlib import closing

from kegnet_client.commands.hub.devices import check_name
from kegnet_client.commands.hub.home import add_directory, find_home, open_store
from kegnet_client.commands.parser import Handler, Parser

ROLES = ("read", "operate", "admin")


def add_arguments(parser: Parser) -> None:
    """Add the actions, each with what it takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add_action(name: str, summary: str, handler: Handler) -> Parser:
        action: Parser = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        action.add_version()
        add_directory(action)
        action.set_defaults(action_handler=handler)
        return action

    make = add_action("make", "make a token and print it, this once", _make)
    make.add_argument("name", metavar="NAME", help="what the history calls who has it")
    add_role(make)
    listing = add_action("list", "show the tokens, without their secrets", _list)
    listing.add_argument("--json", action="store_true", help="for programs")
    revoke = add_action("revoke", "let a token open nothing any more", _revoke)
    revoke.add_argument("name", metavar="NAME", help="init is that of the file `token`")


def add_role(parser: Parser) -> None:
    """Add ``--role``."""
    parser.add_argument(
        "--role",
        choices=ROLES,
        default="read",
        help="read sees all, operate changes what is said as well, admin also lets in others (default: %(default)s)",
    )


def handle(options: argparse.Namespace) -> int:
    """Do the action."""
    code: int = options.action_handler(options)
    return code


def _make(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.domain.roles import Role
    from kegnet_client.hub.store import tokens

    name, role = check_name(options.name), Role.of(options.role)
    with closing(open_store(find_home(options))) as store:
        print(store.write(lambda connection: tokens.make(connection, name, role, wall_ms())))
    return 0


def _list(options: argparse.Namespace) -> int:
    from kegnet_client.hub.store import tokens

    home = find_home(options)
    with closing(open_store(home)) as store:
        found = store.read(tokens.read_all)
        first_sha256 = tokens.hash_of(home.token())
        first = store.read(lambda connection: tokens.find(connection, first_sha256, first_sha256, 0))
    if options.json:
        rows = [
            {
                "name": one.name,
                "role": one.role.word,
                "made_ms": one.made_ms,
                "expires_ms": one.expires_ms,
                "revoked_ms": one.revoked_ms,
            }
            for one in found
        ]
        print(json.dumps(rows))
        return 0
    if first is not None:
        print("init  admin  the one in the file `token`")
    for one in found:
        state = f"made {_local(one.made_ms)}"
        if one.revoked_ms is not None:
            state = f"revoked {_local(one.revoked_ms)}"
        elif one.expires_ms is not None:
            state += f", good until {_local(one.expires_ms)}"
        print(f"{one.name}  {one.role.word}  {state}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import tokens

    home = find_home(options)
    with closing(open_store(home)) as store:
        first_sha256 = tokens.hash_of(home.token())
        store.write(lambda connection: tokens.revoke(connection, options.name, first_sha256, wall_ms()))
    print(f"{options.name} is revoked: it opens nothing any more, and what it has open ends within seconds.")
    return 0


def _local(unix_ms: int) -> str:
    return datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.UTC).astimezone().isoformat(" ", "seconds")
