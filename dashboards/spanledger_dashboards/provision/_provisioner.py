"""Bringing a Grafana into the wanted state."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

from spanledger_dashboards.errors import GrafanaError
from spanledger_dashboards.grafana_json import Target
from spanledger_dashboards.provision._client import Grafana
from spanledger_dashboards.provision._kinds import handlers
from spanledger_dashboards.provision._mark import decide, is_edited, mark
from spanledger_dashboards.provision._model import (
    ALERT_FOLDER,
    FOLDER,
    UID_PREFIX,
    Action,
    Change,
    Item,
    Kind,
    Live,
    PanelResult,
    Progress,
    Setup,
)
from spanledger_dashboards.provision._run import run_panels
from spanledger_dashboards.provision._wanted import CONTACT_POINT, notes, target_for, wanted

_OWN_TAG: Final = "spanledger"


class GrafanaProvisioner:
    """The :class:`Provisioner` of a running Grafana.

    Args:
        grafana: it.
        setup: what it is to have.
    """

    def __init__(self, grafana: Grafana, setup: Setup) -> None:
        self._grafana, self._setup = grafana, setup
        self._handlers = handlers(grafana)

    def notes(self) -> Sequence[str]:
        """Return what this version of Grafana cannot do."""
        return tuple(notes(self._setup, self._grafana.major()))

    def plan(self, *, force: bool = False) -> Sequence[Change]:
        """Return what :meth:`apply` would do."""
        return tuple(change for change, _, _ in self._planned(force=force))

    def apply(self, *, force: bool = False, progress: Progress | None = None) -> Sequence[Change]:
        """Do it; what cannot be done says so, the rest is done nevertheless."""
        planned = list(self._planned(force=force))
        done = []
        for place, (change, item, live) in enumerate(planned):
            if progress is not None:
                progress(f"{change.kind} {change.title}", place, len(planned))
            done.append(self._do(change, item, live))
        return tuple(done)

    def check(self) -> Sequence[Change]:
        """Return what differs."""
        return tuple(change for change in self.plan() if change.is_drift)

    def destroy(self, *, force: bool = False, progress: Progress | None = None) -> Sequence[Change]:
        """Remove what was made here; with ``force`` also what somebody edited since."""
        found = list(self._ours())
        done: list[Change] = []
        for place, (kind, uid, live) in enumerate(found):
            if progress is not None:
                progress(f"{kind} {live.title}", place, len(found))
            done.append(self._remove(kind, uid, live, force=force))
        # What was kept is still in its folder.
        done += [self._remove_folder(uid) for uid in (ALERT_FOLDER, FOLDER) if self._grafana.folder(uid) is not None]
        return tuple(done)

    def panels(self, *, since: str = "", progress: Progress | None = None) -> Iterator[PanelResult]:
        """Run the query of every panel through Grafana."""
        return run_panels(self._grafana, self._setup.boards, self._target(), since=since, progress=progress)

    def _target(self) -> Target:
        return target_for(self._setup, self._grafana.plugins(), self._grafana.major())

    def _planned(self, *, force: bool) -> Iterator[tuple[Change, Item | None, Live | None]]:
        items = list(wanted(self._setup, self._target(), self._grafana.major()))
        for item in items:
            live = self._handlers[item.kind].read(item.uid)
            action, why = decide(item, live)
            if force and action in ("edited", "foreign"):
                action, why = "update", f"{action}, overwritten: {why}"
            yield Change(item.kind, item.uid, item.title, action, why), item, live
        for kind, uid, live in self._ours(besides={item.uid for item in items}):
            yield self._stale(kind, uid, live, force=force), None, live

    def _stale(self, kind: Kind, uid: str, live: Live, *, force: bool) -> Change:
        edited = live.mark is not None and is_edited(live) and not force
        action: Action = "edited" if edited else "remove"
        return Change(kind, uid, live.title, action, "it is wanted no more")

    def _do(self, change: Change, item: Item | None, live: Live | None) -> Change:
        try:
            if change.action == "remove":
                self._handlers[change.kind].delete(change.uid)
            elif change.action in ("create", "update") and item is not None:
                self._write(item, live)
        except GrafanaError as error:
            return replace(change, error=str(error))
        return change

    def _write(self, item: Item, live: Live | None) -> None:
        """Write it, and once more if Grafana keeps something else than it was given, so that the mark says so."""
        handler = self._handlers[item.kind]
        handler.write(item, mark(item), live)
        found = handler.read(item.uid)
        if found is None:
            raise GrafanaError("Grafana took it, but does not have it")
        if found.mark is None:
            if found.content != item.content:
                raise GrafanaError("Grafana made something else of it")
        elif mark(item, found.content) != found.mark:
            handler.write(item, mark(item, found.content), found)

    def _ours(self, besides: Collection[str] = ()) -> Iterator[tuple[Kind, str, Live]]:
        """Yield what bears our mark and a name of ours, besides what is known already; what others need last."""
        uids: list[tuple[Kind, str]] = [
            *(("alert rule", rule["uid"]) for rule in self._grafana.rules()),
            ("contact point", CONTACT_POINT),
            *(("board", board["uid"]) for board in self._grafana.boards(_OWN_TAG)),
            ("data source", Target().sql_uid),
            ("data source", Target().traces_uid),
        ]
        for kind, uid in uids:
            is_asked = uid.startswith(UID_PREFIX) and uid not in besides
            live = self._handlers[kind].read(uid) if is_asked else None
            if live is not None and live.mark != "":
                yield kind, uid, live

    def _remove(self, kind: Kind, uid: str, live: Live, *, force: bool) -> Change:
        if live.mark is not None and is_edited(live) and not force:
            return Change(kind, uid, live.title, "edited", "somebody changed it since it was written")
        return self._do(Change(kind, uid, live.title, "remove"), None, live)

    def _remove_folder(self, uid: str) -> Change:
        live = self._handlers["folder"].read(uid)
        title = uid if live is None else live.title
        inside = self._inside(uid)
        if inside:
            return Change("folder", uid, title, "keep", f"it holds {inside}")
        return self._do(Change("folder", uid, title, "remove"), None, live)

    def _inside(self, uid: str) -> str:
        """Say what is in a folder; removing it would remove that."""
        names = [board["title"] for board in self._grafana.boards() if board.get("folderUid") == uid]
        names += [rule["title"] for rule in self._grafana.rules() if rule.get("folderUID") == uid]
        names += [folder["title"] for folder in self._grafana.subfolders(uid)]
        return ", ".join(sorted(names))
