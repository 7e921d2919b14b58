// SPDX-License-Identifier: Apache-2.0
//! OpenTelemetry sees the calls of a client: a span for each, whose context the server and the
//! function get, and a histogram of how long they take. With the feature `otel`.
//!
//! ```
//! let builder = singleflightd::Client::builder().observer(singleflightd::otel::Calls::new());
//! ```
//!
//! The span `singleflight do` has the attributes `singleflight.group`, `.role`, `.attempt`, `.callers`
//! and `.retained`, the events of the call, and an error status for a call that failed. The histogram
//! `singleflight.client.do.duration` is in seconds, by `singleflight.role` and
//! `singleflight.outcome`. The key is in neither of them.

use std::any::Any;
use std::sync::Arc;

use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::metrics::{Histogram, Meter};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};

use crate::observer::{CallEvent, CallEventKind, Observer, Trace};

const SCOPE: &str = "singleflightd";
const BOUNDARIES: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// The observer.
pub struct Calls<T = BoxedTracer> {
    tracer: T,
    duration: Histogram<f64>,
}

impl Calls {
    /// Asks the global providers for a tracer and a meter.
    #[must_use]
    pub fn new() -> Self {
        Calls::with(global::tracer(SCOPE), &global::meter(SCOPE))
    }
}

impl Default for Calls {
    fn default() -> Self {
        Calls::new()
    }
}

impl<T: Tracer> Calls<T> {
    /// Makes spans and measures with these.
    pub fn with(tracer: T, meter: &Meter) -> Self {
        let duration = meter
            .f64_histogram("singleflight.client.do.duration")
            .with_unit("s")
            .with_description("How long calls took, from the beginning to their end.")
            .with_boundaries(BOUNDARIES.to_vec())
            .build();
        Calls { tracer, duration }
    }
}

impl<T> std::fmt::Debug for Calls<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

impl<T> Observer for Calls<T>
where
    T: Tracer + Send + Sync + 'static,
    T::Span: Send + Sync + 'static,
{
    fn observe(&self, _: &CallEvent) {} // the span is told

    fn begin(&self, group: &str) -> Option<Arc<dyn Trace>> {
        let span = self
            .tracer
            .span_builder("singleflight do")
            .with_kind(SpanKind::Client)
            .with_attributes([KeyValue::new("singleflight.group", group.to_owned())])
            .start(&self.tracer);
        let context = Context::current_with_span(span);
        Some(Arc::new(Span { context, duration: self.duration.clone() }))
    }
}

struct Span {
    context: Context,
    duration: Histogram<f64>,
}

impl Trace for Span {
    fn traceparent(&self) -> Option<String> {
        let span = self.context.span();
        let context = span.span_context();
        let flags = context.trace_flags().to_u8();
        let text = format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id());
        context.is_valid().then_some(text)
    }

    fn enter(&self) -> Box<dyn Any> {
        Box::new(self.context.clone().attach())
    }

    fn observe(&self, event: &CallEvent) {
        let span = self.context.span();
        let attempt = KeyValue::new("singleflight.attempt", i64::from(event.attempt));
        if event.kind != CallEventKind::Ended {
            span.add_event(event.kind.name(), vec![attempt]);
            return;
        }
        let role = KeyValue::new("singleflight.role", event.role);
        span.set_attributes([
            role.clone(),
            attempt,
            KeyValue::new("singleflight.callers", i64::from(event.callers)),
            KeyValue::new("singleflight.retained", event.role == "retained"),
        ]);
        if event.status != "OK" {
            span.set_status(Status::error(event.status));
        } else if event.outcome != "ok" {
            span.set_status(Status::error(event.outcome));
        }
        span.end();
        let outcome = KeyValue::new("singleflight.outcome", event.outcome);
        self.duration.record(event.duration.as_secs_f64(), &[role, outcome]);
    }
}
