"""Compare spans that SDKs made with the Parquet files of a lake and with the index.

    compare.py LAKE INDEX EXPECTED...

LAKE is the folder of the Parquet files; they are read with pyarrow and nothing of Spanlake. INDEX is a JSON array of objects with the
trace_id and span_id of all rows of span_metadata. EXPECTED are files with a JSON array of spans each, as the senders write them:

    ids in hex, times in nanoseconds as text, attributes as an array of [key, value] in their order, and each value as an object
    with its type: {"string": TEXT}, {"bool": true}, {"int": "-1"}, {"double": 16 hex digits of IEEE 754}, {"bytes": HEX},
    {"array": [VALUE...]}, {"map": [[KEY, VALUE]...]}, {"null": true}.

Every expected span has to be in the lake and in the index exactly once, with equal values of equal types, and there has to be nothing
else. A span whose row has the column `otlp` is compared with that, and with the other columns except where JSON cannot say it.
"""

import collections
import glob
import json
import os
import struct
import sys

import pyarrow
import pyarrow.parquet
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

SHOWN = 20  # differences that are printed


def double(number):
    return {"double": struct.pack(">d", number).hex()}


class Pairs(list):
    """A JSON object, with its keys in their order and as often as they are there."""


def parse_json(text):
    """JSON in which numbers keep what they were written as: an integer if there is neither a dot nor an exponent."""
    return json.loads(text, parse_int=lambda t: {"int": str(int(t))}, parse_float=lambda t: double(float(t)), object_pairs_hook=Pairs)


def of_json(value):
    if isinstance(value, Pairs):
        return {"map": [[key, of_json(v)] for key, v in value]}
    if isinstance(value, dict):
        return value  # a number
    if isinstance(value, list):
        return {"array": [of_json(v) for v in value]}
    if isinstance(value, bool):
        return {"bool": value}
    if value is None:
        return {"null": True}
    return {"string": value}


def attributes_of_json(text):
    return of_json(parse_json(text or "{}"))["map"]


def number(value):
    """A plain number of a JSON text, or 0 for a key that is not there."""
    return 0 if value is None else int(value["int"])


def of_columns(row):
    """A span from the columns of a row; what is null is what the sender left out."""
    events = [dict(e) for e in parse_json(row["events"] or "[]")]
    links = [dict(link) for link in parse_json(row["links"] or "[]")]
    return {
        "trace_id": row["trace_id"],
        "span_id": row["span_id"],
        "parent_span_id": row["parent_span_id"] or "",
        "trace_state": row["trace_state"] or "",
        "flags": row["trace_flags"] or 0,
        "name": row["name"],
        "kind": row["span_kind"],
        "start": str(row["start_time"]),
        "end": str(row["end_time"]),
        "status_code": row["status_code"],
        "status_message": row["status_message"] or "",
        "attributes": attributes_of_json(row["attributes"]),
        "dropped_attributes": row["dropped_attributes_count"] or 0,
        "events": [{"name": e["name"], "time": e["time_nanos"]["int"], "attributes": of_json(e.get("attributes", Pairs()))["map"],
                    "dropped_attributes": number(e.get("dropped_attributes_count"))} for e in events],
        "dropped_events": row["dropped_events_count"] or 0,
        "links": [{"trace_id": link["trace_id"], "span_id": link["span_id"], "trace_state": link.get("trace_state") or "",
                   "flags": number(link.get("flags")), "attributes": of_json(link.get("attributes", Pairs()))["map"],
                   "dropped_attributes": number(link.get("dropped_attributes_count"))} for link in links],
        "dropped_links": row["dropped_links_count"] or 0,
        "resource": {"attributes": attributes_of_json(row["resource_attributes"]),
                     "dropped_attributes": row["resource_dropped_attributes_count"] or 0, "schema_url": row["resource_schema_url"] or ""},
        "scope": {"name": row["scope_name"] or "", "version": row["scope_version"] or "",
                  "attributes": attributes_of_json(row["scope_attributes"]),
                  "dropped_attributes": row["scope_dropped_attributes_count"] or 0, "schema_url": row["scope_schema_url"] or ""},
    }


def of_any_value(value):
    kind = value.WhichOneof("value")
    if kind is None:
        return {"null": True}
    content = getattr(value, kind)
    return {
        "string_value": lambda: {"string": content},
        "bool_value": lambda: {"bool": content},
        "int_value": lambda: {"int": str(content)},
        "double_value": lambda: double(content),
        "bytes_value": lambda: {"bytes": content.hex()},
        "array_value": lambda: {"array": [of_any_value(v) for v in content.values]},
        "kvlist_value": lambda: {"map": of_key_values(content.values)},
    }[kind]()


def of_key_values(attributes):
    return [[a.key, of_any_value(a.value)] for a in attributes]


def of_otlp(data):
    """A span from the protobuf message of the column `otlp`."""
    traces = TracesData.FromString(data)
    (resource_spans,) = traces.resource_spans
    (scope_spans,) = resource_spans.scope_spans
    (span,) = scope_spans.spans
    resource, scope = resource_spans.resource, scope_spans.scope
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "trace_state": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": span.kind,
        "start": str(span.start_time_unix_nano),
        "end": str(span.end_time_unix_nano),
        "status_code": span.status.code,
        "status_message": span.status.message,
        "attributes": of_key_values(span.attributes),
        "dropped_attributes": span.dropped_attributes_count,
        "events": [{"name": e.name, "time": str(e.time_unix_nano), "attributes": of_key_values(e.attributes),
                    "dropped_attributes": e.dropped_attributes_count} for e in span.events],
        "dropped_events": span.dropped_events_count,
        "links": [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex(), "trace_state": link.trace_state, "flags": link.flags,
                   "attributes": of_key_values(link.attributes), "dropped_attributes": link.dropped_attributes_count} for link in span.links],
        "dropped_links": span.dropped_links_count,
        "resource": {"attributes": of_key_values(resource.attributes), "dropped_attributes": resource.dropped_attributes_count,
                     "schema_url": resource_spans.schema_url},
        "scope": {"name": scope.name, "version": scope.version, "attributes": of_key_values(scope.attributes),
                  "dropped_attributes": scope.dropped_attributes_count, "schema_url": scope_spans.schema_url},
    }


def beyond_json(value):
    """Whether a value has no form of its own in JSON: bytes, NaN and the infinities."""
    return "bytes" in value or "double" in value and int(value["double"], 16) >> 52 & 0x7FF == 0x7FF


def differences(path, want, got, columns=False):
    """What differs. With columns, only what JSON can say is compared: `otlp` holds the rest."""
    if columns and isinstance(want, dict) and len(want) == 1 and beyond_json(want):
        return
    if columns and path.endswith(("links.flags", "links.dropped_attributes", "events.dropped_attributes")):
        return
    if isinstance(want, dict) and isinstance(got, dict) and want.keys() == got.keys():
        for key in want:
            yield from differences(f"{path}.{key}" if path else key, want[key], got[key], columns)
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for w, g in zip(want, got):
            at = f"{path}[{w[0]}]" if isinstance(w, list) and len(w) == 2 and isinstance(w[0], str) else path
            yield from differences(at, w, g, columns)
    elif type(want) is not type(got) or want != got:
        yield f"{path}: made {json.dumps(want, ensure_ascii=False)[:200]}, found {json.dumps(got, ensure_ascii=False)[:200]}"


def rows_of(lake):
    """All rows of the files that a reader of a lake takes, times as nanoseconds."""
    for path in sorted(glob.glob(os.path.join(glob.escape(lake), "**", "*.parquet"), recursive=True)):
        table = pyarrow.parquet.ParquetFile(path).read()
        for name in ("start_time", "end_time"):
            at = table.schema.get_field_index(name)
            if table.schema.field(at).type != pyarrow.timestamp("ns", "UTC"):
                sys.exit(f"{path}: {name} is {table.schema.field(at).type}")
            table = table.set_column(at, name, table.column(at).cast(pyarrow.int64()))
        yield from table.to_pylist()


def compare(want, rows):
    """The problems of one span, given the rows that have its ids."""
    if len(rows) != 1:
        yield f"is {len(rows)} times in the lake"
        return
    row = rows[0]
    service = dict((k, v) for k, v in want["resource"]["attributes"])["service.name"]["string"]
    if row["service_name"] != service:
        yield f"service_name is {row['service_name']!r}, want {service!r}"
    if row["duration_ns"] != int(want["end"]) - int(want["start"]):
        yield f"duration_ns is {row['duration_ns']}"
    if row["otlp"] is None:
        yield from differences("", want, of_columns(row))
    else:
        yield from (f"in otlp, {d}" for d in differences("", want, of_otlp(row["otlp"])))
        yield from (f"beside otlp, {d}" for d in differences("", want, of_columns(row), columns=True))


def main():
    lake, index, *files = sys.argv[1:]
    rows = collections.defaultdict(list)
    for row in rows_of(lake):
        rows[row["trace_id"], row["span_id"]].append(row)
    with open(index, encoding="utf-8") as file:
        indexed = collections.Counter((r["trace_id"], r["span_id"]) for r in json.load(file))
    problems, known = [], set()
    for path in files:
        with open(path, encoding="utf-8") as file:
            spans = json.load(file)
        before, whole = len(problems), 0
        for span in spans:
            ids = span["trace_id"], span["span_id"]
            known.add(ids)
            whole += any(r["otlp"] is not None for r in rows[ids])
            found = list(compare(span, rows[ids]))
            if indexed[ids] != 1:
                found.append(f"is {indexed[ids]} times in the index")
            problems += [f"{path}: {span['name']!r} {ids}: {problem}" for problem in found]
        kept = "all equal" if len(problems) == before else f"{len(problems) - before} differences"
        print(f"{os.path.basename(path)}: {len(spans)} spans, {kept}; {whole} kept as OTLP beside their columns")
        if not spans:
            problems.append(f"{path}: no spans were made")
    others = [ids for ids, found in rows.items() if found and ids not in known]
    problems += [f"{ids} is in the lake, and nobody made it" for ids in others]
    problems += [f"{ids} is in the index, and nobody made it" for ids in indexed if ids not in known]
    for problem in problems[:SHOWN]:
        print(problem, file=sys.stderr)
    if len(problems) > SHOWN:
        print(f"and {len(problems) - SHOWN} more", file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
