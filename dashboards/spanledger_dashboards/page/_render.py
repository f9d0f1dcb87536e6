"""From values to HTML. Everything that is shown is escaped; what is missing in a template is an error."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from spanledger_dashboards.page._review import Labelling, ReviewView
from spanledger_dashboards.page._state import PRESETS
from spanledger_dashboards.page._static import static_files
from spanledger_dashboards.page._trace import TraceView
from spanledger_dashboards.page._views import CallRow, Choice, Nothing, Panel, Reading, Shell
from spanledger_dashboards.panels import Board

_UNSAFE_IN_SCRIPT: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def render_board(
    shell: Shell, board: Board, panels: Iterable[Panel], choices: Sequence[Choice], nothing: Nothing | None
) -> str:
    """Return a board as a page; ``nothing`` says that there are no calls at all."""
    return _render("board.html", shell=shell, board=board, panels=panels, choices=choices, nothing=nothing)


def render_calls(
    shell: Shell,
    *,
    calls: Sequence[CallRow],
    choices: Sequence[Choice],
    fields: Sequence[Choice],
    first_page: str,
    next_page: str,
    nothing: Nothing | None,
) -> str:
    """Return the table of calls; ``first_page`` and ``next_page`` are addresses, or empty."""
    return _render(
        "calls.html",
        shell=shell,
        calls=calls,
        choices=choices,
        fields=fields,
        first_page=first_page,
        next_page=next_page,
        nothing=nothing,
    )


def render_trace(shell: Shell, trace: TraceView, reading: Reading, labelling: Labelling) -> str:
    """Return a trace as a page."""
    return _render("trace.html", shell=shell, trace=trace, reading=reading, labelling=labelling)


def render_review(shell: Shell, view: ReviewView, choices: Sequence[Choice], fields: Sequence[Choice]) -> str:
    """Return rates, a comparison and the queue of answers to look at."""
    return _render("review.html", shell=shell, view=view, choices=choices, fields=fields)


def render_login(shell: Shell, *, message: str, next_page: str) -> str:
    """Return the form that takes an API key; ``next_page`` is where it leads."""
    return _render("login.html", shell=shell, message=message, next=next_page)


def render_error(shell: Shell, message: str) -> str:
    """Return a page that says what went wrong."""
    return _render("error.html", shell=shell, message=message)


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("spanledger_dashboards.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "time": _time,
        "local": lambda at: f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
        "data": _data,
        "presets": PRESETS,
        "static": static_files(),
    }
    return environment


def _time(at: datetime, detail: str = "seconds") -> Markup:
    """Return a moment in UTC, which the script of the page shows in the reader's zone."""
    utc = at.astimezone(UTC)
    text = f"{utc.day} {utc:%b %H:%M}" if detail == "short" else f"{utc:%Y-%m-%d %H:%M:%S}"
    return Markup('<time datetime="{}" title="{} UTC" data-detail="{}">{}</time>').format(
        f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%Y-%m-%d %H:%M:%S}", detail, text
    )


def _data(value: Mapping[str, Any]) -> Markup:
    """Return JSON that no text in it can end the element of."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_UNSAFE_IN_SCRIPT))  # noqa: S704 - escaped for a data block just now
