-- The schema of version 1, frozen: databases that look like this have to open for ever.
-- Until the first release it is edited together with the schema module; never afterwards: add a migration.

CREATE SCHEMA IF NOT EXISTS priv;
CREATE SCHEMA IF NOT EXISTS ledger;
CREATE TABLE IF NOT EXISTS priv.meta (schema_version BIGINT, journal_position BIGINT);
INSERT INTO priv.meta VALUES (1, 4711);
CREATE TABLE IF NOT EXISTS priv."llm_calls" ("owner" VARCHAR, "start_ns" BIGINT, "end_ns" BIGINT, "time" TIMESTAMPTZ,
"trace_id" VARCHAR, "span_id" VARCHAR, "parent_span_id" VARCHAR, "tenant_id" VARCHAR, "user_id" VARCHAR, "session_id"
VARCHAR, "use_case" VARCHAR, "service_name" VARCHAR, "environment" VARCHAR, "region" VARCHAR, "provider" VARCHAR,
"operation" VARCHAR, "request_model" VARCHAR, "response_model" VARCHAR, "response_id" VARCHAR, "prompt_name" VARCHAR,
"prompt_version" VARCHAR, "input_tokens" BIGINT, "output_tokens" BIGINT, "cache_read_tokens" BIGINT,
"cache_write_tokens" BIGINT, "reasoning_tokens" BIGINT, "usage_source" VARCHAR, "cost_usd" DECIMAL(18, 9),
"cost_status" VARCHAR, "price_id" VARCHAR, "finish_reason" VARCHAR, "finish_reasons_raw" VARCHAR[], "stream" BOOLEAN,
"ttft_ms" DOUBLE, "duration_ms" DOUBLE, "status" VARCHAR, "error_type" VARCHAR, "http_status" BIGINT, "billable"
BOOLEAN, "billing_reason" VARCHAR, "dialect" VARCHAR, "scope_name" VARCHAR, "model" VARCHAR, "service_tier" VARCHAR,
"own" VARCHAR);
CREATE TABLE IF NOT EXISTS priv."spans" ("owner" VARCHAR, "start_ns" BIGINT, "end_ns" BIGINT, "time" TIMESTAMPTZ,
"trace_id" VARCHAR, "span_id" VARCHAR, "parent_span_id" VARCHAR, "tenant_id" VARCHAR, "service_name" VARCHAR,
"scope_name" VARCHAR, "name" VARCHAR, "kind" VARCHAR, "status" VARCHAR, "status_message" VARCHAR, "duration_ms"
DOUBLE, "attributes" VARCHAR, "resource" VARCHAR, "scope" VARCHAR, "events" VARCHAR, "links" VARCHAR, "trace_state"
VARCHAR, "flags" BIGINT, "dropped_attributes" BIGINT, "dropped_events" BIGINT, "dropped_links" BIGINT);
CREATE TABLE IF NOT EXISTS priv."span_content" ("owner" VARCHAR, "start_ns" BIGINT, "time" TIMESTAMPTZ, "trace_id"
VARCHAR, "span_id" VARCHAR, "tenant_id" VARCHAR, "kind" VARCHAR, "text" VARCHAR);
CREATE TABLE IF NOT EXISTS priv."scores" ("owner" VARCHAR, "start_ns" BIGINT, "time" TIMESTAMPTZ, "trace_id" VARCHAR,
"span_id" VARCHAR, "tenant_id" VARCHAR, "model" VARCHAR, "use_case" VARCHAR, "name" VARCHAR, "value" DOUBLE, "label"
VARCHAR, "explanation" VARCHAR, "scorer_version" VARCHAR, "calibration_id" VARCHAR, "confidence" DOUBLE, "evaluable"
BOOLEAN, "source" VARCHAR, "prompt_name" VARCHAR, "prompt_version" VARCHAR, "detail" VARCHAR, "evidence" VARCHAR);
CREATE TABLE IF NOT EXISTS priv."labels" ("owner" VARCHAR, "start_ns" BIGINT, "time" TIMESTAMPTZ, "trace_id" VARCHAR,
"span_id" VARCHAR, "tenant_id" VARCHAR, "name" VARCHAR, "label" VARCHAR, "source" VARCHAR, "reason" VARCHAR, "author"
VARCHAR, "weight" DOUBLE);
CREATE TABLE IF NOT EXISTS priv."logs" ("owner" VARCHAR, "start_ns" BIGINT, "time" TIMESTAMPTZ, "observed"
TIMESTAMPTZ, "trace_id" VARCHAR, "span_id" VARCHAR, "tenant_id" VARCHAR, "service_name" VARCHAR, "scope_name"
VARCHAR, "event_name" VARCHAR, "severity" BIGINT, "severity_text" VARCHAR, "body" VARCHAR, "attributes" VARCHAR,
"resource" VARCHAR, "scope" VARCHAR);
CREATE TABLE IF NOT EXISTS priv."metrics" ("owner" VARCHAR, "start_ns" BIGINT, "time" TIMESTAMPTZ, "started"
TIMESTAMPTZ, "tenant_id" VARCHAR, "service_name" VARCHAR, "scope_name" VARCHAR, "name" VARCHAR, "unit" VARCHAR,
"kind" VARCHAR, "temporality" VARCHAR, "monotonic" BOOLEAN, "value" DOUBLE, "count" BIGINT, "total" DOUBLE, "data"
VARCHAR, "attributes" VARCHAR, "resource" VARCHAR, "scope" VARCHAR);
CREATE TABLE IF NOT EXISTS priv."rejections" ("owner" VARCHAR, "start_ns" BIGINT, "time" TIMESTAMPTZ, "tenant_id"
VARCHAR, "signal" VARCHAR, "reason" VARCHAR, "service_name" VARCHAR, "size" BIGINT, "count" BIGINT);
CREATE TABLE IF NOT EXISTS priv."anomalies" ("owner" VARCHAR, "id" VARCHAR, "tenant_id" VARCHAR, "kind" VARCHAR,
"metric" VARCHAR, "dimensions" VARCHAR, "started" TIMESTAMPTZ, "ended" TIMESTAMPTZ, "severity" VARCHAR, "impact_usd"
DECIMAL(18, 9), "expected" DOUBLE, "observed" DOUBLE, "cause" VARCHAR, "summary"
VARCHAR, "status" VARCHAR, "detected" TIMESTAMPTZ, "impact_usd_per_hour" DECIMAL(18, 9), "requests_per_hour" DOUBLE,
"confidence" DOUBLE, "causes" VARCHAR, "ties" VARCHAR, "detail" VARCHAR);
CREATE TABLE IF NOT EXISTS priv."budgets" ("owner" VARCHAR, "name" VARCHAR, "tenant_id" VARCHAR, "dimensions"
VARCHAR, "period" VARCHAR, "period_start" TIMESTAMPTZ, "period_end" TIMESTAMPTZ, "limit_usd" DECIMAL(18, 9),
"spent_usd" DECIMAL(18, 9), "forecast_usd" DECIMAL(18, 9), "state" VARCHAR, "share" DOUBLE, "calls" BIGINT,
"unpriced_calls" BIGINT, "forecast_low_usd" DECIMAL(18, 9), "forecast_high_usd" DECIMAL(18, 9), "exhausted_at"
TIMESTAMPTZ, "exhausted_early" TIMESTAMPTZ, "exhausted_late" TIMESTAMPTZ, "amount" DECIMAL(18, 9), "currency" VARCHAR,
"timezone" VARCHAR, "mode" VARCHAR, "source" VARCHAR);
CREATE TABLE IF NOT EXISTS priv."budget_events" ("owner" VARCHAR, "time" TIMESTAMPTZ, "budget" VARCHAR, "tenant_id"
VARCHAR, "kind" VARCHAR, "threshold" DOUBLE, "spent_usd" DECIMAL(18, 9), "limit_usd" DECIMAL(18, 9), "detail"
VARCHAR, "period" VARCHAR, "late" BOOLEAN);
CREATE TABLE IF NOT EXISTS priv."alerts" ("owner" VARCHAR, "id" VARCHAR, "tenant_id" VARCHAR, "rule" VARCHAR,
"severity" VARCHAR, "state" VARCHAR, "started" TIMESTAMPTZ, "resolved" TIMESTAMPTZ, "labels" VARCHAR, "summary"
VARCHAR, "value" DOUBLE, "threshold" DOUBLE, "impact_usd" DECIMAL(18, 9));
CREATE TABLE IF NOT EXISTS priv."deliveries" ("owner" VARCHAR, "id" VARCHAR, "alert_id" VARCHAR, "tenant_id" VARCHAR,
"endpoint" VARCHAR, "time" TIMESTAMPTZ, "attempt" BIGINT, "ok" BOOLEAN, "http_status" BIGINT, "detail" VARCHAR);
CREATE TABLE IF NOT EXISTS priv."prices" ("price_id" VARCHAR, "provider" VARCHAR, "model" VARCHAR, "source" VARCHAR);
INSERT INTO priv.spans BY NAME SELECT '' AS owner, 1772539200000000000 AS start_ns, 1772539201000000000 AS end_ns,
    TIMESTAMPTZ '2026-03-03 12:00:00+00' AS time, repeat('ab', 16) AS trace_id, repeat('cd', 8) AS span_id,
    'chat' AS name, 'client' AS kind, 'ok' AS status, '{}' AS attributes, '{}' AS resource, '{}' AS scope;
INSERT INTO priv.prices BY NAME SELECT 'p1' AS price_id, 'openai' AS provider, 'gpt' AS model, 'test' AS source;
