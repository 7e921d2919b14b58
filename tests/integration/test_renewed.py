# SPDX-License-Identifier: Apache-2.0
"""Section 10.1: renewals are answered, and `lead` says for how long a lead holds without."""

import grpc
from singleflight.v1 import singleflight_pb2 as pb

KEEPALIVE_MS = 10_000  # keepalive-time and keepalive-timeout, as they are by default
RESULT_LIMIT = 64 * 1024 * 1024


def test_a_renewal_with_an_id_is_answered(rpc):
    leader = rpc.lead(lease_ms=5000)
    leader.renew(7)
    answer = leader.expect("renewed")
    assert answer.id == 7 and answer.silence_ms == 0


def test_every_id_comes_back_once_and_in_order(rpc):
    leader = rpc.lead(lease_ms=5000)
    ids = [3, 1, 1, 2**64 - 1] + list(range(100, 150))
    for identity in ids:
        leader.renew(identity)
    assert [leader.expect("renewed").id for _ in ids] == ids
    leader.silent()


def test_a_renewal_without_an_id_is_not_answered(rpc):
    leader = rpc.lead(lease_ms=5000)
    leader.renew()
    leader.silent()
    leader.renew(1)
    assert leader.expect("renewed").id == 1


def test_a_renewal_without_a_lease_is_answered_and_does_nothing_else(rpc):
    leader, follower = rpc.lead(run_limit_ms=1500), rpc.follow()
    leader.renew(1)
    assert leader.expect("renewed").id == 1
    assert follower.leads(bound=10).attempt == 2
    leader.ended(grpc.StatusCode.ABORTED, "fenced")


def test_renewals_are_answered_before_the_result(rpc):
    leader = rpc.lead(lease_ms=5000)
    leader.renew(1)
    leader.finish(b"v")
    leader.expect("renewed")
    assert leader.delivery().led


def test_a_renewal_of_a_follower_is_out_of_order(rpc):
    rpc.lead()
    follower = rpc.follow()
    follower.renew(1)
    follower.ended(grpc.StatusCode.INVALID_ARGUMENT, "does not lead")


def test_lead_says_how_long_it_holds_without_an_answer(rpc):
    assert rpc.lead(key=b"leased", lease_ms=5000).last_lead.silence_ms == 5000
    assert rpc.lead(key=b"bound to its stream").last_lead.silence_ms == KEEPALIVE_MS


def test_a_resume_says_it_too_and_its_renewals_are_answered(rpc):
    leader = rpc.lead(alone=True, lease_ms=5000)
    leader.break_stream()
    rpc.flight_where(lambda f: f.state == pb.Flight.STATE_ORPHANED, "the flight is orphaned")
    again = rpc.join(resume_token=leader.token)
    assert again.leads().silence_ms == 5000
    again.renew(9)
    assert again.expect("renewed").id == 9


def test_silence_is_what_the_settings_make_it(private):
    net = private("--keepalive-time", "2s", "--keepalive-timeout", "1s")
    assert net.lead().last_lead.silence_ms == 3000


def test_lead_says_how_large_a_result_may_be(rpc, private):
    assert rpc.lead().last_lead.result_limit == RESULT_LIMIT
    assert private("--result-limit", "1MiB").lead().last_lead.result_limit == 1024 * 1024
