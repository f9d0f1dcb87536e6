"""``spanledger keys``: make, list, rotate and revoke API keys. Works beside a running service, which follows."""

import argparse
import getpass
import json
import re
import sys
import time
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from spanledger_ingest.auth import ROLES, AuthError, Key, KeyRing, StateDb
from spanledger_ingest.secret import Secret
from spanledger_ingest.settings import load_settings

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LIST_WIDTH: Final = 220
_TIMES: Final = ("created", "expires", "revoked", "last_used")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands of ``keys``."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, metavar="DIR", help="data directory of the service")
    common.add_argument("--config", type=Path, metavar="FILE", help="configuration file, TOML")
    common.add_argument("--json", action="store_true", help="print JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    create = actions.add_parser("create", parents=[common], help="make a key; its secret is shown once")
    create.add_argument(
        "--tenant", action="append", required=True, metavar="T", help="whose data; '*' for all; several for a gateway"
    )
    create.add_argument("--role", default="ingest", choices=ROLES, metavar="R", help=f"one of {', '.join(ROLES)}")
    create.add_argument("--scope", action="append", default=[], metavar="S", help="grant more, such as read:content")
    create.add_argument("--name", default="", metavar="N", help="a note for the list")
    create.add_argument("--expires", metavar="D", help="a date, a time, or how long from now, such as 90d")

    actions.add_parser("list", parents=[common], help="list the keys")
    rotate = actions.add_parser("rotate", parents=[common], help="make a key that replaces another")
    rotate.add_argument("id", metavar="ID")
    rotate.add_argument("--overlap", default="24h", metavar="D", help="how long both are valid (default 24h, most 30d)")
    revoke = actions.add_parser("revoke", parents=[common], help="end a key now")
    revoke.add_argument("id", metavar="ID")


def run(options: argparse.Namespace) -> int:
    """Do what is asked of the keys in the data directory."""
    settings = load_settings(options.config, {"store": {"data": options.data}})
    actions = {"create": _create, "list": _list, "rotate": _rotate, "revoke": _revoke}
    with closing(StateDb(settings.store.data)) as state:
        actions[options.action](KeyRing(state), options)
    return 0


def _create(keys: KeyRing, options: argparse.Namespace) -> None:
    expires = None if options.expires is None else _moment(options.expires)
    key, secret = keys.create(
        options.tenant, options.role, name=options.name, scopes=options.scope, expires=expires, actor=_actor()
    )
    _show_secret(key, secret, options)


def _rotate(keys: KeyRing, options: argparse.Namespace) -> None:
    key, secret = keys.rotate(options.id, overlap_seconds=_duration(options.overlap), actor=_actor())
    _show_secret(key, secret, options)


def _revoke(keys: KeyRing, options: argparse.Namespace) -> None:
    keys.revoke(options.id, actor=_actor())
    print(json.dumps({"revoked": options.id}) if options.json else f"revoked {options.id}")  # noqa: T201 - the answer


def _show_secret(key: Key, secret: Secret, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(_shown(key) | {"key": secret.reveal()}))  # noqa: T201 - the answer
        return
    # The secret alone goes to stdout, so that it can be piped to where it is kept.
    sys.stderr.write(f"key {key.id} for {', '.join(key.tenants)}, role {key.role}; it is shown this once:\n")
    print(secret.reveal())  # noqa: T201 - the answer


def _list(keys: KeyRing, options: argparse.Namespace) -> None:
    found = [_shown(key) for key in keys.list()]
    if options.json:
        print(json.dumps(found, indent=2))  # noqa: T201 - the answer
        return
    from rich.console import Console  # noqa: PLC0415 - not needed for --json and --help
    from rich.table import Table  # noqa: PLC0415 - same

    columns = ("id", "name", "tenants", "role", "scopes", *_TIMES, "rotated_from")
    table = Table(*columns, box=None)
    for key in found:
        table.add_row(*(_cell(key[column]) for column in columns))
    # Wide enough for every column: a list that is cut short cannot be copied from.
    Console(highlight=False, markup=False, width=_LIST_WIDTH).print(table)


def _shown(key: Key) -> dict[str, Any]:
    values = asdict(key)
    return values | {name: _text(values[name]) for name in _TIMES}


def _text(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value or "")


def _duration(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if match is None:
        raise AuthError(f"{text!r} is no length of time: a number and s, m, h, d or w, such as 24h")
    return int(match[1]) * _SECONDS[match[2]]


def _moment(text: str) -> int:
    """Return when a key ends, as seconds since the epoch: a length of time from now, a date or a time, in UTC."""
    if re.fullmatch(r"[0-9]+[a-z]", text):
        return int(time.time()) + _duration(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise AuthError(f"{text!r} is neither a date such as 2027-01-31 nor a length of time such as 90d") from error
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    if moment.timestamp() <= time.time():
        raise AuthError(f"{text} is past")
    return int(moment.timestamp())


def _actor() -> str:
    try:
        return f"cli {getpass.getuser()}"
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "cli"
