"""Figures as JSON -> Markdown tables, whatever they are: another command's report within this one.

A mapping of mappings is a table, with a row for each; a mapping of numbers is a table of two columns. Names of columns
are the keys on the way to a value. `x_interval_percent` stands in brackets behind `x_percent`, and what is counted
as `x` and given as `x_percent` is given once. Of several operating points, `balanced` is shown. Long lists are
left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.report import EN_DASH, number

MOST_COLUMNS = 12
_POINTS = {"low_friction", "high_security"}
_DEEP = 4  # levels of mappings that are tables of tables


def tables(figures: Mapping[str, Any], *, title: str = "") -> str:
    """Everything in `figures`, in its order: single values first, then a table of each mapping in it."""
    single = {name: value for name, value in _flat(figures, deep=False) if _is_cell(value)}
    parts = [_two_columns(single)] if single else []
    for name, inner in figures.items():
        if isinstance(inner, Mapping) and inner:
            full = f"{title}, {_words(name)}" if title else _words(name)
            parts.append(_table(inner, title=full))
    return "\n\n".join(parts)


def _table(figures: Mapping[str, Any], *, title: str) -> str:
    rows = {name: row for name, row in figures.items() if row is not None}
    if not rows:
        return f"**{title}**: none"
    if not all(isinstance(row, Mapping) for row in rows.values()):
        return f"**{title}**\n\n{tables(figures, title=title)}"
    if _levels(figures) >= _DEEP and all(isinstance(v, Mapping) for row in rows.values() for v in row.values()):
        return "\n\n".join(_table(row, title=f"{title}, {_words(name)}") for name, row in rows.items())
    flat = {name: dict(_flat(row)) for name, row in rows.items()}
    columns = list(dict.fromkeys(key for row in flat.values() for key, value in row.items() if _is_cell(value)))
    shown = columns[:MOST_COLUMNS]
    lines = [_line(["", *map(_words, shown)]), "|---" * (len(shown) + 1) + "|"]
    lines += [_line([_words(name), *(_cell(row.get(column)) for column in shown)]) for name, row in flat.items()]
    left_out = f"\n\n{len(columns) - len(shown)} more columns are in the file." if columns[MOST_COLUMNS:] else ""
    return f"**{title}**\n\n" + "\n".join(lines) + left_out


def _two_columns(values: Mapping[str, Any]) -> str:
    return "\n".join(
        [_line(["what", "value"]), "|---|---|", *(_line([_words(k), _cell(v)]) for k, v in values.items())]
    )


def _flat(row: Mapping[str, Any], *, deep: bool = True, above: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of each leaf, a rate together with its interval."""
    for name, value in row.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            if deep and not (name in _POINTS and "balanced" in row):
                yield from _flat(value, above=f"{path}: ")
        elif f"{name}_percent" in row or (_is_interval_of_another(name, row)):
            continue
        else:
            interval = row.get(f"{name.removesuffix('_percent')}_interval_percent")
            yield path, (value, interval) if name.endswith("_percent") and _is_pair(interval) else value


def _is_interval_of_another(name: str, row: Mapping[str, Any]) -> bool:
    return name.endswith("_interval_percent") and f"{name.removesuffix('_interval_percent')}_percent" in row


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2


def _is_cell(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float) or _is_pair(value)


def _cell(value: Any) -> str:
    match value:
        case None:
            return EN_DASH
        case bool():
            return "yes" if value else "no"
        case float():
            return number(value, 2)
        case tuple() | list() if _is_pair(value) and _is_pair(value[1]):
            return f"{_cell(value[0])} ({_cell(value[1])})"
        case tuple() | list():
            return " to ".join(map(_cell, value))
        case _:
            return str(value).replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _words(name: str) -> str:
    return name.removesuffix("_percent").replace("_", " ") + (" (%)" if name.endswith("_percent") else "")


def _levels(value: Any) -> int:
    return 1 + max(map(_levels, value.values()), default=0) if isinstance(value, Mapping) else 0
