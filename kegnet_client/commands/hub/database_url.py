"""A database's URL on the command line, which everybody on the machine can read: its password comes from elsewhere."""

from pathlib import Path

from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import UsageError


def add_password_file(parser: Parser, name: str) -> None:
    """Add the option ``name``."""
    parser.add_argument(
        name,
        type=Path,
        metavar="FILE",
        help="its first line is the database's password (default: PGPASSWORD or PGPASSFILE in the environment)",
    )


def complete_url(url: str, option: str, password_file: Path | None) -> str:
    """``url``, which is the value of ``option``, with the password that is in ``password_file``."""
    from kegnet_client.config.secret_file import read_secret
    from kegnet_client.hub.store.database import check_url, has_password, with_password

    check_url(url, option)
    if has_password(url):
        raise UsageError(
            f"{option}: everybody on this machine can read a password there: leave it out, and put it into a file "
            "(see --help) or into PGPASSWORD"
        )
    if password_file is None:
        return url
    return with_password(url, read_secret(password_file.absolute(), option, "password"))
