# SPDX-License-Identifier: Apache-2.0
"""Many callers, many keys, many bytes."""

import random
import threading
import zlib

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import KIB, MIB, SERVICE
from support.daemon import sanitized
from support.processes import Child
from support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def one_leads_all_share(callers, value):
    """One of the callers gets `lead`, finishes with the value, and all others get it."""
    leaders, followers = [], []
    for caller in callers:
        name, message = caller.next()
        assert name in ("lead", "follow")
        (leaders if name == "lead" else followers).append(caller)
    assert len(leaders) == 1
    leaders[0].finish(value)
    for follower in followers:
        got = follower.delivery()
        assert got.value == value and got.shared and not got.led and got.callers == len(callers)
    assert leaders[0].delivery().callers == len(callers)


def test_200_callers_on_one_key(rpc):
    """Issue: 200 Python callers on one key: one `lead`, 199 equal results."""
    channels = [rpc.open_channel() for _ in range(8)]
    streams = [None] * 8
    start = threading.Barrier(8)
    callers, lock = [], threading.Lock()

    def join(number):
        start.wait()
        for _ in range(25):
            if rpc.kind == "session":
                streams[number] = streams[number] or rpc.session(channels[number])
                caller = streams[number].open_call()
                caller.send("join", rpc.join_message())
            else:
                caller = rpc.join(channel=channels[number])
            with lock:
                callers.append(caller)

    threads = [threading.Thread(target=join, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one_leads_all_share(callers, b"one for all")
    assert rpc.stats().executions == 1 and rpc.stats().executions_saved == 199


def test_200_callers_in_8_processes(each):
    """Issue: many real processes ask for one piece of work, one of them does it, all of them get
    the result.
    """
    children = [Child(each.daemon.address, each.kind) for _ in range(8)]
    try:
        names = [str(i) for i in range(25)]
        for child in children:
            for name in names:
                child.join(each, name)
        first = {(c, n): c.next(n) for c in children for n in names}
        leaders = [who for who, event in first.items() if event["step"] == "lead"]
        assert len(leaders) == 1
        assert sum(event["step"] == "follow" for event in first.values()) == 199
        child, name = leaders[0]
        child.finish(b"from one process", name)
        for (child, name), event in first.items():
            result = child.expect(name, "result")
            if event["step"] == "follow":
                assert bytes.fromhex(result["value"]) == b"from one process"
            assert result["callers"] == 200 and result["token"] == leaders_token(first)
    finally:
        for child in children:
            child.close()


def leaders_token(first):
    """The token that the one leader was given."""
    return next(event["token"] for event in first.values() if event["step"] == "lead")


def test_10_000_callers_on_one_key_over_sessions(net):
    """Issue: 10,000 callers on one key: one leads, 9,999 get its bytes."""
    callers = []
    for _ in range(10):
        stream = net.session(net.open_channel())
        calls = [stream.open_call() for _ in range(1000)]
        stream.send(*[c.frame("join", net.join_message()) for c in calls])
        callers += calls
    one_leads_all_share(callers, b"x" * KIB)
    stats = net.stats()
    assert stats.calls == 10_000 and stats.executions == 1 and stats.executions_saved == 9_999


def test_10_000_callers_lose_their_leader(net):
    """Row "the leader leaves": with 10,000 waiting exactly one is told to lead."""
    stream = net.session()
    calls = [stream.open_call(live=True) for _ in range(10_000)]
    leader = net.lead()
    for start in range(0, 10_000, 1000):
        batch = calls[start : start + 1000]
        stream.send(*[c.frame("join", net.join_message(live=True)) for c in batch])
    for call in calls:
        call.follows()
    leader.cancel()
    calls[0].leads()
    calls[0].finish(b"second try")
    for call in calls[1:]:
        got = call.delivery()
        assert got.value == b"second try" and len(got.restarts) == 1


def test_10_000_keys(net):
    """Issue: 10,000 keys, each with a leader and a follower: nobody gets what belongs to
    another.
    """
    leading, following = net.session(), net.session(net.open_channel())
    leaders = [leading.open_call() for _ in range(10_000)]
    followers = [following.open_call() for _ in range(10_000)]

    def batches(calls, make):
        for start in range(0, 10_000, 1000):
            yield [make(n) for n in range(start, start + 1000)]

    key = lambda n: b"key-%d" % n
    for batch in batches(leaders, lambda n: leaders[n].frame("join", net.join_message(key=key(n)))):
        leading.send(*batch)
    for leader in leaders:
        leader.leads()
    for batch in batches(
        followers, lambda n: followers[n].frame("join", net.join_message(key=key(n)))
    ):
        following.send(*batch)
    for follower in followers:
        follower.follows()
    assert net.stats().flights_now == 10_000 and net.stats().callers_now == 20_000

    def finish(n):
        outcome = pb.Outcome(kind=pb.OUTCOME_KIND_OK, value=b"value of " + key(n))
        return leaders[n].frame("finish", pb.Finish(outcome=outcome))

    for batch in batches(leaders, finish):
        leading.send(*batch)
    for number, follower in enumerate(followers):
        got = follower.delivery()
        assert got.value == b"value of " + key(number) and got.callers == 2
    until(lambda: net.stats().flights_now == 0, "all flights have ended")


class Reader(threading.Thread):
    """Follows on a Do stream and keeps only a checksum of the value."""

    def __init__(self, net, channel):
        super().__init__(daemon=True)
        self.caller = net.follow(channel=channel)
        self.checksum, self.size, self.result, self.failure = 0, 0, None, None

    def take(self, data):
        self.checksum = zlib.crc32(data, self.checksum)
        self.size += len(data)

    def run(self):
        try:
            while True:
                name, message = self.caller.next(bound=200)
                if name == "result":
                    self.take(message.outcome.value)
                    self.result = message
                    return
                assert name == "chunk", name
                self.take(message.data)
        except AssertionError as failure:
            self.failure = failure


def test_64_mib_to_50_followers_of_which_one_does_not_read(private):
    """Issue: a 64 MiB result to 50 followers of which one does not read: memory stays bounded,
    nobody waits for it.
    """
    net = private(drain_time="2s")
    size, piece = 64 * MIB, random.Random(7).randbytes(MIB)
    leader = net.lead()
    channels = [net.open_channel() for _ in range(7)]
    readers = [Reader(net, channels[n % 7]) for n in range(49)]
    deaf = net.do(net.open_channel(), reading=False)
    deaf.send("join", net.join_message())
    net.flight_where(lambda f: f.callers == 51, "all have joined")
    before = net.daemon.memory()
    for reader in readers:
        reader.start()
    leader.chunks(piece * (size // MIB), MIB)
    leader.finish()
    wanted = zlib.crc32(piece * (size // MIB))
    for reader in readers:
        reader.join(200)
        assert reader.failure is None and reader.result is not None, reader.failure
        assert reader.size == size == reader.result.value_bytes
        assert reader.checksum == wanted
    if not sanitized():
        grown = net.daemon.memory("VmHWM") - before
        assert grown < 6 * size, f"{grown >> 20} MiB for one result of 64 MiB"
    net.key_is_free(key=b"another")
    deaf.close()
    until(lambda: net.stats("").bytes_now == 0, "the result is freed when its last reader is gone")


def test_a_retained_result_of_16_mib_for_many(private):
    """One copy serves all: 40 callers that come late, 10 of them deaf."""
    net = private(drain_time="2s")
    value = random.Random(8).randbytes(16 * MIB)
    leader = net.lead(retain_ms=600_000)
    leader.chunks(value, MIB)
    leader.finish()
    leader.delivery()
    before = net.daemon.memory()
    deaf = []
    for _ in range(10):
        caller = net.do(net.open_channel(), reading=False)
        caller.send("join", net.join_message())
        deaf.append(caller)
    for _ in range(30):
        assert zlib.crc32(net.join().delivery(bound=60).value) == zlib.crc32(value)
    if not sanitized():
        grown = net.daemon.memory("VmHWM") - before
        assert grown < 128 * MIB, f"{grown >> 20} MiB grown"
    assert net.stats("").bytes_now < 2 * 16 * MIB


def test_flights_come_and_go_without_growing(private):
    """Nothing is left behind by a flight: memory after 20,000 of them is what it was after
    2,000.
    """
    net = private()
    stream = net.session()

    def rounds(count):
        for _ in range(count):
            calls = [stream.open_call() for _ in range(200)]
            frames = []
            for call in calls:
                frames.append(call.frame("join", net.join_message(key=b"%d" % call.id)))
                outcome = pb.Outcome(kind=pb.OUTCOME_KIND_OK, value=b"v" * 100)
                frames.append(call.frame("finish", pb.Finish(outcome=outcome)))
            stream.send(*frames)
            for call in calls:
                call.leads()
                call.delivery()

    rounds(10)
    before = net.daemon.memory()
    rounds(90)
    if not sanitized():
        assert net.daemon.memory() - before < 16 * MIB
    stats = net.stats("")
    assert stats.executions == 20_000 and stats.flights_now == 0 and stats.bytes_now == 0


def test_many_callers_come_and_go_on_the_same_keys(rpc):
    """A race of joins, leaving, forgetting and finishing on 5 keys: every caller ends, one outcome
    per flight.
    """
    rng = random.Random(9)
    outcomes, failures, lock = {}, [], threading.Lock()

    def work(seed, channel):
        dice = random.Random(seed)
        stream = rpc.session(channel)
        try:
            for _ in range(60):
                key = b"%d" % dice.randrange(5)
                caller = stream.open_call() if seed % 2 else rpc.do(channel)
                caller.send("join", rpc.join_message(key=key))
                if not play(caller, dice):
                    continue
                if dice.random() < 0.1:
                    rpc.forget(key=key)
        except AssertionError as failure:
            failures.append(failure)

    def play(caller, dice):
        while True:
            name, message = caller.next(bound=60)
            if name == "lead":
                caller.token = message.token
                if dice.random() < 0.2:
                    caller.cancel()
                else:
                    caller.finish(b"%d" % message.token)
            elif name == "follow":
                if dice.random() < 0.1:
                    caller.cancel()
            elif name == "result":
                value = b"%d" % message.token if message.led else message.outcome.value
                with lock:
                    outcomes.setdefault(message.token, set()).add(value)
            elif name == "end":
                return message.code == grpc.StatusCode.OK

    channels = [rpc.open_channel() for _ in range(4)]
    threads = [
        threading.Thread(target=work, args=(rng.randrange(10**6) * 2 + n % 2, channels[n % 4]))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
        assert not thread.is_alive(), "a caller hangs"
    assert not failures, failures[0]
    for token, values in outcomes.items():
        assert values == {b"%d" % token}, "one accepted outcome per flight"
    until(lambda: rpc.stats().callers_now == 0, "everybody is gone")
    assert rpc.flights() == []
