"""What surrounds every page: links, the reader's name, and advice where there is nothing to see."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from fastapi import Request

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.page import Nothing, Period, Shell, State, Who, links_of
from spanledger_ingest.auth import ANYBODY
from spanledger_ingest.page._boards import BoardReader
from spanledger_ingest.page._door import PageDoor, Reader
from spanledger_ingest.page._shown import VERSION

_AROUND: Final = timedelta(hours=23)


class Frame:
    """Makes the shell of pages."""

    def __init__(self, boards: BoardReader, door: PageDoor) -> None:
        self._boards = boards
        self._door = door

    def shell(
        self,
        title: str,
        path: str,
        state: State,
        reader: Reader,
        *,
        current: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> Shell:
        """Return the shell of a page; ``current`` is the id of the link that leads there."""
        return Shell(
            title=title,
            version=VERSION,
            path=path,
            state=state,
            extra=extra or {},
            links=links_of(BOARDS, state, current),
            who=_who(reader),
        )

    def nothing(self, request: Request, path: str, reader: Reader) -> Nothing:
        """Return why there is nothing to see, and what to do."""
        latest = self._boards.latest(reader.principal)
        endpoint = f"{request.url.scheme}://{request.headers.get('host', '127.0.0.1:4318')}"
        if latest is None:
            return Nothing(endpoint=endpoint, needs_key=self._door.closed)
        end_ns = int(latest.timestamp() + 3600) * 10**9
        start_ns = end_ns - int(_AROUND.total_seconds() + 3600) * 10**9
        around = State(period=Period(start_ns, end_ns))
        return Nothing(endpoint=endpoint, needs_key=self._door.closed, latest=latest, href=around.to(path))


def _who(reader: Reader) -> Who:
    principal = reader.principal
    if principal is ANYBODY:
        return Who(label="all tenants", detail="No API key exists yet, so whoever is on this machine sees everything")
    label = "all tenants" if principal.tenant is None else principal.tenant
    return Who(label=label, detail=principal.name, form_token=reader.form_token)
