# SPDX-License-Identifier: Apache-2.0
"""What is done for many at once is done in turns: nobody else waits for all of it."""

import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.h2 import Peer
from support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MANY = 5_000


@pytest.mark.parametrize("end", ["die", "reset_all"])
def test_a_connection_that_dies_hands_its_leads_to_none_of_its_own_callers(private, end):
    """Row "the leader leaves": the oldest that may lead gets the lead; those who go with the leader
    may not. (Once, each of them was promoted in turn.)
    """
    net = private()
    peer = Peer(net.daemon.address)
    peer.join_do(MANY, pb.Join(group=net.group, key=net.key))
    until(lambda: net.stats().callers_now == MANY, "all have joined", bound=60)
    other = net.follow()
    getattr(peer, end)()
    other.leads()
    until(lambda: net.stats().callers_now == 1, "the dead have left", bound=60)
    # Ends that come later than a turn of the pump may still be handed the lead.
    assert net.stats().executions < MANY / 20
    other.finish(b"done")
    assert other.delivery().led
