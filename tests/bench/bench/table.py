"""The results on a terminal: one line a row, its unit in each cell."""

from .contestants import COLUMNS, FLOOR, PROGRAM
from .figures import readable
from .results import Aim, Results, Row

GAP = "  "


def table(results: Results) -> str:
    """The rows with their medians, this program's share of the floor, and the aim."""
    present = [one for one in COLUMNS if any(one in found for found in results.samples.values())]
    heads = ["", *present]
    if PROGRAM in present:
        # What is compared stands side by side.
        heads[heads.index(PROGRAM) + 1 : heads.index(PROGRAM) + 1] = ["of the floor", "aim", ""]
    lines = [heads]
    for row in results.rows.values():
        cells = [row.title]
        for column in present:
            cells.append(cell(results.median(row.key, column), row.unit))
            if column == PROGRAM:
                cells += _judgement(results, row)
        lines.append(cells)
    return _aligned(lines)


def comparison(results: Results, before: Results) -> str:
    """This program's medians now and then, and each one's change; rows that both have."""
    lines = [["", "before", "now", "change", "of the floor before", "now"]]
    for row in results.rows.values():
        now, then = results.median(row.key, PROGRAM), before.median(row.key, PROGRAM)
        if now is None or then is None:
            continue
        change = f"{now / then - 1:+.1%}" if then else ""
        shares = [_share(one.ratio(row.key)) for one in (before, results)]
        lines.append([row.title, cell(then, row.unit), cell(now, row.unit), change, *shares])
    return _aligned(lines)


def cell(value: float | None, unit: str) -> str:
    """One figure with its unit, or a dash."""
    if value is None:
        return "-"
    return f"{readable(value)}{unit}" if unit.startswith("/") else f"{readable(value)} {unit}"


def _judgement(results: Results, row: Row) -> list[str]:
    ours, floor = results.median(row.key, PROGRAM), results.median(row.key, FLOOR)
    if row.aim is None or ours is None:
        return [_share(results.ratio(row.key)), _aim(row.aim, row.unit), ""]
    reached = row.aim.reached(ours, floor)
    return [
        _share(results.ratio(row.key)),
        _aim(row.aim, row.unit),
        {True: "yes", False: "no", None: ""}[reached],
    ]


def _share(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _aim(aim: Aim | None, unit: str) -> str:
    if aim is None:
        return ""
    sign = "≥" if aim.at_least else "≤"
    return f"{sign} {aim.value:g} of floor" if aim.of_floor else f"{sign} {cell(aim.value, unit)}"


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        GAP.join(
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
