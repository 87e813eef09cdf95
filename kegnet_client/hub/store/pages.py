"""Pages that the database itself puts together, as JSON or as CSV: one text, whatever the number of rows.

Made of Python's objects, a page of a thousand rows holds the interpreter for tens of milliseconds, and a device's
request waits for it. SQLite and PostgreSQL make the same text in one step, during which the interpreter is free.

Rows come newest first. What no JSON has a word for, because somebody has put it into the database by hand, is shown as
a text. In CSV a ' goes before whatever a spreadsheet could take for a formula; numbers stay.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

LINE_END = "\r\n"
_SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""What `str.lstrip` takes away."""
_DIGITS = "0123456789"
_PLACE = "place_in_page"


Rows = Table | Select[Any] | Callable[[Connection], Select[Any]]
"""What a page is of; a function makes what depends on the database's content."""


class Form(Enum):
    """How a page is written."""

    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows to read: from ``since_ms`` on, before ``until_ms``; ``after`` is the last row seen."""

    limit: int
    after: tuple[int, int] | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    equal: tuple[tuple[str, str | int], ...] = ()


@dataclass(frozen=True, slots=True)
class TextPage:
    """The text of a page, in UTF-8, and where the next page goes on."""

    content: bytes
    next: str | None


def select_page(rows: Table | Select[Any], time_column: str, query: Query) -> Select[Any]:
    """Those of ``rows`` that ``query`` asks for, newest first, and one more if there is one; they have an ``id``."""
    chosen = select(rows) if isinstance(rows, Table) else rows
    columns = chosen.selected_columns
    when, row_id = columns[time_column], columns["id"]
    statement = chosen.order_by(when.desc(), row_id.desc()).limit(query.limit + 1)
    if query.since_ms is not None:
        statement = statement.where(when >= query.since_ms)
    # One bound where there are two: with both SQLite does not see which index is best. No row has the id 0.
    bounds = [query.after, None if query.until_ms is None else (query.until_ms, 0)]
    if any(bounds):
        statement = statement.where(tuple_(when, row_id) < tuple_(*min(filter(None, bounds))))
    for column, value in query.equal:
        statement = statement.where(columns[column] == value)
    return statement


def parse_position(text: str | None) -> tuple[int, int] | None:
    """Where a page goes on, of `TextPage.next`."""
    if text is None:
        return None
    time_ms, _, row_id = text.partition(".")
    return int(time_ms), int(row_id)


def read_page(
    connection: Connection,
    rows: Rows,
    names: Sequence[str],
    time_column: str,
    query: Query,
    form: Form,
) -> TextPage:
    """The page of ``rows`` with the columns ``names``, of which ``time_column`` and ``id`` are the order."""
    is_sqlite = connection.dialect.name == "sqlite"
    if not isinstance(rows, Table | Select):
        rows = rows(connection)
    found = select_page(rows, time_column, query).subquery()
    # The numbers follow the order of what is numbered: it is sorted once, along an index.
    numbered = select(found, func.row_number().over().label(_PLACE)).subquery()
    place = numbered.c[_PLACE]
    columns = [numbered.c[name] for name in names]
    if form is Form.CSV:
        text = _join(_csv_line(columns), LINE_END, place, query.limit, is_sqlite)
    elif is_sqlite:
        text = func.json_group_array(_json_object(columns, is_sqlite)).filter(place <= query.limit)
    else:
        text = _join(cast(_json_object(columns, is_sqlite), Text), ",", place, query.limit, is_sqlite)
    is_last = place == query.limit
    statement = select(
        text,
        func.count(),
        func.max(numbered.c[time_column]).filter(is_last),
        func.max(numbered.c["id"]).filter(is_last),
    )
    body, count, last_ms, last_id = connection.execute(statement).one()
    position = f"{last_ms}.{last_id}" if count > query.limit else None
    if form is Form.CSV:
        head = ",".join(names) + LINE_END
        return TextPage((head + body + LINE_END if body else head).encode(), position)
    items = (body or "[]") if is_sqlite else f"[{body or ''}]"
    return TextPage(f'{{"items":{items},"next":{json.dumps(position)}}}'.encode(), position)


def _join(
    line: ColumnElement[str], between: str, place: ColumnElement[int], limit: int, is_sqlite: bool
) -> ColumnElement[str]:
    if is_sqlite:  # it joins in the order of the rows
        return func.group_concat(line, between).filter(place <= limit)
    return func.string_agg(line, aggregate_order_by(literal(between), place)).filter(place <= limit)


def _json_object(columns: Sequence[ColumnElement[Any]], is_sqlite: bool) -> ColumnElement[Any]:
    pairs: list[ColumnElement[Any]] = []
    for column in columns:
        pairs += [literal(str(column.key), Text), _sqlite_json(column) if is_sqlite else column]
    return func.json_object(*pairs) if is_sqlite else func.json_build_object(*pairs)


def _sqlite_json(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """``column`` as SQLite's JSON takes it: it has no truth values, and any type may stand in any column."""
    if isinstance(column.type, Boolean):
        number = cast(column, Integer)
        return func.json(case((column.is_(None), "null"), (number == 0, "false"), else_="true"))
    return case(
        (func.typeof(column).in_(("integer", "text", "null")), column),
        else_=cast(column, Text),
    )


def _csv_line(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[str]:
    line: ColumnElement[str] = _csv_cell(columns[0])
    for column in columns[1:]:
        line = line.concat(",").concat(_csv_cell(column))
    return line


def _csv_cell(column: ColumnElement[Any]) -> ColumnElement[str]:
    if isinstance(column.type, Boolean):
        return case((column.is_(None), ""), (cast(column, Integer) == 0, "False"), else_="True")
    text = func.coalesce(cast(column, Text), "")
    return text if isinstance(column.type, Integer) else csv_text(text)


def csv_text(text: ColumnElement[str]) -> ColumnElement[str]:
    """``text`` as one cell that no spreadsheet takes for a formula, in quotes where it has to be."""
    first = func.substr(func.ltrim(text, _SPACES), 1, 1)
    looks_so = or_(first.in_(("=", "+", "-", "@")), func.substr(text, 1, 1).in_(("\t", "\r", "\n")))
    safe = case((looks_so, case((_is_number(text), text), else_=literal("'", String).concat(text))), else_=text)
    needs_quotes = or_(*(text.contains(one) for one in (",", '"', "\r", "\n")))
    quoted = literal('"', String).concat(func.replace(safe, '"', '""')).concat('"')
    return case((needs_quotes, quoted), else_=safe)


def _is_number(text: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether ``text`` is digits, with a sign or without, and perhaps a point and more digits."""
    unsigned = func.ltrim(text, "+-")
    rest = func.ltrim(unsigned, _DIGITS)
    has_digits_first = func.length(rest) < func.length(unsigned)
    is_fraction = and_(
        func.substr(rest, 1, 1) == ".", func.length(rest) > 1, func.ltrim(func.substr(rest, 2), _DIGITS) == ""
    )
    return and_(func.length(text) - func.length(unsigned) <= 1, has_digits_first, or_(rest == "", is_fraction))
