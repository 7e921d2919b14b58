// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.opentelemetry;

import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.singleflightd.CallEnd;
import io.singleflightd.CallEvent;
import io.singleflightd.CallScope;
import io.singleflightd.SingleflightObserver;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Tells OpenTelemetry of the calls of a client: each has a span {@code singleflight do}, a child of
 * the span that is current where the call is made, and counts in the histogram {@code
 * singleflight.client.do.duration}. The call's function runs in the context of the span, and the
 * server's own spans are children of it. Keys are never told.
 *
 * <pre>{@code
 * SingleflightClient.builder().observer(OpenTelemetryObserver.create(openTelemetry)).build();
 * }</pre>
 */
public final class OpenTelemetryObserver implements SingleflightObserver {
  private static final String NAME = "io.singleflightd";
  private static final AttributeKey<String> GROUP = AttributeKey.stringKey("singleflight.group");
  private static final AttributeKey<String> ROLE = AttributeKey.stringKey("singleflight.role");
  private static final AttributeKey<String> OUTCOME =
      AttributeKey.stringKey("singleflight.outcome");
  private static final AttributeKey<Long> ATTEMPT = AttributeKey.longKey("singleflight.attempt");
  private static final AttributeKey<Long> CALLERS = AttributeKey.longKey("singleflight.callers");
  private static final AttributeKey<Boolean> RETAINED =
      AttributeKey.booleanKey("singleflight.retained");
  private static final List<Double> BOUNDS_S =
      List.of(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
          60.0, 300.0);
  private static final double NANOS_PER_S = TimeUnit.SECONDS.toNanos(1);

  private final Tracer tracer;
  private final DoubleHistogram durations;

  private OpenTelemetryObserver(OpenTelemetry openTelemetry) {
    tracer = openTelemetry.getTracer(NAME);
    durations =
        openTelemetry
            .getMeter(NAME)
            .histogramBuilder("singleflight.client.do.duration")
            .setDescription("How long calls take")
            .setUnit("s")
            .setExplicitBucketBoundariesAdvice(BOUNDS_S)
            .build();
  }

  /**
   * An observer for {@link io.singleflightd.SingleflightClient.Builder#observer}.
   *
   * @param openTelemetry where spans and durations go
   * @return a new observer; any number of clients may have it
   */
  public static OpenTelemetryObserver create(OpenTelemetry openTelemetry) {
    return new OpenTelemetryObserver(openTelemetry);
  }

  @Override
  public CallScope started(CallEvent call) {
    Span span =
        tracer
            .spanBuilder("singleflight do")
            .setSpanKind(SpanKind.CLIENT)
            .setAttribute(GROUP, call.group())
            .startSpan();
    return new Traced(span, Context.current().with(span));
  }

  private final class Traced implements CallScope {
    private final Span span;
    private final Context context;

    Traced(Span span, Context context) {
      this.span = span;
      this.context = context;
    }

    @Override
    public String traceparent() {
      SpanContext own = span.getSpanContext();
      return own.isValid()
          ? "00-" + own.getTraceId() + "-" + own.getSpanId() + "-" + own.getTraceFlags().asHex()
          : null;
    }

    @Override
    public Runnable wrap(Runnable function) {
      return context.wrap(function);
    }

    @Override
    public void happened(String name, CallEvent call) {
      span.addEvent(name, Attributes.of(ATTEMPT, (long) call.attempt()));
    }

    @Override
    public void ended(CallEnd end) {
      span.setAttribute(ROLE, end.role());
      span.setAttribute(ATTEMPT, (long) end.last().attempt());
      span.setAttribute(CALLERS, (long) end.callers());
      span.setAttribute(RETAINED, end.role().equals("retained"));
      if (!end.status().equals("OK")) {
        span.setStatus(StatusCode.ERROR, end.status());
      } else if (!end.outcome().equals("ok")) {
        span.setStatus(StatusCode.ERROR, end.outcome());
      }
      span.end();
      durations.record(
          end.duration().toNanos() / NANOS_PER_S,
          Attributes.of(ROLE, end.role(), OUTCOME, end.outcome()),
          context);
    }
  }
}
