"""A Grafana, asked by names (uids) only: newer ones have switched their calls by number off."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaException
from niquests.exceptions import RequestException

from spanledger_dashboards.errors import GrafanaConflictError, GrafanaError
from spanledger_dashboards.provision._model import Json

_TIMEOUT_SECONDS: Final = 35.0
"""A statement of the service may take 30."""
_ATTEMPTS: Final = 4
_AGAIN: Final = (429, 502, 503, 504)
_MOST_BOARDS: Final = 5000
_LONGEST_MESSAGE: Final = 400


class Grafana:
    """The calls of Grafana's HTTP API that are used here.

    Args:
        url: of Grafana, with its path if it has one.
        token: of a service account with the role Admin.
        hidden: texts that no message may show.
        sleep: waits; another one for tests.
    """

    def __init__(
        self, url: str, token: str, *, hidden: Sequence[str] = (), sleep: Callable[[float], None] = time.sleep
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise GrafanaError("the address of Grafana is no http:// or https:// URL without a user")
        path = parts.path.strip("/")
        make: Any = GrafanaApi
        self._api: Any = make(
            token,
            host=f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
            port=parts.port,
            url_path_prefix=f"{path}/" if path else "",
            protocol=parts.scheme,
            timeout=_TIMEOUT_SECONDS,
        )
        self.url = url.rstrip("/")
        self._hidden = [text for text in (token, *hidden) if text]
        self._sleep = sleep
        self._version = ""

    def version(self) -> str:
        """Return its version, as it says it."""
        if not self._version:
            self._version = str((self._call(self._api.health.check) or {}).get("version") or "0")
        return self._version

    def major(self) -> int:
        """Return the first number of its version."""
        found = re.match(r"\d+", self.version())
        return int(found[0]) if found else 0

    def plugins(self) -> set[str]:
        """Return the ids of the installed plugins."""
        return {str(plugin["id"]) for plugin in self._call(self._api.plugin.list) or ()}

    def health(self, uid: str) -> str:
        """Return what is wrong with a data source; empty if nothing is."""
        try:
            found = self._call(self._api.datasource.health, uid) or {}
        except GrafanaError as error:
            return str(error)
        return "" if found.get("status") == "OK" else str(found.get("message") or found)

    def folder(self, uid: str) -> Json | None:
        """Return a folder."""
        return self._read(self._api.folder.get_folder, uid)

    def create_folder(self, uid: str, title: str, parent: str | None) -> None:
        """Make a folder; those that know no folders in folders put it at the root."""
        self._call(self._api.folder.create_folder, title, uid=uid, parent_uid=parent)

    def update_folder(self, uid: str, title: str, version: Any) -> None:
        """Rename a folder, if it still has that version."""
        self._call(self._api.folder.update_folder, uid, title=title, version=version)

    def move_folder(self, uid: str, parent: str) -> None:
        """Put a folder into another."""
        self._call(self._api.folder.move_folder, uid, parent)

    def delete_folder(self, uid: str) -> None:
        """Delete a folder, with all that is in it but alert rules, with which it refuses."""
        self._gone(self._api.folder.delete_folder, uid)

    def subfolders(self, uid: str) -> list[Json]:
        """Return the folders in a folder."""
        found = self._call(self._api.folder.get_all_folders, parent_uid=uid) or []
        return [folder for folder in found if folder.get("parentUid") == uid]

    def data_source(self, uid: str) -> Json | None:
        """Return a data source."""
        return self._read(self._api.datasource.get_datasource_by_uid, uid)

    def create_data_source(self, payload: Json) -> None:
        """Make a data source."""
        self._call(self._api.datasource.create_datasource, payload)

    def update_data_source(self, uid: str, payload: Json) -> None:
        """Change a data source."""
        self._call(self._api.datasource.update_datasource_by_uid, uid, payload)

    def delete_data_source(self, uid: str) -> None:
        """Delete a data source."""
        self._gone(self._api.datasource.delete_datasource_by_uid, uid)

    def board(self, uid: str) -> Json | None:
        """Return a board with what is said about it."""
        return self._read(self._api.dashboard.get_dashboard, uid)

    def save_board(self, model: Json, folder: str) -> None:
        """Make a board, or change the version of it that the model names."""
        payload = {"dashboard": model, "folderUid": folder, "overwrite": False, "message": "spanledger"}
        self._call(self._api.dashboard.update_dashboard, payload)

    def delete_board(self, uid: str) -> None:
        """Delete a board."""
        self._gone(self._api.dashboard.delete_dashboard, uid)

    def boards(self, tag: str | None = None) -> list[Json]:
        """Return a line for each board, or for those with a tag."""
        found = self._call(self._api.search.search_dashboards, tag=tag, type_="dash-db", limit=_MOST_BOARDS)
        return list(found or ())

    def rule(self, uid: str) -> Json | None:
        """Return an alert rule, out of all: asked for one that it does not have, Grafana 9 answers 500."""
        return next((rule for rule in self.rules() if rule.get("uid") == uid), None)

    def rules(self) -> list[Json]:
        """Return all alert rules."""
        return list(self._call(self._api.alertingprovisioning.get_alertrules_all) or ())

    def create_rule(self, payload: Json) -> None:
        """Make an alert rule."""
        self._call(self._api.alertingprovisioning.create_alertrule, payload)

    def update_rule(self, uid: str, payload: Json) -> None:
        """Change an alert rule."""
        self._call(self._api.alertingprovisioning.update_alertrule, uid, payload)

    def delete_rule(self, uid: str) -> None:
        """Delete an alert rule."""
        self._gone(self._api.alertingprovisioning.delete_alertrule, uid)

    def contact_points(self) -> list[Json]:
        """Return all contact points."""
        return list(self._call(self._api.alertingprovisioning.get_contactpoints) or ())

    def create_contact_point(self, payload: Json) -> None:
        """Make a contact point."""
        self._call(self._api.alertingprovisioning.create_contactpoint, payload)

    def update_contact_point(self, uid: str, payload: Json) -> None:
        """Change a contact point."""
        self._call(self._api.alertingprovisioning.update_contactpoint, uid, payload)

    def delete_contact_point(self, uid: str) -> None:
        """Delete a contact point."""
        self._gone(self._api.alertingprovisioning.delete_contactpoint, uid)

    def query(self, payload: Json) -> Json:
        """Run queries of panels."""
        try:
            return dict(self._call(self._api.client.POST, "/ds/query", json=payload) or {})
        except GrafanaError as error:
            # An error of the SQL is a 400 or 500 whose body says more than its status.
            said = _cause(error).response if isinstance(error.__cause__, GrafanaException) else None
            if isinstance(said, dict) and "results" in said:
                return said
            raise

    def _read(self, call: Callable[..., Any], uid: str) -> Json | None:
        try:
            found: Json | None = self._call(call, uid)
        except GrafanaError as error:
            if _status(error) == 404:
                return None
            raise
        return found

    def _gone(self, call: Callable[..., Any], uid: str) -> None:
        try:
            self._call(call, uid)
        except GrafanaError as error:
            if _status(error) != 404:
                raise

    def _call(self, call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        for attempt in range(_ATTEMPTS):
            try:
                return call(*arguments, **more)
            except GrafanaException as error:
                if error.status_code in _AGAIN and attempt + 1 < _ATTEMPTS:
                    self._sleep(2.0**attempt / 2)
                    continue
                raise self._translated(error) from error
            except (RequestException, OSError) as error:
                raise GrafanaError(f"no Grafana answers at {self.url} ({type(error).__name__})") from error
            except ValueError as error:
                raise GrafanaError(f"what answers at {self.url} is no Grafana: no JSON") from error
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def _translated(self, error: GrafanaException) -> GrafanaError:
        status, said = error.status_code, error.response
        text = str(said.get("message") or said) if isinstance(said, dict) else str(error.message)
        for hidden in self._hidden:
            text = text.replace(hidden, "(hidden)")
        text = text[:_LONGEST_MESSAGE]
        if status in (401, 403):
            mend = "use the token of a service account with the role Admin, of the right organisation"
            return GrafanaError(f"Grafana refuses the token ({status}: {text}): {mend}")
        if status in (409, 412):
            return GrafanaConflictError(f"Grafana has another version of it meanwhile ({status}: {text})")
        if status == 0:
            return GrafanaError(f"no Grafana answers at {self.url} in time")
        return GrafanaError(f"Grafana answers {status}: {text}")


def _cause(error: GrafanaError) -> Any:
    return error.__cause__


def _status(error: GrafanaError) -> int:
    return int(getattr(error.__cause__, "status_code", 0))
