# SPDX-License-Identifier: Apache-2.0
"""A collector of traces: OTLP over gRPC, with OpenTelemetry's own messages."""

import concurrent.futures
import threading

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc

from support import wait


def value_of(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


class Span:
    """One span with its attributes as a dictionary."""

    def __init__(self, span, resource):
        self.raw = span
        self.name = span.name
        self.resource = {a.key: value_of(a.value) for a in resource.attributes}
        self.attributes = {
            a.key.removeprefix("singleflight."): value_of(a.value) for a in span.attributes
        }
        self.events = [e.name for e in span.events]

    def __getattr__(self, name):
        return getattr(self.raw, name)

    def __repr__(self):
        return f"<{self.name} {self.attributes} {self.events}>"

    @property
    def link(self):
        """Of the one link: the trace and the span that it leads to."""
        (link,) = self.raw.links
        return link.trace_id, link.span_id

    @property
    def place(self):
        return self.raw.trace_id, self.raw.span_id


class Collector(otlp_grpc.TraceServiceServicer):
    """Keeps the spans that come. `held` (an Event): no export is answered before it is set."""

    def __init__(self, credentials=None, held=None, address="127.0.0.1:0", codes=()):
        self.held = held
        self.codes = list(codes)  # how the first exports end
        self.metadata = []
        self._spans = []
        self._changed = threading.Condition()
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        otlp_grpc.add_TraceServiceServicer_to_server(self, self._server)
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()

    def Export(self, request, context):  # noqa: N802, the service's name for it
        if self.held is not None:
            self.held.wait(wait.BOUND)
        if self.codes:
            context.abort(self.codes.pop(0), "not now")
        with self._changed:
            self.metadata.append(dict(context.invocation_metadata()))
            for part in request.resource_spans:
                for scope in part.scope_spans:
                    self._spans += [Span(span, part.resource) for span in scope.spans]
            self._changed.notify_all()
        return otlp.ExportTraceServiceResponse()

    def spans(self, count, **attributes):
        """Waits for that many spans with these attributes, and returns them as they came."""

        def found():
            return [s for s in self._spans if attributes.items() <= s.attributes.items()]

        with self._changed:
            done = self._changed.wait_for(lambda: len(found()) >= count, wait.BOUND)
            assert done, f"{count} spans with {attributes} wanted, of {self._spans}"
            return found()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self._server.stop(0).wait(wait.BOUND)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
