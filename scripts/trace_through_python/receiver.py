"""What the collector exports to: prints a line of JSON for each span that it gets by OTLP over HTTP,
on the port $1."""

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for line in lines_of(ExportTraceServiceRequest.FromString(body)):
            print(json.dumps(line), flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def lines_of(request):
    for resource_spans in request.resource_spans:
        resource = texts(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield line_of(resource, scope_spans.scope.name, span)


def line_of(resource, scope, span):
    return {
        "service": resource.get("service.name"),
        "language": resource.get("telemetry.sdk.language"),
        "scope": scope,
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "state": span.trace_state,
        "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
        "attributes": texts(span.attributes),
    }


def texts(attributes):
    return {one.key: text(one.value) for one in attributes}


def text(value):
    return str(getattr(value, value.WhichOneof("value") or "string_value"))


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
