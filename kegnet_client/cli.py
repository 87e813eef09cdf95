"""The command ``kegnet-client``: parses, calls, prints. Each command imports what it needs and no more."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from kegnet_client import __version__
from kegnet_client.config import find_root
from kegnet_client.core.errors import KegnetError, UsageError
from kegnet_client.host.stdout import drop_output, tell

EXAMPLE = """\
example:
  sudo kegnet-client enroll https://hub:8443 kegnet_...
  sudo kegnet-client check
  sudo systemctl start kegnet-client
  kegnet-client pour --pin 0 --pulses 586 --elapsed-ms 8123

exit codes: 0 done; 64 usage; 65 something was rejected; 70 a fault in the
program itself; 75 something remains, or it cannot be done now; 77 the server
refuses this device, or did not prove to be the server; 78 the configuration,
the key or the CA is not good
"""


class Parser(argparse.ArgumentParser):
    """argparse with the exit code that the other commands use, too."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What is too much is told with the usage of the command that got it, not with the outermost one's."""
        parsed, surplus = super().parse_known_args(args, namespace)
        if surplus:
            self.error(f"unrecognized arguments: {' '.join(surplus)}")
        return parsed, surplus

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the call, and end."""
        self.print_usage(sys.stderr)
        self.exit(UsageError.exit_code, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    options = _parser(sys.argv[1:] if arguments is None else arguments)
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


def _parser(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="kegnet-client",
        description="Carries every pour and temperature of a kegerator to a KegNet server.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kegnet-client {__version__}")
    _add_places(parser, None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def add(name: str, handler: object, text: str) -> Parser:
        command: Parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.add_argument("--version", action="version", version=f"kegnet-client {__version__}")
        _add_places(command, argparse.SUPPRESS)
        command.set_defaults(handler=handler)
        return command

    add("run", _run, "deliver what comes into the spool, in the foreground")
    init = add("init", _init, "make this device's uuid, key and configuration")
    init.add_argument("--url", required=True, help="the server's address, such as https://kegnet.example/rest/v3")
    init.add_argument("--ca", type=Path, metavar="FILE", help="the server's CA bundle (default: this system's)")
    enroll = add("enroll", _enroll, "make this a device of a hub, with the code that it printed")
    enroll.add_argument("url", metavar="URL", help="the hub's address, such as https://hub:8443")
    enroll.add_argument("code", metavar="CODE", help="what kegnet-client hub invite printed there")
    add("rotate-key", _rotate_key, "give this device another private key (again after a failure)")
    pour = add("pour", _pour, "put one pour into the spool by hand")
    pour.add_argument("--pin", type=int, required=True, help="the flow meter's pin, 0 to 255")
    pour.add_argument("--pulses", type=int, required=True, help="how many pulses it counted")
    pour.add_argument("--elapsed-ms", type=int, required=True, metavar="MS", help="how long the pour took")
    pour.add_argument("--started-ms", type=int, metavar="MS", help="Unix time of its start (default: just now)")
    add("send", _send, "deliver what is in the spool once and end")
    status = add("status", _status, "show what waits, what was rejected, how the server is reached")
    status.add_argument("--json", action="store_true", help="for programs")
    add("check", _check, "try configuration, key, spool, clock, TLS, server, sensors")
    rejected = add("rejected", _rejected, "list rejected records or put them back")
    rejected.add_argument("action", choices=("list", "retry"), help="what to do")
    rejected.add_argument("names", nargs="*", metavar="NAME", help="which to retry (default: all)")
    demo = add("demo", _demo, "show the whole way on this machine, with a hub of its own")
    demo.add_argument("--once", action="store_true", help="do one round, check it and end")
    hub = add("hub", _no_hub, "your own KegNet server: init, run, invite, devices, verify")
    if "hub" in arguments:
        from kegnet_client.commands.hub import add_commands

        add_commands(hub.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser))
    return parser.parse_args(arguments)


def _add_places(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--root",
        default=default,
        metavar="DIR",
        help="where conf/ and spool/ are (KEGNET_ROOT, /usr/share/kegnet-client)",
    )
    parser.add_argument("--config", type=Path, default=default, metavar="FILE", help="instead of conf/client.conf")


def _root(options: argparse.Namespace) -> Path:
    return find_root(options.root, os.environ)


def _run(options: argparse.Namespace) -> int:
    from kegnet_client.commands.run import Daemon
    from kegnet_client.host import log

    log.set_up(os.environ)
    return Daemon(_root(options), options.config, os.environ).run()


def _init(options: argparse.Namespace) -> int:
    from kegnet_client.enrolment.provision import init

    made = init(_root(options), options.url, options.ca)
    print(f"uuid: {made.uuid}\n{made.public_pem}")
    for step in made.next_steps:
        print(step)
    return 0


def _enroll(options: argparse.Namespace) -> int:
    from kegnet_client.enrolment.enroll import enroll

    return enroll(_root(options), options.url, options.code, os.environ)


def _rotate_key(options: argparse.Namespace) -> int:
    from kegnet_client.enrolment.rotate_key import rotate_key

    return rotate_key(_root(options), options.config)


def _pour(options: argparse.Namespace) -> int:
    from kegnet_client import config
    from kegnet_client.core.errors import ClockError, RecordError
    from kegnet_client.core.records import make_pour
    from kegnet_client.host.clock import Clock
    from kegnet_client.spool.directory import enqueue

    started_ms = options.started_ms
    if started_ms is None:
        clock = Clock()
        if doubt := clock.doubt():
            raise ClockError(f"{doubt}; or say when it was with --started-ms")
        started_ms = clock.wall_ms() - options.elapsed_ms
    try:
        pour = make_pour(options.pin, options.pulses, options.elapsed_ms, started_ms)
    except RecordError as error:
        raise UsageError(str(error)) from error
    directory = config.load(_root(options), options.config).spool
    # The pour is safe then: whoever was told of a failure would give it once more.
    tell(str(directory / enqueue(directory, pour)))
    return 0


def _send(options: argparse.Namespace) -> int:
    from kegnet_client.commands.send import send

    return send(_root(options), options.config, os.environ)


def _status(options: argparse.Namespace) -> int:
    from kegnet_client.commands.status import print_status

    return print_status(_root(options), options.config, as_json=options.json)


def _check(options: argparse.Namespace) -> int:
    from kegnet_client.commands.check import check

    return check(_root(options), options.config, os.environ)


def _rejected(options: argparse.Namespace) -> int:
    from kegnet_client import config
    from kegnet_client.spool import rejected
    from kegnet_client.spool.directory import printable

    spool = config.load(_root(options), options.config).spool
    if options.action == "list":
        if options.names:
            raise UsageError("rejected list takes no names")
        for one in rejected.list_rejected(spool):
            print(f"{printable(one.name)}  {one.reason}")
        return 0
    for name in options.names or [one.name for one in rejected.list_rejected(spool)]:
        print(f"{printable(name)} waits again as {printable(rejected.retry(spool, name))}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from kegnet_client.demo.show import demo

    return demo(once=options.once)


def _no_hub(options: argparse.Namespace) -> NoReturn:
    raise UsageError("hub: say what the hub should do; see kegnet-client hub --help")


if __name__ == "__main__":
    sys.exit(main())
