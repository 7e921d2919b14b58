// SPDX-License-Identifier: Apache-2.0
/**
 * OpenTelemetry for the client: a span and a duration for each call. Needs @opentelemetry/api.
 *
 * @packageDocumentation
 */
import { isSpanContextValid, metrics, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { MeterProvider, Span, TracerProvider } from '@opentelemetry/api';
import type { EndedEvent, Observer, WatchedCall } from './observer.js';

const NAME = 'singleflightd';

/** Where spans and durations go. Default: the global providers. */
export interface OtelOptions {
  tracerProvider?: TracerProvider | undefined;
  meterProvider?: MeterProvider | undefined;
}

/** The two options of a client that make it seen: `new Client({ ...otel() })`. */
export interface Otel {
  observer: Observer;
  traceparent: (call: WatchedCall) => string | undefined;
}

/**
 * Each call is a span `singleflight do`, a child of the active one, and goes along to the server:
 * there the spans of those who wait lead to that of the one who works. Its duration is a point of
 * the histogram `singleflight.client.do.duration`. Keys are in neither.
 */
export function otel(options: OtelOptions = {}): Otel {
  const tracer = (options.tracerProvider ?? trace).getTracer(NAME);
  const meter = (options.meterProvider ?? metrics).getMeter(NAME);
  const duration = meter.createHistogram('singleflight.client.do.duration', {
    unit: 's',
    description: 'How long calls took',
  });
  const spans = new WeakMap<WatchedCall, Span>();

  const ended = (event: EndedEvent): void => {
    duration.record(event.duration / 1000, {
      'singleflight.role': event.role,
      'singleflight.outcome': event.outcome,
    });
    const span = spans.get(event.call);
    if (span === undefined) return;
    span.setAttributes({
      'singleflight.role': event.role,
      'singleflight.attempt': event.attempt,
      'singleflight.callers': event.callers,
      'singleflight.retained': event.role === 'retained',
    });
    if (event.status !== 'OK' || event.outcome !== 'ok')
      span.setStatus({
        code: SpanStatusCode.ERROR,
        message: event.status === 'OK' ? event.outcome : event.status,
      });
    span.end();
  };

  const traceparent = (call: WatchedCall): string | undefined => {
    const span = tracer.startSpan('singleflight do', {
      kind: SpanKind.CLIENT,
      attributes: { 'singleflight.group': call.group },
    });
    spans.set(call, span);
    const context = span.spanContext();
    if (!isSpanContextValid(context)) return undefined;
    const flags = context.traceFlags.toString(16).padStart(2, '0');
    return `00-${context.traceId}-${context.spanId}-${flags}`;
  };

  return { observer: { ended }, traceparent };
}
