"""The command line ``spanledger``.

Only the standard library is loaded before a command is known, so that ``--help`` is quick and a light install can say
what is missing.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

from spanledger_analytics.errors import AnalyticsError
from spanledger_ingest.errors import IngestError

SERVER_HINT = (
    "this command needs the service, which is not installed; install it with: pip install 'spanledger[server]'"
)


class Command(NamedTuple):
    """A sub-command: the module that has ``add_arguments(parser)`` and ``run(args) -> int``, and its one-line help."""

    module: str
    help: str


COMMANDS = {
    "demo": Command(
        "spanledger_ingest.demo.cli", "show it all: made-up traffic, live calls, what they cost and for whom"
    ),
    "serve": Command("spanledger_ingest.cli.serve", "run the service"),
    "keys": Command("spanledger_ingest.cli.keys", "make, list, rotate and revoke API keys"),
    "alerts": Command("spanledger_ingest.cli.alerts", "list alerts, try rules out, replay them over stored data"),
    "silences": Command("spanledger_ingest.cli.silences", "keep alerts that are known from being told"),
    "explain": Command("spanledger_ingest.cli.explain", "say why each span of a trace was or was not billed"),
    "deliveries": Command("spanledger_ingest.cli.deliveries", "list messages to receivers of alerts; send one again"),
    "doctor": Command("spanledger_ingest.cli.doctor", "look at everything, and say how to mend what is not right"),
    "backup": Command("spanledger_ingest.cli.backup", "copy database and state, beside the running service too"),
    "restore": Command("spanledger_ingest.cli.restore", "put a backup into a data directory"),
    "reprice": Command("spanledger_ingest.cli.reprice", "price stored calls again, and say what that changes"),
    "score": Command("spanledger_ingest.cli.score", "judge answers: refusals, leaks, attacks, citations, JSON"),
    "detect": Command("spanledger_ingest.cli.detect", "look for anomalies in stored calls"),
    "budgets": Command("spanledger_ingest.cli.budgets", "show how budgets stand, and where they are going"),
    "dashboards": Command(
        "spanledger_ingest.cli.dashboards", "bring boards and alert rules into Grafana, or export them"
    ),
    "compact": Command("spanledger_ingest.cli.compact", "give the disk space of deleted rows back"),
    "generate": Command("spanledger_ingest.traffic.cli", "write deterministic made-up traffic with its truth file"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code (0 done, 1 failed, 2 wrong usage)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("spanledger"):
            raise
        return _fail(SERVER_HINT)
    except (IngestError, AnalyticsError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        sys.stderr.close()
        return 1


def _run(words: list[str]) -> int:
    parser = _parser(chosen=next((word for word in words if word in COMMANDS), None))
    options = parser.parse_args(words)
    if options.command is None:
        parser.print_help()
        return 2
    module = importlib.import_module(COMMANDS[options.command].module)
    code: int = module.run(options)
    return code


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spanledger", description="The books of LLM applications: what every call cost, for whom, how it ended."
    )
    parser.add_argument("--version", action="version", version=f"spanledger {version('spanledger')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help)
        if name == chosen:
            importlib.import_module(command.module).add_arguments(sub)
    return parser


def _fail(message: str) -> int:
    sys.stderr.write(f"spanledger: {message}\n")
    return 1
