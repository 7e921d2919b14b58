# SPDX-License-Identifier: Apache-2.0
"""Peers that send frames without end, beside others that want to be served."""

import pytest

from support.daemon import Daemon, sanitized
from support.flood import FLOODS, flooding
from support.net import Net
from support.wait import milliseconds


@pytest.mark.slow
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_frames_holds_nobody_up(kind):
    """Contract 5: no other caller notices. A leader with a lease renews beside the flood; others
    come on connections of their own, and all is answered within a part of the time that the flood
    lasts. Before, the pump read the flood until it ended.
    """
    seconds = 6
    with Daemon("--pumps", "1") as daemon:
        net = Net(daemon)
        # With a sanitizer the daemon is slower than any flood: only what it finds counts then.
        leader = net.join(lease_ms=60_000 if sanitized() else 5000)
        leader.leads()
        served = 0
        slowest = 0
        with flooding(daemon, kind, seconds) as process:
            renewed = 0
            while process.is_alive():
                began = milliseconds()
                other = Net(daemon)
                other.stats()
                other.close()
                slowest = max(slowest, milliseconds() - began)
                served += 1
                if began - renewed > 1000:
                    leader.renew()
                    renewed = began
        if not sanitized():
            assert served >= 3 and slowest < seconds * 1000 / 2, (served, slowest)
        leader.finish(b"v")
        leader.delivery()
        net.close()
