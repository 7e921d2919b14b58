// SPDX-License-Identifier: Apache-2.0
// What an observer is told, and what OpenTelemetry makes of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { Client } from '../src/index.js';
import type { CallEvent, EndedEvent, Observer } from '../src/index.js';
import { KINDS } from '../src/observer.js';
import { otel } from '../src/otel.js';
import { FakeServer } from '../src/testing.js';
import { Daemon } from './support/daemon.js';
import { audienceOf, failureOf, freshKey, until, Work } from './support/story.js';

/** An observer that writes down what it is told. */
class Diary {
  readonly lines: string[] = [];
  readonly ends: EndedEvent[] = [];
  readonly observer: Observer = {};

  constructor() {
    for (const kind of KINDS)
      this.observer[kind] = (event: CallEvent) => {
        this.lines.push(`${kind} ${event.attempt}`);
        if (kind === 'ended') this.ends.push(event as EndedEvent);
      };
  }
}

describe('observer', { timeout: 120_000 }, () => {
  it('is told who leads and who follows, merged callers too', async () => {
    const daemon = await Daemon.start();
    const [first, second] = [new Diary(), new Diary()];
    const one = new Client({ addresses: daemon.address, observer: first.observer });
    const two = new Client({ addresses: daemon.address, observer: second.observer });
    const key = freshKey();
    const work = new Work();
    const leading = one.do(key, work.run, { audience: true, group: 'jobs' });
    const leader = await work.entered.opened;
    const merged = one.do(key, work.run, { audience: true, group: 'jobs' });
    const following = two.do(key, work.run, { group: 'jobs' });
    await audienceOf(leader, 2);
    work.goOn.open('value');
    await Promise.all([leading, merged, following]);
    assert.deepEqual(first.lines, ['led 1', 'followed 1', 'ended 1', 'ended 1']);
    assert.deepEqual(second.lines, ['followed 1', 'ended 1']);
    const [led] = first.ends;
    assert.ok(led !== undefined && led.duration >= 0 && led.token === leader.token);
    assert.deepEqual(
      [led.role, led.status, led.outcome, led.group],
      ['leader', 'OK', 'ok', 'jobs'],
    );
    assert.deepEqual([led.key.toString(), led.callers], [key, 3]);
    assert.deepEqual(
      second.ends.map((each) => each.role),
      ['follower'],
    );
    const retained = { retain: 60_000 };
    await one.do(key, () => 1, retained);
    await two.do(key, () => 1, retained);
    assert.equal(second.ends.at(-1)?.role, 'retained');
    await Promise.all([one.close(), two.close()]);
    await daemon.stop();
  });

  it('is told of a takeover, of a lead that is lost, and of nobody who is there', async () => {
    const fake = await FakeServer.start();
    const diary = new Diary();
    const client = fake.client({ observer: diary.observer, failOpen: true });
    fake.takeover('taken');
    await client.do('taken', () => 1);
    assert.deepEqual(diary.lines.splice(0), ['followed 1', 'takeover 2', 'led 2', 'ended 2']);
    fake.lose('lost');
    const lose = async (leader: { signal: AbortSignal }): Promise<void> => {
      if (!leader.signal.aborted) await once(leader.signal, 'abort');
    };
    await assert.rejects(client.do('lost', lose));
    assert.deepEqual(diary.lines.splice(0), ['led 1', 'lost 1', 'ended 1']);
    assert.equal(diary.ends.at(-1)?.status, 'ABORTED');
    fake.unavailable();
    await client.do('alone', () => 1);
    assert.deepEqual(diary.lines.splice(0), ['failedOpen 1', 'ended 1']);
    assert.equal(diary.ends.at(-1)?.role, 'alone');
    await fake.close();
  });

  it('changes nothing by throwing', async () => {
    const fake = await FakeServer.start();
    const shout = (): never => {
      throw new Error('a bad observer');
    };
    const warned = once(process, 'warning');
    const client = fake.client({ observer: { led: shout, ended: shout }, traceparent: shout });
    assert.equal((await client.do('k', () => 1)).value, 1);
    const [warning] = (await warned) as [Error];
    assert.match(warning.message, /threw: .*a bad observer/);
    await fake.close();
  });

  it('makes spans and durations of calls', async () => {
    const fake = await FakeServer.start();
    const spans = new InMemorySpanExporter();
    const tracerProvider = new BasicTracerProvider({
      spanProcessors: [new SimpleSpanProcessor(spans)],
    });
    const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter: metrics });
    const meterProvider = new MeterProvider({ readers: [reader] });
    const client = fake.client(otel({ tracerProvider, meterProvider }));
    await client.do('k', () => 1, { group: 'jobs' });
    fake.outcome('failed', new Error('no rows'));
    await failureOf(client.do('failed', null, { role: 'FOLLOW_ONLY' }), Error);
    await until('the spans have ended', () => spans.getFinishedSpans().length === 2);
    const [good, bad] = spans.getFinishedSpans();
    assert.ok(good !== undefined && bad !== undefined);
    assert.equal(good.name, 'singleflight do');
    assert.equal(good.attributes['singleflight.group'], 'jobs');
    assert.equal(good.attributes['singleflight.role'], 'leader');
    assert.equal(JSON.stringify(good.attributes).includes('"k"'), false);
    assert.equal(bad.status.message, 'error');
    const { traceId, spanId } = good.spanContext();
    assert.deepEqual(
      fake.calls.map((call) => call.traceparent.slice(0, 52))[0],
      `00-${traceId}-${spanId}`,
    );
    await meterProvider.forceFlush();
    const points = metrics.getMetrics().at(-1)?.scopeMetrics[0]?.metrics[0];
    assert.equal(points?.descriptor.name, 'singleflight.client.do.duration');
    assert.equal(points.dataPoints.length, 2);
    await meterProvider.shutdown();
    await fake.close();
  });
});
