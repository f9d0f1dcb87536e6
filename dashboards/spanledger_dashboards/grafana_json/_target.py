"""The Grafana that a board is rendered for."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Names of the data sources there, and where the built-in page is."""

    sql_type: str = "grafana-postgresql-datasource"
    """``postgres`` up to Grafana 10.2."""
    sql_uid: str = "spanledger-sql"
    traces_type: str = "jaeger"
    traces_uid: str = "spanledger-traces"
    is_old: bool = False
    """Whether it is a Grafana before 10, which draws nothing where it does not know the way to choose a colour."""
    page_url: str = ""
    """Base of the built-in page, without a slash at the end; empty for no links to it."""

    @property
    def sql(self) -> dict[str, Any]:
        """Reference to the PostgreSQL data source."""
        return {"type": self.sql_type, "uid": self.sql_uid}

    @property
    def traces(self) -> dict[str, Any]:
        """Reference to the Jaeger data source."""
        return {"type": self.traces_type, "uid": self.traces_uid}
