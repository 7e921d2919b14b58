// SPDX-License-Identifier: Apache-2.0
// How long a lead is held, by the clock: alone, and against servers that answer or do not.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { Clock } from '../src/clock.js';
import { Hold } from '../src/hold.js';
import {
  AbandonedError,
  AbortedError,
  Client,
  CodecError,
  FunctionError,
  StatusError,
} from '../src/index.js';
import type { ClientOptions, Codec, Leader } from '../src/index.js';
import { OutcomeKind } from '../src/gen/singleflight/v1/singleflight.js';
import { Fake } from './support/fake.js';
import type { FakeCall } from './support/fake.js';
import { failureOf, freshKey, lossOf, until, Work } from './support/story.js';

/** Nothing else runs in this process meanwhile. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

describe('clock', () => {
  it('goes on while the machine sleeps, and never goes back', () => {
    let [running, uptime] = [1000, 51_000];
    const clock = new Clock(
      () => running,
      () => uptime,
    );
    const begun = clock.now();
    running += 2000;
    uptime += 1990; // it counts hundredths only
    assert.equal(clock.now() - begun, 2000);
    uptime += 3_600_000; // an hour's sleep
    assert.equal(clock.now() - begun, 3_602_000 - 10);
    uptime -= 3_600_000;
    assert.equal(clock.now() - begun, 3_602_000 - 10);
  });

  it('does without a machine that tells', () => {
    let running = 5;
    const clock = new Clock(
      () => running,
      () => 0,
    );
    const begun = clock.now();
    running += 7;
    assert.equal(clock.now() - begun, 7);
  });

  it('is that of this machine', () => {
    const [clock, other] = [new Clock(), new Clock()];
    const begun = performance.now();
    const first = clock.now();
    block(50);
    const passed = clock.now() - first;
    assert.ok(passed >= 45 && passed <= performance.now() - begun + 20, `${passed} ms`);
    assert.ok(Math.abs(other.now() - clock.now()) < 50);
  });
});

describe('hold', () => {
  let now = 0;
  const clock = new Clock(
    () => now,
    () => 0,
  );

  /** Looks when it is time to, and says what is due. */
  function look(hold: Hold, late = 0): string {
    now = hold.due + late;
    return hold.check();
  }

  it('renews every third, and holds from the sending of the last one that was answered', () => {
    now = 0;
    const hold = new Hold(clock, 900, true, 0);
    assert.equal(look(hold), 'RENEW');
    assert.equal(now, 300);
    const first = hold.onRenewal(now);
    assert.equal(look(hold), 'RENEW');
    assert.equal(now, 600);
    const second = hold.onRenewal(now);
    assert.deepEqual([first, second], [1n, 2n]);
    hold.onRenewed(first, 0);
    assert.equal(look(hold), 'RENEW');
    assert.equal(now, 900);
    assert.equal(hold.isOver, false); // it is held until 1200
    now = 1200;
    assert.equal(hold.isOver, true);
  });

  it('says that it is lost when nothing is answered, with a little grace', () => {
    now = 0;
    const hold = new Hold(clock, 900, true, 0);
    const said = [look(hold), look(hold), look(hold), look(hold)];
    assert.deepEqual(said, ['RENEW', 'RENEW', 'WAIT', 'LOST']);
    assert.ok(now > 900 && now <= 1000, `${now}`);
  });

  it('asks first when it finds that it stood still beyond the end', () => {
    now = 0;
    const hold = new Hold(clock, 900, true, 0);
    assert.equal(look(hold, 4000), 'RENEW');
    assert.equal(hold.isOver, true);
    const id = hold.onRenewal(now);
    hold.onRenewed(id, 0);
    assert.equal(hold.isOver, false);
    assert.equal(hold.paused, 0);
    assert.equal(look(hold), 'RENEW');
  });

  it('asks for as long as the lease, and 5 s at most', () => {
    for (const [silence, patience] of [
      [900, 900],
      [60_000, 5000],
    ] as const) {
      now = 0;
      const hold = new Hold(clock, silence, true, 0);
      now = silence * 3;
      const begun = now;
      let said: string = hold.check();
      while (said === 'RENEW') said = look(hold);
      assert.equal(said, 'LOST');
      assert.equal(now - begun, patience);
    }
  });

  it('asks when its renewals were too late to be answered in time', () => {
    now = 0;
    const hold = new Hold(clock, 900, true, 0);
    assert.equal(look(hold, 590), 'RENEW'); // stood still until just before the end
    hold.onRenewal(now);
    assert.equal(look(hold), 'RENEW'); // it asks, and is not lost
    assert.ok(hold.isOver);
  });

  it('begins anew to ask when it stands still again', () => {
    now = 0;
    const hold = new Hold(clock, 900, true, 0);
    assert.equal(look(hold, 4000), 'RENEW');
    assert.equal(look(hold, 4000), 'RENEW');
  });

  it('takes the silence that the server names from now on', () => {
    now = 0;
    const hold = new Hold(clock, 900, true, 0);
    assert.equal(look(hold), 'RENEW');
    hold.onRenewed(hold.onRenewal(now), 3000);
    assert.equal(hold.silence, 3000);
    now = 3200;
    assert.equal(hold.isOver, false);
  });

  it('counts the sending where an old server does not answer, and does not ask', () => {
    now = 0;
    const hold = new Hold(clock, 900, false, 0);
    assert.equal(look(hold), 'RENEW');
    assert.equal(hold.onRenewal(now), 0n);
    now = 1100;
    assert.equal(hold.isOver, false);
    assert.equal(look(hold, 4000), 'WAIT');
    assert.equal(look(hold), 'LOST');
  });

  it('has no end without a lease at an old server', () => {
    now = 0;
    const hold = new Hold(clock, 0, false, 0);
    assert.equal(hold.hasEnd, false);
    now = 1e9;
    assert.equal(hold.isOver, false);
  });
});

describe('held leads', { timeout: 180_000 }, () => {
  const toEnd: (() => unknown)[] = [];

  afterEach(async () => {
    for (const end of toEnd.splice(0)) await end();
  });

  async function fake(...hears: Parameters<typeof Fake.start>): Promise<Fake> {
    const server = await Fake.start(...hears);
    toEnd.push(() => server.stop());
    return server;
  }

  function clientOf(server: Fake, options: ClientOptions = {}): Client {
    const client = new Client({ addresses: server.address, ...options });
    toEnd.unshift(() => client.close());
    return client;
  }

  it('are renewed with ids that are answered, for as long as the function runs', async () => {
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.lead({ silenceMs: 900n });
      if (step.$case === 'renew') call.renewed(step.value.id);
    });
    const work = new Work();
    const call = clientOf(server).do(freshKey(), work.run);
    const leader = await work.entered.opened;
    await until('it has renewed often', () => (server.calls[0]?.of('renew').length ?? 0) >= 5);
    assert.equal(leader.lost, false);
    const [asked] = server.calls;
    assert.deepEqual(
      asked?.of('renew').slice(0, 5),
      [1n, 2n, 3n, 4n, 5n].map((id) => ({ id })),
    );
    work.goOn.open('value');
    assert.equal((await call).value, 'value');
    assert.equal(asked.frames.at(-1)?.step?.$case, 'finish');
  });

  // What a leader hears that resumes when its outcome is retained already.
  const OWN = { led: true, retained: true, ageMs: 50n };

  it('end with their own outcome, which is never stale', async () => {
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.lead({ leaseMs: 60_000n });
      if (step.$case === 'finish') call.result({}, OWN);
    });
    const options = { lease: 60_000, retain: 60_000, stale: 60_000 };
    const { value, led, stale } = await clientOf(server).do(freshKey(), () => 'mine', options);
    assert.deepEqual([value, led, stale, server.calls.length], ['mine', true, false, 1]);
    const mute: Codec<string> = {
      encode: (text) => Buffer.from(text),
      decode: () => {
        throw new Error('it has another form');
      },
    };
    const undecodable = clientOf(server).do(freshKey(), () => 'mine', {
      lease: 60_000,
      codec: mute,
    });
    await assert.rejects(undecodable, CodecError);
    assert.equal(server.calls.length, 2);
  });

  it('end as the server says, fresh or not', async () => {
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.lead({ leaseMs: 60_000n });
      if (step.$case === 'finish')
        call.result({ kind: OutcomeKind.OUTCOME_KIND_ABANDONED, message: 'held' }, OWN);
    });
    const call = clientOf(server).do(freshKey(), () => 'mine', { lease: 60_000, fresh: true });
    await assert.rejects(call, AbandonedError);
  });

  it('are lost when the server says nothing, and the function is told', async () => {
    for (const leaseMs of [0n, 1000n]) {
      const server = await fake((call, step) => {
        if (step.$case === 'join') call.lead({ silenceMs: 1000n, leaseMs });
      });
      const work = new Work();
      const begun = performance.now();
      const call = clientOf(server).do(freshKey(), work.run, { lease: Number(leaseMs) });
      const leader = await work.entered.opened;
      assert.equal(leader.lost, false);
      assert.ok((await lossOf(leader)) instanceof AbortedError);
      const told = performance.now() - begun;
      assert.ok(told >= 1000 && told < 6000, `told after ${told} ms`);
      assert.match(String(leader.signal.reason), /not confirmed it for 1000 ms/);
      work.goOn.open('too late');
      await failureOf(call, AbortedError);
    }
  });

  it('are lost in the first moment after a pause, and may hold again', async () => {
    let answers = true;
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.lead({ silenceMs: 1000n, leaseMs: 1000n });
      if (step.$case === 'renew' && answers) call.renewed(step.value.id);
    });
    const client = clientOf(server);
    const aborts: unknown[] = [];
    const pause = async (leader: Leader, isOver: boolean): Promise<boolean[]> => {
      const { signal } = leader;
      signal.addEventListener('abort', () => aborts.push(signal.reason));
      const before = [leader.lost, signal.aborted];
      block(4000);
      const first = [leader.lost, signal.aborted];
      assert.throws(() => signal.throwIfAborted(), AbortedError);
      if (isOver) await lossOf(leader);
      else await until('it holds again', () => !leader.lost);
      return [...before, ...first, signal.aborted];
    };
    const { value } = await client.do(freshKey(), (leader) => pause(leader, false), {
      lease: 1000,
    });
    assert.deepEqual(value, [false, false, true, true, false]);
    assert.deepEqual(aborts, []);
    answers = false;
    const call = client.do(freshKey(), (leader) => pause(leader, true), { lease: 1000 });
    await failureOf(call, AbortedError);
    assert.match(String(aborts[0]), /stood still for [34]\d\d\d ms/);
    assert.equal(aborts.length, 1);
  });

  it('are lost by the sending of renewals at an old server', async () => {
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.lead({ leaseMs: 1000n });
    });
    const client = clientOf(server);
    const work = new Work();
    const call = client.do(freshKey(), work.run, { lease: 1000 });
    const leader = await work.entered.opened;
    await until('it has renewed often', () => (server.calls[0]?.of('renew').length ?? 0) >= 5);
    assert.equal(leader.lost, false);
    assert.deepEqual(server.calls[0]?.of('renew')[0], { id: 0n });
    block(2000);
    assert.equal(leader.lost, true);
    await lossOf(leader);
    work.goOn.open('too late');
    assert.match((await failureOf(call, AbortedError)).message, /stood still for/);
  });

  it('have no end without a lease at an old server', async () => {
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.lead();
    });
    const { value } = await clientOf(server).do(freshKey(), (leader) => {
      block(1500);
      return leader.lost;
    });
    assert.equal(value, false);
    assert.equal(server.calls[0]?.of('renew').length, 0);
  });

  it('begin when the server confirms those that come long after the join', async () => {
    let followed: FakeCall | undefined;
    const server = await fake((call, step) => {
      if (step.$case === 'join') {
        call.follow(1);
        followed = call;
      }
    });
    const work = new Work();
    const begun = performance.now();
    const call = clientOf(server).do(freshKey(), work.run);
    await until('longer than it may be silent', () => {
      return followed !== undefined && performance.now() - begun > 600;
    });
    followed?.lead({ silenceMs: 500n, attempt: 2 });
    await until('it asks', () => followed?.of('renew').length === 1);
    assert.equal(work.runs, 0);
    followed?.renewed(1n);
    assert.equal((await work.entered.opened).lost, false);
    work.goOn.open('value');
    assert.equal((await call).value, 'value');
  });

  it('say what a call is: whether it may leave, that it is kept while it leads', async () => {
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.lead({ silenceMs: 60_000n });
    });
    const client = clientOf(server);
    const inner = { fingerprint: 'x', retainFromLead: true, onLeaderLoss: 'HOLD' } as const;
    const nested = async () => (await client.do('inner', () => 1, inner)).value;
    await client.do('outer', nested, { timeout: 60_000 });
    const [first, second] = server.calls.map((call) => call.join);
    assert.deepEqual([first?.audience, first?.detach, first?.within], [true, true, []]);
    assert.deepEqual([second?.audience, second?.retainFromLead], [false, true]);
    assert.equal(second?.onLeaderLoss, 2);
    assert.deepEqual(second.within, [{ group: 'default', key: Buffer.from('outer'), token: 7n }]);
  });

  it('end with what the server makes of them: a limit, or a loss that is held', async () => {
    const ends = [
      { kind: OutcomeKind.OUTCOME_KIND_ERROR, type: 'singleflight.LimitExceeded', code: 8 },
      { kind: OutcomeKind.OUTCOME_KIND_ABANDONED, message: 'the lease of 1 s ran out' },
    ];
    for (const end of ends) {
      const server = await fake((call, step) => {
        if (step.$case === 'join') call.lead({ silenceMs: 60_000n });
        if (step.$case === 'finish') call.result(end, { led: true });
      });
      const error = await failureOf(
        clientOf(server).do(freshKey(), () => 'value'),
        FunctionError,
      );
      assert.equal(error.code, end.code ?? 0);
      assert.equal(error instanceof AbandonedError, end.code === undefined);
    }
  });

  it('do not send in vain what the server does not take', async () => {
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.lead({ silenceMs: 60_000n, resultLimit: 100n });
    });
    const client = clientOf(server);
    assert.equal((await client.doBytes(freshKey(), () => Buffer.alloc(100))).value.length, 100);
    const call = client.doBytes(freshKey(), () => Buffer.alloc(101));
    assert.match((await failureOf(call, FunctionError)).message, /server's limit.* 100 bytes/);
    const { outcome } = server.calls[1]?.of('finish')[0] ?? {};
    assert.deepEqual([outcome?.code, outcome?.type], [8, 'singleflight.LimitExceeded']);
    assert.equal(outcome?.value.length, 0);
  });

  it('are ended in the middle by a limit that the server has', async () => {
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.lead({ silenceMs: 60_000n });
      if (step.$case === 'chunk')
        call.result(
          { kind: OutcomeKind.OUTCOME_KIND_ERROR, type: 'singleflight.LimitExceeded', code: 8 },
          { led: true },
        );
    });
    const call = clientOf(server).doBytes(freshKey(), async (leader) => {
      await leader.write('too much');
      await lossOf(leader);
      throw new Error('the function has heard of it');
    });
    assert.equal((await failureOf(call, FunctionError)).type, 'singleflight.LimitExceeded');
  });

  it('are refused to a fresh call by a server that does not know the word', async () => {
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.follow(1);
    });
    const error = await failureOf(
      clientOf(server).do(freshKey(), () => 1, { fresh: true }),
      StatusError,
    );
    assert.equal(error.code, 'UNIMPLEMENTED');
    assert.match(error.message, /too old for the option fresh/);
  });

  it('are taken by a fresh call in a flight whose leader has not been told yet', async () => {
    const server = await fake((call, step) => {
      if (step.$case !== 'join') return;
      call.follow(1, ''); // nobody: its lead is still on its way to the disk
      const value = Buffer.from('"made after the call"');
      call.result(
        { kind: OutcomeKind.OUTCOME_KIND_OK, value },
        { valueBytes: BigInt(value.length) },
      );
    });
    const { value } = await clientOf(server).do(freshKey(), () => '', { fresh: true });
    assert.equal(value, 'made after the call');
  });

  it('are not shared by fresh calls once one of them has been sent', async () => {
    const server = await fake((call, step) => {
      if (step.$case === 'join') call.follow(0);
    });
    const client = clientOf(server);
    const key = freshKey();
    const ask = () => client.do(key, () => 1, { fresh: true }).catch(() => undefined);
    const asked = [ask(), ask()];
    await until('they have been sent', () => server.calls.length === 1);
    asked.push(ask());
    await until('the third one has been sent', () => server.calls.length === 2);
    await client.close();
    await Promise.all(asked);
  });
});
