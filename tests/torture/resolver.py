"""A host name whose first address swallows everything, as a route does that leads nowhere.

The daemon's own look-up stays as it is, but for one more address before the others while `Blackhole.is_open`. It gets
in as a module that every Python loads at its start, and loads what else is there of this name.
"""

import contextlib
import os
import socket
from pathlib import Path

LOOK_UP = """
import os, pathlib, socket
here = pathlib.Path(__file__).resolve().parent
plain = socket.getaddrinfo
def look_up(*arguments, **options):
    found = plain(*arguments, **options)
    try:
        port = int((here / "port").read_text())
    except FileNotFoundError:
        return found
    return [(*found[0][:4], ("127.0.0.1", port)), *found]
socket.getaddrinfo = look_up
for place in os.environ["PYTHONPATH"].split(os.pathsep):
    other = pathlib.Path(place, "sitecustomize.py")
    if other.exists() and other.resolve().parent != here:
        exec(other.read_text())
"""


class Blackhole:
    """The address, and what makes a daemon with `variables` try it first; ``directory`` is for nothing else."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "sitecustomize.py").write_text(LOOK_UP)
        paths = [str(directory), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.variables = {"PYTHONPATH": os.pathsep.join(paths)}
        self._port = directory / "port"
        self._sockets = contextlib.ExitStack()
        # One whose queue is full takes no connection, nor refuses one.
        listener = self._sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = self._sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        self._address = listener.getsockname()

    @property
    def is_open(self) -> bool:
        """Whether it comes first."""
        return self._port.exists()

    def open(self) -> None:
        """From now on it comes first."""
        temp = self._port.with_suffix(".tmp")
        temp.write_text(str(self._address[1]))
        temp.rename(self._port)

    def shut(self) -> None:
        """The name has the server's addresses alone again."""
        self._port.unlink(missing_ok=True)

    def close(self) -> None:
        self._sockets.close()
