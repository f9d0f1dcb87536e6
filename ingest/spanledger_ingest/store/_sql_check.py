"""Decides over the parse tree of a user's SQL whether it is a plain read of the caller's views.

The tree comes from DuckDB's own parser, so what is checked is what will run. Names are the second line of defence: the
first is that no real table can be reached by an unqualified name (see ``_ddl``), and qualified ones are refused here.
"""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, NoReturn

from spanledger_analytics.errors import SqlRefusedError
from spanledger_ingest.store import _sql_allowed as allowed

MAX_LITERAL: Final = 4_000
MAX_JOINED: Final = 40

Node = dict[str, Any]
_PLAIN_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")
_SYSTEM_NAME: Final = re.compile(r"(duckdb|pg|sqlite|pragma|information)_.*")


def check(
    tree: Node,
    views: Collection[str],
    system_names: Collection[str],
    *,
    functions: Collection[str] = allowed.FUNCTIONS,
    parameters: int = 0,
) -> frozenset[str]:
    """Return the views that a statement reads.

    Args:
        tree: The node of the only statement in the result of ``json_serialize_sql``.
        views: Names that may be read.
        system_names: Names that the engine itself knows, which a WITH clause must not take.
        functions: Names of functions that may be called.
        parameters: How many values are bound, as ``$1`` and so on.

    Raises:
        SqlRefusedError: the statement is anything but a read of those views with known functions.
    """
    nodes = list(_walk(tree))
    own_names = {name for node in nodes for name in _with_names(node)}
    for name in own_names:
        _check_with_name(name, views, system_names)
    for node in nodes:
        _check_node(node, functions)
    _check_parameters(nodes, parameters)
    _check_joined(nodes)
    tables = {str(node["table_name"]).lower() for node in nodes if node.get("type") == "BASE_TABLE"}
    unknown = sorted(tables - own_names - set(views))
    if unknown:
        _refuse(f"there is no table {unknown[0]!r} here; readable are {', '.join(sorted(views))}")
    return frozenset(tables & set(views))


def _walk(tree: Node) -> Iterator[Node]:
    """Yield every object of the tree. Iterative: the depth is the user's."""
    stack: list[Any] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _with_names(node: Node) -> list[str]:
    """Return the names that the WITH clause of a query node introduces, lower-case."""
    entries = node.get("cte_map", {}).get("map", []) if isinstance(node.get("cte_map"), dict) else []
    names = [str(entry["key"]) for entry in entries]
    if node.get("type") in ("RECURSIVE_CTE_NODE", "CTE_NODE"):
        names.append(str(node.get("cte_name", "")))
    return [name.lower() for name in names if name]


def _check_with_name(name: str, views: Collection[str], system_names: Collection[str]) -> None:
    if name in views:
        _refuse(f"WITH {name} would hide the view of that name; choose another name")
    if not _PLAIN_NAME.fullmatch(name) or _SYSTEM_NAME.fullmatch(name) or name in system_names:
        _refuse(f"WITH {name} is not a name you can take; choose another, of letters, digits and _")


def _check_node(node: Node, functions: Collection[str]) -> None:
    path = node.get("qualified_name", {}).get("path", []) if isinstance(node.get("qualified_name"), dict) else []
    if len(path) > 1 or any(node.get(part) for part in ("schema", "catalog", "schema_name", "catalog_name")):
        _refuse(f"qualified names such as {'.'.join(map(str, path))!r} are not allowed; use the plain name")
    if "class" in node:
        _check_expression(node, functions)
    elif isinstance(node.get("type"), str):
        _check_clause(node)
    elif node.get("at_clause"):
        _refuse("AT is not allowed")


def _check_expression(node: Node, functions: Collection[str]) -> None:
    kind = node["class"]
    if kind not in allowed.EXPRESSIONS:
        _refuse(f"{kind} is not allowed")
    if kind in ("FUNCTION", "WINDOW"):
        _check_function(node, functions)
    elif kind in _EXPRESSION_CHECKS:
        _EXPRESSION_CHECKS[kind](node)


def _check_parameters(nodes: list[Node], count: int) -> None:
    """Values are bound by number, and none is left over, nor one asked for that only the store may bind."""
    names = {str(node.get("identifier", "")) for node in nodes if node.get("class") == "PARAMETER"}
    if names and not count:
        _refuse("parameters are not allowed; write the value")
    if names != {str(number) for number in range(1, count + 1)}:
        _refuse(f"the statement must use each of the {count} parameters bound, as $1 and so on")


def _check_clause(node: Node) -> None:
    kind = node["type"]
    known = allowed.QUERY_NODES | allowed.SOURCES | allowed.MODIFIERS | allowed.ORDERS
    if kind not in known:
        _refuse(f"only a plain SELECT is allowed, not {kind.replace('_', ' ').lower()}")
    if node.get("at_clause"):
        _refuse("AT is not allowed")
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in allowed.TABLE_FUNCTIONS:
            _refuse(f"the table function {name!r} is not allowed")
        node["function"]["is_source"] = True  # the walk comes to it next


def _check_function(node: Node, functions: Collection[str]) -> None:
    name = str(node["function_name"]).lower()
    if node.get("is_source"):
        return
    if name not in functions:
        _refuse(f"the function {name!r} is not allowed")
    if name in ("replace", "regexp_replace"):
        _check_replacement(name, [argument["expression"] for argument in node["arguments"]])


def _check_replacement(name: str, arguments: list[Node]) -> None:
    """A replacement must not lengthen the text; nested ones would multiply."""
    sought, put = (_literal(argument) for argument in (*arguments[1:3], {}, {})[:2])
    limit = len(sought) if name == "replace" and sought is not None else 0
    if put is None or len(put) > limit:
        _refuse(f"{name} may only shorten text: the replacement must be a literal no longer than what it replaces")


def _literal(node: Node) -> str | None:
    value = node.get("literal") or node.get("value")
    if node.get("class") != "CONSTANT" or not isinstance(value, dict):
        return None
    text = value.get("text", value.get("value"))
    return text if isinstance(text, str) else None


def _check_constant(node: Node) -> None:
    if len(_literal(node) or "") > MAX_LITERAL:
        _refuse(f"a literal is longer than {MAX_LITERAL} characters")


def _check_type(node: Node) -> None:
    name = str(node.get("type_name", "")).upper()
    if name not in allowed.TYPES:
        _refuse(f"the type {name!r} is not allowed")


def _check_joined(nodes: list[Node]) -> None:
    joined = sum(len(n["arguments"]) for n in nodes if str(n.get("function_name", "")).lower() in allowed.JOINING)
    if joined > MAX_JOINED:
        _refuse(f"more than {MAX_JOINED} texts or lists are joined")


_EXPRESSION_CHECKS: Final[dict[str, Callable[[Node], None]]] = {
    "CONSTANT": _check_constant,
    "TYPE": _check_type,
}


def _refuse(why: str) -> NoReturn:
    raise SqlRefusedError(why)
