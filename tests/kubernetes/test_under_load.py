# SPDX-License-Identifier: Apache-2.0
"""Whatever an operator does, callers see nothing but results."""

import pytest

from support import chart, node
from support.fleet import Fleet


def values(**settings):
    return {"settings": {"drain-time": "10s", **settings}}


VALUES = values()


@pytest.fixture
def load(cluster, address):
    with Fleet(cluster, address) as running:
        yield running


def images_of(space):
    return [pod["metadata"]["uid"] for pod in space.pods("app.kubernetes.io/name=singleflightd")]


def test_an_upgrade_and_its_rollback(cluster, space, address):
    before = space.pod()["metadata"]["uid"]
    with Fleet(cluster, address):
        chart.install(space, values(**{"lease-max": "20m"}))
        upgraded = space.pod()["metadata"]["uid"]
        space.helm("rollback", chart.RELEASE, "--wait", "--timeout", "60s")
        rolled_back = space.pod()["metadata"]["uid"]
    assert len({before, upgraded, rolled_back}) == 3, "each is a pod of its own"


def test_a_drain_of_the_node(cluster, space, address):
    before = space.pod()["metadata"]["uid"]
    with Fleet(cluster, address):
        space.kubectl("drain", node.NAME, "--ignore-daemonsets", "--delete-emptydir-data",
                      "--pod-selector", "app.kubernetes.io/name=singleflightd", "--timeout=60s")
        space.kubectl("uncordon", node.NAME)
        after = space.pod()["metadata"]["uid"]
    assert before != after
