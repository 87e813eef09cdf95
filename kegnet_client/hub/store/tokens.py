"""Tokens: secrets of which only the hash is kept, each with a name and a role, made and revoked at any time.

The token of ``hub init`` is in its file and not in this table; a row with its hash is there once it is revoked.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from kegnet_client.core.errors import UsageError
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
    row = {
        "secret_sha256": hash_of(secret),
        "name": name,
        "role": role.word,
        "made_ms": now_ms,
        "expires_ms": expires_ms,
    }
    if name == FIRST.name or not insert_new(connection, schema.tokens, row):
        raise UsageError(f"there is a token named {name!r} already: choose another name")
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
    if name == FIRST.name:
        row = {"secret_sha256": first_sha256, "name": name, "role": FIRST.role.word, "made_ms": now_ms}
        insert_new(connection, table, row)
    is_it = table.c.name == name
    if connection.scalar(select(table.c.name).where(is_it)) is None:
        raise UsageError(f"there is no token named {name!r}; `kegnet-client hub token list` shows them")
    connection.execute(update(table).where(is_it, table.c.revoked_ms.is_(None)).values(revoked_ms=now_ms))


def make_link(connection: Connection, name: str, role: Role, now_ms: int) -> str:
    """A one-time code that makes a browser a token of this role; good for `LINK_MS`."""
    code = secrets.token_urlsafe(16)
    row = {"secret_sha256": hash_of(code), "name": name, "role": role.word, "expires_ms": now_ms + LINK_MS}
    connection.execute(insert(schema.login_links), row)
    return code


def use_link(connection: Connection, code: str, now_ms: int) -> str | None:
    """The secret of the token that ``code`` makes; None where the code is wrong, used or too old."""
    table = schema.login_links
    is_it = (table.c.secret_sha256 == hash_of(code)) & table.c.used_ms.is_(None) & (table.c.expires_ms > now_ms)
    used = update(table).where(is_it).values(used_ms=now_ms).returning(table.c.name, table.c.role)
    row = connection.execute(used).first()
    if row is None:
        return None
    name = _free_name(row.name, [one.name for one in read_all(connection)])
    return make(connection, name, Role.of(row.role), now_ms, now_ms + BROWSER_MS)


def _free_name(name: str, taken: Sequence[str]) -> str:
    number = 1
    while (found := f"{name[:90]} {number}") in taken:
        number += 1
    return found
