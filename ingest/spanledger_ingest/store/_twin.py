"""Answers what tools ask PostgreSQL about its tables, types and settings.

Such questions run in a database of their own, in memory, that has PostgreSQL's catalogue for our views and nothing
else: no rows of any tenant are there to be found, whatever is asked.
"""
# ruff: noqa: S608 - identifiers come from the schema module

import re
from collections.abc import Sequence
from typing import Any, Final

import duckdb
import orjson
import pyarrow as pa

from spanledger_analytics.errors import SqlRefusedError
from spanledger_ingest.store import _sql_allowed as allowed
from spanledger_ingest.store._ddl import quoted
from spanledger_ingest.store._sql import Cancellation, collect, explained, limited, parse, single, system_names
from spanledger_ingest.store._sql_check import check
from spanledger_ingest.store._twin_tables import (
    DATABASE,
    SCHEMA,
    SERVER_VERSION,
    SETTINGS,
    literal,
    twin_tables,
    type_names,
)

Node = dict[str, Any]

_MACROS: Final = {
    "quote_ident(x)": "x",
    "quote_literal(x)": "'''' || x || ''''",
    "parse_ident(x)": "string_split(x, '.')",
    "array_lower(a, n)": "CASE WHEN len(a) > 0 THEN 1 END",
    "array_upper(a, n)": "CASE WHEN len(a) > 0 THEN len(a) END",
    "version()": literal(f"PostgreSQL {SERVER_VERSION} (Spanledger, read-only)"),
    "current_database()": literal(DATABASE),
    "current_schema()": literal(SCHEMA),
    "current_schemas(implicit)": f"[{literal(SCHEMA)}]",
    "current_setting(name)": "CASE lower(name) "
    + " ".join(f"WHEN {literal(name)} THEN {literal(value)}" for name, value in SETTINGS.items())
    + " END",
    "set_config(name, value, local)": "value",
    "pg_table_is_visible(x)": "true",
    "pg_type_is_visible(x)": "true",
    "pg_function_is_visible(x)": "true",
    "pg_is_in_recovery()": "true",
    "pg_backend_pid()": "0",
    "pg_get_userbyid(x)": literal(DATABASE),
    "pg_get_expr(a, b)": "NULL::VARCHAR, (a, b, c) AS NULL::VARCHAR",
    "pg_get_viewdef(x)": "NULL::VARCHAR, (x, pretty) AS NULL::VARCHAR",
    "pg_get_constraintdef(x)": "NULL::VARCHAR, (x, pretty) AS NULL::VARCHAR",
    "pg_encoding_to_char(x)": "'UTF8'",
    "pg_total_relation_size(x)": "0",
    "pg_relation_size(x)": "0",
    "pg_advisory_unlock_all()": "NULL::VARCHAR",
    "obj_description(a)": "NULL::VARCHAR, (a, b) AS NULL::VARCHAR",
    "col_description(a, b)": "NULL::VARCHAR",
    "has_table_privilege(a, b)": "true, (a, b, c) AS true",
    "has_schema_privilege(a, b)": "true, (a, b, c) AS true",
    "has_database_privilege(a, b)": "true",
    "to_regclass(x)": "x",
    "format_type(oid, modifier)": "CASE oid "
    + " ".join(f"WHEN {oid} THEN {literal(name)}" for oid, name in type_names().items())
    + " ELSE '???' END",
}
_FUNCTIONS: Final = frozenset(head.partition("(")[0] for head in _MACROS)
_SCHEMAS: Final = frozenset({"information_schema", "pg_catalog"})
_OWN_TYPES: Final = {
    "REGCLASS": "VARCHAR",
    "REGTYPE": "VARCHAR",
    "NAME": "VARCHAR",
    "OID": "BIGINT",
    "REGPROC": "VARCHAR",
}
_WHO: Final = frozenset({"user", "current_user", "session_user", "current_role", "current_catalog"})
_HINT: Final = re.compile(
    r"information_schema|\bpg_|\b(?:"
    + "|".join(sorted(_FUNCTIONS))
    + r")\s*\(|\b(?:"
    + "|".join(sorted(_WHO))
    + r")\b",
    re.IGNORECASE,
)
# What Grafana's query builder asks with functions as tables, which DuckDB does not have.
_SEARCH_PATH: Final = re.compile(r"string_to_array\s*\(\s*current_setting\s*\(\s*'search_path'", re.IGNORECASE)
_ASKED_TABLE: Final = re.compile(
    r"(?:quote_ident\s*\(\s*table_name\s*\)|\btable_name)\s*=\s*'((?:[^']|'')*)'", re.IGNORECASE
)


class SchemaTwin:
    """PostgreSQL's catalogue of the public views."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "threads": 1,
                "memory_limit": "128MiB",
                "max_temp_directory_size": "0B",
                "python_enable_replacements": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        self._tables = frozenset(self._make())
        self._connection.execute("SET GLOBAL enable_external_access = false")
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._connection.execute("SET GLOBAL lock_configuration = true")

    def _make(self) -> list[str]:
        for head, body in _MACROS.items():
            self._connection.execute(f"CREATE MACRO {head} AS {body}")
        names = []
        for table in twin_tables():
            self._connection.execute(f"CREATE TABLE {quoted(table.name)} ({table.columns})")
            if table.rows:
                rows = ", ".join(f"({', '.join(map(literal, row))})" for row in table.rows)
                self._connection.execute(f"INSERT INTO {quoted(table.name)} VALUES {rows}")
            names.append(table.name)
        return names

    def answers(self, sql: str) -> bool:
        """Tell whether a statement asks for the catalogue. One that cannot be read does not."""
        if _HINT.search(sql) is None:
            return False
        with self._connection.cursor() as cursor:
            try:
                return any(_is_ours(node) for node in _nodes(parse(cursor, single(sql))))
            except SqlRefusedError:
                return False

    def run_sql(
        self,
        sql: str,
        *,
        user: str,
        max_rows: int,
        timeout_s: float,
        values: Sequence[Any] = (),
        cancellation: Cancellation | None = None,
    ) -> pa.Table:
        """Return the result of one SELECT over the catalogue; else as :func:`~spanledger_ingest.store._sql.run_sql`.

        Raises:
            SqlRefusedError: the text is not a plain read, or DuckDB finds a mistake in it.
            SqlTimeoutError: it ran longer than ``timeout_s``.
            SqlCancelledError: ``cancellation`` was used.
            SqlTooLargeError: it needs or returns too much.
        """
        with self._connection.cursor() as cursor, limited(cursor, timeout_s, cancellation), explained(scoped=False):
            tree = parse(cursor, _without_table_functions(single(sql)))
            for node in list(_nodes(tree)):
                _rewrite(node, user)
            check(
                tree,
                self._tables,
                system_names(),
                functions=allowed.FUNCTIONS | _FUNCTIONS,
                parameters=len(values),
            )
            limit = max_rows + 1 if max_rows else 0
            wrapped = f"SELECT * FROM (\n{_text(cursor, tree)}\n) LIMIT {limit}"
            bound = {str(number): value for number, value in enumerate(values, 1)}
            return collect(cursor, wrapped, bound or None, max_rows)

    def close(self) -> None:
        """Release the memory. Idempotent."""
        self._connection.close()


def _without_table_functions(sql: str) -> str:
    if _SEARCH_PATH.search(sql) is None:
        return sql
    if re.search(r"information_schema\s*\.\s*columns", sql, re.IGNORECASE) is None:
        return 'SELECT table_name AS "table" FROM information_schema.tables ORDER BY 1'
    asked = _ASKED_TABLE.search(sql)
    name = asked[1].rpartition(".")[2] if asked else ""
    return f"""SELECT column_name AS "column", data_type AS "type" FROM information_schema.columns
        WHERE table_name = {literal(name.replace("''", "'"))} ORDER BY ordinal_position"""


def _name_columns(tree: Node) -> None:
    """Name what a function gives after it, as PostgreSQL does."""
    node = tree.get("node")
    for item in node.get("select_list", []) if isinstance(node, dict) else []:
        if item.get("class") == "FUNCTION" and not item.get("alias"):
            item["alias"] = item["function_name"]


def _text(cursor: duckdb.DuckDBPyConnection, tree: Node) -> str:
    document = orjson.dumps({"error": False, "statements": [tree]}).decode()
    row = cursor.execute("SELECT json_deserialize_sql(?::JSON)", [document]).fetchone()
    return str(row[0]) if row else ""


def _nodes(tree: Any) -> list[Node]:
    found: list[Node] = []
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            found.append(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return found


def _is_ours(node: Node) -> bool:
    if node.get("type") == "BASE_TABLE":
        return str(node["schema_name"]).lower() in _SCHEMAS or str(node["table_name"]).lower().startswith("pg_")
    if node.get("class") == "FUNCTION":
        return str(node["schema"]).lower() in _SCHEMAS or str(node["function_name"]).lower() in _FUNCTIONS
    return _names_user(node)


def _names_user(node: Node) -> bool:
    names = node.get("column_names")
    return (
        node.get("class") == "COLUMN_REF" and isinstance(names, list) and len(names) == 1 and names[0].lower() in _WHO
    )


def _rewrite(node: Node, user: str) -> None:
    """Turn PostgreSQL's names into ours, in place."""
    kind = node.get("class") or node.get("type")
    if kind == "BASE_TABLE" and str(node["schema_name"]).lower() in _SCHEMAS:
        schema, name = str(node["schema_name"]).lower(), str(node["table_name"]).lower()
        node["alias"] = node["alias"] or name
        name = f"{schema}_{name}" if schema == "information_schema" else name
        node |= {"schema_name": "", "table_name": name, "qualified_name": {"path": [name]}}
    elif kind in ("FUNCTION", "WINDOW") and str(node.get("schema", "")).lower() in _SCHEMAS:
        node |= {"schema": "", "qualified_name": {"path": [node["function_name"]]}}
    elif kind == "COLLATE":
        child = node["child"]
        node.clear()
        node |= child
        _rewrite(node, user)
    elif kind == "TYPE":
        _rewrite_type(node)
    elif _names_user(node):
        node["class"], node["type"] = "CONSTANT", "VALUE_CONSTANT"
        node["alias"] = node["alias"] or node.pop("column_names")[0]
        node["literal"] = {"kind": "STRING", "text": user}


def _rewrite_type(node: Node) -> None:
    name = str(node.get("type_name", "")).upper()
    known = _OWN_TYPES.get(name, name)
    if known != name or str(node.get("schema", "")).lower() in _SCHEMAS:
        node |= {"type_name": known}
        for key in ("schema", "catalog", "schema_name", "catalog_name"):
            if key in node:
                node[key] = ""
        if "qualified_name" in node:
            node["qualified_name"] = {"path": [known]}
