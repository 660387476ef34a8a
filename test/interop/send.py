"""Make spans with the OpenTelemetry SDK of Python, export them, and write down what was made.

    send.py grpc|http ENDPOINT EXPECTED

EXPECTED becomes a JSON array of spans as the SDK has them, in the form that compare.py explains. Keys for the endpoint are taken
from OTEL_EXPORTER_OTLP_HEADERS by the exporters themselves.
"""

import json
import math
import struct
import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

START = 1_795_461_163_123_456_789  # nanoseconds of 23 November 2026, with all nine digits in use


def exporter(protocol, endpoint):
    """The exporter of a protocol; the one of HTTP compresses."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint, insecure=True)
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint + "/v1/traces", compression=Compression.Gzip)


def all_kinds_of_values():
    """Attributes of each type, with the values at which types are lost."""
    return {
        "text": "plain",
        "text.empty": "",
        "text.unicode": "żółć 漢字 🦉 e\u0301 \u202e",
        "text.escapes": 'quote " backslash \\ slash / line\nfeed tab\t nul \x00 del \x7f',
        "text.json": '{"not": "an object"}',
        "text.long": "prompt " * 5000,
        "ключ": "a key that is not ASCII",
        "dots.and spaces/slashes": "a key with both",
        "bool.true": True,
        "bool.false": False,
        "int.zero": 0,
        "int.max": 2**63 - 1,
        "int.min": -(2**63),
        "int.above_2_53": 2**53 + 1,
        "double.whole": 42.0,
        "double.zero": 0.0,
        "double.minus_zero": -0.0,
        "double.third": 1 / 3,
        "double.tenth": 0.1,
        "double.small": 5e-324,
        "double.large": 1.7976931348623157e308,
        "double.whole_large": 1e22,
        "array.text": ["a", "", "ü"],
        "array.int": [1, 2**53 + 1, -1],
        "array.double": [1.0, 2.5, -3.0],
        "array.bool": [True, False],
        "array.empty": [],
    }


def values_beyond_json():
    """Attributes that the JSON of a column cannot say."""
    return {
        "bytes": b"\x00\xff\xfe binary",
        "bytes.empty": b"",
        "double.nan": math.nan,
        "double.inf": math.inf,
        "double.minus_inf": -math.inf,
        "map": {"a": 1, "b": {"c": [1.0, "x", {"d": False}]}},
        "map.empty": {},
        "array.mixed": ["a", 1, 1.0, True, ["nested"], {"k": "v"}, None],
        "none": None,
    }


def make(tracer):
    """The spans that are sent."""
    remote = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, is_remote=True,
                         trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "a:b"), ("other", "1")]))

    def span(name, start, length, parent=None, **options):
        context = trace.set_span_in_context(parent) if parent is not None else trace.context_api.Context()
        made = tracer.start_span(name, context=context, start_time=START + start, **options)
        return made, lambda: made.end(START + start + length)

    root, end_root = span("POST /chat", 0, 9_876_543_210, kind=SpanKind.SERVER, attributes=all_kinds_of_values())
    # Nested six deep, each beginning one nanosecond after its parent.
    parent, ends = root, [end_root]
    for depth in range(1, 7):
        child, end = span(f"step {depth}", depth, 1_000_000_000 - depth, parent, kind=SpanKind.INTERNAL, attributes={"depth": depth})
        ends.append(end)
        parent = child
    failed, end = span("execute_tool", 100, 5, parent, kind=SpanKind.CLIENT)
    failed.add_event("retry", {"attempt": 1, "wait.s": 2.0}, timestamp=START + 101)
    failed.add_event("retry", {"attempt": 2, "tags": ["a", "b"]}, timestamp=START + 102)
    failed.add_event("nothing to say", timestamp=START + 103)
    failed.record_exception(ValueError("bad « value »"), timestamp=START + 104)
    failed.set_status(Status(StatusCode.ERROR, "it failed: «why»"))
    ends.append(end)
    for end in reversed(ends):
        end()

    for name, kind in (("send to queue", SpanKind.PRODUCER), ("take from queue", SpanKind.CONSUMER)):
        _, end = span(name, 200, 0, kind=kind, links=[Link(remote, {"reason": "batch", "n": 3}), Link(root.get_span_context())])
        end()
    continued, end = span("continued from elsewhere", 300, 7, trace.NonRecordingSpan(remote), kind=SpanKind.SERVER)
    continued.set_status(Status(StatusCode.OK))
    end()
    _, end = span("beyond JSON", 400, 1, attributes=values_beyond_json())
    end()
    event, end = span("beyond JSON in an event", 410, 1)
    event.add_event("bytes", {"b": b"\xff", "whole": 1.0}, timestamp=START + 410)
    end()
    _, end = span("", 500, 1)  # a name may be empty
    end()
    # The SDK keeps 128 of each and counts the others.
    _, end = span("too many", 600, 1, attributes={f"key.{i}": i for i in range(131)})
    end()
    # Longer ago than the epoch's first second, and of no length.
    early = tracer.start_span("early", context=trace.context_api.Context(), start_time=1)
    early.end(1)
    # Enough to need more than one request.
    for i in range(1500):
        _, end = span(f"many {i % 7}", 1_000 + i, i, attributes={"i": i, "half": i / 2})
        end()


def value_of(value):
    """A value with its type."""
    if value is None:
        return {"null": True}
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"double": struct.pack(">d", value).hex()}
    if isinstance(value, str):
        return {"string": value}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if hasattr(value, "items"):
        return {"map": attributes_of(value)}
    return {"array": [value_of(v) for v in value]}


def attributes_of(attributes):
    return [[key, value_of(value)] for key, value in (attributes or {}).items()]


def flags_of(context):
    """Whether the parent, or the target of a link, is remote; this SDK leaves out the trace flags of W3C."""
    return 0x300 if context is not None and context.is_remote else 0x100


def span_of(span):
    context, scope = span.get_span_context(), span.instrumentation_scope
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "trace_state": context.trace_state.to_header(),
        "flags": flags_of(span.parent),
        "name": span.name,
        "kind": span.kind.value + 1,
        "start": str(span.start_time),
        "end": str(span.end_time),
        "status_code": span.status.status_code.value,
        "status_message": span.status.description or "",
        "attributes": attributes_of(span.attributes),
        "dropped_attributes": span.dropped_attributes,
        "events": [{"name": e.name, "time": str(e.timestamp), "attributes": attributes_of(e.attributes),
                    "dropped_attributes": e.dropped_attributes} for e in span.events],
        "dropped_events": span.dropped_events,
        "links": [{"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}",
                   "trace_state": "",  # this exporter does not send it
                   "flags": flags_of(link.context),
                   "attributes": attributes_of(link.attributes), "dropped_attributes": link.dropped_attributes} for link in span.links],
        "dropped_links": span.dropped_links,
        "resource": {"attributes": attributes_of(span.resource.attributes), "dropped_attributes": 0, "schema_url": span.resource.schema_url},
        "scope": {"name": scope.name, "version": scope.version or "", "attributes": attributes_of(scope.attributes), "dropped_attributes": 0,
                  "schema_url": scope.schema_url or ""},
    }


def main():
    protocol, endpoint, expected = sys.argv[1:]
    resource = Resource.create({"service.name": f"interop python {protocol}", "service.instance.id": "ü-1", "process.pid": 4242,
                                "weight": 2.0, "tags": ["x", "y"]}, schema_url="https://opentelemetry.io/schemas/1.30.0")
    provider = TracerProvider(resource=resource)
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.add_span_processor(BatchSpanProcessor(exporter(protocol, endpoint), max_queue_size=10_000, max_export_batch_size=512))
    make(provider.get_tracer("interop.scope", "1.2.3", "https://opentelemetry.io/schemas/1.29.0", {"scope.attribute": 7, "on": True}))
    if not provider.force_flush(60_000):
        sys.exit("the exporter did not end within a minute")
    spans = [span_of(span) for span in memory.get_finished_spans()]
    provider.shutdown()
    with open(expected, "w", encoding="utf-8") as file:
        json.dump(spans, file)
    print(f"{len(spans)} spans sent by the Python SDK over {protocol}")


if __name__ == "__main__":
    main()
