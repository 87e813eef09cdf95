"""The command line's parser. A command's module is imported when its command is called, and no other one is.

A command is a module in the package of its list, under its own name with ``_`` for ``-``. It has
``add_arguments(parser)`` and ``handle(options)``, which returns the exit code.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Protocol, cast

from kegnet_client import __version__
from kegnet_client.core.errors import UsageError

Handler = Callable[[argparse.Namespace], int]


class Command(NamedTuple):
    """One line of a list of commands. ``summary`` stands in the help; ``shared`` adds what several commands take."""

    name: str
    summary: str
    shared: Callable[["Parser"], None] | None = None


class _Module(Protocol):
    """What the module of a command has."""

    @staticmethod
    def add_arguments(parser: "Parser", /) -> None: ...

    @staticmethod
    def handle(options: argparse.Namespace, /) -> int: ...


class Parser(argparse.ArgumentParser):
    """argparse with our exit code. ``fill`` is called before the first use, to add the arguments."""

    fill: Callable[["Parser"], None] | None = None
    shared: Callable[["Parser"], None] | None = None
    """Adds what its list of commands says that it takes, as `Command` does."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Surplus arguments are told with the usage of the command that got them, not with the outermost one's."""
        self._fill_in()
        parsed, surplus = super().parse_known_args(args, namespace)
        if surplus:
            wrong = next((word for word in surplus if word.startswith("--")), surplus[0])
            suggestion = _did_you_mean(wrong.partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(surplus)}{suggestion}")
        return parsed, surplus

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the call, and end."""
        self.print_usage(sys.stderr)
        self.exit(UsageError.exit_code, f"{self.prog}: {message}\n")

    def walk(self) -> Iterator["Parser"]:
        """This parser and those of all commands below it, with their arguments."""
        self._fill_in()
        yield self
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    yield from parser.walk()

    def arguments(self) -> Sequence[Any]:
        """Its own options and positional arguments, as argparse has them."""
        return self._actions

    def _fill_in(self) -> None:
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """A command that does not exist is answered with the nearest one that does, not with all of them."""
        if action.choices is None or value in action.choices:
            return
        what = "command" if isinstance(action, argparse._SubParsersAction) else "choice"
        names = [str(choice) for choice in action.choices]
        suggestion = _did_you_mean(str(value), names) or (f"; there are {', '.join(names)}" if what == "choice" else "")
        self.error(f"unknown {what} {str(value)!r}{suggestion or f'; {self.prog} --help lists them'}")

    def add_version(self) -> None:
        """Add ``--version``."""
        self.add_argument("--version", action="version", version=f"kegnet-client {__version__}")

    def add_actions(self, summaries: Mapping[str, str]) -> dict[str, "Parser"]:
        """Add a word that says what to do, which becomes the option ``action``; the parser of each."""
        actions = self.add_subparsers(dest="action", required=True, metavar="ACTION")
        parsers: dict[str, Parser] = {}
        for name, summary in summaries.items():
            parser = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
            parser.add_version()
            if self.shared is not None:
                self.shared(parser)
            parsers[name] = parser
        return parsers

    def add_commands(self, package: str, commands: Iterable[Command], *, handler: str = "handler") -> None:
        """Add ``commands``, whose modules are in ``package``, and ``help``.

        The called command's ``handle`` becomes the option ``handler``.
        """
        parsers = self.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
        helper = parsers.add_parser(
            "help", help="show the help of a command", description="Show the help of a command."
        )
        helper.add_argument("words", nargs="*", metavar="COMMAND", help="which one (default: list them all)")
        helper.set_defaults(**{handler: lambda options: self.parse_args([*options.words, "--help"])})
        for command in commands:
            name, summary, _ = command
            parser = parsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
            parser.fill = _filler(f"{package}.{name.replace('-', '_')}", handler, command.shared)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    import difflib  # late: only a misspelt word takes it

    nearest = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def _filler(module_name: str, handler: str, shared: Callable[[Parser], None] | None) -> Callable[[Parser], None]:
    def fill(parser: Parser) -> None:
        module = cast(_Module, importlib.import_module(module_name))
        parser.add_version()
        parser.shared = shared
        if shared is not None:
            shared(parser)
        module.add_arguments(parser)
        parser.set_defaults(**{handler: module.handle})

    return fill
