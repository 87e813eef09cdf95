"""What this process has open, for tests of leaks."""

from pathlib import Path

Descriptor = tuple[str, str]


def open_descriptors(below: Path | None = None) -> set[Descriptor]:
    """Each descriptor's number and what it stands for, if `below` is given only those of files there.

    What earlier tests left is closed at whatever moment the collector comes, so a test should ask which are new, or
    count those of its own directory.
    """
    found = set()
    for descriptor in list(Path("/proc/self/fd").iterdir()):
        try:
            link = str(descriptor.readlink())
        except FileNotFoundError:  # that of the listing itself
            continue
        if below is None or link.startswith(str(below)):
            found.add((descriptor.name, link))
    return found
