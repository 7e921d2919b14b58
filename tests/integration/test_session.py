# SPDX-License-Identifier: Apache-2.0
"""Section 2 on frames, and section 9 "Session"."""

import random

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support import wire
from support.callers import KIB, MIB
from support.wait import until

INVALID = grpc.StatusCode.INVALID_ARGUMENT
CANCELLED = grpc.StatusCode.CANCELLED
DEADLINE = grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.fixture
def stream(net):
    return net.session()


def joined(net, stream, identity=None, **fields):
    call = stream.open_call(identity, live=fields.get("live", False))
    call.send("join", net.join_message(**fields))
    return call


def test_many_calls_share_a_stream(net, stream):
    """Section 2: one stream is many callers, each with an id."""
    leaders = [joined(net, stream, key=b"%d" % i) for i in range(50)]
    for leader in leaders:
        leader.leads()
    followers = [joined(net, stream, key=b"%d" % i) for i in range(50)]
    for number, leader in enumerate(leaders):
        followers[number].follows()
        leader.finish(b"value %d" % number)
    for number, follower in enumerate(followers):
        assert follower.delivery().value == b"value %d" % number
        assert leaders[number].delivery().callers == 2


def test_many_frames_in_one_message(net, stream):
    """Section 2: SessionRequest holds a repeated list of frames: joins, chunks and finishes
    together.
    """
    leader, follower = stream.open_call(), stream.open_call()
    stream.send(
        leader.frame("join", net.join_message()),
        follower.frame("join", net.join_message()),
        leader.frame("chunk", pb.Chunk(data=b"a", sequence=0)),
        leader.frame("chunk", pb.Chunk(data=b"b", sequence=1)),
        leader.frame("finish", pb.Finish(outcome=pb.Outcome(kind=1, value=b"c"))),
    )
    leader.leads()
    follower.follows()
    assert follower.delivery().value == b"abc"
    assert leader.delivery().callers == 2


def test_an_empty_message_means_nothing(net, stream):
    """SessionRequest.calls is repeated: none is a message like any other."""
    stream.send()
    stream.send_raw(b"")
    joined(net, stream).leads()


def test_frames_that_are_ready_together_travel_together(net, stream):
    """Section 2: frames that are ready together travel in one message."""
    calls = [stream.open_call() for _ in range(500)]
    stream.send(*[c.frame("join", net.join_message(key=b"%d" % c.id)) for c in calls])
    for call in calls:
        call.leads()
    assert len(stream.messages) < 250


def test_ids_may_have_gaps_and_any_size(net, stream):
    """CallRequest.id: chosen by the client; ids grow."""
    for identity in (1, 7, 8, 2**32, 2**63, 2**64 - 1):
        call = joined(net, stream, identity, key=b"%d" % identity)
        call.leads()
        call.finish()
        call.delivery()


@pytest.mark.parametrize("identity", [10, 9, 1], ids=["same", "smaller", "much-smaller"])
def test_an_id_that_does_not_grow_is_refused(net, stream, identity):
    """Section 9: ids grow on a stream; an id that does not is answered with End INVALID_ARGUMENT
    for that id.
    """
    first = joined(net, stream, 10, key=b"first")
    first.leads()
    first.finish()
    first.delivery()
    joined(net, stream, identity, key=b"second").ended(INVALID)
    joined(net, stream, 11, key=b"third").leads()


def test_an_id_that_is_smaller_than_one_that_still_runs_is_refused(net, stream):
    """Section 9: for that id: the call that runs goes on."""
    running = joined(net, stream, 10)
    running.leads()
    refused = joined(net, stream, 5, key=b"other")
    assert not refused.ended(INVALID).with_stream
    running.finish()
    assert running.delivery().led


@pytest.mark.parametrize("step", ["chunk", "renew", "finish", "cancel"])
def test_a_step_for_an_id_that_was_never_joined_is_refused(net, stream, step):
    """Section 9: a step for an id that was never joined is answered with End INVALID_ARGUMENT for
    that id.
    """
    messages = dict(
        chunk=pb.Chunk(data=b"x"),
        renew=pb.Renew(),
        finish=pb.Finish(outcome=pb.Outcome(kind=1)),
        cancel=pb.Cancel(),
    )
    call = stream.open_call(5)
    call.send(step, messages[step])
    assert not call.ended(INVALID).with_stream
    joined(net, stream, 6).leads()


def test_steps_for_an_id_that_has_ended_are_ignored(net, stream):
    """Section 9: steps for an id that has ended are ignored."""
    ended = joined(net, stream)
    ended.leads()
    ended.finish()
    ended.delivery()
    for step in (ended.renew, ended.cancel, ended.finish, lambda: ended.chunk(b"x")):
        step()
    joined(net, stream).leads()
    ended.silent()


def test_steps_for_an_id_that_was_refused_are_ignored(net, stream):
    """Section 9: a refused join has ended, too."""
    refused = joined(net, stream, key=b"")
    refused.ended(INVALID)
    refused.finish()
    refused.cancel()
    refused.silent()
    joined(net, stream).leads()


def test_a_call_that_ends_badly_leaves_the_others_alone(net, stream):
    """Section 2: the end of that call: its stream and the other calls go on."""
    good = joined(net, stream, key=b"good")
    good.leads()
    bad = joined(net, stream, key=b"bad")
    bad.leads()
    bad.chunk(b"x", sequence=9)
    assert not bad.ended(INVALID).with_stream
    good.finish(b"fine")
    assert good.delivery().led


def test_cancel_is_answered_with_end_cancelled(net, stream):
    """Section 9: `cancel` is answered with End CANCELLED unless the call has ended."""
    leader, follower = joined(net, stream), joined(net, stream)
    leader.leads()
    follower.follows()
    follower.cancel()
    follower.ended(CANCELLED)
    heir = joined(net, stream)
    heir.follows()
    leader.cancel()
    leader.ended(CANCELLED)
    assert heir.leads().attempt == 2


def test_cancel_after_the_end_is_not_answered(net, stream):
    """Section 9: unless the call has ended."""
    call = joined(net, stream)
    call.leads()
    call.finish()
    call.delivery()
    call.cancel()
    call.silent()


def test_finish_and_cancel_in_one_message_is_a_finish(net, stream):
    """Section 9: steps for an id that has ended are ignored: the cancel comes too late."""
    leader = joined(net, stream)
    leader.leads()
    follower = net.join()
    follower.follows()
    stream.send(
        leader.frame("finish", pb.Finish(outcome=pb.Outcome(kind=1, value=b"v"))),
        leader.frame("cancel", pb.Cancel()),
    )
    assert follower.delivery().value == b"v"
    assert leader.delivery().led


@pytest.fixture
def unread(net):
    """Begins calls to which a retained value is on its way, on a stream that is not read yet."""
    leader = net.lead(retain_ms=600_000)
    leader.chunks(bytes(32 * MIB), MIB)
    leader.finish()
    leader.delivery()
    stream = net.session(net.open_channel(), reading=False)

    def begin(timeout_ms=0):
        call = stream.open_call()
        call.send("join", net.join_message(), timeout_ms=timeout_ms)
        return call

    return begin


def ended_before_all_came(call, code):
    """Reads up to the end, which must come in place of the rest of 32 MiB and the result."""
    call.stream.reading.set()
    size, (name, message) = 0, call.next()
    while name == "chunk":
        size += len(message.data)
        name, message = call.next()
    assert name == "end" and message.code == code, name
    assert not message.with_stream
    assert size < 32 * MIB


def test_cancel_while_the_value_is_still_coming(net, unread):
    """Section 9: `cancel` is answered with End CANCELLED unless the call has ended, and `result`
    ends it.
    """
    call = unread()
    call.cancel()
    joined(net, call.stream, key=b"after")
    net.flight_where(lambda f: f.callers == 1, "the cancel was read", key=b"after")
    ended_before_all_came(call, CANCELLED)


def test_a_deadline_while_the_value_is_still_coming(net, unread):
    """CallRequest.timeout_ms: this call's deadline, whatever it is being told."""
    call = unread(timeout_ms=200)
    net.lead(key=b"clock")
    clock = net.session().open_call()
    clock.send("join", net.join_message(key=b"clock"), timeout_ms=1000)
    clock.follows()
    clock.ended(DEADLINE)
    ended_before_all_came(call, DEADLINE)


@pytest.mark.parametrize(
    "garbage",
    [wire.GARBAGE, wire.TRUNCATED, wire.field(1, wire.TRUNCATED)],
    ids=["garbage", "truncated", "inner"],
)
def test_a_message_that_cannot_be_read_ends_the_stream(net, stream, garbage):
    """Section 9: a message that cannot be read ends the stream, and so all its calls."""
    calls = [joined(net, stream, key=b"%d" % i) for i in range(3)]
    for call in calls:
        call.leads()
    heir = net.follow(key=b"0")
    stream.send_raw(garbage)
    assert stream.status().code == INVALID
    for call in calls:
        assert call.ended(INVALID).with_stream
    assert heir.leads().attempt == 2


def test_a_message_that_is_too_large_ends_the_stream(net, stream):
    """Section 9: a message that is too large ends the stream; section 4: RESOURCE_EXHAUSTED."""
    leader = joined(net, stream)
    leader.leads()
    heir = net.follow()
    leader.chunk(b"x" * (4 * MIB))
    end = stream.status()
    assert end.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert heir.leads().attempt == 2


@pytest.mark.parametrize(
    "encoded", [b"", wire.field(14, b"what"), wire.field(200, b"")], ids=["none", "14", "200"]
)
def test_an_unknown_step_ends_its_call_only(net, stream, encoded):
    """Wire file: unknown steps are INVALID_ARGUMENT: for that call."""
    leader = joined(net, stream)
    leader.leads()
    other = joined(net, stream, key=b"other")
    other.leads()
    leader.send_raw_step(encoded)
    assert not leader.ended(INVALID).with_stream
    other.finish()
    assert other.delivery().led


def test_a_small_result_overtakes_a_large_one(net):
    """Section 2: chunks of large results take turns, so one call never starves the others."""
    leaders = {key: net.lead(key=key) for key in (b"large", b"small")}
    stream = net.session(net.open_channel(), reading=False)
    followers = {key: joined(net, stream, key=key) for key in leaders}
    for key in leaders:
        net.flight_where(lambda f: f.callers == 2, "the follower has joined", key=key)
    large = random.Random(5).randbytes(32 * MIB)
    leaders[b"large"].chunks(large, MIB)
    leaders[b"large"].finish()
    leaders[b"large"].delivery()
    leaders[b"small"].finish(b"small")
    leaders[b"small"].delivery()
    stream.reading.set()
    for follower in followers.values():
        follower.follows()
    assert followers[b"small"].delivery().value == b"small"
    assert followers[b"large"].delivery().value == large
    order = [frame for message in stream.messages for frame in message]
    small = order.index((followers[b"small"].id, "result"))
    assert small < order.index((followers[b"large"].id, "result")), "the small result waited"


def test_large_results_take_turns(net):
    """Section 2: chunks of large results take turns."""
    leaders = [net.lead(key=b"%d" % i) for i in range(2)]
    stream = net.session(net.open_channel(), reading=False)
    followers = [joined(net, stream, key=b"%d" % i) for i in range(2)]
    for number in range(2):
        net.flight_where(lambda f: f.callers == 2, "the follower has joined", key=b"%d" % number)
    for leader in leaders:
        leader.chunks(b"x" * (16 * MIB), MIB)
        leader.finish()
        leader.delivery()
    stream.reading.set()
    for follower in followers:
        follower.follows()
        assert follower.delivery().value_bytes == 16 * MIB
    chunks = [i for message in stream.messages for i, name in message if name == "chunk"]
    first_of_second = chunks.index(followers[1].id)
    last_of_first = len(chunks) - 1 - chunks[::-1].index(followers[0].id)
    assert first_of_second < last_of_first, "the second result waited for the whole of the first"


def test_streams_of_one_connection_have_ids_of_their_own(net):
    """CallRequest.id: ids grow on a stream: each stream counts for itself."""
    for number in range(3):
        call = joined(net, net.session(), 1, key=b"%d" % number)
        call.leads()


def test_two_thousand_calls_come_and_go_on_one_stream(net, stream):
    """A stream lives long: calls that have ended leave nothing behind on it."""
    for number in range(2000):
        call = joined(net, stream, key=b"%d" % (number % 10))
        call.leads()
        call.finish(b"v")
        assert call.delivery().led
    assert until(lambda: net.stats().callers_now == 0, "no caller is left")


def test_a_session_message_of_many_frames_below_the_limit(net, stream):
    """Section 5: one message 4 MiB: 3 MiB of small frames are one message like any other."""
    leader = joined(net, stream)
    leader.leads()
    stream.send(
        *[
            leader.frame("chunk", pb.Chunk(data=b"y" * KIB, sequence=sequence))
            for sequence in range(3000)
        ],
        leader.frame("finish", pb.Finish(outcome=pb.Outcome(kind=1))),
    )
    assert leader.delivery().value_bytes == 3000 * KIB
