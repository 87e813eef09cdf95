"""``kegnet-client hub invitations``: the codes that nobody has used yet, and cancelling them.

A code itself is shown once, by ``hub invite``: here it has the beginning of its hash for a number.
"""

import argparse
import json
from contextlib import closing
from typing import TYPE_CHECKING

from kegnet_client.commands.hub.actions import Actions, handle_action
from kegnet_client.commands.hub.home import find_home, local_time, open_store
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from kegnet_client.hub.store.enrolment import Invitation

handle = handle_action

_NUMBER_LETTERS = 8


def add_arguments(parser: Parser) -> None:
    """Add the actions; without one it lists them."""
    actions = Actions(parser, _list)
    cancel = actions.add("cancel", "let a code enrol nobody any more", _cancel)
    which = cancel.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "invitation", metavar="NAME", nargs="?", help="the name that it is for, or its number in the list"
    )
    which.add_argument("--all", action="store_true", help="all of them")


def _list(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import enrolment

    with closing(open_store(find_home(options))) as store:
        found = store.read(lambda connection: enrolment.read_open(connection, wall_ms()))
    if options.json:
        rows = [
            {"number": _number(one), "name": one.name, "replaces": one.replaces, "expires_ms": one.expires_ms}
            for one in found
        ]
        print(json.dumps(rows))
        return 0
    for one in found:
        whom = f"{one.replaces} comes back" if one.replaces else one.name or "a device without a name"
        print(f"{_number(one)}  {whom}  until {local_time(one.expires_ms)}")
    return 0


def _cancel(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.store import enrolment

    def work(connection: "Connection") -> int:
        now_ms = wall_ms()
        found = enrolment.read_open(connection, now_ms)
        if not options.all:
            found = [one for one in found if options.invitation in (_number(one), one.name, one.replaces)]
            if not found:
                raise UsageError(
                    f"no invitation that could be used is for {options.invitation!r}; `kegnet-client hub invitations` "
                    "lists those that there are"
                )
        for one in found:
            enrolment.cancel(connection, one.secret_sha256, now_ms)
        return len(found)

    with closing(open_store(find_home(options))) as store:
        count = store.write(work)
    print(f"{count} {'is' if count == 1 else 'are'} cancelled.")
    return 0


def _number(invitation: "Invitation") -> str:
    return invitation.secret_sha256[:_NUMBER_LETTERS]
