"""What is said on stdout beside what is done: where it cannot be written, that is no reason to fail or to end."""

import os
import sys


def tell(line: str) -> None:
    """Print ``line``, if that can be."""
    try:
        print(line, flush=True)
    except OSError:
        drop_output()


def drop_output() -> None:
    """Let what is printed from now on, and what could not be so far, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
