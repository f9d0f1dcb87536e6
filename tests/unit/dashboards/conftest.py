"""A strict double of the parts of Grafana's HTTP API that the provisioner uses.

It behaves as Grafana 9.4, 11 and 13 do where they differ, and refuses whatever it does not know: routes, fields,
numbers instead of uids.
"""

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

Json = dict[str, Any]
Answer = tuple[int, Any]

TOKEN = "glsa_double"
_SOURCE_KEYS = {
    "access", "basicAuth", "isDefault", "jsonData", "name", "secureJsonData", "type", "uid", "url", "user", "version",
}  # fmt: skip
_RULE_KEYS = {
    "annotations", "condition", "data", "execErrState", "folderUID", "for", "isPaused", "labels", "noDataState",
    "notification_settings", "ruleGroup", "title", "uid",
}  # fmt: skip
_POINT_KEYS = {"disableResolveMessage", "name", "settings", "type", "uid"}


class GrafanaDouble:
    """State and routes; ``calls`` is what was asked."""

    def __init__(self, version: str) -> None:
        self.version, self.major = version, int(version.split(".", maxsplit=1)[0])
        self.folders: dict[str, Json] = {}
        self.sources: dict[str, Json] = {}
        self.boards: dict[str, Json] = {}
        self.rules: dict[str, Json] = {}
        self.points: dict[str, Json] = {"": {"uid": "", "name": "email receiver", "type": "email", "settings": {}}}
        self.policies = {"receiver": "email receiver"}
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[str] = []
        self.failures: dict[tuple[str, str], list[Answer]] = {}
        """Answers given instead of the right one, by method and start of the path."""
        self.broken_sql = ""
        """Queries that contain it fail."""
        self.empty_sql = ""
        """Queries that contain it answer nothing."""
        self.plugins = {"jaeger", "grafana-postgresql-datasource" if self.major >= 11 else "postgres"}
        self.fills_in = False
        """Whether boards come back with more than was sent."""
        self.url = ""
        self._lock = Lock()

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] != "GET" and call[1] != "/api/ds/query"]

    def fail(self, method: str, path: str, *answers: Answer) -> None:
        self.failures[method, path] = list(answers)

    def answer(self, method: str, target: str, body: Any, token: str) -> Answer:
        with self._lock:
            parts = urlsplit(target)
            self.calls.append((method, parts.path))
            self.bodies.append(json.dumps(body))
            if token != f"Bearer {TOKEN}":
                return 401, {"message": "Invalid API key"}
            for (verb, start), answers in self.failures.items():
                if verb == method and parts.path.startswith(start) and answers:
                    return answers.pop(0)
            return self._route(method, parts.path.removeprefix("/api"), parse_qs(parts.query), body)

    def _route(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Answer:
        for pattern, verb, route in self._routes():
            found = re.fullmatch(pattern, path)
            if found and verb == method:
                answer: Answer = route(*found.groups(), *([body] if method in ("POST", "PUT") else []))
                return answer
        if method == "GET" and path == "/search":
            return 200, self._search(query)
        if method == "GET" and path == "/folders":
            return 200, list(self.folders.values())
        raise AssertionError(f"the provisioner asks what it must not: {method} {path}")

    def _routes(self) -> Iterator[tuple[str, str, Callable[..., Answer]]]:
        yield r"/frontend/settings", "GET", lambda: (200, {"buildInfo": {"version": self.version}})
        yield r"/plugins", "GET", lambda: (200, [{"id": name} for name in sorted(self.plugins)])
        yield r"/ds/query", "POST", self._query
        yield r"/folders/([\w-]+)", "GET", lambda uid: _found(self.folders, uid)
        yield r"/folders", "POST", self._make_folder
        yield r"/folders/([\w-]+)", "PUT", self._rename_folder
        yield r"/folders/([\w-]+)/move", "POST", self._move_folder
        yield r"/folders/([\w-]+)", "DELETE", self._delete_folder
        yield r"/datasources/uid/([\w-]+)", "GET", lambda uid: _found(self.sources, uid)
        yield r"/datasources", "POST", self._make_source
        yield r"/datasources/uid/([\w-]+)", "PUT", self._change_source
        yield r"/datasources/uid/([\w-]+)", "DELETE", lambda uid: _gone(self.sources, uid)
        yield r"/datasources/uid/([\w-]+)/health", "GET", lambda _: (200, {"status": "OK", "message": "fine"})
        yield r"/dashboards/uid/([\w-]+)", "GET", self._board
        yield r"/dashboards/db", "POST", self._save_board
        yield r"/dashboards/uid/([\w-]+)", "DELETE", lambda uid: _gone(self.boards, uid)
        yield r"/v1/provisioning/alert-rules", "GET", lambda: (200, list(self.rules.values()))
        yield r"/v1/provisioning/alert-rules", "POST", self._make_rule
        yield r"/v1/provisioning/alert-rules/([\w-]+)", "PUT", self._change_rule
        yield (
            r"/v1/provisioning/alert-rules/([\w-]+)",
            "DELETE",
            lambda uid: (204, self.rules.pop(uid, 0)),
        )
        yield r"/v1/provisioning/contact-points", "GET", lambda: (200, list(self.points.values()))
        yield r"/v1/provisioning/contact-points", "POST", self._make_point
        yield r"/v1/provisioning/contact-points/([\w-]+)", "PUT", self._change_point
        yield r"/v1/provisioning/contact-points/([\w-]+)", "DELETE", lambda uid: (202, self.points.pop(uid))

    def _search(self, query: dict[str, list[str]]) -> list[Json]:
        tag = query.get("tag", [""])[0]
        return [
            {"uid": uid, "title": kept["dashboard"]["title"], "folderUid": kept["meta"]["folderUid"]}
            for uid, kept in self.boards.items()
            if not tag or tag in kept["dashboard"]["tags"]
        ]

    def _make_folder(self, body: Json) -> Answer:
        _only(body, {"uid", "title", "parentUid"})
        if body["uid"] in self.folders:
            return 412, {"message": "a folder with that uid exists"}
        kept = {"uid": body["uid"], "title": body["title"], "version": 1}
        if self.major >= 11 and "parentUid" in body:
            if body["parentUid"] not in self.folders:
                return 404, {"message": "parent folder not found"}
            kept["parentUid"] = body["parentUid"]
        self.folders[body["uid"]] = kept
        return 200, kept

    def _rename_folder(self, uid: str, body: Json) -> Answer:
        _only(body, {"title", "version"})
        if body["version"] != self.folders[uid]["version"]:
            return 412, {"message": "the folder has been changed by someone else"}
        self.folders[uid] |= {"title": body["title"], "version": body["version"] + 1}
        return 200, self.folders[uid]

    def _move_folder(self, uid: str, body: Json) -> Answer:
        assert self.major >= 11, "older ones have no such route"
        self.folders[uid]["parentUid"] = body["parentUid"]
        return 200, self.folders[uid]

    def _delete_folder(self, uid: str) -> Answer:
        if any(rule["folderUID"] == uid for rule in self.rules.values()):
            return 400, {"message": "folder cannot be deleted: folder contains alert rules"}
        for name in [name for name, board in self.boards.items() if board["meta"]["folderUid"] == uid]:
            del self.boards[name]
        return _gone(self.folders, uid)

    def _make_source(self, body: Json) -> Answer:
        _only(body, _SOURCE_KEYS)
        if any(source["uid"] == body["uid"] or source["name"] == body["name"] for source in self.sources.values()):
            return 409, {"message": "data source with the same name already exists"}
        self.sources[body["uid"]] = _source(body, 1)
        return 200, {"message": "Datasource added"}

    def _change_source(self, uid: str, body: Json) -> Answer:
        _only(body, _SOURCE_KEYS)
        if uid not in self.sources:
            return 404, {"message": "Data source not found"}
        if body.get("version", self.sources[uid]["version"]) != self.sources[uid]["version"]:
            return 409, {"message": "Datasource has already been updated by someone else"}
        self.sources[uid] = _source(body, self.sources[uid]["version"] + 1)
        return 200, {"message": "Datasource updated"}

    def _board(self, uid: str) -> Answer:
        status, found = _found(self.boards, uid)
        if status == 200 and self.fills_in:
            found = deepcopy(found)
            found["dashboard"] |= {"schemaVersion": 42, "preload": False}
        return status, found

    def _save_board(self, body: Json) -> Answer:
        _only(body, {"dashboard", "folderUid", "overwrite", "message"})
        model, uid = body["dashboard"], body["dashboard"]["uid"]
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        there = self.boards.get(uid)
        if there is not None and (body["overwrite"] or model.get("version") != there["dashboard"]["version"]):
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        number = 1 if there is None else there["dashboard"]["version"] + 1
        kept = deepcopy(model) | {"id": 7, "version": number}
        self.boards[uid] = {"dashboard": kept, "meta": {"folderUid": body["folderUid"]}}
        return 200, {"status": "success", "uid": uid, "version": number}

    def _make_rule(self, body: Json) -> Answer:
        refused = self._refused(body)
        if refused is not None:
            return refused
        self.rules[body["uid"]] = self._rule(body)
        return 201, self.rules[body["uid"]]

    def _change_rule(self, uid: str, body: Json) -> Answer:
        refused = self._refused(body)
        if refused is not None:
            return refused
        assert uid in self.rules
        self.rules[uid] = self._rule(body)
        return 200, self.rules[uid]

    def _refused(self, body: Json) -> Answer | None:
        _only(body, _RULE_KEYS if self.major >= 11 else _RULE_KEYS - {"notification_settings"})
        notes = body["annotations"]
        if ("__dashboardUid__" in notes) != ("__panelId__" in notes):
            return 500, {"message": "both annotations __dashboardUid__ and __panelId__ must be specified"}
        receiver = (body.get("notification_settings") or {}).get("receiver")
        if receiver and receiver not in [point["name"] for point in self.points.values()]:
            return 400, {"message": f"receiver {receiver} does not exist"}
        if body["condition"] not in [node["refId"] for node in body["data"]]:
            return 400, {"message": "invalid condition"}
        return None if body["folderUID"] in self.folders else (400, {"message": "folder not found"})

    def _rule(self, body: Json) -> Json:
        extra = {"id": 3, "orgID": 1, "updated": "2026-11-24T10:00:00Z", "provenance": "api"}
        return deepcopy(body) | extra | ({} if self.major < 11 else {"record": None, "keep_firing_for": "0s"})

    def _make_point(self, body: Json) -> Answer:
        _only(body, _POINT_KEYS)
        self.points[body["uid"]] = deepcopy(body) | {"provenance": "api"}
        return 202, self.points[body["uid"]]

    def _change_point(self, uid: str, body: Json) -> Answer:
        _only(body, _POINT_KEYS)
        self.points[uid] = deepcopy(body) | {"provenance": "api"}
        return 202, {"message": "contactpoint updated"}

    def _query(self, body: Json) -> Answer:
        (query,) = body["queries"]
        assert query["datasource"]["uid"] in self.sources, "no such data source"
        sql = query["rawSql"]
        assert "${" not in sql, "the server knows no variables"
        if self.broken_sql and self.broken_sql in sql:
            return 400, {"results": {query["refId"]: {"error": "db query error: no such column", "status": 400}}}
        if self.empty_sql and self.empty_sql in sql:
            return 200, {"results": {query["refId"]: {"status": 200, "frames": []}}}
        frame = {"schema": {"fields": []}, "data": {"values": [[1700000000000, 1700000060000], [3, 4]]}}
        return 200, {"results": {query["refId"]: {"status": 200, "frames": [frame]}}}


def _found(things: dict[str, Json], uid: str) -> Answer:
    return (200, things[uid]) if uid in things else (404, {"message": "not found"})


def _gone(things: dict[str, Json], uid: str) -> Answer:
    return (200, {"message": "deleted"}) if things.pop(uid, None) else (404, {"message": "not found"})


def _only(body: Json, known: set[str]) -> None:
    assert body.keys() <= known, f"unknown fields: {body.keys() - known}"


def _source(body: Json, version: int) -> Json:
    kept = deepcopy(body)
    secrets = kept.pop("secureJsonData", {})
    return kept | {"id": 5, "version": version, "readOnly": False, "secureJsonFields": dict.fromkeys(secrets, True)}


def _handler(double: GrafanaDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            try:
                status, answer = double.answer(self.command, self.path, body, self.headers.get("authorization", ""))
            except AssertionError as error:
                status, answer = 422, {"message": str(error)}
            text = b"" if status == 204 else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - names that http.server asks for

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def grafana_of() -> Iterator[Callable[[str], GrafanaDouble]]:
    """Start a Grafana of some version."""
    servers: list[ThreadingHTTPServer] = []

    def start(version: str) -> GrafanaDouble:
        double = GrafanaDouble(version)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(double))
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        double.url = f"http://127.0.0.1:{server.server_address[1]}"
        return double

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(params=["9.2.0", "11.6.0", "13.1.0"])
def grafana(request: pytest.FixtureRequest, grafana_of: Callable[[str], GrafanaDouble]) -> GrafanaDouble:
    """Return a Grafana of each version."""
    return grafana_of(request.param)
