"""``kegnet-client hub run``: serve until stopped."""

import argparse
import gc
import logging
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from kegnet_client.commands.hub.home import add_directory, find_home, open_store
from kegnet_client.commands.parser import Parser
from kegnet_client.hub import DEFAULT_PORT

if TYPE_CHECKING:
    from fastapi import FastAPI

    from kegnet_client.hub.home import Home
    from kegnet_client.hub.store.records import Store


def add_arguments(parser: Parser) -> None:
    """Add what ``hub run`` takes."""
    add_directory(parser)
    parser.add_argument("--bind", metavar="ADDRESS", help="listen at this address only (default: hub.conf's, or all)")
    parser.add_argument(
        "--port", type=int, help=f"default: hub.conf's, or {DEFAULT_PORT}; 0 takes a free one and prints it"
    )
    parser.add_argument(
        "--proxy",
        metavar="ADDRESS",
        help="trust the X-Forwarded headers of this proxy or network (default: hub.conf's, or none)",
    )


def handle(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    from kegnet_client.host.stdout import tell
    from kegnet_client.host.systemd import Supervisor
    from kegnet_client.hub import serve
    from kegnet_client.hub.app import create_app
    from kegnet_client.hub.hub_section import HUB
    from kegnet_client.hub.log_rate import LogRate
    from kegnet_client.hub.outlets.notify_section import NOTIFY
    from kegnet_client.hub.outlets.open import open_outlets

    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("kegnet_client").setLevel(logging.INFO)
    home = find_home(options)
    token, ca = home.token(), home.ca()
    config = home.config()
    settings = config.section(HUB)
    outlets = open_outlets(config, ca)
    bind = settings.bind if options.bind is None else options.bind
    wanted = settings.port if options.port is None else options.port
    with closing(open_store(home)) as store, serve.listen(bind, wanted) as listener:
        host = home.hosts()[0] if bind is None else bind
        port = listener.getsockname()[1]
        url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

        def say_ready() -> None:
            # What is here by now stays for good. To look through all of it for garbage takes a tenth of a second, in
            # which nobody is answered, and beside busy readers that is due every other second.
            gc.collect()
            gc.freeze()
            tell(f"The hub answers at {url} and is read at {url}/?token=TOKEN; the token is in {home.token_file}")
            supervisor = Supervisor(os.environ)
            supervisor.status(f"answers at {url}")
            supervisor.ready()

        rate = LogRate()
        app = create_app(store, token, ca, rate=rate, settings=settings, outlets=outlets)
        _mount_pages(app, store, home, port, len(config.section(NOTIFY).urls))
        server = serve.HubServer(
            app,
            home,
            listener,
            proxy=settings.proxy if options.proxy is None else options.proxy,
            rate=rate,
            on_ready=say_ready,
            on_stop=store.hurry,
        )
        server.serve_until_stopped()
    # The interpreter's end looks through everything that is left, several times: with the pages that is half a second.
    gc.freeze()
    return 0


def _mount_pages(app: "FastAPI", store: "Store", home: "Home", port: int, notified: int) -> None:
    """Add the pages, where their extra is installed; so many addresses are ``notified`` of alarms."""
    try:
        from kegnet_client.hub.dashboard.mount import mount
    except ModuleNotFoundError as error:
        if error.name != "nicegui":
            raise
        return
    from kegnet_client.hub import pki
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.entrance import Entrance
    from kegnet_client.hub.store.tokens import hash_of

    entrance = Entrance(home.hosts, port, pki.ca_der(home.ca()))
    mount(app, store, app.state.bus, wall_ms, entrance, hash_of(home.token()), notified)
