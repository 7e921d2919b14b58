# SPDX-License-Identifier: Apache-2.0
"""Whatever an operator does, callers see nothing but results."""

import subprocess

from support import chart, node
from support.fleet import Fleet
from support.wait import until

DAEMON = "app.kubernetes.io/name=singleflightd"


def values(**settings):
    return {"settings": {"drain-time": "10s", **settings}}


VALUES = values()


def test_an_upgrade_and_its_rollback(cluster, space, address):
    before = space.pod()["metadata"]["uid"]
    with Fleet(cluster, address):
        chart.install(space, values(**{"lease-max": "20m"}))
        upgraded = space.pod()["metadata"]["uid"]
        space.helm("rollback", chart.RELEASE, "--wait", "--timeout", "60s")
        rolled_back = space.pod()["metadata"]["uid"]
    assert len({before, upgraded, rolled_back}) == 3, "each is a pod of its own"


def test_a_drain_of_the_node(cluster, space, address):
    """In a cluster of several nodes another one takes the pod; here it is this one again, as soon as
    the pod is told to end."""
    before = space.pod()["metadata"]
    with Fleet(cluster, address):
        drain = subprocess.Popen(
            ["kubectl", "drain", node.NAME, "--ignore-daemonsets", "--timeout=60s"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until(lambda: all("deletionTimestamp" in pod["metadata"] for pod in space.pods(DAEMON)
                          if pod["metadata"]["uid"] == before["uid"]),
              "the pod is told to end", every=0.05)
        space.kubectl("uncordon", node.NAME)
        said = drain.communicate(timeout=90)[0]
        assert drain.returncode == 0, said
        assert f"pod/{before['name']} evicted" in said
        assert space.pod()["metadata"]["uid"] != before["uid"]
