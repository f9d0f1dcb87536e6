"""``spanledger compact``: give the disk space of deleted rows back, and leave no byte of them in the file."""

import argparse
import json

from spanledger_ingest.cli._admin import add_target, post


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``compact``."""
    add_target(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Rewrite the database file with its live rows only."""
    freed = _freed(options)
    if options.json:
        print(json.dumps({"freed_bytes": freed}))  # noqa: T201 - what the command is asked to say
    else:
        print(f"{freed:,} bytes given back")  # noqa: T201 - same
    return 0


def _freed(options: argparse.Namespace) -> int:
    if options.data is None:
        return int(post(options, "/api/v1/admin/compact")["freed_bytes"])
    from spanledger_ingest.cli._stopped import stopped_store  # noqa: PLC0415 - heavy

    with stopped_store(options) as store:
        return store.compact()
