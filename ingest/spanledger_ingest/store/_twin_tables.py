"""What the views look like to those who ask PostgreSQL's catalogue, as tables made out of the schema module."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from spanledger_analytics import schema

DATABASE: Final = "spanledger"
SCHEMA: Final = "public"
PUBLIC_OID: Final = 2200
FIRST_CLASS_OID: Final = 20_000
SERVER_VERSION: Final = "16.0"
SETTINGS: Final = {
    "server_version": SERVER_VERSION,
    "server_version_num": "160000",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "integer_datetimes": "on",
    "standard_conforming_strings": "on",
    "transaction_isolation": "repeatable read",
    "transaction_read_only": "on",
    "default_transaction_read_only": "on",
    "search_path": '"$user", public',
    "is_superuser": "off",
    "max_identifier_length": "63",
}
"""What ``SHOW`` and ``current_setting`` say."""

_NAMES: Final = {
    schema.TEXT: ("text", "text", 25, -1),
    schema.COUNT: ("bigint", "int8", 20, 8),
    schema.REAL: ("double precision", "float8", 701, 8),
    schema.FLAG: ("boolean", "bool", 16, 1),
    schema.TIME: ("timestamp with time zone", "timestamptz", 1184, 8),
    schema.MONEY: ("numeric", "numeric", 1700, -1),
    schema.TEXTS: ("json", "json", 114, -1),
}
"""Name in information_schema, name in pg_type, OID, size: what the wire sends for a column."""

_TYPES: Final = (
    (16, "bool", 1, "B"), (17, "bytea", -1, "U"), (19, "name", 64, "S"), (20, "int8", 8, "N"), (21, "int2", 2, "N"),
    (23, "int4", 4, "N"), (25, "text", -1, "S"), (26, "oid", 4, "N"), (114, "json", -1, "U"), (700, "float4", 4, "N"),
    (701, "float8", 8, "N"), (1043, "varchar", -1, "S"), (1082, "date", 4, "D"), (1083, "time", 8, "D"),
    (1114, "timestamp", 8, "D"), (1184, "timestamptz", 8, "D"), (1186, "interval", 16, "T"), (1700, "numeric", -1, "N"),
    (2950, "uuid", 16, "U"),
)  # fmt: skip

Value = str | int | bool | None


class TwinTable(NamedTuple):
    """A table by its columns (name and SQL type) and rows."""

    name: str
    columns: str
    rows: list[tuple[Value, ...]]


def twin_tables() -> Iterator[TwinTable]:
    """Yield the tables. Those of information_schema carry its name in theirs."""
    names = [table.name for table in schema.TABLES]
    oids = {name: FIRST_CLASS_OID + at for at, name in enumerate(names)}
    yield TwinTable(
        "information_schema_schemata",
        "catalog_name VARCHAR, schema_name VARCHAR, schema_owner VARCHAR",
        [(DATABASE, name, DATABASE) for name in ("information_schema", "pg_catalog", SCHEMA)],
    )
    yield TwinTable(
        "information_schema_tables",
        "table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, table_type VARCHAR,"
        " is_insertable_into VARCHAR",
        [(DATABASE, SCHEMA, name, "VIEW", "NO") for name in names],
    )
    yield TwinTable(
        "information_schema_views",
        "table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, view_definition VARCHAR",
        [(DATABASE, SCHEMA, name, None) for name in names],
    )
    yield _information_columns()
    yield TwinTable(
        "pg_namespace",
        "oid BIGINT, nspname VARCHAR, nspowner BIGINT, nspacl VARCHAR",
        [(11, "pg_catalog", 10, None), (PUBLIC_OID, SCHEMA, 10, None), (13_000, "information_schema", 10, None)],
    )
    yield _classes(oids)
    yield _attributes(oids)
    yield TwinTable(
        "pg_type",
        "oid BIGINT, typname VARCHAR, typnamespace BIGINT, typowner BIGINT, typlen INTEGER, typtype VARCHAR,"
        " typcategory VARCHAR, typrelid BIGINT, typelem BIGINT, typarray BIGINT, typbasetype BIGINT, typtypmod INTEGER,"
        " typnotnull BOOLEAN, typcollation BIGINT",
        [(oid, name, 11, 10, size, "b", category, 0, 0, 0, 0, -1, False, 0) for oid, name, size, category in _TYPES],
    )
    yield TwinTable(
        "pg_views",
        "schemaname VARCHAR, viewname VARCHAR, viewowner VARCHAR, definition VARCHAR",
        [(SCHEMA, name, DATABASE, None) for name in names],
    )
    yield TwinTable(
        "pg_database",
        "oid BIGINT, datname VARCHAR, datdba BIGINT, encoding INTEGER, datallowconn BOOLEAN, datistemplate BOOLEAN,"
        " datcollate VARCHAR, datctype VARCHAR, daticulocale VARCHAR, datlocprovider VARCHAR, datacl VARCHAR[]",
        [(1, DATABASE, 10, 6, True, False, "C", "C", None, "c", None)],
    )
    yield TwinTable(
        "pg_roles",
        "oid BIGINT, rolname VARCHAR, rolsuper BOOLEAN, rolcanlogin BOOLEAN",
        [(10, DATABASE, False, False)],
    )
    yield from (TwinTable(name, columns, []) for name, columns in _EMPTY.items())


_EMPTY: Final = {
    "information_schema_table_constraints": "constraint_schema VARCHAR, constraint_name VARCHAR, table_schema VARCHAR,"
    " table_name VARCHAR, constraint_type VARCHAR",
    "information_schema_key_column_usage": "constraint_name VARCHAR, table_schema VARCHAR, table_name VARCHAR,"
    " column_name VARCHAR, ordinal_position INTEGER",
    "information_schema_referential_constraints": "constraint_schema VARCHAR, constraint_name VARCHAR",
    "information_schema_routines": "routine_schema VARCHAR, routine_name VARCHAR, routine_type VARCHAR",
    "information_schema_sequences": "sequence_schema VARCHAR, sequence_name VARCHAR",
    "pg_tables": "schemaname VARCHAR, tablename VARCHAR, tableowner VARCHAR",
    "pg_matviews": "schemaname VARCHAR, matviewname VARCHAR",
    "pg_extension": "oid BIGINT, extname VARCHAR, extnamespace BIGINT, extversion VARCHAR",
    "pg_index": "indexrelid BIGINT, indrelid BIGINT, indisprimary BOOLEAN, indisunique BOOLEAN, indkey VARCHAR",
    "pg_constraint": "oid BIGINT, conname VARCHAR, conrelid BIGINT, confrelid BIGINT, contype VARCHAR, conkey BIGINT[]",
    "pg_attrdef": "oid BIGINT, adrelid BIGINT, adnum INTEGER, adbin VARCHAR",
    "pg_description": "objoid BIGINT, classoid BIGINT, objsubid INTEGER, description VARCHAR",
    "pg_proc": "oid BIGINT, proname VARCHAR, pronamespace BIGINT",
    "pg_enum": "oid BIGINT, enumtypid BIGINT, enumsortorder DOUBLE, enumlabel VARCHAR",
    "pg_range": "rngtypid BIGINT, rngsubtype BIGINT",
    "pg_am": "oid BIGINT, amname VARCHAR",
    "pg_inherits": "inhrelid BIGINT, inhparent BIGINT",
    "pg_collation": "oid BIGINT, collname VARCHAR, collnamespace BIGINT",
    "pg_stat_user_tables": "schemaname VARCHAR, relname VARCHAR, n_live_tup BIGINT",
}


def _information_columns() -> TwinTable:
    rows: list[tuple[Value, ...]] = []
    for table in schema.TABLES:
        for at, column in enumerate(table.view, 1):
            long, short, _, _ = _NAMES[column.type]
            rows.append(
                (DATABASE, SCHEMA, table.name, column.name, at, None, "YES", long, None, "pg_catalog", short, "NO")
            )
    return TwinTable(
        "information_schema_columns",
        "table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, column_name VARCHAR,"
        " ordinal_position INTEGER, column_default VARCHAR, is_nullable VARCHAR, data_type VARCHAR,"
        " character_maximum_length INTEGER,"
        " udt_schema VARCHAR, udt_name VARCHAR, is_identity VARCHAR",
        rows,
    )


def _classes(oids: dict[str, int]) -> TwinTable:
    return TwinTable(
        "pg_class",
        "oid BIGINT, relname VARCHAR, relnamespace BIGINT, reltype BIGINT, relowner BIGINT, relam BIGINT,"
        " relkind VARCHAR, reltuples DOUBLE, relhasindex BOOLEAN, relpersistence VARCHAR, relispartition BOOLEAN,"
        " relacl VARCHAR, relchecks INTEGER, relhasrules BOOLEAN, relhastriggers BOOLEAN, relrowsecurity BOOLEAN,"
        " relforcerowsecurity BOOLEAN, reltablespace BIGINT, reloftype BIGINT, relreplident VARCHAR,"
        " reltoastrelid BIGINT, reloptions VARCHAR",
        [(oid, name, *_PLAIN_VIEW) for name, oid in oids.items()],
    )


_PLAIN_VIEW: Final[tuple[Value, ...]] = (
    PUBLIC_OID, 0, 10, 0, "v", -1, False, "p", False, None, 0, False, False, False, False, 0, 0, "n", 0, None,
)  # fmt: skip
"""What ``pg_class`` says of each view beside its OID and name."""


def _attributes(oids: dict[str, int]) -> TwinTable:
    rows: list[tuple[Value, ...]] = []
    for table in schema.TABLES:
        for at, column in enumerate(table.view, 1):
            _, _, oid, size = _NAMES[column.type]
            rows.append((oids[table.name], column.name, oid, size, at, -1, False, False, "", "", False, 0))
    return TwinTable(
        "pg_attribute",
        "attrelid BIGINT, attname VARCHAR, atttypid BIGINT, attlen INTEGER, attnum INTEGER, atttypmod INTEGER,"
        " attnotnull BOOLEAN, atthasdef BOOLEAN, attidentity VARCHAR, attgenerated VARCHAR, attisdropped BOOLEAN,"
        " attcollation BIGINT",
        rows,
    )


def type_names() -> dict[int, str]:
    """Return the names of types by OID."""
    return {oid: name for oid, name, _, _ in _TYPES}


def literal(value: Any) -> str:
    """Return a value as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"
