"""The command ``kegnet-client``: the list of its commands, and how a call ends."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kegnet_client.commands.parser import Command, Parser
from kegnet_client.core.errors import KegnetError
from kegnet_client.host.stdout import drop_output


def _takes_root(parser: Parser) -> None:
    _add_root(parser, argparse.SUPPRESS)
    parser.set_defaults(taken=("root",))


def _takes_configuration(parser: Parser) -> None:
    _add_root(parser, argparse.SUPPRESS)
    _add_config(parser, argparse.SUPPRESS)
    parser.set_defaults(taken=("root", "config"))


COMMANDS = (
    Command("run", "deliver records from the spool, in the foreground", _takes_configuration),
    Command("init", "create this device's uuid, key and configuration", _takes_root),
    Command("enroll", "register this device with a hub, by an invitation code", _takes_root),
    Command("rotate-key", "replace this device's private key", _takes_configuration),
    Command("pour", "record one pour by hand", _takes_configuration),
    Command("send", "deliver the records in the spool once, then exit", _takes_configuration),
    Command("status", "show waiting and rejected records, and the connection", _takes_configuration),
    Command("check", "test configuration, key, spool, clock, TLS, server, sensors", _takes_configuration),
    Command("rejected", "list, retry or delete rejected records", _takes_configuration),
    Command("kegboard", "record pours and temperatures from Kegboards on USB", _takes_configuration),
    Command("flow-meter", "record pours from flow meters on GPIO lines", _takes_configuration),
    Command("kegboard-monitor", "print the messages of a Kegboard on USB"),
    Command("kegboard-simulate", "simulate a Kegboard"),
    Command("local-events", "record pours and temperatures from Kegbot's programs", _takes_configuration),
    Command("led", "show on an LED whether records are taken", _takes_configuration),
    Command("runner", "run signed programs from a database, in sandboxes", _takes_configuration),
    Command("module", "sign and manage those programs, as an operator"),
    Command("demo", "show everything on this machine, with its own hub"),
    Command("completion", "print a completion script for bash, zsh or fish"),
    Command("hub", "run your own KegNet server; see: hub --help"),
)

EXAMPLE = """\
example:
  sudo kegnet-client enroll https://hub:8443 kegnet_...
  sudo kegnet-client check
  sudo systemctl start kegnet-client
  kegnet-client pour --pin 0 --pulses 586 --elapsed-ms 8123

exit codes: 0 done; 3 status: nothing runs; 64 usage; 65 something was rejected;
70 a fault in the program itself; 75 something remains, or it cannot be done
now; 77 the server refuses this device, or did not prove to be the server;
78 the configuration, the key or the CA is not good
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    for name in ("root", "config"):
        if getattr(options, name) is not None and name not in options.taken:
            parser.error(f"this command takes no --{name}")
    try:
        code: int = options.handler(options)
        if sys.stdout is not None:  # a caller may have closed it
            sys.stdout.flush()
    except KegnetError as error:
        for line in str(error).splitlines():
            print(f"kegnet-client: {line}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough (| head); nothing is left to say on it.
        drop_output()
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def make_parser() -> Parser:
    """The parser of the whole program; it imports a command when it comes to it."""
    parser = Parser(
        prog="kegnet-client",
        description="Delivers every pour and temperature of a kegerator to a KegNet server.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_version()
    _add_root(parser, None)
    _add_config(parser, None)
    parser.set_defaults(taken=(), program=parser)
    parser.add_commands("kegnet_client.commands", COMMANDS)
    return parser


# An option that is absent after the command must not replace the one before it: its default is none at all there.
def _add_root(parser: Parser, default: str | None) -> None:
    parser.add_argument(
        "--root",
        default=default,
        metavar="DIR",
        help="where conf/ and spool/ are (KEGNET_ROOT, /usr/share/kegnet-client)",
    )


def _add_config(parser: Parser, default: str | None) -> None:
    parser.add_argument("--config", type=Path, default=default, metavar="FILE", help="instead of conf/client.conf")


if __name__ == "__main__":
    sys.exit(main())
