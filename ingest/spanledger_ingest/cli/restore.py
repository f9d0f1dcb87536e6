"""``spanledger restore --from DIR --data DIR``: put a backup in the place of a database that is gone."""

import argparse
from pathlib import Path

from spanledger_ingest.settings import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``restore``."""
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="DIR", help="folder of the backup")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data directory without a database")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file, TOML")
    parser.add_argument(
        "--keep-journal",
        action="store_true",
        help="the journal there is of the same service: store again what it holds from the backup's time on",
    )


def run(options: argparse.Namespace) -> int:
    """Check the backup byte by byte, then copy it."""
    from spanledger_ingest.backup import restore  # noqa: PLC0415 - heavy, and not needed for --help

    settings = load_settings(options.config, {"store": {"data": options.data}})
    manifest = restore(options.source, settings.store.data, keep_journal=options.keep_journal)
    rows = sum(manifest.rows.values())
    print(f"{settings.store.data}: {rows:,} rows as of {manifest.created}")  # noqa: T201 - what the command is asked to say
    return 0
