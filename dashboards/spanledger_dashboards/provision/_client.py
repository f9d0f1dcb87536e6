"""A Grafana, asked by names (uids) only: newer ones have switched their calls by number off."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

from spanledger_dashboards.errors import GrafanaError, GrafanaMissingError, GrafanaQueryError
from spanledger_dashboards.provision._http import WAIT, Http
from spanledger_dashboards.provision._model import Json

_MOST_BOARDS: Final = 5000
_PROVISIONING: Final = "/v1/provisioning"


class Grafana:
    """The calls of Grafana's HTTP API that are used here.

    Args:
        url: of Grafana, with its path if it has one.
        token: of a service account with the role Admin.
        hidden: texts that no message may show.
        sleep: waits before a call is tried again; another one for tests.
    """

    def __init__(
        self, url: str, token: str, *, hidden: Sequence[str] = (), sleep: Callable[[float], None] = WAIT
    ) -> None:
        self._http = Http(url, token, hidden=hidden, sleep=sleep)
        self.url = self._http.url
        self._version = ""

    def version(self) -> str:
        """Return its version, as it says it."""
        if not self._version:
            found = self._get("/frontend/settings") or {}
            self._version = str((found.get("buildInfo") or {}).get("version") or "0")
        return self._version

    def major(self) -> int:
        """Return the first number of its version."""
        found = re.match(r"\d+", self.version())
        return int(found[0]) if found else 0

    def plugins(self) -> set[str]:
        """Return the ids of the installed plugins."""
        return {str(plugin["id"]) for plugin in self._get("/plugins", embedded=0) or ()}

    def health(self, uid: str) -> str:
        """Return what is wrong with a data source; empty if nothing is."""
        try:
            found = self._get(f"/datasources/uid/{_part(uid)}/health") or {}
        except GrafanaError as error:
            return str(error)
        return "" if found.get("status") == "OK" else str(found.get("message") or found)

    def folder(self, uid: str) -> Json | None:
        """Return a folder."""
        return self._read(f"/folders/{_part(uid)}")

    def create_folder(self, uid: str, title: str, parent: str | None) -> None:
        """Make a folder; a Grafana without folders in folders puts it at the root."""
        self._http.ask("POST", "/folders", {"uid": uid, "title": title} | ({"parentUid": parent} if parent else {}))

    def update_folder(self, uid: str, title: str, version: Any) -> None:
        """Rename a folder, if it still has that version."""
        self._http.ask("PUT", f"/folders/{_part(uid)}", {"title": title, "version": version})

    def move_folder(self, uid: str, parent: str) -> None:
        """Put a folder into another."""
        self._http.ask("POST", f"/folders/{_part(uid)}/move", {"parentUid": parent})

    def delete_folder(self, uid: str) -> None:
        """Delete a folder, with all that is in it but alert rules, with which it refuses."""
        self._delete(f"/folders/{_part(uid)}")

    def subfolders(self, uid: str) -> list[Json]:
        """Return the folders in a folder."""
        found = self._get("/folders", parentUid=uid) or []
        return [folder for folder in found if folder.get("parentUid") == uid]

    def data_source(self, uid: str) -> Json | None:
        """Return a data source."""
        return self._read(f"/datasources/uid/{_part(uid)}")

    def create_data_source(self, payload: Json) -> None:
        """Make a data source."""
        self._http.ask("POST", "/datasources", payload)

    def update_data_source(self, uid: str, payload: Json) -> None:
        """Change a data source."""
        self._http.ask("PUT", f"/datasources/uid/{_part(uid)}", payload)

    def delete_data_source(self, uid: str) -> None:
        """Delete a data source."""
        self._delete(f"/datasources/uid/{_part(uid)}")

    def board(self, uid: str) -> Json | None:
        """Return a board with what is said about it."""
        return self._read(f"/dashboards/uid/{_part(uid)}")

    def save_board(self, model: Json, folder: str) -> None:
        """Make a board, or change the version of it that the model names."""
        payload = {"dashboard": model, "folderUid": folder, "overwrite": False, "message": "spanledger"}
        self._http.ask("POST", "/dashboards/db", payload)

    def delete_board(self, uid: str) -> None:
        """Delete a board."""
        self._delete(f"/dashboards/uid/{_part(uid)}")

    def boards(self, tag: str | None = None) -> list[Json]:
        """Return a line for each board, or for those with a tag."""
        narrowed = {"tag": tag} if tag else {}
        return list(self._get("/search", type="dash-db", limit=_MOST_BOARDS, **narrowed) or ())

    def rule(self, uid: str) -> Json | None:
        """Return an alert rule, out of all: asked for one that it does not have, Grafana 9 answers 500."""
        return next((rule for rule in self.rules() if rule.get("uid") == uid), None)

    def rules(self) -> list[Json]:
        """Return all alert rules."""
        return list(self._get(f"{_PROVISIONING}/alert-rules") or ())

    def create_rule(self, payload: Json) -> None:
        """Make an alert rule."""
        self._http.ask("POST", f"{_PROVISIONING}/alert-rules", payload)

    def update_rule(self, uid: str, payload: Json) -> None:
        """Change an alert rule."""
        self._http.ask("PUT", f"{_PROVISIONING}/alert-rules/{_part(uid)}", payload)

    def delete_rule(self, uid: str) -> None:
        """Delete an alert rule."""
        self._delete(f"{_PROVISIONING}/alert-rules/{_part(uid)}")

    def contact_points(self) -> list[Json]:
        """Return all contact points."""
        return list(self._get(f"{_PROVISIONING}/contact-points") or ())

    def create_contact_point(self, payload: Json) -> None:
        """Make a contact point."""
        self._http.ask("POST", f"{_PROVISIONING}/contact-points", payload)

    def update_contact_point(self, uid: str, payload: Json) -> None:
        """Change a contact point."""
        self._http.ask("PUT", f"{_PROVISIONING}/contact-points/{_part(uid)}", payload)

    def delete_contact_point(self, uid: str) -> None:
        """Delete a contact point."""
        self._delete(f"{_PROVISIONING}/contact-points/{_part(uid)}")

    def query(self, payload: Json) -> Json:
        """Return the results of queries of panels by their letters, failed ones with their ``error``."""
        try:
            found = self._http.ask("POST", "/ds/query", payload) or {}
        except GrafanaQueryError as error:
            return error.results
        return dict(found.get("results") or {})

    def _get(self, path: str, **parameters: Any) -> Any:
        return self._http.ask("GET", path, parameters=parameters)

    def _read(self, path: str) -> Json | None:
        try:
            found: Json | None = self._get(path)
        except GrafanaMissingError:
            return None
        return found

    def _delete(self, path: str) -> None:
        try:
            self._http.ask("DELETE", path)
        except GrafanaMissingError:
            return


def _part(uid: str) -> str:
    return quote(uid, safe="")
