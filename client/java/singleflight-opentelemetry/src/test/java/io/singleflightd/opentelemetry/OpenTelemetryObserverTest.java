// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.opentelemetry;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.data.HistogramPointData;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.testing.exporter.InMemoryMetricReader;
import io.opentelemetry.sdk.testing.exporter.InMemorySpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.singleflightd.CallEvent;
import io.singleflightd.CallScope;
import io.singleflightd.Codec;
import io.singleflightd.Daemon;
import io.singleflightd.DoOptions;
import io.singleflightd.FunctionException;
import io.singleflightd.Result;
import io.singleflightd.SingleflightClient;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The spans and durations of calls at a live daemon. */
@Timeout(60)
class OpenTelemetryObserverTest {
  private static final DoOptions KEPT =
      DoOptions.builder().group("users").retain(Duration.ofMinutes(1)).build();

  private final InMemorySpanExporter spans = InMemorySpanExporter.create();
  private final InMemoryMetricReader metrics = InMemoryMetricReader.create();
  private final OpenTelemetrySdk sdk =
      OpenTelemetrySdk.builder()
          .setTracerProvider(
              SdkTracerProvider.builder()
                  .addSpanProcessor(SimpleSpanProcessor.create(spans))
                  .build())
          .setMeterProvider(SdkMeterProvider.builder().registerMetricReader(metrics).build())
          .build();
  private Daemon daemon;
  private SingleflightClient client;

  @BeforeEach
  void start() {
    daemon = Daemon.start();
    client =
        SingleflightClient.builder()
            .addresses(daemon.address())
            .observer(OpenTelemetryObserver.create(sdk))
            .build();
  }

  @AfterEach
  void end() {
    client.close();
    daemon.close();
    sdk.close();
  }

  private static <T> T attribute(SpanData span, AttributeKey<T> key) {
    return span.getAttributes().get(key);
  }

  @Test
  void aCallIsASpanAndItsFunctionRunsInside() throws Exception {
    Span outer = sdk.getTracer("test").spanBuilder("request").startSpan();
    Result<String> result =
        Context.current()
            .with(outer)
            .wrapSupplier(
                () -> client.callAsync("secret", KEPT, Codec.UTF_8, leader -> currentSpan()))
            .get()
            .get();
    SpanData span = spans.getFinishedSpanItems().get(0);
    assertEquals("singleflight do", span.getName());
    assertEquals(SpanKind.CLIENT, span.getKind());
    assertEquals("led", span.getEvents().get(0).getName());
    assertEquals(outer.getSpanContext().getSpanId(), span.getParentSpanId());
    assertEquals(span.getSpanId(), result.value());
    assertEquals("users", attribute(span, AttributeKey.stringKey("singleflight.group")));
    assertEquals("leader", attribute(span, AttributeKey.stringKey("singleflight.role")));
    assertEquals(1, attribute(span, AttributeKey.longKey("singleflight.attempt")));
    assertEquals(1, attribute(span, AttributeKey.longKey("singleflight.callers")));
    assertFalse(attribute(span, AttributeKey.booleanKey("singleflight.retained")));
    assertEquals(StatusCode.UNSET, span.getStatus().getStatusCode());
    assertFalse(span.toString().contains("secret"));
  }

  private static String currentSpan() {
    return Span.current().getSpanContext().getSpanId();
  }

  @Test
  void failuresHaveAnErrorStatus() {
    assertThrows(
        FunctionException.class,
        () ->
            client.call(
                "key",
                KEPT,
                Codec.UTF_8,
                leader -> {
                  throw new IllegalStateException("no");
                }));
    SpanData span = spans.getFinishedSpanItems().get(0);
    assertEquals(StatusCode.ERROR, span.getStatus().getStatusCode());
    assertEquals("error", span.getStatus().getDescription());
  }

  @Test
  void durationsAreBySecondsRoleAndOutcome() throws Exception {
    client.call("key", KEPT, Codec.UTF_8, leader -> "value");
    client.call("key", KEPT, Codec.UTF_8, leader -> "value");
    assertTrue(
        attribute(
            spans.getFinishedSpanItems().get(1), AttributeKey.booleanKey("singleflight.retained")));
    MetricData metric = metrics.collectAllMetrics().iterator().next();
    assertEquals("singleflight.client.do.duration", metric.getName());
    assertEquals("s", metric.getUnit());
    List<String> kinds =
        metric.getHistogramData().getPoints().stream()
            .map(OpenTelemetryObserverTest::kindOf)
            .sorted()
            .toList();
    assertEquals(List.of("leader ok 1", "retained ok 1"), kinds);
  }

  private static String kindOf(HistogramPointData point) {
    return point.getAttributes().get(AttributeKey.stringKey("singleflight.role"))
        + " "
        + point.getAttributes().get(AttributeKey.stringKey("singleflight.outcome"))
        + " "
        + point.getCount();
  }

  @Test
  void theServerGetsTheSpansContext() {
    CallEvent call = new CallEvent("g", new byte[] {1}, 0, 0);
    CallScope scope = OpenTelemetryObserver.create(sdk).started(call);
    String traceparent = scope.traceparent();
    assertTrue(traceparent.matches("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"), traceparent);
    CallScope none = OpenTelemetryObserver.create(OpenTelemetry.noop()).started(call);
    assertEquals(null, none.traceparent());
  }
}
