"""``kegnet-client module revoke``: stop trusting a key on this device; all that it signed stops here."""

import argparse
import subprocess
from pathlib import Path

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError


def add_arguments(parser: Parser) -> None:
    """Add what ``module revoke`` takes."""
    # Not the operator's machine but the device's own: the other commands have no root.
    parser.add_argument("--root", default=argparse.SUPPRESS, metavar="DIR", help="where the device's conf/ is")
    parser.set_defaults(taken=("root",))
    parser.add_argument("key", type=Path, metavar="KEY.pub", help="the public half of the key")


def handle(options: argparse.Namespace) -> int:
    """Add it to the device's list of revoked keys."""
    from kegnet_client.runner.trust import REVOKED, find_ssh_keygen

    revoked = configuration.root(options) / "conf" / REVOKED
    words = ["-q", "-k", *(["-u"] if revoked.exists() else []), "-f", str(revoked), str(options.key)]
    done = subprocess.run([find_ssh_keygen(), *words], check=False)  # noqa: S603 (the operator's own words)
    if done.returncode:
        raise UsageError(f"{options.key}: ssh-keygen did not add it to {revoked}, see what it says above")
    # Public, and read by the runner, which is not root.
    revoked.chmod(0o644)
    print(f"{options.key} is revoked in {revoked}; within ten seconds what it signed stops here")
    return 0
