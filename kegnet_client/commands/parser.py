"""The command line's parser. A command's module is imported when its command is called, and no other one is.

A command is a module in the package of its list, under its own name with ``_`` for ``-``. It has
``add_arguments(parser)`` and ``handle(options)``, which returns the exit code.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn, Protocol, cast

from kegnet_client import __version__
from kegnet_client.core.errors import UsageError

Handler = Callable[[argparse.Namespace], int]


class Command(NamedTuple):
    """One line of a list of commands. ``summary`` stands in the help."""

    name: str
    summary: str


class _Module(Protocol):
    """What the module of a command has."""

    @staticmethod
    def add_arguments(parser: "Parser", /) -> None: ...

    @staticmethod
    def handle(options: argparse.Namespace, /) -> int: ...


class Parser(argparse.ArgumentParser):
    """argparse with our exit code. ``fill`` is called before the first use, to add the arguments."""

    fill: Callable[["Parser"], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Surplus arguments are told with the usage of the command that got them, not with the outermost one's."""
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)
        parsed, surplus = super().parse_known_args(args, namespace)
        if surplus:
            self.error(f"unrecognized arguments: {' '.join(surplus)}")
        return parsed, surplus

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the call, and end."""
        self.print_usage(sys.stderr)
        self.exit(UsageError.exit_code, f"{self.prog}: {message}\n")

    def add_version(self) -> None:
        """Add ``--version``."""
        self.add_argument("--version", action="version", version=f"kegnet-client {__version__}")

    def add_commands(
        self,
        package: str,
        commands: Iterable[Command],
        *,
        handler: str = "handler",
        common: Callable[["Parser"], None] = add_version,
    ) -> None:
        """Add ``commands``, whose modules are in ``package``; each has the arguments that ``common`` adds.

        The called command's ``handle`` becomes the option ``handler``.
        """
        parsers = self.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
        for name, summary in commands:
            parser = parsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
            parser.fill = _filler(f"{package}.{name.replace('-', '_')}", handler, common)


def _filler(module_name: str, handler: str, common: Callable[[Parser], None]) -> Callable[[Parser], None]:
    def fill(parser: Parser) -> None:
        module = cast(_Module, importlib.import_module(module_name))
        common(parser)
        module.add_arguments(parser)
        parser.set_defaults(**{handler: module.handle})

    return fill
