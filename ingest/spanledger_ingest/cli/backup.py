"""``spanledger backup --out DIR``: copy database and state of a running or a stopped service, and read them again."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from spanledger_ingest.cli._admin import add_target, download


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``backup``."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for the backup")
    add_target(parser)
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")


def run(options: argparse.Namespace) -> int:
    """Write the backup, read all of it again, and print what is in it."""
    from spanledger_ingest.backup import STATE, prepare, seal  # noqa: PLC0415 - heavy, and not needed for --help

    target = prepare(options.out)
    # The state first: what budgets have counted must be in the database, and not the other way round.
    if options.data is None:
        download(options, "/api/v1/admin/backup/state", options.out / STATE)
        download(options, "/api/v1/admin/backup", target)
    else:
        _copy(options, target)
    manifest = seal(options.out)
    if options.json:
        print(json.dumps(asdict(manifest), indent=2))  # noqa: T201 - what the command is asked to say
    else:
        rows = ", ".join(f"{count:,} {table}" for table, count in manifest.rows.items() if count)
        print(f"{options.out}: {manifest.bytes:,} bytes; {rows or 'no rows yet'}")  # noqa: T201 - same
    return 0


def _copy(options: argparse.Namespace, target: Path) -> None:
    import shutil  # noqa: PLC0415 - with the rest of this branch

    from spanledger_ingest.auth import FILE, copy_state  # noqa: PLC0415 - heavy
    from spanledger_ingest.cli._stopped import data_of, stopped_store  # noqa: PLC0415 - heavy

    with stopped_store(options) as store, store.snapshot() as copy:
        data = data_of(options)
        if (data / FILE).exists():
            copy_state(data, options.out / FILE)
        shutil.copyfile(copy, target)
        target.chmod(0o600)
