"""Every page, and the files that they load."""

from typing import Final

from fastapi import APIRouter, Request, Response

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.page import StaticFile, board_path, render_board, static_files
from spanledger_dashboards.panels import Board
from spanledger_ingest.api import Price
from spanledger_ingest.auth import Authenticator, Sessions, StateDb
from spanledger_ingest.page._boards import BoardReader, PageStore
from spanledger_ingest.page._calls import calls_routes
from spanledger_ingest.page._door import Door, PageDoor, Reader, door_of
from spanledger_ingest.page._frame import Frame
from spanledger_ingest.page._login import login_routes
from spanledger_ingest.page._params import PageParams, read, state_of
from spanledger_ingest.page._review import review_routes
from spanledger_ingest.page._shown import PageRoute, html
from spanledger_ingest.page._trace import trace_routes

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_BRIEFLY: Final = "public, max-age=300"


class Pages:
    """The built-in page.

    Args:
        store: what is shown.
        authenticator: judges who reads.
        state: where sessions are kept.
        price: says how the price of a call comes about.
    """

    def __init__(self, store: PageStore, authenticator: Authenticator, state: StateDb, price: Price | None) -> None:
        self._boards = BoardReader(store)
        sessions = Sessions(state, authenticator)
        page_door = PageDoor(authenticator, sessions)
        door = door_of(page_door)
        frame = Frame(self._boards, page_door)
        self.router = APIRouter()
        for routes in (
            _board_routes(self._boards, door, frame),
            calls_routes(store, self._boards, door, frame),
            trace_routes(store, price, door, frame),
            review_routes(store, self._boards, door, frame),
            login_routes(sessions, door),
            _static_routes(door),
        ):
            self.router.routes.extend(routes.routes)

    def close(self) -> None:
        """Ask the store no more. Idempotent."""
        self._boards.close()


def _board_routes(boards: BoardReader, door: Door, frame: Frame) -> APIRouter:
    router = APIRouter(include_in_schema=False, route_class=PageRoute)
    for board in BOARDS:
        _add_board(router, board, boards, door, frame)
    return router


def _add_board(router: APIRouter, board: Board, boards: BoardReader, door: Door, frame: Frame) -> None:
    path, metrics = board_path(board.id), door("read:metrics")

    @router.get(path, name=f"page-{board.id}")
    def page(request: Request, reader: Reader = metrics) -> Response:
        state = state_of(read(PageParams, request), board.since.removeprefix("now-"))
        filled = boards.board(board, state, reader.principal)
        shell = frame.shell(_title(board), path, state, reader, current=board.id)
        nothing = None if filled.calls else frame.nothing(request, path, reader)
        return html(render_board(shell, board, filled.panels, filled.choices, nothing))


def _title(board: Board) -> str:
    """Return the title without the name of the product, which stands above it already."""
    title = board.title.removeprefix("Spanledger: ")
    return title[:1].upper() + title[1:]


def _static_routes(door: Door) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    for file in static_files().values():
        _add_file(router, file, door)
    return router


def _add_file(router: APIRouter, file: StaticFile, door: Door) -> None:
    @router.get(file.path, dependencies=[door("public")], name=f"page-{file.name}")
    def content(request: Request) -> Response:
        kept = _FOR_EVER if request.query_params.get("v") == file.version else _BRIEFLY
        return Response(file.content, media_type=file.media_type, headers={"cache-control": kept})
