"""Takes the text of a simple query apart, and knows the commands that are answered without the database."""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from spanledger_ingest.pgwire._errors import FORBIDDEN, LIMIT, WireError

MAX_STATEMENTS: Final = 32

_PIECE: Final = re.compile(
    r"""
    (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<quoted>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*")
    | (?P<dollar>\$(?:[a-zA-Z_]\w*)?\$)
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_NESTING: Final = re.compile(r"/\*|\*/")
_SPACE: Final = re.compile(r"\s+")


class Command(NamedTuple):
    """A statement that changes at most the connection's own state."""

    tag: str
    does: str = ""
    """``begin``, ``end``, ``discard`` or ``deallocate``."""
    argument: str = ""


class Show(NamedTuple):
    """A question for a setting of the connection."""

    name: str


def split(text: str) -> list[str]:
    """Return the statements of a text, without the comments before them and without empty ones.

    Raises:
        WireError: there are too many.
    """
    found, start, at = [], 0, 0
    bare: list[str] = []
    while match := _PIECE.search(text, at):
        at = match.end()
        if match["line"]:
            bare.append(text[start : match.start()] + " ")
            start = at
        elif match["block"]:
            bare.append(text[start : match.start()] + " ")
            start = at = _comment_end(text, at)
        elif match["dollar"]:
            closing = text.find(match["dollar"], at)
            at = len(text) if closing < 0 else closing + len(match["dollar"])
        elif match["end"]:
            found.append("".join(bare) + text[start : match.start()])
            bare, start = [], at
    found.append("".join(bare) + text[start:])
    statements = [statement.strip() for statement in found if statement.strip()]
    if len(statements) > MAX_STATEMENTS:
        raise WireError(LIMIT, f"send at most {MAX_STATEMENTS} statements at once")
    return statements


def _comment_end(text: str, at: int) -> int:
    depth = 1
    while depth and (match := _NESTING.search(text, at)):
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
    return at if not depth else len(text)


def command_of(statement: str) -> Command | Show | None:
    """Return what a statement asks of the connection, ``None`` if it is one for the database.

    Raises:
        WireError: it asks to be somebody else.
    """
    words = _SPACE.sub(" ", statement).strip()
    first, _, rest = words.partition(" ")
    known = _COMMANDS.get(first.upper())
    return None if known is None else known(rest)


def _set(rest: str) -> Command:
    bare = re.sub(r"^(SESSION |LOCAL )?", "", rest.upper())
    if bare.startswith(("ROLE", "AUTHORIZATION")):
        raise WireError(FORBIDDEN, "a connection stays with the user that it began with")
    return Command("SET")


def _rollback(rest: str) -> Command:
    # To a savepoint: the transaction goes on, and there is nothing that could be undone.
    return Command("ROLLBACK", "" if re.match(r"(WORK |TRANSACTION )?TO ", rest.upper()) else "end")


def _deallocate(rest: str) -> Command:
    name = re.sub(r"^prepare\s+", "", rest, flags=re.IGNORECASE)
    return Command("DEALLOCATE", "deallocate", name.strip('"'))


_COMMANDS: Final[Mapping[str, Callable[[str], Command | Show]]] = {
    "SET": _set,
    "SHOW": lambda rest: Show(rest.strip('"').lower()),
    "BEGIN": lambda _: Command("BEGIN", "begin"),
    "START": lambda _: Command("START TRANSACTION", "begin"),
    "COMMIT": lambda _: Command("COMMIT", "end"),
    "END": lambda _: Command("COMMIT", "end"),
    "ROLLBACK": _rollback,
    "ABORT": _rollback,
    "DISCARD": lambda rest: Command(f"DISCARD {rest.upper()}", "discard"),
    "DEALLOCATE": _deallocate,
    "RESET": lambda _: Command("RESET"),
    "LISTEN": lambda _: Command("LISTEN"),
    "UNLISTEN": lambda _: Command("UNLISTEN"),
    "CLOSE": lambda _: Command("CLOSE CURSOR ALL"),
    "SAVEPOINT": lambda _: Command("SAVEPOINT"),
    "RELEASE": lambda _: Command("RELEASE"),
}
