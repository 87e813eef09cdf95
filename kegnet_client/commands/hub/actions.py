"""A command that has actions of its own: ``hub devices add``, ``hub taps end``."""

import argparse

from kegnet_client.commands.hub.home import add_directory
from kegnet_client.commands.parser import Handler, Parser


class Actions:
    """The actions of a command, each with its words and its handler. Without one ``lister`` shows what there is."""

    def __init__(self, parser: Parser, lister: Handler | None = None) -> None:
        if lister is not None:
            add_directory(parser)
            add_json(parser)
            parser.set_defaults(action_handler=lister)
        self._has_lister = lister is not None
        self._actions = parser.add_subparsers(dest="action", required=lister is None, metavar="ACTION")

    def add(self, name: str, summary: str, handler: Handler) -> Parser:
        """Another action."""
        action: Parser = self._actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        action.add_version()
        # What stands before the action holds.
        add_directory(action, default=argparse.SUPPRESS if self._has_lister else None)
        action.set_defaults(action_handler=handler)
        return action


def add_json(parser: Parser, *, is_action: bool = False) -> None:
    """Add ``--json``; on an action of a command that lists what there is, it may stand before the action, too."""
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS if is_action else False, help="for programs"
    )


def handle_action(options: argparse.Namespace) -> int:
    """Do the action."""
    code: int = options.action_handler(options)
    return code
