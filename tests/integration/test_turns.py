# SPDX-License-Identifier: Apache-2.0
"""What is done for many at once is done in turns: nobody else waits for all of it."""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.http2 import Crowd
from support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MANY = 5_000


@pytest.mark.parametrize("end", ["die", "reset_all"])
def test_a_connection_that_dies_hands_its_leads_to_none_of_its_own_callers(private, end):
    """Row "the leader leaves": the oldest that may lead gets the lead; those who go with the leader
    may not. (Once, each of them was promoted in turn.)
    """
    net = private()
    crowd = Crowd(net.daemon.address)
    crowd.join(MANY, pb.Join(group=net.group, key=net.key))
    until(lambda: net.stats().callers_now == MANY, "all have joined", bound=60)
    other = net.follow()
    getattr(crowd, end)()
    other.leads()
    until(lambda: net.stats().callers_now == 1, "the dead have left", bound=60)
    # Ends that come later than a turn of the pump may still be handed the lead.
    assert net.stats().executions < MANY / 20
    other.finish(b"done")
    assert other.delivery().led


def test_a_client_far_over_its_limit_loses_nothing_that_was_admitted(private):
    """Section 5: RESOURCE_EXHAUSTED for that caller, and no other caller notices. (Once, so many
    refusals that they were not read at once ended the stream and all that had been admitted.)
    """
    limit, joins = 500, 25_000
    net = private("--connection-callers-limit", limit)
    stream = net.session()
    leader = stream.open_call()
    leader.send("join", net.join_message())
    leader.leads()
    calls = [stream.open_call() for _ in range(joins)]
    for start in range(0, joins, 5_000):
        stream.send(*[c.frame("join", net.join_message()) for c in calls[start : start + 5_000]])
    for call in calls[: limit - 1]:
        call.follows()
    for call in calls[limit - 1 :]:
        call.ended(grpc.StatusCode.RESOURCE_EXHAUSTED, str(limit))
    leader.finish(b"for those who were admitted")
    for call in calls[: limit - 1]:
        assert call.delivery().value == b"for those who were admitted"
