// Make spans with the OpenTelemetry SDK of JavaScript, export them, and write down what was made.
//
//   node send.mjs grpc|http-json|http-proto ENDPOINT EXPECTED
//
// EXPECTED becomes a JSON array of spans as the SDK has them, in the form that compare.py explains. Keys for the endpoint are taken from
// OTEL_EXPORTER_OTLP_HEADERS by the exporters themselves. Packages are looked for below INTEROP_PACKAGES.
import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";

const require = createRequire(process.env.INTEROP_PACKAGES + "/");
const { createTraceState, diag, DiagConsoleLogger, DiagLogLevel, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags } = require("@opentelemetry/api");
const { BatchSpanProcessor, InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-node");
const { resourceFromAttributes } = require("@opentelemetry/resources");

const [protocol, endpoint, expected] = process.argv.slice(2);
diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.ERROR);

function exporter() {
  switch (protocol) {
    case "grpc":
      return new (require("@opentelemetry/exporter-trace-otlp-grpc").OTLPTraceExporter)({ url: endpoint });
    case "http-json":
      return new (require("@opentelemetry/exporter-trace-otlp-http").OTLPTraceExporter)({ url: endpoint + "/v1/traces", compression: "gzip" });
    case "http-proto":
      return new (require("@opentelemetry/exporter-trace-otlp-proto").OTLPTraceExporter)({ url: endpoint + "/v1/traces" });
  }
  throw new Error(`no protocol ${protocol}`);
}

// The SDK keeps times as seconds and nanoseconds; both are given as such, for a number has no nanoseconds in 2026.
const second = 1795461163;
const at = (nanos) => [second + Math.floor((123456789 + nanos) / 1e9), (123456789 + nanos) % 1e9];

// All numbers without a fraction are integers to this SDK, and exact to 2^53.
const allKindsOfValues = {
  text: "plain",
  "text.empty": "",
  "text.unicode": "żółć 漢字 🦉 e\u0301 \u202e",
  "text.escapes": 'quote " backslash \\ slash / line\nfeed tab\t nul \x00 del \x7f',
  "text.json": '{"not": "an object"}',
  "text.long": "prompt ".repeat(5000),
  ключ: "a key that is not ASCII",
  "bool.true": true,
  "bool.false": false,
  "int.zero": 0,
  "int.largest_safe": Number.MAX_SAFE_INTEGER,
  "int.smallest_safe": Number.MIN_SAFE_INTEGER,
  "int.above_2_53": 2 ** 53 + 2,
  "int.whole": 42.0,
  "double.third": 1 / 3,
  "double.tenth": 0.1,
  "double.small": 5e-324,
  "double.minus": -2.5,
  "array.text": ["a", "", "ü"],
  "array.int": [1, 2 ** 53 + 2, -1],
  "array.double": [0.5, 2.5, -3.25],
  "array.bool": [true, false],
  "array.empty": [],
};

function make(tracer) {
  const remote = {
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7", isRemote: true, traceFlags: TraceFlags.SAMPLED,
    traceState: createTraceState("vendor=a:b,other=1"),
  };
  const start = (name, nanos, parent, options = {}) =>
    tracer.startSpan(name, { startTime: at(nanos), ...options }, parent ? trace.setSpan(ROOT_CONTEXT, parent) : ROOT_CONTEXT);

  const root = start("POST /chat", 0, null, { kind: SpanKind.SERVER, attributes: allKindsOfValues });
  const open = [root];
  for (let depth = 1; depth <= 6; depth++) {
    open.push(start(`step ${depth}`, depth, open.at(-1), { kind: SpanKind.INTERNAL, attributes: { depth } }));
  }
  const failed = start("execute_tool", 100, open.at(-1), { kind: SpanKind.CLIENT });
  failed.addEvent("retry", { attempt: 1, "wait.s": 2.5 }, at(101));
  failed.addEvent("retry", { attempt: 2, tags: ["a", "b"] }, at(102));
  failed.addEvent("nothing to say", at(103));
  failed.recordException(new TypeError("bad « value »"), at(104));
  failed.setStatus({ code: SpanStatusCode.ERROR, message: "it failed: «why»" });
  failed.end(at(105));
  while (open.length) open.pop().end(at(1_000_000_000));

  for (const [name, kind] of [["send to queue", SpanKind.PRODUCER], ["take from queue", SpanKind.CONSUMER]]) {
    start(name, 200, null, { kind, links: [{ context: remote, attributes: { reason: "batch", n: 3 } }, { context: root.spanContext() }] }).end(at(200));
  }
  const continued = start("continued from elsewhere", 300, trace.wrapSpanContext(remote), { kind: SpanKind.SERVER });
  continued.setStatus({ code: SpanStatusCode.OK });
  continued.end(at(307));
  start("", 500).end(at(501));
  // The SDK keeps 128 of each and counts the others.
  start("too many", 600, null, { attributes: Object.fromEntries(Array.from({ length: 131 }, (_, i) => [`key.${i}`, i])) }).end(at(601));
  // Enough to need more than one request.
  for (let i = 0; i < 1500; i++) {
    start(`many ${i % 7}`, 1000 + i, null, { attributes: { i, half: i / 2 } }).end(at(1000 + 2 * i));
  }
}

function valueOf(value) {
  switch (typeof value) {
    case "string":
      return { string: value };
    case "boolean":
      return { bool: value };
    case "number": {
      if (Number.isInteger(value)) return { int: BigInt(value).toString() };
      const bits = new DataView(new ArrayBuffer(8));
      bits.setFloat64(0, value);
      return { double: bits.getBigUint64(0).toString(16).padStart(16, "0") };
    }
  }
  if (Array.isArray(value)) return { array: value.map(valueOf) };
  throw new Error(`a value of type ${typeof value}`);
}

const attributesOf = (attributes) => Object.entries(attributes ?? {}).map(([key, value]) => [key, valueOf(value)]);
const nanosOf = ([seconds, nanos]) => (BigInt(seconds) * 1_000_000_000n + BigInt(nanos)).toString();
// The trace flags of W3C, that the next bit is known, and whether the parent or the target of a link is remote.
const flagsOf = (traceFlags, isRemote) => (traceFlags & 0xff) | 0x100 | (isRemote ? 0x200 : 0);

function spanOf(span) {
  const own = span.spanContext();
  const scope = span.instrumentationScope;
  return {
    trace_id: own.traceId,
    span_id: own.spanId,
    parent_span_id: span.parentSpanContext?.spanId ?? "",
    trace_state: own.traceState?.serialize() ?? "",
    flags: flagsOf(own.traceFlags, span.parentSpanContext?.isRemote),
    name: span.name,
    kind: span.kind + 1,
    start: nanosOf(span.startTime),
    end: nanosOf(span.endTime),
    status_code: span.status.code,
    status_message: span.status.message ?? "",
    attributes: attributesOf(span.attributes),
    dropped_attributes: span.droppedAttributesCount,
    events: span.events.map((e) => ({ name: e.name, time: nanosOf(e.time), attributes: attributesOf(e.attributes), dropped_attributes: e.droppedAttributesCount ?? 0 })),
    dropped_events: span.droppedEventsCount,
    links: span.links.map((link) => ({
      trace_id: link.context.traceId, span_id: link.context.spanId, trace_state: link.context.traceState?.serialize() ?? "",
      flags: flagsOf(link.context.traceFlags, link.context.isRemote), attributes: attributesOf(link.attributes), dropped_attributes: link.droppedAttributesCount ?? 0,
    })),
    dropped_links: span.droppedLinksCount,
    resource: { attributes: attributesOf(span.resource.attributes), dropped_attributes: 0, schema_url: span.resource.schemaUrl ?? "" },
    // This SDK's tracers take no attributes for their scope.
    scope: { name: scope.name, version: scope.version ?? "", attributes: [], dropped_attributes: 0, schema_url: scope.schemaUrl ?? "" },
  };
}

const memory = new InMemorySpanExporter();
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes(
    { "service.name": `interop javascript ${protocol}`, "service.instance.id": "ü-1", "process.pid": 4242, weight: 2.5, tags: ["x", "y"] },
    { schemaUrl: "https://opentelemetry.io/schemas/1.30.0" }),
  spanProcessors: [
    new SimpleSpanProcessor(memory),
    new BatchSpanProcessor(exporter(), { maxQueueSize: 10_000, maxExportBatchSize: 512, exportTimeoutMillis: 60_000 }),
  ],
});
make(provider.getTracer("interop.scope", "1.2.3", { schemaUrl: "https://opentelemetry.io/schemas/1.29.0" }));
await provider.forceFlush();
const spans = memory.getFinishedSpans().map(spanOf);
await provider.shutdown();
writeFileSync(expected, JSON.stringify(spans));
process.stdout.write(`${spans.length} spans sent by the JavaScript SDK over ${protocol}\n`);
