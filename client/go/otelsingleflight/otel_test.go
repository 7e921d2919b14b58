// SPDX-License-Identifier: Apache-2.0

package otelsingleflight_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"

	singleflight "github.com/singleflightd/singleflightd/client/go"
	"github.com/singleflightd/singleflightd/client/go/otelsingleflight"
	"github.com/singleflightd/singleflightd/client/go/singleflighttest"
)

// scene is a fake, and what OpenTelemetry has seen of its client.
type scene struct {
	*singleflighttest.Fake
	tracers *trace.TracerProvider
	spans   *tracetest.SpanRecorder
	metrics *metric.ManualReader
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{spans: tracetest.NewSpanRecorder(), metrics: metric.NewManualReader()}
	s.tracers = trace.NewTracerProvider(trace.WithSpanProcessor(s.spans))
	meters := metric.NewMeterProvider(metric.WithReader(s.metrics))
	s.Fake = singleflighttest.New(t, singleflight.ClientOptions{Observer: otelsingleflight.New(
		otelsingleflight.WithTracerProvider(s.tracers), otelsingleflight.WithMeterProvider(meters))})
	return s
}

// do makes a call, inside a span, with a key that nobody is to see.
func (s *scene) do(t *testing.T, fn func(context.Context) (int, error)) (span trace.ReadOnlySpan) {
	t.Helper()
	ctx, outer := s.tracers.Tracer("test").Start(context.Background(), "outer")
	defer outer.End()
	_, _ = singleflight.Do(ctx, s.Client, "the-key", fn, singleflight.WithGroup("users"))
	ended := s.spans.Ended()
	span = ended[len(ended)-1]
	if span.Parent().SpanID() != outer.SpanContext().SpanID() {
		t.Errorf("it belongs to %v", span.Parent())
	}
	if everything := fmt.Sprint(span.Name(), span.Attributes(), span.Events(), span.Status()); strings.
		Contains(everything, "the-key") {
		t.Error(everything)
	}
	return span
}

func events(span trace.ReadOnlySpan) (names string) {
	for _, event := range span.Events() {
		names += event.Name + " "
	}
	return names
}

func TestACallIsASpanThatTheServerAndTheFunctionBelongTo(t *testing.T) {
	scene := newScene(t)
	var inside api.SpanContext
	span := scene.do(t, func(ctx context.Context) (int, error) {
		inside = api.SpanContextFromContext(ctx)
		return 1, nil
	})
	if span.Name() != "singleflight do" || !inside.Equal(span.SpanContext()) {
		t.Errorf("%s %v", span.Name(), inside)
	}
	want := fmt.Sprintf("00-%s-%s-01", span.SpanContext().TraceID(), span.SpanContext().SpanID())
	if got := scene.Joins()[0].Traceparent; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	attributes := attribute.NewSet(span.Attributes()...)
	const all = "singleflight.attempt=1,singleflight.callers=1,singleflight.group=users," +
		"singleflight.retained=false,singleflight.role=leader"
	if got := attributes.Encoded(attribute.DefaultEncoder()); got != all {
		t.Error(got)
	}
	if span.Status().Code != codes.Unset || events(span) != "led " {
		t.Errorf("%v, %s", span.Status(), events(span))
	}
}

func TestFailuresAreErrors(t *testing.T) {
	scene := newScene(t)
	span := scene.do(t, func(context.Context) (int, error) { return 0, errors.New("the-key") })
	if span.Status() != (trace.Status{Code: codes.Error, Description: "error"}) {
		t.Errorf("%v", span.Status())
	}
	scene.Lose("the-key")
	span = scene.do(t, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, nil })
	if span.Status() != (trace.Status{Code: codes.Error, Description: "ABORTED"}) ||
		events(span) != "led lost " {
		t.Errorf("%v, %s", span.Status(), events(span))
	}
}

func TestDurationsAreMeasuredByRoleAndOutcome(t *testing.T) {
	scene := newScene(t)
	fn := func(context.Context) (int, error) { return 1, nil }
	scene.do(t, fn)
	scene.do(t, fn)
	scene.Outcome("the-key", nil, errors.New("no"))
	scene.do(t, fn)
	var seen metricdata.ResourceMetrics
	if err := scene.metrics.Collect(context.Background(), &seen); err != nil {
		t.Fatal(err)
	}
	metrics := seen.ScopeMetrics[0].Metrics
	if len(metrics) != 1 || metrics[0].Name != "singleflight.client.do.duration" ||
		metrics[0].Unit != "s" {
		t.Fatalf("%+v", metrics)
	}
	counts := map[string]uint64{}
	for _, point := range metrics[0].Data.(metricdata.Histogram[float64]).DataPoints {
		counts[point.Attributes.Encoded(attribute.DefaultEncoder())] = point.Count
	}
	if len(counts) != 2 || counts["singleflight.outcome=ok,singleflight.role=leader"] != 2 ||
		counts["singleflight.outcome=error,singleflight.role=follower"] != 1 {
		t.Errorf("%v", counts)
	}
}
