"""How a database that an earlier version made is brought up to date: numbered steps, each in one transaction.

Alembic makes them, in a process of its own: it takes 9 MB that a hub would keep for as long as it runs.
"""

import subprocess
import sys

from sqlalchemy import URL

from kegnet_client.core.errors import KegnetError


class MigrationError(KegnetError):
    """The database could not be brought up to date: what the last step did was undone."""

    exit_code = 75


def migrate(url: URL) -> None:
    """Bring the database at ``url`` up to date, however long that takes; `MigrationError` says why not."""
    # Its password is nobody's business, so it is no argument. Nor does the directory that this runs in hold our code.
    done = subprocess.run(  # noqa: S603 - nothing in it comes from outside
        [sys.executable, "-P", "-m", __name__],
        input=url.render_as_string(hide_password=False),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MigrationError((done.stderr.strip() or f"its process ended with {done.returncode}").splitlines()[-1])
