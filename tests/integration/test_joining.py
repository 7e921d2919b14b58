# SPDX-License-Identifier: Apache-2.0
"""Rows "join LEAD_ONLY", "join FOLLOW_ONLY", "join with another fingerprint", and section 9
"Joining".
"""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import ERROR

LEAD_ONLY = pb.ROLE_LEAD_ONLY
FOLLOW_ONLY = pb.ROLE_FOLLOW_ONLY
ABORTED = grpc.StatusCode.ABORTED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def test_lead_only_with_nothing_known_leads(rpc):
    """`role`: LEAD_ONLY objects only when somebody else leads."""
    assert rpc.join(role=LEAD_ONLY).leads().attempt == 1


def test_lead_only_while_another_leads_is_aborted_at_once(rpc):
    """Row: status ABORTED at once, saying who leads and since when."""
    leader = rpc.lead(caller="worker-17")
    end = rpc.join(role=LEAD_ONLY).ended(ABORTED, "worker-17")
    assert any(letter.isdigit() for letter in end.message.replace("worker-17", "")), end.message
    leader.finish()
    assert leader.delivery().callers == 1


def test_lead_only_may_lead_when_the_other_is_done(rpc):
    """Row: "while another leads": not for longer."""
    leader = rpc.lead()
    rpc.join(role=LEAD_ONLY).ended(ABORTED)
    leader.finish()
    leader.delivery()
    assert rpc.join(role=LEAD_ONLY).leads().token > leader.token


def test_lead_only_after_forget_leads(rpc):
    """Row "forget": new callers start another flight."""
    rpc.lead()
    rpc.forget()
    assert rpc.join(role=LEAD_ONLY).leads().attempt == 1


def test_follow_only_with_nothing_known_is_not_found(rpc):
    """Row "join FOLLOW_ONLY, nothing known": status NOT_FOUND, and nothing is left behind."""
    rpc.join(role=FOLLOW_ONLY).ended(grpc.StatusCode.NOT_FOUND)
    assert rpc.flights() == []
    rpc.key_is_free()


def test_follow_only_while_a_flight_runs_follows(rpc):
    """`role`: FOLLOW_ONLY: never lead."""
    leader, watcher = rpc.lead(), rpc.follow(role=FOLLOW_ONLY)
    leader.finish(b"v")
    assert watcher.delivery().value == b"v"


def test_follow_only_after_forget_is_not_found(rpc):
    """Row "forget": new callers find nothing to follow."""
    rpc.lead()
    rpc.forget()
    rpc.join(role=FOLLOW_ONLY).ended(grpc.StatusCode.NOT_FOUND)


def test_role_is_each_callers_own(rpc):
    """Section 9: each caller has its own role: the opener's binds nobody else."""
    leader, heir = rpc.lead(role=LEAD_ONLY), rpc.follow()
    leader.cancel()
    assert heir.leads().attempt == 2


def test_another_fingerprint_is_refused(rpc):
    """Row: status FAILED_PRECONDITION; the flight is untouched."""
    leader, follower = rpc.lead(fingerprint=b"one"), rpc.follow(fingerprint=b"one")
    rpc.join(fingerprint=b"two").ended(PRECONDITION, "fingerprint")
    leader.finish(b"v")
    assert follower.delivery().callers == 2


@pytest.mark.parametrize("opener, joiner", [(b"", b"x"), (b"x", b""), (b"", b"")])
def test_an_empty_fingerprint_is_not_compared(rpc, opener, joiner):
    """Join.fingerprint: empty = not compared."""
    rpc.lead(fingerprint=opener)
    rpc.follow(fingerprint=joiner)


def test_the_fingerprint_of_the_opener_holds(rpc):
    """Section 9: compared with the opener's, not with that of somebody who came later."""
    rpc.lead(fingerprint=b"")
    rpc.follow(fingerprint=b"one")
    rpc.follow(fingerprint=b"two")


def test_the_fingerprint_of_the_opener_holds_after_a_promotion(rpc):
    """Section 9: of the caller that opens the flight hold: fingerprint."""
    leader, heir = rpc.lead(fingerprint=b"one"), rpc.follow()
    leader.cancel()
    heir.leads()
    rpc.join(fingerprint=b"two").ended(PRECONDITION)
    rpc.follow(fingerprint=b"one")


def test_the_fingerprint_is_compared_for_a_retained_outcome_too(rpc):
    """Section 9: compared with the opener's, for a retained outcome too."""
    rpc.retained(fingerprint=b"one")
    rpc.join(fingerprint=b"two").ended(PRECONDITION, "fingerprint")
    assert rpc.join(fingerprint=b"one").delivery().retained
    assert rpc.join().delivery().retained


@pytest.mark.parametrize("role", [LEAD_ONLY, FOLLOW_ONLY], ids=["lead-only", "follow-only"])
def test_the_fingerprint_is_compared_before_the_role(rpc, role):
    """Section 9: the fingerprint is compared ... before the role."""
    rpc.lead(fingerprint=b"one")
    rpc.join(fingerprint=b"two", role=role).ended(PRECONDITION)


def test_a_fingerprint_is_any_bytes(rpc):
    """Join.fingerprint is a hash: 64 bytes, zeros among them, and every byte counts."""
    one, two = bytes(64), bytes(63) + b"\x01"
    rpc.lead(fingerprint=one)
    rpc.follow(fingerprint=one)
    rpc.join(fingerprint=two).ended(PRECONDITION)
    rpc.join(fingerprint=one[:63]).ended(PRECONDITION)


def test_after_the_end_another_fingerprint_is_fine(rpc):
    """Row: the same key with another fingerprint is refused while the other is known, no longer."""
    leader = rpc.lead(fingerprint=b"one")
    leader.finish(kind=ERROR)
    leader.delivery()
    rpc.lead(fingerprint=b"two")


def test_options_of_later_callers_are_not_looked_at(rpc):
    """Section 9: of the caller that opens the flight hold: retain, retain_error, lease, run_limit,
    max_attempts.
    """
    leader = rpc.lead()
    heir = rpc.follow(lease_ms=1000, run_limit_ms=1, max_attempts=1, retain_ms=1000)
    leader.cancel()
    lead = heir.leads()
    assert lead.lease_ms == 0 and lead.run_limit_ms > 1000
    heir.silent()
    heir.finish()
    assert heir.delivery().retain_ms == 0


def test_one_process_may_follow_itself(rpc):
    """A caller is a stream or a call, not a process: equal keys on one connection are leader and
    followers.
    """
    leader = rpc.lead()
    followers = [rpc.follow() for _ in range(20)]
    leader.finish(b"v")
    assert [f.delivery().value for f in followers] == [b"v"] * 20
