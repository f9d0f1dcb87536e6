"""What is wanted in a Grafana, and what is said about it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.panels import Board

Json: TypeAlias = dict[str, Any]

Kind: TypeAlias = Literal["folder", "data source", "board", "contact point", "alert rule"]
Action: TypeAlias = Literal["create", "update", "unchanged", "edited", "foreign", "remove", "keep"]
"""What is to be done with one thing:

- ``create``, ``update``, ``remove``: what they say; nobody has touched it.
- ``unchanged``: it is as it should be.
- ``edited``: somebody changed it in Grafana. It is left alone unless forced.
- ``foreign``: something that was not made here bears our name. It is left alone unless forced.
- ``keep``: it cannot be removed, because something that is not ours needs it.
"""
UID_PREFIX: Final = "spanledger-"
"""Of all that is ours; nothing else is ever written to."""
FOLDER: Final = "spanledger-boards"
ALERT_FOLDER: Final = "spanledger-alerts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What Grafana is to have."""

    sql_address: str = "127.0.0.1:5433"
    """The SQL port of the service, as Grafana sees it."""
    service_url: str = "http://127.0.0.1:4318"
    """The HTTP port of the service, as Grafana sees it."""
    user: str = "all"
    """A tenant, or ``all``."""
    key: str = field(default="", repr=False)
    sslmode: str = "disable"
    page_url: str = ""
    """The service as browsers see it, for links to its page; empty for no links."""
    alerts: bool = True
    receiver: str = ""
    """Name of an existing contact point that our rules are to use; empty for what the notification policies say."""
    webhook: str = field(default="", repr=False)
    """Where a contact point of ours is to send what our rules find; empty for none."""
    boards: tuple[Board, ...] = BOARDS


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is wanted."""

    kind: Kind
    uid: str
    title: str
    content: Json
    secrets: Json = field(default_factory=dict, repr=False)
    """Sent along, and never given back by Grafana."""


@dataclass(frozen=True, slots=True)
class Live:
    """One thing that is there."""

    title: str
    content: Json
    """In the shape of :attr:`Item.content`."""
    mark: str | None
    """What we noted on it when we wrote it; ``None`` for kinds of things that have no place for a note."""
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done with one thing, or was."""

    kind: Kind
    uid: str
    title: str
    action: Action
    why: str = ""
    error: str = ""
    """Why it was not done."""

    @property
    def is_drift(self) -> bool:
        """Whether Grafana differs from what is wanted."""
        return self.action not in ("unchanged", "keep")


@dataclass(frozen=True, slots=True)
class PanelResult:
    """What Grafana answered to the query of one panel."""

    board: str
    panel: str
    rows: int
    milliseconds: int
    state: Literal["ok", "empty", "unexpectedly empty", "error"]
    error: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether somebody has to look."""
        return self.state in ("unexpectedly empty", "error")


Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is done next, which number that is, and of how many."""


class Provisioner(Protocol):
    """Brings a Grafana into the wanted state, and says how far from it it is."""

    def plan(self, *, force: bool = False) -> Sequence[Change]:
        """Return what :meth:`apply` would do."""

    def apply(self, *, force: bool = False, progress: Progress | None = None) -> Sequence[Change]:
        """Do it. What cannot be done says so in its ``error``; the rest is done nevertheless."""

    def check(self) -> Sequence[Change]:
        """Return what differs."""

    def destroy(self, *, force: bool = False, progress: Progress | None = None) -> Sequence[Change]:
        """Remove what was made here, and nothing else; with ``force`` also what somebody edited since."""

    def panels(self, *, since: str = "", progress: Progress | None = None) -> Iterator[PanelResult]:
        """Run the query of every panel through Grafana."""
