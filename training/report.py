"""Reports as pages: a folder that holds one, HTML or Markdown, and its figures, and needs nothing from elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.plots import COLOURS

EN_DASH = "\N{EN DASH}"  # a figure that does not exist
TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, path: Path, **context: Any) -> Path:
    """Write the page that `template`, a file of `training/templates`, makes of `context`.

    Templates extend `base.html.j2`, which has the style, light and dark, and fill its blocks `title`, `lede`
    and `content`; `macros.html.j2` has `picture`, for a file beside the page, and `card`, for a headline figure.
    A name that a template uses and `context` lacks raises `jinja2.UndefinedError`.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, percent=percent, interval=interval, number=number)
    page = environment.get_template(template).render(colours=COLOURS, **context)
    path.write_text(page, encoding="utf-8")
    return path


def count(value: int) -> str:
    """`71,237`."""
    return f"{value:,}"


def percent(value: float | None, digits: int = 2) -> str:
    """A figure that is in percent already: `8.09 %`; a dash where there is none."""
    return EN_DASH if value is None else f"{value:.{digits}f} %"


def interval(ends: Sequence[float], digits: int = 2) -> str:
    """The two ends of an interval in percent: `7.81 to 8.39 %`."""
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """`0.211`; a dash where there is none."""
    return EN_DASH if value is None else f"{value:z.{digits}f}".replace("-", "\N{MINUS SIGN}")
