"""The threads of one kind that run now, for tests of leaks.

Counted by name: in a worker of the tests a hub of another module may run too, and it starts threads when it likes.
"""

import threading


def threads_named(start: str) -> list[str]:
    """The names that begin with ``start``, in order, one for each thread."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith(start))
