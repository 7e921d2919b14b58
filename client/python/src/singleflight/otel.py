# SPDX-License-Identifier: Apache-2.0
"""Spans and metrics of calls, by OpenTelemetry: ``pip install singleflightd[otel]``.

::

    client = Client(observer=OpenTelemetryObserver())
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from opentelemetry import metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ._version import __version__
from .observer import CallObserver, EndedEvent, Event, TracingObserver

_SCOPE = "singleflight"


class OpenTelemetryObserver(TracingObserver):
    """A span ``singleflight do`` for each call, and how long calls took.

    The span is a child of the caller's, the function runs in it, and the server's spans are its
    children. The histogram ``singleflight.client.do.duration`` is in seconds.

    Args:
        tracer_provider: default: the global one.
        meter_provider: default: the global one.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
        self._duration = meter.create_histogram(
            "singleflight.client.do.duration", "s", "How long calls took, from ask to answer."
        )

    def begin(self, event: Event) -> CallObserver:
        """A call begins, in its caller's context."""
        span = self._tracer.start_span("singleflight do", kind=trace.SpanKind.CLIENT)
        return _Call(span, self._duration)


class _Call(CallObserver):
    def __init__(self, span: trace.Span, duration: metrics.Histogram) -> None:
        self._span = span
        self._duration = duration
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(span))
        self.traceparent = carrier.get("traceparent", "")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with trace.use_span(self._span, record_exception=False, set_status_on_exception=False):
            yield

    def ended(self, event: EndedEvent) -> None:
        span = self._span
        span.set_attribute("singleflight.group", event.group)
        span.set_attribute("singleflight.role", event.role)
        span.set_attribute("singleflight.attempt", event.attempt)
        span.set_attribute("singleflight.callers", event.callers)
        span.set_attribute("singleflight.retained", event.role == "retained")
        if event.status != "OK" or event.outcome != "ok":
            why = event.outcome if event.status == "OK" else event.status
            span.set_status(trace.Status(trace.StatusCode.ERROR, why))
        span.end()
        attributes = {"singleflight.role": event.role, "singleflight.outcome": event.outcome}
        self._duration.record(event.duration, attributes, trace.set_span_in_context(span))
