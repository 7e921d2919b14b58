// SPDX-License-Identifier: Apache-2.0
//! What OpenTelemetry sees.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};

use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::{SpanContext, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, Value};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracer, SdkTracerProvider, SpanData};
use singleflightd::otel::Calls;
use singleflightd::test::Fake;
use singleflightd::{Client, Leader};

struct Scene {
    fake: Fake,
    tracer: SdkTracer,
    spans: InMemorySpanExporter,
    meters: SdkMeterProvider,
    metrics: InMemoryMetricExporter,
}

impl Scene {
    fn new() -> Self {
        let (spans, metrics) = (InMemorySpanExporter::default(), InMemoryMetricExporter::default());
        let tracers = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        let reader = PeriodicReader::builder(metrics.clone()).build();
        let meters = SdkMeterProvider::builder().with_reader(reader).build();
        let tracer = tracers.tracer("test");
        let calls = Calls::with(tracer.clone(), &meters.meter("test"));
        let fake = Fake::with(Client::builder().observer(calls));
        Scene { fake, tracer, spans, meters, metrics }
    }

    /// A call inside a span, with a key that nobody is to see; returns its own span.
    async fn call<F, Fut>(&self, function: F) -> SpanData
    where
        F: FnOnce(Leader) -> Fut + Send + 'static,
        Fut: std::future::Future<Output = Result<u64, &'static str>> + Send + 'static,
    {
        use opentelemetry::trace::FutureExt;
        let outer = Context::new().with_span(self.tracer.start("outer"));
        let parent = outer.span().span_context().span_id();
        let call = self.fake.client().call("the-key").group("users").run(function);
        let _ = call.with_context(outer).await;
        let spans = self.spans.get_finished_spans().unwrap();
        let span = spans.into_iter().rfind(|span| span.name == "singleflight do").unwrap();
        assert_eq!(span.parent_span_id, parent);
        let all = format!("{:?} {:?} {:?}", span.attributes, span.events, span.status);
        assert!(!all.contains("the-key"), "{all}");
        span
    }
}

fn events(span: &SpanData) -> Vec<&str> {
    span.events.iter().map(|event| &*event.name).collect()
}

#[tokio::test]
async fn a_call_is_a_span_that_the_server_and_the_function_belong_to() {
    let scene = Scene::new();
    let seen = Arc::<Mutex<Option<SpanContext>>>::default();
    let inside = seen.clone();
    let span = scene
        .call(|_| async move {
            tokio::task::yield_now().await;
            *inside.lock().unwrap() = Some(Context::current().span().span_context().clone());
            Ok(1)
        })
        .await;
    assert_eq!(seen.lock().unwrap().as_ref(), Some(&span.span_context));
    let context = &span.span_context;
    let expected = format!("00-{}-{}-01", context.trace_id(), context.span_id());
    assert_eq!(scene.fake.joins()[0].traceparent, expected);
    let mut all: Vec<_> =
        span.attributes.iter().map(|one| format!("{}={}", one.key, one.value)).collect();
    all.sort();
    let expected = [
        "singleflight.attempt=1",
        "singleflight.callers=1",
        "singleflight.group=users",
        "singleflight.retained=false",
        "singleflight.role=leader",
    ];
    assert_eq!(all, expected);
    assert_eq!((span.status.clone(), events(&span)), (Status::Unset, vec!["led"]));
}

#[tokio::test]
async fn failures_are_errors() {
    let scene = Scene::new();
    let span = scene.call(|_| async { Err("the-key") }).await;
    assert_eq!(span.status, Status::error("error"));
    scene.fake.lose("the-key");
    let span = scene.call(|_| pending()).await;
    assert_eq!(
        (span.status.clone(), events(&span)),
        (Status::error("ABORTED"), vec!["led", "lost"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn durations_are_measured_by_role_and_outcome() {
    let scene = Scene::new();
    scene.call(|_| async { Ok(1) }).await;
    scene.call(|_| async { Ok(1) }).await;
    scene.fake.outcome("the-key", &1);
    scene.call(|_| async { Ok(1) }).await;
    scene.meters.force_flush().unwrap();
    let seen = scene.metrics.get_finished_metrics().unwrap();
    let metric = seen.last().unwrap().scope_metrics().next().unwrap().metrics().next().unwrap();
    assert_eq!((metric.name(), metric.unit()), ("singleflight.client.do.duration", "s"));
    let AggregatedMetrics::F64(MetricData::Histogram(histogram)) = metric.data() else {
        panic!("no histogram")
    };
    let counts: HashMap<_, _> = histogram
        .data_points()
        .map(|point| {
            let of = |name: &str| {
                let one = point.attributes().find(|one| one.key.as_str() == name).unwrap();
                match &one.value {
                    Value::String(text) => text.to_string(),
                    other => panic!("{other:?}"),
                }
            };
            ((of("singleflight.role"), of("singleflight.outcome")), point.count())
        })
        .collect();
    let expected = [("leader", 2), ("follower", 1)];
    let expected = expected.map(|(role, count)| ((role.to_owned(), "ok".to_owned()), count));
    assert_eq!(counts, HashMap::from(expected));
}
