// SPDX-License-Identifier: Apache-2.0

// Package otelsingleflight lets OpenTelemetry see the calls of a singleflight client: a span for
// each, whose context the server and the function get, and a histogram of how long they take.
//
//	client, err := singleflight.NewClient(singleflight.ClientOptions{Observer: otelsingleflight.New()})
//
// The span "singleflight do" has the attributes singleflight.group, .role, .attempt, .callers and
// .retained, the events of the call, and the status Error for a call that failed. The histogram
// singleflight.client.do.duration is in seconds, by singleflight.role and singleflight.outcome. The
// key is in neither of them.
package otelsingleflight

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	singleflight "github.com/singleflightd/singleflightd/client/go"
)

const scope = "github.com/singleflightd/singleflightd/client/go/otelsingleflight"

// Option is an option of [New].
type Option func(*options)

type options struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider
}

// WithTracerProvider makes spans there, instead of by the global provider.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(o *options) { o.tracers = provider }
}

// WithMeterProvider measures there, instead of by the global provider.
func WithMeterProvider(provider metric.MeterProvider) Option {
	return func(o *options) { o.meters = provider }
}

type tracer struct {
	tracer   trace.Tracer
	duration metric.Float64Histogram
}

// New returns an observer for singleflight.ClientOptions. One may serve several clients.
func New(opts ...Option) singleflight.Tracer {
	o := options{tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider()}
	for _, option := range opts {
		option(&o)
	}
	version := singleflight.Version
	meter := o.meters.Meter(scope, metric.WithInstrumentationVersion(version))
	duration, err := meter.Float64Histogram("singleflight.client.do.duration",
		metric.WithUnit("s"),
		metric.WithDescription("How long calls took, from the beginning to their end."),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
			2.5, 5, 10, 30, 60, 300))
	if err != nil {
		otel.Handle(err) // it measures nothing then
	}
	return &tracer{
		tracer:   o.tracers.Tracer(scope, trace.WithInstrumentationVersion(version)),
		duration: duration,
	}
}

// Begin starts the span.
func (t *tracer) Begin(ctx context.Context, group string) context.Context {
	ctx, _ = t.tracer.Start(ctx, "singleflight do",
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("singleflight.group", group)))
	return ctx
}

// Traceparent returns the context of the span.
func (t *tracer) Traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// Observe notes an event, or ends the span.
func (t *tracer) Observe(ctx context.Context, event singleflight.Event) {
	span := trace.SpanFromContext(ctx)
	attempt := attribute.Int("singleflight.attempt", event.Attempt)
	if event.Kind != singleflight.EventEnded {
		span.AddEvent(string(event.Kind), trace.WithAttributes(attempt))
		return
	}
	role := attribute.String("singleflight.role", event.Role)
	span.SetAttributes(role, attempt,
		attribute.Int("singleflight.callers", event.Callers),
		attribute.Bool("singleflight.retained", event.Role == "retained"))
	switch {
	case event.Status != "OK":
		span.SetStatus(codes.Error, event.Status)
	case event.Outcome != "ok":
		span.SetStatus(codes.Error, event.Outcome)
	}
	span.End()
	t.duration.Record(ctx, event.Duration.Seconds(),
		metric.WithAttributes(role, attribute.String("singleflight.outcome", event.Outcome)))
}
