"""Users' SQL reads the caller's rows and nothing else."""
# ruff: noqa: S608 - statements are made up here

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger_analytics import schema
from spanledger_analytics.errors import (
    AnalyticsError,
    SqlCancelledError,
    SqlRefusedError,
    SqlTimeoutError,
    SqlTooLargeError,
)
from spanledger_analytics.records import Batch, Content
from spanledger_analytics.testing import SECOND, T0, a_call, a_span
from spanledger_ingest.store import Cancellation, DatabaseConfig, DuckDBStore

_SECRET = "zeta-secret"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBStore]:
    path = tmp_path_factory.mktemp("guard") / "s.duckdb"
    with closing(DuckDBStore(path, DatabaseConfig(threads=2, memory_mib=256))) as opened:
        mine = [a_call(n, owner="acme", start_ns=T0 + n * SECOND, user_id=str(n)) for n in range(1, 21)]
        theirs = [a_call(n, owner="zeta", user_id=_SECRET, use_case=_SECRET) for n in range(30, 50)]
        spans = [a_span(1, owner="acme"), a_span(30, owner="zeta", attributes={"secret": _SECRET})]
        text = Content(
            owner="zeta", tenant_id="zeta", trace_id="t", span_id="s", time_ns=T0, kind="input", text=_SECRET
        )
        opened.append(Batch(calls=mine + theirs, spans=spans, contents=[text, replace(text, owner="acme", text="hi")]))
        yield opened


REFUSED = [
    # not a SELECT
    "INSERT INTO llm_calls VALUES (1)",
    "UPDATE priv.llm_calls SET cost_usd = 0",
    "DELETE FROM priv.llm_calls",
    "TRUNCATE priv.llm_calls",
    "DROP TABLE priv.llm_calls",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE OR REPLACE TEMP VIEW llm_calls AS SELECT 1",
    "CREATE MACRO f(x) AS x",
    "ALTER TABLE priv.llm_calls ADD COLUMN x INT",
    "COPY (SELECT 1) TO '/tmp/x.csv'",
    "COPY priv.llm_calls FROM '/etc/passwd'",
    "EXPORT DATABASE '/tmp/x'",
    "IMPORT DATABASE '/tmp/x'",
    "ATTACH ':memory:' AS m",
    "DETACH s",
    "USE priv",
    "SET search_path = 'priv'",
    "SET memory_limit = '100GB'",
    "RESET memory_limit",
    "PRAGMA database_list",
    "PRAGMA show_tables",
    "CALL pragma_version()",
    "CALL duckdb_tables()",
    "LOAD httpfs",
    "INSTALL httpfs",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT * FROM llm_calls",
    "DESCRIBE llm_calls",
    "SUMMARIZE llm_calls",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "DESCRIBE priv.llm_calls",
    "PIVOT llm_calls ON model USING sum(cost_usd)",
    "COMMENT ON TABLE priv.llm_calls IS 'x'",
    "GRANT ALL ON x TO y",
    "WITH x AS (INSERT INTO priv.llm_calls SELECT * FROM priv.llm_calls RETURNING *) SELECT * FROM x",
    "WITH x AS (DELETE FROM priv.llm_calls RETURNING *) SELECT * FROM x",
    # more than one, or none
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE priv.llm_calls",
    "SELECT 1; SET threads = 1;",
    "",
    ";",
    "-- nothing",
    "SELECT",
    "SELECT 1) LIMIT 1; DROP TABLE priv.llm_calls; SELECT * FROM (SELECT 1",
    "SELECT 1) UNION ALL SELECT * FROM (SELECT user_id FROM priv.llm_calls",
    "SELECT 1 /* ",
    "SELECT 1; --",
    # real tables by qualified names
    "SELECT * FROM priv.llm_calls",
    "SELECT * FROM ledger.llm_calls",
    "SELECT * FROM s.priv.llm_calls",
    'SELECT * FROM "priv"."llm_calls"',
    "SELECT * FROM priv.meta",
    "SELECT * FROM main.llm_calls",
    "TABLE priv.llm_calls",
    "FROM priv.llm_calls",
    "SELECT (SELECT max(user_id) FROM priv.llm_calls)",
    "SELECT * FROM llm_calls WHERE user_id IN (SELECT user_id FROM priv.llm_calls)",
    "SELECT * FROM llm_calls JOIN priv.llm_calls p USING (trace_id)",
    "SELECT * FROM llm_calls, LATERAL (SELECT user_id FROM priv.llm_calls) l",
    "WITH x AS (SELECT * FROM priv.llm_calls) SELECT * FROM x",
    "WITH RECURSIVE x AS (SELECT user_id FROM priv.llm_calls UNION SELECT user_id FROM x) SELECT * FROM x",
    "SELECT 1 UNION ALL SELECT count(*) FROM priv.llm_calls",
    "SELECT list_transform([1], x -> (SELECT max(user_id) FROM priv.llm_calls))",
    "SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM priv.llm_calls)) FROM llm_calls",
    "SELECT * FROM llm_calls ORDER BY (SELECT max(user_id) FROM priv.llm_calls)",
    "SELECT * FROM llm_calls LIMIT (SELECT count(*) FROM priv.llm_calls)",
    "SELECT sum(1) OVER (ORDER BY (SELECT 1 FROM priv.llm_calls)) FROM llm_calls",
    "SELECT * FROM llm_calls QUALIFY (SELECT true FROM priv.meta)",
    "VALUES ((SELECT max(user_id) FROM priv.llm_calls))",
    "SELECT * FROM llm_calls AT (VERSION => (SELECT 1))",
    "SELECT * FROM unnest((SELECT list(user_id) FROM priv.llm_calls))",
    "SELECT * FROM meta",
    # names of the engine, directly or through WITH
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_views",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM pg_class",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_table_info('priv.llm_calls')",
    "SELECT (WITH duckdb_tables AS (SELECT 1) SELECT 1), count(*) FROM duckdb_tables",
    "WITH x AS (WITH sqlite_master AS (SELECT 1 k) SELECT * FROM sqlite_master) SELECT * FROM sqlite_master",
    "WITH pg_class AS (SELECT 1) SELECT * FROM pg_class",
    'WITH "/etc/passwd" AS (SELECT 1) SELECT 1',
    "WITH llm_calls AS (SELECT * FROM llm_calls) SELECT * FROM llm_calls",
    "WITH LLM_CALLS AS (SELECT 1) SELECT * FROM llm_calls",
    # files, network, other queries, settings
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'https://example.invalid/x.parquet'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_parquet('x')",
    "SELECT * FROM read_json_auto('x')",
    "SELECT * FROM parquet_metadata('x')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM query('SELECT * FROM priv.llm_calls')",
    "SELECT * FROM query_table('priv.llm_calls')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM seq_scan('priv.llm_calls')",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM repeat('x', 10)",
    "SELECT * FROM test_all_types()",
    "SELECT getenv('HOME')",
    "SELECT current_setting('memory_limit')",
    "SELECT getvariable('x')",
    "SELECT nextval('s')",
    "SELECT write_log('x')",
    "SELECT sleep_ms(100000)",
    "SELECT pg_sleep(100)",
    "SELECT setseed(0.5)",
    "SELECT error('x')",
    "SELECT json_serialize_sql('SELECT 1')",
    "SELECT json_serialize_plan('SELECT 1')",
    "SELECT json_deserialize_sql('{}')",
    "SELECT current_query()",
    "SELECT current_schemas(true)",
    "SELECT pg_get_viewdef(1)",
    "SELECT txid_current()",
    "SELECT system.main.abs(1)",
    "SELECT main.abs(1)",
    "SELECT unknown_function(1)",
    "SELECT $1",
    "SELECT ?",
    "SELECT $owner",
    "SELECT * FROM llm_calls WHERE owner = 'zeta'",
    "SELECT own FROM llm_calls",
    "SELECT start_ns FROM spans",
    "SELECT DEFAULT",
    "SELECT 1::priv.some_type",
    "SELECT NULL::INT[1000000]",
    "SELECT CAST('a' AS ENUM('a'))",
    # small statements, large values
    "SELECT repeat('x', 1000000000)",
    "SELECT length(lpad('x', 1500000000, 'y'))",
    "SELECT rpad('x', 1500000000, 'y')",
    "SELECT len(range(1000000000))",
    "SELECT generate_series(1, 1000000000)",
    "SELECT printf('%1000000000d', 1)",
    "SELECT format('{:>1000000000}', 'x')",
    "SELECT list_resize([1], 1000000000)",
    "SELECT bitstring('1', 1000000000)",
    "SELECT bar(1, 0, 1, 1000000000)",
    "SELECT to_base(1, 2, 1000000000)",
    "SELECT 100000!",
    "SELECT factorial(100000)",
    "SELECT " + "hex(" * 30 + "'x'" + ")" * 30,
    "SELECT to_json(to_json('x'))",
    "SELECT replace(replace('aaaa', 'a', 'aaaaaaaa'), 'a', 'aaaaaaaa')",
    "SELECT replace(user_id, '', user_id) FROM llm_calls",
    "SELECT regexp_replace('aaaa', '', 'xxxxxxxx', 'g')",
    "SELECT '" + "x" * 5000 + "'",
    "SELECT " + "||".join(["'x'"] * 100),
    "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    "SELECT " + "+".join(["1"] * 5000),
    "SELECT " + "[" * 2000 + "]" * 2000,
    "SELECT 1 -- " + "x" * 30_000,
    "SELECT '\x00'",
    "SELECT '\ud800'",
]

HARMLESS = [
    "SELECT user_id FROM llm_calls",
    "SELECT * FROM llm_calls WHERE tenant_id = 'zeta'",
    "SELECT * FROM llm_calls WHERE tenant_id <> 'acme' OR 1 = 1",
    "SELECT * FROM llm_calls WHERE use_case = 'zeta-secret' OR true",
    "SELECT x.* FROM llm_calls x WHERE EXISTS (SELECT 1 FROM llm_calls y WHERE y.trace_id <> x.trace_id)",
    "WITH x AS (SELECT * FROM llm_calls) SELECT * FROM x",
    "WITH x AS (WITH y AS (SELECT * FROM llm_calls) SELECT * FROM y) SELECT * FROM x",
    "SELECT * FROM LLM_CALLS",
    'SELECT * FROM "llm_calls"',
    "SELECT * FROM spans",
    "SELECT * FROM span_content",
    "SELECT * FROM llm_calls UNION ALL SELECT * FROM llm_calls",
    "SELECT current_user, current_schema",
    "SELECT 'priv.llm_calls', 'SELECT * FROM priv.llm_calls'",
    'SELECT 1 AS "DROP TABLE priv.llm_calls; --"',
    "SELECT max(user_id), min(use_case), count(*), string_agg(user_id, ',') FROM llm_calls",
    "SELECT any_value(llm_calls) FROM llm_calls",
    "SELECT llm_calls FROM llm_calls",
    "SELECT COLUMNS('.*') FROM llm_calls",
    "FROM llm_calls",
    "TABLE llm_calls",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_hostile_sql_is_refused(store: DuckDBStore, sql: str) -> None:
    with pytest.raises(SqlRefusedError) as refused:
        store.run_sql(sql, owner_scope="acme", timeout_s=5)
    assert _SECRET not in str(refused.value)


@pytest.mark.parametrize("sql", REFUSED)
def test_hostile_sql_is_refused_to_the_operator_too(store: DuckDBStore, sql: str) -> None:
    with pytest.raises(SqlRefusedError):
        store.run_sql(sql, owner_scope=None, timeout_s=5)


@pytest.mark.parametrize("sql", HARMLESS)
def test_harmless_sql_stays_in_scope(store: DuckDBStore, sql: str) -> None:
    found = str(store.run_sql(sql, owner_scope="acme").to_pylist())
    assert "zeta" not in found.replace("'zeta' ", "")


_TABLES = st.sampled_from(
    ("llm_calls", "LLM_CALLS", "span_content", "priv.llm_calls", "ledger.llm_calls", "main.llm_calls", "priv.meta")
) | st.sampled_from(
    ("duckdb_tables", "sqlite_master", "duckdb_settings()", "pg_class", "query_table('priv.llm_calls')", "x")
)
_NAMES = st.sampled_from(["x", "llm_calls", "duckdb_tables", "sqlite_master", "pg_class", "meta", "priv"])


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    shapes = [
        "WITH {name} AS ({one}) SELECT * FROM {table}",
        "WITH RECURSIVE {name} AS ({one}) SELECT * FROM {name}",
        "SELECT * FROM ({one}) {name}",
        "({one}) UNION ALL ({other})",
        "SELECT l.* FROM ({one}) s, LATERAL ({other}) l",
        "SELECT * FROM {table} WHERE EXISTS ({one})",
        "SELECT (SELECT min(COLUMNS(*))::VARCHAR FROM ({one})) FROM {table}",
        "SELECT list_transform([1], i -> ({one}))",
        "SELECT * FROM ({one}) ORDER BY ({other}) LIMIT 5",
        "SELECT string_agg(z::VARCHAR) FROM ({one}) z",
    ]
    return st.builds(
        lambda shape, **parts: shape.format(**parts),
        st.sampled_from(shapes),
        name=_NAMES,
        table=_TABLES,
        one=inner,
        other=inner,
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.recursive(_TABLES.map(lambda name: f"SELECT * FROM {name}"), _nested, max_leaves=5))
def test_no_nesting_of_names_leaves_the_scope(store: DuckDBStore, sql: str) -> None:
    try:
        found = store.run_sql(sql, owner_scope="acme", max_rows=1_000)
    except AnalyticsError:
        return
    shown = str(found.to_pylist())
    assert _SECRET not in shown
    assert "schema_version" not in shown
    assert "memory_limit" not in shown


def test_corpus_is_large_enough() -> None:
    assert len(set(REFUSED)) >= 120


LEGITIMATE = [
    "SELECT 1",
    "SELECT 1;",
    "  SELECT 1 -- with a comment\n ",
    "SELECT count(*) FROM llm_calls",
    "WITH a AS (SELECT * FROM llm_calls), b AS (SELECT count(*) n FROM a) SELECT * FROM b",
    "WITH a(x) AS MATERIALIZED (SELECT cost_usd FROM llm_calls) SELECT sum(x) FROM a",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
    "SELECT date_trunc('hour', time) AS t, model, sum(cost_usd) FROM llm_calls GROUP BY ALL ORDER BY ALL",
    "SELECT time_bucket('300.000s', time) AS time, sum(cost_usd) FROM llm_calls GROUP BY 1 ORDER BY 1",
    "SELECT time_bucket(INTERVAL '5 minutes', time) AS time, count(*) FROM llm_calls GROUP BY 1",
    "SELECT floor(extract(epoch FROM time) / 300) * 300 AS time, avg(duration_ms) FROM llm_calls GROUP BY 1",
    "SELECT * FROM llm_calls WHERE time BETWEEN '2026-03-03T12:00:00Z' AND '2026-03-03T13:00:00.123456789Z'",
    "SELECT * FROM llm_calls WHERE time > now() - INTERVAL 1 DAY",
    "SELECT * FROM llm_calls WHERE time > TIMESTAMPTZ '2026-01-01' AND model IN ('gpt-5-mini', 'claude')",
    "SELECT quantile_cont(duration_ms, 0.95), quantile_cont(ttft_ms, [0.5, 0.99]), median(cost_usd) FROM llm_calls",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) FROM llm_calls",
    "SELECT count(*) FILTER (WHERE status = 'error') / count(*) FROM llm_calls",
    "SELECT count(DISTINCT user_id), approx_count_distinct(user_id) FROM llm_calls",
    "SELECT model, row_number() OVER (PARTITION BY model ORDER BY time) rn FROM llm_calls QUALIFY rn = 1",
    "SELECT time, sum(cost_usd) OVER (ORDER BY time ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) FROM llm_calls",
    "SELECT lag(cost_usd) OVER w, rank() OVER w FROM llm_calls WINDOW w AS (ORDER BY time)",
    (
        "SELECT a.trace_id FROM llm_calls a JOIN spans b USING (trace_id, span_id) LEFT JOIN "
        "scores s ON s.trace_id = a.trace_id"
    ),
    "SELECT count(*) FROM llm_calls a ASOF JOIN spans b ON a.tenant_id = b.tenant_id AND a.time >= b.time",
    (
        "SELECT CASE WHEN cost_usd > 1 THEN 'high' ELSE 'low' END, cost_usd::DOUBLE, "
        "CAST(input_tokens AS VARCHAR) FROM llm_calls"
    ),
    (
        "SELECT TRY_CAST(user_id AS INTEGER), coalesce(user_id, 'none'), nullif(user_id, ''), "
        "ifnull(user_id, '') FROM llm_calls"
    ),
    (
        "SELECT upper(model), substring(model, 1, 3), model || '@' || provider, concat(model, '-', "
        "provider) FROM llm_calls"
    ),
    (
        "SELECT split_part(model, '-', 1), regexp_extract(model, '([a-z]+)', 1), replace(model, "
        "'-mini', '') FROM llm_calls"
    ),
    (
        "SELECT trim(model), lower(model), length(model), strpos(model, '5'), model LIKE 'gpt%', "
        "model ~ 'gpt' FROM llm_calls"
    ),
    "SELECT strftime(time, '%Y-%m-%d'), dayname(time), date_diff('hour', time, now()), epoch_ms(time) FROM llm_calls",
    "SELECT time AT TIME ZONE 'Europe/Zurich', extract(hour FROM time), time::DATE FROM llm_calls",
    "SELECT attributes->>'$.\"gen_ai.request.model\"', json_extract_string(resource, '$.attributes') FROM spans",
    "SELECT finish_reasons_raw[1], len(finish_reasons_raw), list_contains(finish_reasons_raw, 'stop') FROM llm_calls",
    "SELECT [x || '!' FOR x IN finish_reasons_raw IF x <> ''] FROM llm_calls",
    "SELECT unnest(finish_reasons_raw) FROM llm_calls",
    "SELECT t.i, count(c.time) FROM generate_series(0, 23) t(i) LEFT JOIN llm_calls c ON hour(c.time) = t.i GROUP BY 1",
    "SELECT * FROM range(3), (VALUES (1, 'a'), (2, 'b')) v(n, s)",
    "SELECT model, provider, sum(cost_usd) FROM llm_calls GROUP BY GROUPING SETS ((model), (provider), ())",
    (
        "SELECT model FROM llm_calls GROUP BY model HAVING sum(cost_usd) > 0 ORDER BY "
        "sum(cost_usd) DESC NULLS LAST LIMIT 5 OFFSET 0"
    ),
    "SELECT DISTINCT ON (model) model, time FROM llm_calls ORDER BY model, time DESC",
    "SELECT * EXCLUDE (trace_id) REPLACE (round(cost_usd, 2) AS cost_usd) FROM llm_calls",
    "SELECT arg_max(model, cost_usd), max_by(model, cost_usd), first(model ORDER BY time) FROM llm_calls",
    "SELECT corr(input_tokens, duration_ms), stddev(duration_ms), regr_slope(duration_ms, input_tokens) FROM llm_calls",
    "SELECT * FROM (SELECT model FROM llm_calls UNION SELECT name FROM scores) EXCEPT SELECT 'x'",
    "SELECT round(sum(cost_usd), 4), greatest(1, 2), abs(-1), 7 % 3, 2 ** 3, 7 // 2, -1, NOT true FROM llm_calls",
    "SELECT sum(cost_usd) FROM llm_calls WHERE model IS NOT NULL AND user_id IS DISTINCT FROM 'x'",
    "SELECT string_agg(model, ', ' ORDER BY model) FROM llm_calls",
    "SELECT * FROM llm_calls USING SAMPLE 10 ROWS",
    "SELECT DATE '2026-03-03' + INTERVAL '1' DAY, TIME '12:00:00', {'a': 1}.a, MAP {'k': 1}['k'], (SELECT 1)",
    *(f"SELECT * FROM {table.name}" for table in schema.TABLES),
]


@pytest.mark.parametrize("sql", LEGITIMATE)
@pytest.mark.parametrize("scope", ["acme", None])
def test_legitimate_sql_runs(store: DuckDBStore, sql: str, scope: str | None) -> None:
    store.run_sql(sql, owner_scope=scope)


def test_scopes_differ(store: DuckDBStore) -> None:
    sql = "SELECT count(*) AS n, count(DISTINCT tenant_id) AS tenants FROM llm_calls"
    assert store.run_sql(sql, owner_scope="acme").to_pylist() == [{"n": 20, "tenants": 1}]
    assert store.run_sql(sql, owner_scope="nobody").to_pylist() == [{"n": 0, "tenants": 0}]
    assert store.run_sql(sql, owner_scope=None).to_pylist() == [{"n": 40, "tenants": 2}]
    assert store.run_sql(sql, owner_scope="' OR 1=1 --").to_pylist() == [{"n": 0, "tenants": 0}]


def test_views_are_the_contract(store: DuckDBStore) -> None:
    for table in schema.TABLES:
        found = store.run_sql(f"SELECT * FROM {table.name}", owner_scope="acme")
        assert found.schema.names == table.view.names


def test_order_survives_the_wrapping(store: DuckDBStore) -> None:
    found = store.run_sql("SELECT user_id FROM llm_calls ORDER BY user_id::INT DESC", owner_scope="acme")
    assert found["user_id"].to_pylist() == [str(n) for n in range(20, 0, -1)]


def test_rows_are_capped_and_it_shows(store: DuckDBStore) -> None:
    found = store.run_sql("SELECT * FROM range(1000000000)", owner_scope="acme", max_rows=10)
    assert found.num_rows == 10
    assert found.schema.metadata == {b"truncated": b"true"}
    assert store.run_sql("SELECT * FROM range(10)", max_rows=10).schema.metadata is None


def test_errors_do_not_quote_values_under_a_scope(store: DuckDBStore) -> None:
    with pytest.raises(SqlRefusedError) as refused:
        store.run_sql("SELECT use_case::INT FROM (SELECT 'zeta-' || 'secret' AS use_case)", owner_scope="acme")
    assert _SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(1000000000000)",
        "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    ],
)
def test_time_bombs_are_stopped(store: DuckDBStore, sql: str) -> None:
    with pytest.raises(SqlTimeoutError, match="longer than"):
        store.run_sql(sql, owner_scope="acme", timeout_s=0.2)
    assert store.run_sql("SELECT 1 AS one", owner_scope="acme").to_pylist() == [{"one": 1}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT list(range) FROM range(100000000)",
        "SELECT string_agg(range::VARCHAR || 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx', ',') FROM range(100000000)",
        "WITH RECURSIVE t AS (SELECT 'x' AS n UNION ALL SELECT n || n FROM t) SELECT max(length(n)) FROM t",
        "SELECT string_agg(range::VARCHAR, ',') OVER () FROM range(100000)",
    ],
)
def test_memory_bombs_are_stopped(store: DuckDBStore, sql: str) -> None:
    with pytest.raises(SqlTooLargeError):
        store.run_sql(sql, owner_scope="acme", timeout_s=20)
    store.append(Batch(spans=[a_span(99, owner="acme")]))
    assert store.run_sql("SELECT 1 AS one", owner_scope="acme").to_pylist() == [{"one": 1}]


def test_values_are_bound_and_never_read_as_sql(store: DuckDBStore) -> None:
    hostile = "x' OR owner = 'zeta"
    found = store.run_sql("SELECT $2 AS two, $1::BIGINT + 1 AS one", owner_scope="acme", values=["41", hostile])
    assert found.to_pylist() == [{"two": hostile, "one": 42}]
    sql = "SELECT count(*) AS n FROM llm_calls WHERE tenant_id = $1 AND time >= $2"
    for tenant, number in (("acme", 20), ("zeta", 0), (hostile, 0)):
        rows = store.run_sql(sql, owner_scope="acme", values=[tenant, "2020-01-01T00:00:00Z"])
        assert rows.to_pylist() == [{"n": number}]


@pytest.mark.parametrize(
    "sql", ["SELECT $1, $2", "SELECT $2", "SELECT $owner", "SELECT 1", "SELECT ?, $1", "SELECT $0"]
)
def test_only_the_values_bound_can_be_used(store: DuckDBStore, sql: str) -> None:
    with pytest.raises(SqlRefusedError):
        store.run_sql(f"{sql} FROM llm_calls", owner_scope="acme", values=["x"])


def test_without_rows_there_are_still_the_columns(store: DuckDBStore) -> None:
    found = store.run_sql("SELECT cost_usd, time FROM llm_calls", owner_scope="acme", max_rows=0)
    assert (found.num_rows, found.schema.names) == (0, ["cost_usd", "time"])


def test_a_statement_can_be_cancelled_before_and_while_it_runs(store: DuckDBStore) -> None:
    sql = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7"
    before, during = Cancellation(), Cancellation()
    before.cancel()
    timer = threading.Timer(0.2, during.cancel)
    timer.start()
    for cancellation in (before, during):
        with pytest.raises(SqlCancelledError):
            store.run_sql(sql, owner_scope="acme", timeout_s=60, cancellation=cancellation)
    timer.join()
    assert store.run_sql("SELECT 1 AS one", owner_scope="acme").to_pylist() == [{"one": 1}]
