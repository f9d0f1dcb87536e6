"""Write the parts of the documentation that the program itself knows: settings and command-line help.

Each part stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` in a page of ``docs/``. With ``--check``
nothing is written and a stale page is an error.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import spanledger.settings
from spanledger_alerts.delivery import sample
from spanledger_alerts.delivery.shapes import RENDERINGS, Said
from spanledger_analytics.records import Batch
from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.panels import auto_interval, expand
from spanledger_ingest.cli import COMMANDS
from spanledger_ingest.normalise import normalise
from spanledger_ingest.otlp import decode
from spanledger_ingest.price_book import PriceBook
from spanledger_ingest.settings import SECTIONS
from spanledger_ingest.settle import settle
from spanledger_ingest.store import DuckDBStore
from spanledger_ingest.traffic import DEFAULT_END_NS, build_world, generate

ROOT = Path(__file__).resolve().parent.parent
_DAY_NS = 86_400 * 10**9


def service_settings() -> str:
    """Return a table of the service's settings."""
    rows = ["| key | environment | default | meaning |", "|---|---|---|---|"]
    for section, config in SECTIONS.items():
        for item in fields(config):
            variable = f"`SPANLEDGER_{section}_{item.name}`".upper()
            default = "" if item.default in ((), "") else f"`{item.default}`"
            rows.append(f"| `{section}.{item.name}` | {variable} | {default} | {item.metadata['doc']} |")
    return "\n".join(rows)


def application_settings() -> str:
    """Return a table of the instrumentation's settings; meanings are the attribute docstrings."""
    meanings = dict(_attribute_docstrings(spanledger.settings.Settings.__name__))
    rows = ["| argument of `configure` | environment, first wins | default | meaning |", "|---|---|---|---|"]
    for item in fields(spanledger.settings.Settings):
        variables = ", ".join(f"`{name}`" for name in item.metadata["env"])
        default = "" if item.default in (None, (), "") else f"`{item.default}`"
        rows.append(f"| `{item.name}` | {variables} | {default} | {meanings[item.name]} |")
    return "\n".join(rows)


def _attribute_docstrings(class_name: str) -> Iterator[tuple[str, str]]:
    source = Path(str(spanledger.settings.__file__)).read_text(encoding="utf-8")
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    body = classes[class_name].body
    for item, text in pairwise(body):
        if isinstance(item, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            yield ast.unparse(item.target), " ".join(str(text.value.value).replace("``", "`").split())


def panels() -> str:
    """Return a table of every panel, with its rows on one day of the demo's world."""
    lines = ["| panel | question | rows |", "|---|---|---|"]
    first, last = DEFAULT_END_NS - _DAY_NS, DEFAULT_END_NS
    with tempfile.TemporaryDirectory() as folder, closing(DuckDBStore(Path(folder) / "demo.duckdb")) as store:
        _store_a_day(store)
        for board in BOARDS:
            lines.append(f"| **{board.title}** | {board.description} | |")
            for panel in board.panels:
                interval = auto_interval(first, last, panel.points, panel.least_interval)
                found = store.run_sql(expand(panel.sql, from_ns=first, to_ns=last, interval=interval))
                later = f" {panel.fills_when}" if panel.fills_when else ""
                lines.append(f"| {panel.title} | {panel.question}{later} | {found.num_rows} |")
    return "\n".join(lines)


def _store_a_day(store: DuckDBStore) -> None:
    """Store generated traffic as the service does, but at once: its requests hold whole traces."""
    prices = PriceBook.build()
    world = build_world(1, end_ns=DEFAULT_END_NS, days=1, tenants=20, calls_per_day=3000)
    for hour in generate(world):
        for body in hour.bodies:
            found = [normalise(span) for span in decode("traces", body, "protobuf", "").spans]
            parents = {(one.span.owner, one.span.trace_id, one.span.span_id): one.span.parent_span_id for one in found}
            calls = settle([one.facts for one in found if one.facts is not None], parents)
            store.append(Batch(spans=[one.span for one in found], calls=[prices.price(call) for call in calls]))


def command_help() -> str:
    """Return the help of every command."""
    texts = [_help(), *(_help(name) for name in COMMANDS)]
    return "\n\n".join(f"```\n{text}\n```" for text in texts)


def _help(*command: str) -> str:
    program = Path(sys.executable).parent / "spanledger"
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run([program, *command, "--help"], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def webhook_bodies() -> str:
    """Return the body of each shape, of the same made-up alert."""
    said = Said(
        sample("msg_example", "ops", 1_790_000_000 * 10**9), "ops", "https://ledger.example", "your-routing-key"
    )
    bodies = {shape: json.loads(rendering.render(said)) for shape, rendering in RENDERINGS.items()}
    texts = {shape: json.dumps(body, indent=2, ensure_ascii=False) for shape, body in bodies.items()}
    return "\n\n".join(f"`{shape}`\n\n```json\n{text}\n```" for shape, text in texts.items())


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "service-settings": ("docs/configuration.md", service_settings),
    "application-settings": ("docs/configuration.md", application_settings),
    "webhook-bodies": ("docs/alerts.md", webhook_bodies),
    "panels": ("docs/grafana.md", panels),
    "command-help": ("docs/command-line.md", command_help),
}


def refreshed(text: str, name: str, body: str) -> str:
    """Return the page with the named part replaced."""
    head, begin, rest = text.partition(f"<!-- begin {name} -->\n")
    _, end, tail = rest.partition(f"<!-- end {name} -->")
    return f"{head}{begin}{body}\n{end}{tail}"


def main() -> None:
    """Refresh the pages, or check them."""
    checking = "--check" in sys.argv
    stale = []
    for name, (page, build) in PARTS.items():
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        fresh = refreshed(text, name, build())
        if fresh != text:
            stale.append(f"{page}: {name}")
            if not checking:
                path.write_text(fresh, encoding="utf-8")
    if stale and checking:
        sys.exit(f"stale documentation ({', '.join(stale)}); refresh it with: make docs")


if __name__ == "__main__":
    main()
