"""How each kind of thing is read, written and removed."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from spanledger_dashboards.provision._client import Grafana
from spanledger_dashboards.provision._model import Item, Json, Kind, Live
from spanledger_dashboards.provision._wanted import MARK_TAG, stored

_MARK_KEY: Final = "spanledgerMark"
_MARK_NOTE: Final = "spanledger_mark"
_SOURCE_FIELDS: Final = ("access", "basicAuth", "isDefault", "name", "type", "url", "user")
_RULE_FIELDS: Final = (
    "annotations",
    "condition",
    "data",
    "execErrState",
    "folderUID",
    "for",
    "labels",
    "noDataState",
    "ruleGroup",
    "title",
)
_NODE_FIELDS: Final = ("datasourceUid", "model", "queryType", "refId", "relativeTimeRange")


class Handler(Protocol):
    """One kind of thing."""

    def read(self, uid: str) -> Live | None:
        """Return one that is there."""

    def write(self, item: Item, mark: str, live: Live | None) -> None:
        """Make one, or change the one that was read."""

    def delete(self, uid: str) -> None:
        """Remove one."""


class _Kind:
    def __init__(self, grafana: Grafana) -> None:
        self._grafana = grafana


class Folders(_Kind):
    """Folders: there is no place for a mark."""

    def read(self, uid: str) -> Live | None:
        """Return one."""
        found = self._grafana.folder(uid)
        if found is None:
            return None
        inside = {"parentUid": found["parentUid"]} if found.get("parentUid") else {}
        return Live(found["title"], {"title": found["title"], **inside}, None, found)

    def write(self, item: Item, mark: str, live: Live | None) -> None:  # noqa: ARG002 - as the other kinds
        """Make, rename or move one."""
        parent = item.content.get("parentUid")
        if live is None:
            self._grafana.create_folder(item.uid, item.title, parent)
            return
        if live.title != item.title:
            self._grafana.update_folder(item.uid, item.title, live.raw.get("version"))
        if parent != live.content.get("parentUid"):
            self._grafana.move_folder(item.uid, parent or "")

    def delete(self, uid: str) -> None:
        """Remove one, with what is in it."""
        self._grafana.delete_folder(uid)


class DataSources(_Kind):
    """Data sources: the mark is a key of their JSON data."""

    def read(self, uid: str) -> Live | None:
        """Return one."""
        found = self._grafana.data_source(uid)
        if found is None:
            return None
        data = dict(found.get("jsonData") or {})
        mark = str(data.pop(_MARK_KEY, ""))
        content = {name: found.get(name, "") for name in _SOURCE_FIELDS}
        content["jsonData"] = data
        content["secrets"] = sorted(name for name, there in (found.get("secureJsonFields") or {}).items() if there)
        return Live(found.get("name", ""), content, mark, found)

    def write(self, item: Item, mark: str, live: Live | None) -> None:
        """Make or change one."""
        payload = {name: item.content[name] for name in _SOURCE_FIELDS}
        payload |= {"uid": item.uid, "jsonData": item.content["jsonData"] | {_MARK_KEY: mark}}
        payload["secureJsonData"] = item.secrets
        if live is None:
            self._grafana.create_data_source(payload)
            return
        if "version" in live.raw:
            payload["version"] = live.raw["version"]
        self._grafana.update_data_source(item.uid, payload)

    def delete(self, uid: str) -> None:
        """Remove one."""
        self._grafana.delete_data_source(uid)


class Boards(_Kind):
    """Boards: the mark is a tag."""

    def read(self, uid: str) -> Live | None:
        """Return one."""
        found = self._grafana.board(uid)
        if found is None:
            return None
        model = found["dashboard"]
        content = {"dashboard": stored(model), "folderUid": found.get("meta", {}).get("folderUid", "")}
        marks = [tag.removeprefix(MARK_TAG) for tag in model.get("tags") or [] if tag.startswith(MARK_TAG)]
        return Live(model.get("title", ""), content, marks[0] if marks else "", found)

    def write(self, item: Item, mark: str, live: Live | None) -> None:
        """Make one, or change the version that was read."""
        model = item.content["dashboard"]
        model = model | {"id": None, "tags": [*model["tags"], MARK_TAG + mark]}
        if live is not None:
            model |= {"id": live.raw["dashboard"].get("id"), "version": live.raw["dashboard"].get("version")}
        self._grafana.save_board(model, item.content["folderUid"])

    def delete(self, uid: str) -> None:
        """Remove one."""
        self._grafana.delete_board(uid)


class Rules(_Kind):
    """Alert rules: the mark is an annotation."""

    def read(self, uid: str) -> Live | None:
        """Return one."""
        found = self._grafana.rule(uid)
        return None if found is None else rule_found(found)

    def write(self, item: Item, mark: str, live: Live | None) -> None:
        """Make or change one."""
        notes = item.content["annotations"] | {_MARK_NOTE: mark}
        payload = item.content | {"uid": item.uid, "annotations": notes}
        if live is None:
            self._grafana.create_rule(payload)
        else:
            self._grafana.update_rule(item.uid, payload)

    def delete(self, uid: str) -> None:
        """Remove one."""
        self._grafana.delete_rule(uid)


def rule_found(found: Json) -> Live:
    """Return an alert rule as Grafana gave it."""
    content = {name: found.get(name) for name in _RULE_FIELDS}
    notes = dict(found.get("annotations") or {})
    mark = str(notes.pop(_MARK_NOTE, ""))
    nodes = [{name: node.get(name, "") for name in _NODE_FIELDS} for node in found.get("data") or []]
    content |= {"annotations": notes, "data": nodes, "isPaused": bool(found.get("isPaused"))}
    settings = found.get("notification_settings") or {}
    if settings.get("receiver"):
        content["notification_settings"] = {"receiver": settings["receiver"]}
    return Live(found.get("title", ""), content, mark, found)


class ContactPoints(_Kind):
    """Contact points: there is no place for a mark."""

    def read(self, uid: str) -> Live | None:
        """Return one; Grafana has no call for one alone."""
        found = next((point for point in self._grafana.contact_points() if point.get("uid") == uid), None)
        if found is None:
            return None
        settings = found.get("settings") or {}
        content = {
            "disableResolveMessage": bool(found.get("disableResolveMessage")),
            "name": found.get("name"),
            "settings": {name: settings.get(name) for name in ("httpMethod", "url")},
            "type": found.get("type"),
        }
        return Live(str(found.get("name", "")), content, None, found)

    def write(self, item: Item, mark: str, live: Live | None) -> None:  # noqa: ARG002 - as the other kinds
        """Make or change one."""
        payload = item.content | {"uid": item.uid}
        if live is None:
            self._grafana.create_contact_point(payload)
        else:
            self._grafana.update_contact_point(item.uid, payload)

    def delete(self, uid: str) -> None:
        """Remove one."""
        self._grafana.delete_contact_point(uid)


_KINDS: Final[Mapping[Kind, Callable[[Grafana], Handler]]] = {
    "folder": Folders,
    "data source": DataSources,
    "board": Boards,
    "contact point": ContactPoints,
    "alert rule": Rules,
}


def handlers(grafana: Grafana) -> dict[Kind, Handler]:
    """Return what handles each kind of thing."""
    return {name: make(grafana) for name, make in _KINDS.items()}
