"""``kegnet-client hub token``: who may read or change what."""

import argparse
import json
from contextlib import closing

from kegnet_client.commands.hub.actions import Actions, add_json, handle_action
from kegnet_client.commands.hub.devices import check_name
from kegnet_client.commands.hub.home import find_home, local_time, open_store
from kegnet_client.commands.hub.saying import print_done
from kegnet_client.commands.parser import Parser
from kegnet_client.hub.domain.roles import Role

handle = handle_action


def add_arguments(parser: Parser) -> None:
    """Add the actions, each with what it takes."""
    actions = Actions(parser)
    make = actions.add("make", "make a token and print it, this once", _make)
    make.add_argument("name", metavar="NAME", help="what the history calls who has it")
    add_role(make)
    add_json(make)
    listing = actions.add("list", "show the tokens, without their secrets", _list)
    add_json(listing)
    revoke = actions.add("revoke", "let a token open nothing any more", _revoke)
    add_json(revoke)
    revoke.add_argument("name", metavar="NAME", help="init is that of the file `token`")


def add_role(parser: Parser) -> None:
    """Add ``--role``."""
    parser.add_argument(
        "--role",
        choices=[role.word for role in Role],
        default="read",
        help="read sees all, operate changes what is said as well, admin also lets in others (default: %(default)s)",
    )


def _make(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import tokens

    name, role = check_name(options.name), Role.of(options.role)
    with closing(open_store(find_home(options))) as store:
        secret = store.write(lambda connection: tokens.make(connection, name, role, wall_ms()))
    return print_done(options, {"name": name, "role": role.word, "token": secret}, secret)


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
        state = f"made {local_time(one.made_ms)}"
        if one.revoked_ms is not None:
            state = f"revoked {local_time(one.revoked_ms)}"
        elif one.expires_ms is not None:
            state += f", good until {local_time(one.expires_ms)}"
        print(f"{one.name}  {one.role.word}  {state}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import tokens

    home = find_home(options)
    with closing(open_store(home)) as store:
        first_sha256 = tokens.hash_of(home.token())
        store.write(lambda connection: tokens.revoke(connection, options.name, first_sha256, wall_ms()))
    told = f"{options.name} is revoked: it opens nothing any more, and what it has open ends within seconds."
    return print_done(options, {"name": options.name, "is_revoked": True}, told)
