"""``spanledger silences``: keep alerts that are known from being told, for a while."""

import argparse
import getpass
import json
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from spanledger_ingest.cli._admin import add_target, ask
from spanledger_ingest.cli._tables import UsageError, moment, nanoseconds, print_table
from spanledger_ingest.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spanledger_alerts.engine import Kind, Mutes

_COLUMNS: Final = ("id", "state", "matchers", "starts", "ends", "author", "comment", "tenant")

Mute: TypeAlias = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands of ``silences``."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--planned", action="store_true", help="a planned change instead of a silence")
    add_target(common)
    common.add_argument("--json", action="store_true", help="print JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    add = actions.add_parser("add", parents=[common], help="tell no alerts that match, for a while")
    add.add_argument("matchers", nargs="+", metavar="MATCHER", help="tenant=acme, severity!=critical, rule=~budget.*")
    add.add_argument("--until", required=True, metavar="TIME", help="2h, or 2026-03-01T12:00:00Z")
    add.add_argument("--from", dest="from_", default="now", metavar="TIME", help="when it begins (default now)")
    add.add_argument("--comment", required=True, metavar="TEXT", help="why")
    add.add_argument("--author", metavar="NAME", help="who (default you)")

    listed = actions.add_parser("list", parents=[common], help="list them")
    listed.add_argument("--expired", action="store_true", help="those that are over, too")

    expire = actions.add_parser("expire", parents=[common], help="end one now")
    expire.add_argument("id", metavar="ID", help="of the silence")


def run(options: argparse.Namespace) -> int:
    """Do it, on the running service or, with ``--data``, in its data directory."""
    actions: dict[str, Callable[[argparse.Namespace], list[Mute]]] = {"add": _add, "list": _list, "expire": _expire}
    found = actions[options.action](options)
    if options.json:
        print(json.dumps(found if options.action == "list" else found[0], indent=2))  # noqa: T201 - the answer
    else:
        print_table(_COLUMNS, found)
    return 0


def _add(options: argparse.Namespace) -> list[Mute]:
    starts, ends = moment("--from", options.from_), moment("--until", options.until, ahead=True)
    author = options.author or _user()
    if options.data is None:
        body = {"matchers": options.matchers, "starts": starts.isoformat(), "ends": ends.isoformat()}
        said = {"comment": options.comment, "author": author}
        return [ask(options, f"/api/v1/{_path(options)}", method="POST", body=body | said)]
    with _mutes(options) as mutes:
        mute = mutes.add(
            kind=_kind(options),
            owner=None,
            matchers=options.matchers,
            starts=nanoseconds(starts),
            ends=nanoseconds(ends),
            author=author,
            comment=options.comment,
            now=time.time_ns(),
        )
        return [_shown(mute)]


def _list(options: argparse.Namespace) -> list[Mute]:
    if options.data is None:
        found = ask(options, f"/api/v1/{_path(options)}?expired={str(options.expired).lower()}")
        items: list[Mute] = found["items"]
        return items
    with _mutes(options) as mutes:
        listed = mutes.listed(kind=_kind(options), owner=None, now=time.time_ns(), expired=options.expired)
        return [_shown(mute) for mute in listed]


def _expire(options: argparse.Namespace) -> list[Mute]:
    if options.data is None:
        return [ask(options, f"/api/v1/{_path(options)}/{quote(options.id, safe='')}", method="DELETE")]
    with _mutes(options) as mutes:
        mute = mutes.expire(options.id, kind=_kind(options), owner=None, now=time.time_ns())
        if mute is None:
            raise UsageError(f"there is none of the id {options.id!r}: 'silences list' has them")
        return [_shown(mute)]


@contextmanager
def _mutes(options: argparse.Namespace) -> "Iterator[Mutes]":
    from spanledger_alerts.engine import Mutes  # noqa: PLC0415 - heavy
    from spanledger_alerts.errors import AlertsError  # noqa: PLC0415 - with it
    from spanledger_ingest.auth import StateDb  # noqa: PLC0415 - heavy

    settings = load_settings(options.config, {"store": {"data": options.data}})
    try:
        with closing(StateDb(settings.store.data)) as state:
            yield Mutes(state)
    except AlertsError as error:
        raise UsageError(str(error)) from error


def _shown(mute: Any) -> Mute:
    from spanledger_ingest.alerting import mute_json  # noqa: PLC0415 - heavy

    shown: Mute = json.loads(json.dumps(mute_json(mute, time.time_ns()), default=lambda time: time.isoformat()))
    return shown


def _kind(options: argparse.Namespace) -> "Kind":
    return "planned" if options.planned else "silence"


def _path(options: argparse.Namespace) -> str:
    return "planned-changes" if options.planned else "silences"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return "cli"
