"""The highest sequence of each program, by who signed it and its name; on disk before the program starts.

It survives the deletion of the document: what once ran and was replaced or deleted does not come back by itself.
"""

import json
from pathlib import Path

from kegnet_client.core.errors import ConfigError
from kegnet_client.host.atomic_file import open_directory, write_file
from kegnet_client.host.regular_file import read_regular

FILE = "sequences.json"
_MAX_BYTES = 4 * 1024 * 1024


class Sequences:
    """Those that are kept in ``directory``. Raises `ConfigError` when the file is not good: it is not started anew."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            rows = json.loads(read_regular(directory / FILE, _MAX_BYTES))
            self._highest = {
                (str(signer), str(name)): (int(highest), str(digest)) for signer, name, highest, digest in rows
            }
        except FileNotFoundError:
            self._highest = {}
        except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ConfigError(
                f"{directory / FILE}: cannot be read ({error}): without it an old program could come back; restore it, "
                "or remove it if every program in the database may run"
            ) from None

    def refusal(self, signer: str, name: str, sequence: int, digest: str) -> str | None:
        """Why a document of this sequence is too old; None where it is newer, or the very one that was taken last."""
        highest, taken = self._highest.get((signer, name), (0, ""))
        if sequence > highest or (sequence == highest and digest == taken):
            return None
        return f"its sequence {sequence} is not above {highest}, which {signer} has sent for {name} before"

    def take(self, signer: str, name: str, sequence: int, digest: str) -> None:
        """From now on only a higher one is newer. Raises `OSError` when that cannot be kept."""
        changed = self._highest | {(signer, name): (sequence, digest)}
        rows = [[*key, *value] for key, value in changed.items()]
        with open_directory(self._directory) as fd:
            write_file(fd, FILE, json.dumps(rows).encode(), 0o600)
        self._highest = changed

    def close(self, signer: str, name: str) -> None:
        """The program was deleted: not even the one that was taken last comes back. Raises `OSError`."""
        if (signer, name) in self._highest:
            self.take(signer, name, self._highest[signer, name][0], "")
