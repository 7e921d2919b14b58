# SPDX-License-Identifier: Apache-2.0
"""Section 4, INVALID_ARGUMENT: a malformed message, a step out of order, a field outside its
bounds.
"""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support import wire
from support.callers import ERROR, KIB, MIB, OK

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
WEEK = 7 * 24 * 3600 * 1000
DAY = 24 * 3600 * 1000


# Steps out of order.


@pytest.mark.parametrize("step", ["chunk", "renew", "finish"])
def test_the_first_step_must_be_join(net, step):
    """Section 2: `join` once, first."""
    caller = net.do()
    if step == "chunk":
        caller.chunk(b"x")
    elif step == "renew":
        caller.renew()
    else:
        caller.finish()
    caller.ended(INVALID, "join")


def test_a_stream_without_any_step_is_malformed(net):
    """Section 2: `join` once: a Do stream that half-closes without it has said nothing."""
    caller = net.do()
    caller.half_close()
    caller.ended(INVALID, "join")


def test_a_leader_joins_only_once(rpc):
    """Section 2: `join` once; the leader is lost, its followers go on."""
    leader, heir = rpc.lead(), rpc.follow()
    leader.send("join", rpc.join_message())
    leader.ended(INVALID)
    assert heir.leads().attempt == 2


def test_a_follower_joins_only_once(rpc):
    """Section 2: `join` once; the flight is untouched."""
    leader, follower, other = rpc.lead(), rpc.follow(), rpc.follow()
    follower.send("join", rpc.join_message())
    follower.ended(INVALID)
    leader.finish(b"v")
    assert other.delivery().callers == 2


@pytest.mark.parametrize("step", ["chunk", "renew", "finish"])
def test_a_follower_may_not_act_as_a_leader(rpc, step):
    """Section 2: only while leading; the follower ends with INVALID_ARGUMENT, the flight is
    untouched.
    """
    leader, follower, other = rpc.lead(), rpc.follow(), rpc.follow()
    if step == "chunk":
        follower.chunk(b"usurped")
    elif step == "renew":
        follower.renew()
    else:
        follower.finish(b"usurped")
    follower.ended(INVALID)
    leader.finish(b"v")
    got = other.delivery()
    assert got.value == b"v" and got.callers == 2


@pytest.mark.parametrize(
    "sequences", [[1], [0, 2], [0, 0], [0, 1, 0], [2**64 - 1]], ids=lambda s: "-".join(map(str, s))
)
def test_a_wrong_sequence_is_refused(rpc, sequences):
    """Section 9: any other sequence from a leader is INVALID_ARGUMENT."""
    leader, heir = rpc.lead(), rpc.follow()
    for sequence in sequences:
        leader.chunk(b"x", sequence)
    leader.ended(INVALID, "sequence")
    assert heir.leads().attempt == 2


def test_empty_chunks_count_in_the_sequence(rpc):
    """Section 9: `next_sequence` counts the leader's own, empty ones too."""
    leader = rpc.lead()
    leader.chunk(b"", 0)
    leader.chunk(b"x", 1)
    leader.chunk(b"", 2)
    leader.chunk(b"y", 2)
    leader.ended(INVALID, "sequence")


def test_what_comes_after_finish_changes_nothing(rpc):
    """Section 2: `finish` once, last: the outcome stands."""
    leader, follower = rpc.lead(), rpc.follow()
    leader.finish(b"first")
    leader.finish(b"second")
    leader.chunk(b"third")
    assert follower.delivery().value == b"first"
    rpc.key_is_free()


# Messages that are none.


@pytest.mark.parametrize(
    "garbage", [wire.GARBAGE, wire.TRUNCATED, wire.field(1, wire.TRUNCATED)], ids=range(3)
)
def test_a_message_that_cannot_be_read_ends_a_do(net, garbage):
    """Section 4: a malformed message, first or later."""
    first = net.do()
    first.send_raw(garbage)
    first.ended(INVALID)
    leader, heir = net.lead(), net.follow()
    leader.send_raw(garbage)
    leader.ended(INVALID)
    assert heir.leads().attempt == 2


@pytest.mark.parametrize("method", ["Forget"])
@pytest.mark.parametrize("garbage", [wire.GARBAGE, wire.TRUNCATED], ids=["garbage", "truncated"])
def test_a_unary_message_that_cannot_be_read(net, method, garbage):
    """Section 4: a malformed message."""
    call = net.channel.unary_unary(
        f"/singleflight.v1.SingleFlight/{method}",
        request_serializer=None,
        response_deserializer=None,
    )
    with pytest.raises(grpc.RpcError) as error:
        call(garbage, timeout=10)
    assert error.value.code() == INVALID


@pytest.mark.parametrize("method", ["GetStats", "ListFlights"])
def test_an_admin_message_that_cannot_be_read(net, method):
    """Section 4: a malformed message."""
    path = f"/singleflight.v1.Admin/{method}"
    if method == "GetStats":
        answers = lambda: net.channel.unary_unary(path)(wire.GARBAGE, timeout=10)
    else:
        answers = lambda: list(net.channel.unary_stream(path)(wire.GARBAGE, timeout=10))
    with pytest.raises(grpc.RpcError) as error:
        answers()
    assert error.value.code() == INVALID


@pytest.mark.parametrize(
    "encoded", [b"", wire.field(14, b"what"), wire.field(200, 7)], ids=["none", "14", "200"]
)
def test_an_unknown_step_is_refused(rpc, encoded):
    """Wire file: unknown steps are INVALID_ARGUMENT: as a first step and as a later one."""
    leader, heir = rpc.lead(), rpc.follow()
    leader.send_raw_step(encoded)
    leader.ended(INVALID)
    assert heir.leads().attempt == 2
    stranger = rpc.open()
    stranger.send_raw_step(encoded)
    stranger.ended(INVALID)


def test_unknown_fields_are_ignored(rpc):
    """Wire file: unknown fields are ignored, in every message."""
    unknown = wire.field(300, b"from the future") + wire.field(301, 5)
    join = rpc.join_message().SerializeToString() + unknown

    def joins():
        caller = rpc.open()
        caller.send_raw_step(wire.field(caller.numbers["join"], join) + wire.field(99, 1))
        return caller

    leader = joins()
    leader.leads()
    follower = joins()
    follower.follows()
    chunk = wire.field(1, b"a") + unknown
    leader.send_raw_step(wire.field(leader.numbers["chunk"], chunk))
    outcome = wire.field(1, OK) + wire.field(2, b"b") + unknown
    finish = wire.field(1, outcome) + unknown
    leader.send_raw_step(wire.field(leader.numbers["finish"], finish))
    assert follower.delivery().value == b"ab"


@pytest.mark.parametrize("field", [1, 15], ids=["group", "caller"])
def test_broken_text_in_join_is_refused(rpc, field):
    """Section 9: invalid UTF-8 is INVALID_ARGUMENT."""
    caller = rpc.open()
    join = wire.field(2, b"key") + wire.field(field, wire.BROKEN_TEXT)
    caller.send_raw_step(wire.field(caller.numbers["join"], join))
    assert not caller.ended(INVALID).with_stream, "other calls of the stream go on"


@pytest.mark.parametrize(
    "text",
    [b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80"],
    ids=["overlong", "surrogate", "too-great", "cut", "continuation"],
)
def test_every_way_to_break_utf8_is_seen(each, text):
    """Section 9: invalid UTF-8 is INVALID_ARGUMENT: also the kinds that a careless check lets
    through.
    """
    caller = each.open()
    join = wire.field(2, b"key") + wire.field(15, text)
    caller.send_raw_step(wire.field(caller.numbers["join"], join))
    caller.ended(INVALID)


@pytest.mark.parametrize("field", [4, 5, 6], ids=["message", "type", "stack"])
def test_broken_text_in_an_outcome_is_refused(rpc, field):
    """Section 9: invalid UTF-8 is INVALID_ARGUMENT; the leader is lost, its followers go on."""
    leader, heir = rpc.lead(), rpc.follow()
    outcome = wire.field(1, ERROR) + wire.field(field, wire.BROKEN_TEXT)
    leader.send_raw_step(wire.field(leader.numbers["finish"], wire.field(1, outcome)))
    leader.ended(INVALID)
    assert heir.leads().attempt == 2


@pytest.mark.parametrize("message", ["", "plain", "größer", "日本語", "a\x00b"], ids=range(5))
def test_good_text_passes_unchanged(rpc, message):
    """Section 9 refuses what is not UTF-8, and nothing else."""
    leader, follower = rpc.lead(caller=message), rpc.join(caller=message)
    assert follower.follows().leader == message
    leader.finish(kind=ERROR, message=message, type=message, stack=message)
    got = follower.delivery().outcome
    assert got.message == got.type == got.stack == message


@pytest.mark.parametrize(
    "fields",
    [dict(role=3), dict(role=-1), dict(on_leader_loss=3), dict(on_leader_loss=1000)],
    ids=str,
)
def test_unknown_enum_values_in_join_are_refused(rpc, fields):
    """Section 9: unknown enum values are INVALID_ARGUMENT."""
    rpc.join(**fields).ended(INVALID, next(iter(fields)))


@pytest.mark.parametrize("kind", [0, 5, -1, 2**31 - 1])
def test_unknown_kinds_of_outcome_are_refused(rpc, kind):
    """OUTCOME_KIND_UNSPECIFIED and unknown kinds: INVALID_ARGUMENT."""
    leader, heir = rpc.lead(), rpc.follow()
    leader.finish(kind=kind)
    leader.ended(INVALID, "kind")
    assert heir.leads().attempt == 2


def test_finish_without_an_outcome_is_refused(rpc):
    """Section 2: `Finish`: the outcome: there must be one."""
    leader, heir = rpc.lead(), rpc.follow()
    leader.send("finish", pb.Finish())
    leader.ended(INVALID, "outcome")
    assert heir.leads().attempt == 2


# Fields outside their bounds.

REFUSED = {
    "key-empty": (dict(key=b""), "key"),
    "key-1025": (dict(key=b"k" * 1025), "key"),
    "group-129": (dict(group="g" * 129), "group"),
    "group-space": (dict(group="a b"), "group"),
    "group-slash": (dict(group="a/b"), "group"),
    "group-umlaut": (dict(group="ü"), "group"),
    "group-zero": (dict(group="a\x00b"), "group"),
    "group-colon": (dict(group="a:b"), "group"),
    "retain": (dict(retain_ms=WEEK + 1), "retain_ms"),
    "retain-huge": (dict(retain_ms=2**64 - 1), "retain_ms"),
    "retain-error": (dict(retain_error_ms=WEEK + 1), "retain_error_ms"),
    "retain-error-huge": (dict(retain_error_ms=2**64 - 1), "retain_error_ms"),
    "lease-999": (dict(lease_ms=999), "lease"),
    "lease-1": (dict(lease_ms=1), "lease"),
    "lease-600001": (dict(lease_ms=600_001), "lease"),
    "lease-huge": (dict(lease_ms=2**64 - 1), "lease"),
    "run-limit": (dict(run_limit_ms=DAY + 1), "run_limit"),
    "run-limit-huge": (dict(run_limit_ms=2**64 - 1), "run_limit"),
    "fingerprint-65": (dict(fingerprint=b"f" * 65), "fingerprint"),
    "caller-129": (dict(caller="c" * 129), "caller"),
    "caller-129-in-bytes": (dict(caller="ü" * 65), "caller"),
}

ACCEPTED = {
    "key-1": dict(key=b"k"),
    "key-1024": dict(key=b"k" * 1024),
    "group-128": dict(group="g" * 128),
    "group-charset": dict(group="AZaz09._-"),
    "retain": dict(retain_ms=WEEK),
    "retain-error": dict(retain_error_ms=WEEK),
    "lease-least": dict(lease_ms=1000),
    "lease-most": dict(lease_ms=600_000),
    "run-limit-most": dict(run_limit_ms=DAY),
    "fingerprint-64": dict(fingerprint=b"f" * 64),
    "caller-128": dict(caller="c" * 128),
    "caller-128-in-bytes": dict(caller="ü" * 64),
    "max-age-huge": dict(max_age_ms=2**64 - 1),
    "max-attempts-huge": dict(max_attempts=2**32 - 1),
}


@pytest.mark.parametrize("fields, word", REFUSED.values(), ids=REFUSED)
def test_a_field_outside_its_bounds_is_refused(rpc, fields, word):
    """Section 5's bounds, one above: INVALID_ARGUMENT naming the field, and nothing is left
    behind.
    """
    rpc.join(**fields).ended(INVALID, word)
    assert rpc.flights() == []


@pytest.mark.parametrize("fields", ACCEPTED.values(), ids=ACCEPTED)
def test_a_field_at_its_bound_is_accepted(rpc, fields):
    """Section 5's bounds, exactly."""
    leader = rpc.join(**{"key": rpc.group.encode(), **fields})
    leader.leads()
    leader.finish(retain_ms=0)
    assert leader.delivery().led


def test_a_refused_field_of_a_late_caller_does_not_touch_the_flight(rpc):
    """Section 4: a status for that caller; no other caller notices."""
    leader, follower = rpc.lead(), rpc.follow()
    rpc.join(lease_ms=999).ended(INVALID)
    leader.finish(b"v")
    assert follower.delivery().callers == 2


def test_details_hold_64_kib(rpc):
    """Outcome.details: at most 64 KiB."""
    leader, follower = rpc.lead(), rpc.follow()
    leader.finish(kind=ERROR, details=b"d" * (64 * KIB))
    assert follower.delivery().outcome.details == b"d" * (64 * KIB)


def test_details_over_64_kib_are_refused(rpc):
    """Outcome.details: at most 64 KiB; one byte more is INVALID_ARGUMENT."""
    leader, heir = rpc.lead(), rpc.follow()
    leader.finish(kind=ERROR, details=b"d" * (64 * KIB + 1))
    leader.ended(INVALID, "details")
    assert heir.leads().attempt == 2


def test_code_is_any_32_bit_number(rpc):
    """Outcome.code: the function's own error code."""
    for code in (-(2**31), -1, 0, 2**31 - 1):
        leader, follower = rpc.lead(), rpc.follow()
        leader.finish(kind=ERROR, code=code)
        assert follower.delivery().outcome.code == code
        leader.delivery()


# The size of a message.


def padded_chunk(total):
    """A DoRequest with one chunk that is exactly `total` bytes long."""
    message = pb.DoRequest(chunk=pb.Chunk(data=b"x" * (total - 20)))
    missing = total - message.ByteSize()
    message.chunk.data += b"x" * missing
    assert message.ByteSize() == total
    return message


def test_a_message_of_exactly_4_mib_is_read(net):
    """Section 5: one message 4 MiB."""
    leader, follower = net.lead(), net.follow()
    message = padded_chunk(4 * MIB)
    leader.send_raw(message.SerializeToString())
    leader.finish()
    assert follower.delivery().value == message.chunk.data


def test_a_message_over_4_mib_is_too_large(net):
    """Section 4: RESOURCE_EXHAUSTED for the size of a message; the leader is lost, its followers go
    on.
    """
    leader, heir = net.lead(), net.follow()
    leader.send_raw(padded_chunk(4 * MIB + 1).SerializeToString())
    leader.ended(EXHAUSTED)
    assert heir.leads().attempt == 2


def test_texts_that_fill_a_message_are_delivered_or_refused(net):
    """Section 9: no message to a client exceeds 4 MiB, also when an outcome's texts nearly fill
    one.
    """
    leader, follower = net.lead(retain_error_ms=60_000), net.follow()
    text = "m" * (4 * MIB - 64)
    leader.finish(kind=ERROR, message=text)
    outcome = follower.expect("result").outcome
    assert outcome.message == text or outcome.type == "singleflight.LimitExceeded"


# What is not there.


@pytest.mark.parametrize(
    "path", ["/singleflight.v1.SingleFlight/Nothing", "/no.such.Service/Do", "/x"]
)
def test_an_unknown_method_is_unimplemented(net, path):
    """What any gRPC server answers."""
    with pytest.raises(grpc.RpcError) as error:
        net.channel.unary_unary(path)(b"", timeout=10)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_compressed_message_is_read(net):
    """What any gRPC server reads."""
    leader = net.do(compression=grpc.Compression.Gzip)
    leader.send("join", net.join_message())
    leader.leads()
    leader.chunk(b"z" * 100_000)
    leader.finish()
    assert leader.delivery().value_bytes == 100_000


def test_a_compressed_message_that_unfolds_over_the_limit_is_too_large(net):
    """Section 5: one message 4 MiB, however small it travels."""
    leader = net.do(compression=grpc.Compression.Gzip)
    leader.send("join", net.join_message())
    leader.leads()
    leader.chunk(b"\0" * (64 * MIB))
    leader.ended(EXHAUSTED)


def test_bytes_that_are_no_http2_do_no_harm(daemon, net):
    """Issue: bad input of any kind: the daemon stays up."""
    import socket

    host, port = daemon.address.rsplit(":", 1)
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 500, bytes(10_000)):
        with socket.create_connection((host, int(port)), timeout=10) as peer:
            peer.sendall(noise)
    net.key_is_free()
