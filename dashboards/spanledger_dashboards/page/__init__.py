"""The built-in page: panels, calls and traces as HTML. Pure functions; the service asks and serves."""

from spanledger_dashboards.page._answer import Answer
from spanledger_dashboards.page._ask import (
    NONE,
    Question,
    choices_of,
    choices_sql,
    marks_of,
    marks_sql,
    question_of,
)
from spanledger_dashboards.page._calls import FINISH_REASONS, call_row
from spanledger_dashboards.page._cells import board_path
from spanledger_dashboards.page._chart import Mark
from spanledger_dashboards.page._format import exact_usd, shown
from spanledger_dashboards.page._render import (
    render_board,
    render_calls,
    render_error,
    render_login,
    render_review,
    render_trace,
)
from spanledger_dashboards.page._review import (
    CompareView,
    Labelling,
    ReviewView,
    ScoreView,
    queue_row,
    rate_row,
    score_view,
)
from spanledger_dashboards.page._said import Text, said
from spanledger_dashboards.page._state import CHOICES, PRESETS, REFRESHES, Period, State
from spanledger_dashboards.page._static import StaticFile, static_files
from spanledger_dashboards.page._trace import TraceView, trace_of
from spanledger_dashboards.page._views import (
    CallRow,
    Choice,
    Nav,
    Nothing,
    Panel,
    Reading,
    Shell,
    Who,
    links_of,
    panel_of,
)

__all__ = [
    "CHOICES",
    "FINISH_REASONS",
    "NONE",
    "PRESETS",
    "REFRESHES",
    "Answer",
    "CallRow",
    "Choice",
    "CompareView",
    "Labelling",
    "Mark",
    "Nav",
    "Nothing",
    "Panel",
    "Period",
    "Question",
    "Reading",
    "ReviewView",
    "ScoreView",
    "Shell",
    "State",
    "StaticFile",
    "Text",
    "TraceView",
    "Who",
    "board_path",
    "call_row",
    "choices_of",
    "choices_sql",
    "exact_usd",
    "links_of",
    "marks_of",
    "marks_sql",
    "panel_of",
    "question_of",
    "queue_row",
    "rate_row",
    "render_board",
    "render_calls",
    "render_error",
    "render_login",
    "render_review",
    "render_trace",
    "said",
    "score_view",
    "shown",
    "static_files",
    "trace_of",
]
