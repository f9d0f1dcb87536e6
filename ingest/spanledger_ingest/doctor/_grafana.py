"""The Grafana of the configuration, if there is one. Nothing is changed there."""

import re
from collections.abc import Iterator
from typing import Final

from spanledger_dashboards.errors import GrafanaError
from spanledger_dashboards.grafana_json import Target
from spanledger_dashboards.provision import Grafana
from spanledger_ingest.doctor._finding import Finding, fail, ok, warn
from spanledger_ingest.errors import IngestError
from spanledger_ingest.grafana import connect, setup_of
from spanledger_ingest.settings import Settings

_OLDEST: Final = 11
_BROKEN: Final = re.compile(r"13\.2\.[01](\D|$)")


def findings(settings: Settings) -> Iterator[Finding]:
    """Ask it for its version and the health of its data sources."""
    if not settings.grafana.url:
        return
    try:
        grafana = connect(settings, setup_of(settings))
        yield _version(grafana)
        for uid in (Target().sql_uid, Target().traces_uid):
            yield _source(grafana, uid)
    except (IngestError, GrafanaError) as error:
        yield fail("grafana", str(error), "look at [grafana]: its url, and a token of a service account, role Admin")


def _version(grafana: Grafana) -> Finding:
    version, text = grafana.version(), f"{grafana.url} is Grafana {grafana.version()}"
    if _BROKEN.match(version):
        return warn("grafana", f"{text}, which lost data sources on some upgrades", "take 13.1, or 13.2.2 and later")
    if grafana.major() < _OLDEST:
        return warn("grafana", f"{text}; the boards are made for 11.6 and later", "upgrade it")
    return ok("grafana", text)


def _source(grafana: Grafana, uid: str) -> Finding:
    if grafana.data_source(uid) is None:
        return warn("grafana", f"it has no data source {uid}", "run: spanledger dashboards apply")
    wrong = grafana.health(uid)
    if wrong:
        return fail("grafana", f"data source {uid}: {wrong}", "look at its address, user and key, then apply")
    return ok("grafana", f"data source {uid} works")
