"""``kegnet-client hub login-link``: a link that logs one browser in, once."""

import argparse
import sys
from contextlib import closing

from kegnet_client.commands.hub.devices import check_name
from kegnet_client.commands.hub.home import add_directory, find_home, open_store
from kegnet_client.commands.hub.token import add_role
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError
from kegnet_client.hub import DEFAULT_PORT
from kegnet_client.hub.entrance import reachable_host, url_of


def add_arguments(parser: Parser) -> None:
    """Add what ``hub login-link`` takes."""
    add_directory(parser)
    parser.add_argument("--name", default="browser", help="what the history calls who uses it (default: %(default)s)")
    add_role(parser)
    parser.add_argument(
        "--url",
        metavar="URL",
        help="where the browser reaches the hub (default: its certificate's name, and its port)",
    )


def handle(options: argparse.Namespace) -> int:
    """Print the link, alone on stdout, and for a phone as a QR code, where there is a terminal."""
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.domain.roles import Role
    from kegnet_client.hub.hub_section import HUB
    from kegnet_client.hub.store import tokens

    name, role = check_name(options.name), Role.of(options.role)
    home = find_home(options)
    host = reachable_host(home.hosts())
    port = home.config().section(HUB).port
    url = options.url or url_of(host, port)
    if not url.startswith("https://") or not url.isprintable() or " " in url:
        raise UsageError(f"--url {url!r}: write it as https://HOST:{DEFAULT_PORT}")
    with closing(open_store(home)) as store:
        code = store.write(lambda connection: tokens.make_link(connection, name, role, wall_ms()))
    minutes = tokens.LINK_MS // 60_000
    days = tokens.BROWSER_MS // 86_400_000
    print(f"Within {minutes} minutes, once; that browser may {role.word} for {days} days:\n", file=sys.stderr)
    sys.stderr.flush()
    link = f"{url.rstrip('/')}/login?code={code}"
    print(link, flush=True)
    if sys.stderr.isatty():
        import segno

        print(file=sys.stderr)
        segno.make(link, micro=False).terminal(sys.stderr, border=2, compact=True)
    return 0
