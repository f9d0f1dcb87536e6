"""``spanledger score``: score a file of answers, or stored answers again."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlencode

from spanledger_ingest.cli._admin import add_target, post
from spanledger_ingest.cli._tables import UsageError, moment, nanoseconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``score``."""
    parser.add_argument(
        "--dataset", type=Path, metavar="FILE", help="JSONL of id, context, question, answer; needs no service"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the scores, JSONL (default: stdout)")
    parser.add_argument(
        "--fail-under",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="exit 1 if the mean of this score is less (of a _risk: 1 - mean); may be repeated",
    )
    for name, which in (("from", "stored calls that start then or later"), ("to", "calls that start before")):
        parser.add_argument(f"--{name}", dest=f"{name}_", metavar="TIME", help=f"{which}: 2026-03-01")
    add_target(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(options: argparse.Namespace) -> int:
    """Score a file, summarise on stderr, and say which demands are not met; or score what is stored."""
    stored = options.from_ is not None and options.to_ is not None
    if (options.dataset is None) is not stored or (options.from_ is None) is not (options.to_ is None):
        raise UsageError("score takes either --dataset FILE, or --from TIME and --to TIME")
    return _stored(options) if stored else _dataset(options)


def _stored(options: argparse.Namespace) -> int:
    from rich.console import Console  # noqa: PLC0415 - not needed for --help
    from rich.progress import Progress  # noqa: PLC0415 - same

    scored = 0
    with Progress(console=Console(stderr=True), transient=True, disable=options.json) as progress:
        bar = progress.add_task("calls", total=None)
        first: int | None = None
        for step in _steps(options):
            scored += step["scored"]
            first = step["remaining"] if first is None else first
            progress.update(bar, completed=first - step["remaining"], total=first)
    print(json.dumps({"scored": scored}) if options.json else f"{scored:,} calls scored")  # noqa: T201 - the answer
    return 0


def _steps(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    window = moment("--from", options.from_), moment("--to", options.to_)
    yield from _asked(options, window) if options.data is None else _made(options, window)


def _asked(options: argparse.Namespace, window: tuple[datetime, datetime]) -> Iterator[dict[str, Any]]:
    query = {"from": window[0].isoformat(), "to": window[1].isoformat()}
    while True:
        step = post(options, f"/api/v1/admin/score?{urlencode(query)}")
        yield step
        if step["next_cursor"] is None:
            return
        query["cursor"] = step["next_cursor"]


def _made(options: argparse.Namespace, window: tuple[datetime, datetime]) -> Iterator[dict[str, Any]]:
    from spanledger_analytics.queries import Window  # noqa: PLC0415 - heavy
    from spanledger_analytics.scorers import installed_scorers  # noqa: PLC0415 - heavy
    from spanledger_ingest.cli._stopped import stopped_store  # noqa: PLC0415 - heavy
    from spanledger_ingest.scoring import Judge, Scoring  # noqa: PLC0415 - heavy
    from spanledger_ingest.settings import load_settings  # noqa: PLC0415 - heavy

    stretch = Window(*map(nanoseconds, window))
    masked = load_settings(options.config).content.policy == "masked"
    with stopped_store(options) as store:
        scoring = Scoring(store, Judge(installed_scorers()), masked=masked)
        after, more = None, True
        while more:
            step = scoring.backfill(stretch, after)
            yield {"scored": step.scored, "remaining": step.remaining}
            after, more = step.after, step.after is not None


def _dataset(options: argparse.Namespace) -> int:
    from spanledger_analytics.scorers import installed_scorers  # noqa: PLC0415 - heavy
    from spanledger_ingest.scoring import Summary, read_rows, score_rows, unmet  # noqa: PLC0415 - heavy

    scorers = installed_scorers()
    least = _demands(options.fail_under, {name for scorer in scorers for name in scorer.names})
    summaries: dict[str, Summary] = {}
    with _output(options.out) as out:
        for scored in score_rows(read_rows(options.dataset), scorers, summaries):
            out.write(json.dumps(scored, ensure_ascii=False) + "\n")
    shown = {name: summary.as_json() for name, summary in sorted(summaries.items())}
    sys.stderr.write((json.dumps(shown, indent=2) if options.json else "\n".join(_lines(shown))) + "\n")
    missed = list(unmet(summaries, least))
    for line in missed:
        sys.stderr.write(f"spanledger: {line}\n")
    return 1 if missed else 0


def _demands(words: list[str], known: set[str]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in known:
            raise UsageError(f"--fail-under {word}: no score has this name; known are {', '.join(sorted(known))}")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise UsageError(f"--fail-under {word}: write NAME=VALUE, such as completeness=0.95") from error
    return found


def _lines(shown: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    yield f"{'score':<24}{'answers':>9}{'evaluable':>11}{'failing':>9}{'mean':>9}"
    for name, row in shown.items():
        mean = row["mean"]
        text = f"{mean:.4f}" if isinstance(mean, float) else "-"
        yield f"{name:<24}{row['answers']:>9}{row['evaluable']:>11}{row['failing']:>9}{text:>9}"


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
