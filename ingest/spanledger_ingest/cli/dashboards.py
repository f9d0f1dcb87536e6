"""``spanledger dashboards``: bring boards, data sources and alert rules into Grafana, or export them as files."""

import argparse
import json
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spanledger_ingest.cli._tables import print_table
from spanledger_ingest.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spanledger_dashboards.provision import Change, GrafanaProvisioner, PanelResult, Progress

_COLUMNS: Final = ("action", "kind", "name", "why")
_PANEL_COLUMNS: Final = ("board", "panel", "rows", "ms", "state")
_CONTAINER_HOST: Final = "host.docker.internal"
_ACTIONS: Final = {
    "plan": "say what apply would change",
    "apply": "change it, then run the query of every panel through Grafana",
    "check": "exit with 1 if Grafana differs from what it is to have",
    "destroy": "remove what was made here, and nothing else",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands of ``dashboards``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in _ACTIONS.items():
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.add_argument("--grafana-url", metavar="U", help="where Grafana is, http://grafana.example:3000")
        action.add_argument(
            "--grafana-token", metavar="T", help="env:NAME or file:PATH of the token of a service account, role Admin"
        )
        _add_setup(action)
        action.add_argument("--json", action="store_true", help="print the rows as JSON")
        if name != "check":
            action.add_argument(
                "--force", action="store_true", help="overwrite or remove what somebody edited in Grafana, too"
            )
        if name == "apply":
            action.add_argument("--since", default="", metavar="TIME", help="run panels from then on, such as now-7d")
            action.add_argument("--no-panels", action="store_true", help="do not run the panels")
    writing = actions.add_parser("export", help="write files that Grafana provisions itself from")
    writing.add_argument("directory", type=Path, metavar="DIR", help="where to write them")
    _add_setup(writing)


def _add_setup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file, TOML; see [grafana]")
    parser.add_argument("--sql-address", metavar="HOST:PORT", help="the service's SQL port, as Grafana sees it")
    parser.add_argument("--service-url", metavar="URL", help="the service's HTTP port, as Grafana sees it")
    parser.add_argument("--tenant", metavar="T", help="whose rows it shows (default: all)")
    parser.add_argument("--api-key", metavar="KEY", help="env:NAME or file:PATH of that tenant's API key")
    parser.add_argument("--sslmode", choices=("disable", "require", "verify-full"), help="TLS of the SQL port")
    parser.add_argument("--page-url", metavar="URL", help="the service as browsers see it, for links to its page")
    parser.add_argument("--no-alerts", action="store_true", help="no alert rules")
    parser.add_argument("--contact-point", metavar="NAME", help="an existing contact point for the alert rules")
    parser.add_argument(
        "--webhook", default="", metavar="URL", help="make a contact point that posts there (env:NAME, file:PATH too)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the action; return 1 if something failed, or if ``check`` found a difference."""
    from spanledger_dashboards.errors import DashboardsError  # noqa: PLC0415 - heavy, and not needed for --help
    from spanledger_ingest.grafana import problem  # noqa: PLC0415 - same

    try:
        return _export(options) if options.action == "export" else _provision(options)
    except DashboardsError as error:
        raise problem(error) from error


def _settings(options: argparse.Namespace) -> Settings:
    given = {
        "url": getattr(options, "grafana_url", None),
        "token": getattr(options, "grafana_token", None),
        "sql_address": options.sql_address,
        "service_url": options.service_url,
        "user": options.tenant,
        "key": options.api_key,
        "sslmode": options.sslmode,
        "receiver": options.contact_point,
    }
    return load_settings(options.config, {"grafana": given, "alerting": {"page_url": options.page_url}})


def _export(options: argparse.Namespace) -> int:
    from spanledger_dashboards.provision import export  # noqa: PLC0415 - as in run
    from spanledger_ingest.grafana import is_loopback, setup_of  # noqa: PLC0415 - same

    settings = _settings(options)
    setup = setup_of(settings, webhook=options.webhook, alerts=not options.no_alerts)
    if is_loopback(setup.sql_address) and not settings.grafana.sql_address:
        # In a container, loopback is the container itself.
        setup = replace(setup, sql_address=f"{_CONTAINER_HOST}:{settings.server.wire_port}")
    if not settings.grafana.service_url and is_loopback(setup.service_url.partition("//")[2]):
        setup = replace(setup, service_url=f"http://{_CONTAINER_HOST}:{settings.server.port}")
    for path in export(options.directory, setup):
        _say(str(path))
    return 0


def _provision(options: argparse.Namespace) -> int:
    from spanledger_dashboards.provision import GrafanaProvisioner  # noqa: PLC0415 - as in run
    from spanledger_ingest.grafana import connect, setup_of  # noqa: PLC0415 - same

    settings = _settings(options)
    setup = setup_of(settings, webhook=options.webhook, alerts=not options.no_alerts)
    provisioner = GrafanaProvisioner(connect(settings, setup), setup)
    for note in provisioner.notes():
        _complain(f"note: {note}")
    if options.action == "plan":
        return _tell(options, provisioner.plan(force=options.force))
    if options.action == "check":
        return _tell(options, provisioner.check(), drift_fails=True)
    if options.action == "destroy":
        with _bar() as progress:
            removed = provisioner.destroy(force=options.force, progress=progress)
        return _tell(options, removed)
    return _apply(options, provisioner)


def _apply(options: argparse.Namespace, provisioner: "GrafanaProvisioner") -> int:
    with _bar() as progress:
        changes = provisioner.apply(force=options.force, progress=progress)
    results: list[PanelResult] = []
    failed = any(change.error for change in changes)
    if not failed and not options.no_panels:
        with _bar() as progress:
            results = list(provisioner.panels(since=options.since, progress=progress))
    if options.json:
        shown = {"changes": [asdict(change) for change in changes], "panels": [asdict(result) for result in results]}
        _say(json.dumps(shown, indent=2))
    else:
        _tell(options, changes)
        _tell_panels(results)
    return int(failed or any(result.is_failure for result in results))


def _tell(options: argparse.Namespace, changes: "Sequence[Change]", *, drift_fails: bool = False) -> int:
    if options.json:
        _say(json.dumps([asdict(change) for change in changes], indent=2))
    else:
        shown = [change for change in changes if change.action != "unchanged"]
        if shown:
            print_table(_COLUMNS, [_row(change) for change in shown])
        _say(_summary(changes))
    drift = drift_fails and any(change.is_drift for change in changes)
    return int(drift or any(change.error for change in changes))


def _row(change: "Change") -> dict[str, Any]:
    why = f"FAILED: {change.error}" if change.error else change.why
    return {"action": change.action, "kind": change.kind, "name": change.title, "why": why}


def _summary(changes: "Sequence[Change]") -> str:
    if not changes:
        return "Nothing differs."
    counts = {action: sum(change.action == action for change in changes) for action in _ORDER}
    text = ", ".join(f"{count} {action}" for action, count in counts.items() if count)
    left = any(change.action in ("edited", "foreign") for change in changes)
    return text + ("; what was edited, or made by others, is left as it is without --force" if left else "")


_ORDER: Final = ("create", "update", "remove", "keep", "edited", "foreign", "unchanged")


def _tell_panels(results: "Sequence[PanelResult]") -> None:
    if not results:
        return
    rows = [
        {
            "board": result.board.removeprefix("Spanledger: "),
            "panel": result.panel,
            "rows": result.rows,
            "ms": result.milliseconds,
            "state": f"{result.state}: {result.error}" if result.error else result.state,
        }
        for result in results
    ]
    print_table(_PANEL_COLUMNS, rows)
    failures = sum(result.is_failure for result in results)
    empty = sum(result.state == "empty" for result in results)
    _say(f"{len(results)} panels through Grafana: {failures} failed, {empty} empty as expected")


@contextmanager
def _bar() -> "Iterator[Progress]":
    from rich.console import Console  # noqa: PLC0415 - as in run
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - same

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def advance(text: str, place: int, total: int) -> None:
            bar.update(task, description=text, completed=place, total=total)

        yield advance


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")
