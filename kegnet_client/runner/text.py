"""What strangers wrote, as a terminal and a log may have it: pure."""


def printable(text: object, keep: str = "") -> str:
    """``text`` in which nothing breaks a line or moves a cursor, but for the characters to ``keep``."""
    return "".join(one if one.isprintable() or one in keep else ascii(one)[1:-1] for one in str(text))
