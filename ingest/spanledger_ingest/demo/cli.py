"""The command `spanledger demo`."""

import argparse
import json
import signal
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from spanledger_ingest.demo._config import demo_settings
from spanledger_ingest.demo._errors import DemoError
from spanledger_ingest.demo._outcome import Outcome
from spanledger_ingest.demo._report import as_json, console, next_steps, report
from spanledger_ingest.demo._run import Plan, run_demo
from spanledger_ingest.demo._webhooks import WebhookReceiver
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.traffic.cli import number_between


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `spanledger demo`."""
    plan = Plan()
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the data in this new folder")
    parser.add_argument("--seed", type=int, default=plan.seed, metavar="N", help="names the back-filled traffic")
    parser.add_argument(
        "--days", type=number_between(1, 400), default=plan.days, metavar="N", help=f"days of it (default {plan.days})"
    )
    parser.add_argument(
        "--calls-per-day",
        type=number_between(1, 10_000_000),
        default=plan.calls_per_day,
        metavar="N",
        help=f"model calls a day, on average (default {plan.calls_per_day})",
    )
    parser.add_argument("--serve", action="store_true", help="stay up afterwards until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 if every check holds, 1 if not."""
    _check_packages()
    # A polite kill ends the demo as Ctrl-C does: the service stops and the temporary folders go.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = Plan(seed=args.seed, days=args.days, calls_per_day=args.calls_per_day)
    secret = f"whsec_{b64encode(token_bytes(32)).decode()}"
    with (
        _data_folder(args.data) as data,
        TemporaryDirectory(prefix="spanledger-spool-") as spool,
        WebhookReceiver(secret) as receiver,
    ):
        service = build_service(demo_settings(data, secret=secret, webhooks=receiver.url, port=receiver.port))
        service.start()
        try:
            outcome = _shown(plan, service, Path(spool), receiver)
            if args.data is not None:
                (data / "truth.json").write_text(json.dumps(outcome.truth, indent=2) + "\n")
            _say(args, outcome, service)
        finally:
            service.stop()
    return 0 if outcome.holds else 1


def _check_packages() -> None:
    missing = [name for name in ("openai", "anthropic") if find_spec(name) is None]
    if missing:
        raise DemoError(
            f"the demo drives SDKs that are not installed ({', '.join(missing)}): pip install 'spanledger[demo]'"
        )


@contextmanager
def _data_folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is None:
        with TemporaryDirectory(prefix="spanledger-demo-") as folder:
            yield Path(folder)
        return
    if chosen.exists() and (not chosen.is_dir() or any(chosen.iterdir())):
        raise DemoError(f"--data {chosen} is in use; name a new or empty folder")
    yield chosen


def _shown(plan: Plan, service: Service, spool: Path, receiver: WebhookReceiver) -> Outcome:
    """Run the demo under a progress bar, if somebody is watching."""
    watched = console(stderr=True)
    columns = TextColumn("{task.description:18}"), BarColumn()
    with Progress(*columns, console=watched, transient=True, disable=not watched.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=1.0)
            bars.update(tasks[what], completed=share)

        return run_demo(plan, service.http_url, spool, receiver, progress)


def _say(args: argparse.Namespace, outcome: Outcome, service: Service) -> None:
    """Show the outcome, and stay until somebody ends the demo if that was asked for."""
    try:
        _print(args, outcome, service.http_url)
        if args.serve:
            threading.Event().wait()
    except KeyboardInterrupt:
        if not args.serve:
            raise


def _print(args: argparse.Namespace, outcome: Outcome, url: str) -> None:
    out = console()
    if args.json:
        out.print(as_json(outcome, url), markup=False, highlight=False, soft_wrap=True)
        return
    place = f"its DuckDB in {args.data}" if args.data else "its DuckDB in a temporary folder"
    out.print(report(outcome, url, place))
    data = None if args.data is None else str(args.data)
    out.print(next_steps(outcome, url, serving=args.serve, data=data))
