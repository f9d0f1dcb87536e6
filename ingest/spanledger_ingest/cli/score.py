"""``spanledger score``: score a file of answers."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from spanledger_ingest.errors import IngestError


class UsageError(IngestError):
    """An option that cannot be meant."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``score``."""
    parser.add_argument(
        "--dataset", type=Path, metavar="FILE", required=True, help="JSONL of id, context, question, answer; no service"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the scores, JSONL (default: stdout)")
    parser.add_argument(
        "--fail-under",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="exit 1 if the mean of this score is less (of a _risk: 1 - mean); may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(options: argparse.Namespace) -> int:
    """Score, summarise on stderr, and say which demands are not met."""
    return _dataset(options)


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
