"""``kegnet-client hub login-link``: a link that logs one browser in, once."""

import argparse
import sys
from contextlib import closing

from kegnet_client.commands.hub.devices import check_name
from kegnet_client.commands.hub.home import add_directory, find_home, open_store
from kegnet_client.commands.hub.run import DEFAULT_PORT
from kegnet_client.commands.hub.token import add_role
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError


def add_arguments(parser: Parser) -> None:
    """Add what ``hub login-link`` takes."""
    add_directory(parser)
    parser.add_argument("--name", default="browser", help="what the history calls who uses it (default: %(default)s)")
    add_role(parser)
    parser.add_argument(
        "--url",
        metavar="URL",
        help=f"where the browser reaches the hub (default: its certificate's name, port {DEFAULT_PORT})",
    )


def handle(options: argparse.Namespace) -> int:
    """Print the link, alone on stdout."""
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.domain.roles import Role
    from kegnet_client.hub.store import tokens

    name, role = check_name(options.name), Role.of(options.role)
    home = find_home(options)
    host = home.hosts()[0]
    url = options.url or f"https://{f'[{host}]' if ':' in host else host}:{DEFAULT_PORT}"
    if not url.startswith("https://") or not url.isprintable() or " " in url:
        raise UsageError(f"--url {url!r}: write it as https://HOST:{DEFAULT_PORT}")
    with closing(open_store(home)) as store:
        code = store.write(lambda connection: tokens.make_link(connection, name, role, wall_ms()))
    minutes = tokens.LINK_MS // 60_000
    days = tokens.BROWSER_MS // 86_400_000
    print(f"Within {minutes} minutes, once; that browser may {role.word} for {days} days:\n", file=sys.stderr)
    sys.stderr.flush()
    print(f"{url.rstrip('/')}/login?code={code}")
    return 0
