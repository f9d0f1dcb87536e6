// Sends the spans of spans.json with one of the exporters of the OpenTelemetry SDK for JavaScript.
//
//   node send.cjs http/json|http/protobuf|grpc none|gzip ENDPOINT TRACE_ID
"use strict";

const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");

const EXPORTERS = {
  "http/json": (url, compression) => new (require("@opentelemetry/exporter-trace-otlp-http").OTLPTraceExporter)({ url: `${url}/v1/traces`, compression }),
  "http/protobuf": (url, compression) => new (require("@opentelemetry/exporter-trace-otlp-proto").OTLPTraceExporter)({ url: `${url}/v1/traces`, compression }),
  grpc: (url, compression) => new (require("@opentelemetry/exporter-trace-otlp-grpc").OTLPTraceExporter)({ url, compression }),
};
const KINDS = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT };

async function main(protocol, compression, endpoint, traceId) {
  const wanted = JSON.parse(readFileSync(join(__dirname, "spans.json"), "utf8").replaceAll("TRACE", traceId));
  const spanIds = wanted.spans.map((span) => span.span_id);
  const exporter = EXPORTERS[protocol](endpoint, compression);
  const results = [];
  const watched = Object.create(exporter, {
    export: { value: (spans, done) => exporter.export(spans, (result) => (results.push(result), done(result))) },
  });
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes(wanted.resource),
    idGenerator: { generateTraceId: () => traceId, generateSpanId: () => spanIds.shift() },
    spanProcessors: [new BatchSpanProcessor(watched)],
  });
  const tracer = provider.getTracer(wanted.scope.name, wanted.scope.version);
  for (const span of wanted.spans) record(tracer, span, traceId, wanted.start_seconds);
  await provider.forceFlush();
  await provider.shutdown();
  if (results.length === 0 || results.some((result) => result.code !== 0)) throw new Error(JSON.stringify(results));
}

function record(tracer, wanted, traceId, seconds) {
  const at = (nanos) => [seconds, nanos];
  const contextOf = (spanId) => ({ traceId, spanId, traceFlags: TraceFlags.SAMPLED });
  const parent = wanted.parent ? trace.setSpanContext(ROOT_CONTEXT, contextOf(wanted.parent)) : ROOT_CONTEXT;
  const options = {
    kind: KINDS[wanted.kind],
    startTime: at(wanted.start_nanos),
    attributes: wanted.attributes,
    links: (wanted.links ?? []).map((spanId) => ({ context: contextOf(spanId) })),
  };
  const span = tracer.startSpan(wanted.name, options, parent);
  for (const event of wanted.events ?? []) span.addEvent(event.name, event.attributes, at(event.nanos));
  if (wanted.error) span.setStatus({ code: SpanStatusCode.ERROR, message: wanted.error });
  span.end(at(wanted.end_nanos));
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
