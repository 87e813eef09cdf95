"""Tokens: secrets of which only the hash is kept, each with a name and a role, made and revoked at any time.

The token of ``hub init`` is in its file and not in this table; a row with its hash is there once it is revoked.
"""

import hashlib
import itertools
import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from kegnet_client.hub.domain.refusal_texts import WrongUseError
from kegnet_client.hub.domain.roles import FIRST, Principal, Role
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.database import insert_new

BROWSER_MS = 30 * 86_400_000
"""How long a browser stays logged in by a link."""
LINK_MS = 15 * 60_000


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is listed: without its secret, which nobody has but who was given it."""

    name: str
    role: Role
    made_ms: int
    expires_ms: int | None
    revoked_ms: int | None


def hash_of(secret: str) -> str:
    """What is kept of ``secret``."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def find(connection: Connection, secret_sha256: str, first_sha256: str, now_ms: int) -> Principal | None:
    """Who has the secret with this hash; None where nobody has, or not any more."""
    table = schema.tokens.c
    row = connection.execute(select(schema.tokens).where(table.secret_sha256 == secret_sha256)).first()
    if row is None:
        return FIRST if secrets.compare_digest(secret_sha256, first_sha256) else None
    if row.revoked_ms is not None or (row.expires_ms is not None and row.expires_ms <= now_ms):
        return None
    return Principal(row.name, Role.of(row.role))


def make(connection: Connection, name: str, role: Role, now_ms: int, expires_ms: int | None = None) -> str:
    """A new token's secret, which is told this once; `UsageError` where there is one of this name."""
    secret = secrets.token_urlsafe(32)
    if name == FIRST.name or not _insert(connection, hash_of(secret), name, role, now_ms, expires_ms):
        raise WrongUseError("token-is-there", name=name)
    return secret


def read_all(connection: Connection) -> list[Token]:
    """Every token but that of ``hub init``, in the order of their making."""
    table = schema.tokens.c
    columns = (table.name, table.role, table.made_ms, table.expires_ms, table.revoked_ms)
    rows = connection.execute(select(*columns).order_by(table.made_ms, table.name))
    return [Token(name, Role.of(role), *rest) for name, role, *rest in rows]


def revoke(connection: Connection, name: str, first_sha256: str, now_ms: int) -> None:
    """Let the token named ``name`` open nothing any more; `UsageError` where there is none."""
    table = schema.tokens
    is_it = table.c.name == name
    if name == FIRST.name:
        # The file may hold another one than that which was revoked before.
        is_it = table.c.secret_sha256 == first_sha256
        if not _insert(connection, first_sha256, name, FIRST.role, now_ms, None):
            _insert_numbered(connection, first_sha256, name, FIRST.role, now_ms, None)
    if connection.scalar(select(table.c.name).where(is_it)) is None:
        raise WrongUseError("no-token", name=name)
    connection.execute(update(table).where(is_it, table.c.revoked_ms.is_(None)).values(revoked_ms=now_ms))


def make_link(connection: Connection, name: str, role: Role, now_ms: int) -> str:
    """A one-time code that makes a browser a token of this role; good for `LINK_MS`."""
    code = secrets.token_urlsafe(16)
    row = {"secret_sha256": hash_of(code), "name": name, "role": role.word, "expires_ms": now_ms + LINK_MS}
    connection.execute(insert(schema.login_links), row)
    return code


def is_link(connection: Connection, code: str, now_ms: int) -> bool:
    """Whether ``code`` would make a token now."""
    return connection.scalar(select(schema.login_links.c.name).where(_is_good(code, now_ms))) is not None


def use_link(connection: Connection, code: str, now_ms: int) -> str | None:
    """The secret of the token that ``code`` makes; None where the code is wrong, used or too old."""
    table = schema.login_links
    used = update(table).where(_is_good(code, now_ms)).values(used_ms=now_ms).returning(table.c.name, table.c.role)
    row = connection.execute(used).first()
    if row is None:
        return None
    secret = secrets.token_urlsafe(32)
    _insert_numbered(connection, hash_of(secret), row.name, Role.of(row.role), now_ms, now_ms + BROWSER_MS)
    return secret


def _is_good(code: str, now_ms: int) -> ColumnElement[bool]:
    table = schema.login_links.c
    return and_(table.secret_sha256 == hash_of(code), table.used_ms.is_(None), table.expires_ms > now_ms)


def _insert(
    connection: Connection, secret_sha256: str, name: str, role: Role, now_ms: int, expires_ms: int | None
) -> bool:
    """Whether there was none of this name."""
    row = {
        "secret_sha256": secret_sha256,
        "name": name,
        "role": role.word,
        "made_ms": now_ms,
        "expires_ms": expires_ms,
    }
    return insert_new(connection, schema.tokens, row)


def _insert_numbered(
    connection: Connection, secret_sha256: str, name: str, role: Role, now_ms: int, expires_ms: int | None
) -> None:
    """Insert it under the first free one of "NAME 1", "NAME 2" and so on, whoever else does the same meanwhile."""
    taken = set(connection.scalars(select(schema.tokens.c.name)))
    numbered = (f"{name[:90]} {number}" for number in itertools.count(1))
    free = (one for one in numbered if one not in taken)
    is_it = schema.tokens.c.secret_sha256 == secret_sha256
    while connection.scalar(select(schema.tokens.c.name).where(is_it)) is None:
        _insert(connection, secret_sha256, next(free), role, now_ms, expires_ms)
