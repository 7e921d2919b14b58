# SPDX-License-Identifier: Apache-2.0
"""Fixtures: the cluster, which all tests share, and namespaces in it, one for each module."""

import os

import pytest

from support import chart
from support.cluster import Cluster
from support.namespace import Namespace, run


@pytest.fixture(scope="session")
def cluster():
    running = Cluster(os.environ["SFL_WORK"], os.environ["SFL_TOOLS"],
                      os.environ["SFL_BUILD_DIR"], os.environ["SFL_CGROUP"])
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def cluster_stays_up(request):
    """Whatever a test does, the parts of the cluster go on."""
    yield
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster").check_parts()


@pytest.fixture(scope="module")
def space(cluster, request):
    """A namespace that the tests of a module share."""
    made = Namespace(request.module.__name__.removeprefix("test_").replace("_", "-"))
    yield made
    made.delete()


@pytest.fixture(scope="module")
def address(space, request):
    """Where callers find a release of the chart in it, with the VALUES of the module."""
    return chart.install(space, getattr(request.module, "VALUES", {}))


@pytest.fixture(scope="session")
def operator_schemas(cluster):
    """ServiceMonitor, PodMonitor and PrometheusRule, as Prometheus' operator defines them."""
    files = [f"--filename={cluster.tools}/crds/monitoring.coreos.com_{name}.yaml"
             for name in ("servicemonitors", "podmonitors", "prometheusrules")]
    run("kubectl", "apply", "--server-side", *files)
    run("kubectl", "wait", "--for=condition=Established", "--timeout=60s", *files)
