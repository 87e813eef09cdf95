"""What a token may do: a guest reads, who operates changes what is said, an admin lets others in."""

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """Each may what those below it may."""

    READ = 1
    OPERATE = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """As it is written and told."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Role":
        """The role of this name; `ValueError` names those there are."""
        for role in cls:
            if role.word == word:
                return role
        raise ValueError(f"{word!r} is no role: write read, operate or admin")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the name of a token, or of nobody, and what it may."""

    name: str
    role: Role


FIRST = Principal("init", Role.ADMIN)
"""Who has the token of ``hub init``."""
GUEST = Principal("guest", Role.READ)
"""Anybody, where the hub is open for reading."""

_READING = {"GET", "HEAD", "OPTIONS"}


def needed(path: str, method: str) -> Role:
    """The role that a request of ``method`` for ``path`` needs; a new path is guarded without anybody's doing."""
    room = "/".join(path.split("/", 3)[:3])
    if room in ("/api/tokens", "/api/invitations"):
        return Role.ADMIN
    if method in _READING:
        return Role.READ
    return Role.ADMIN if room == "/api/devices" else Role.OPERATE
