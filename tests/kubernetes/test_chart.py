# SPDX-License-Identifier: Apache-2.0
"""The chart as a release in a namespace that enforces "restricted", with its own values."""

from support import chart, processes


def test_the_pod_is_ready_by_its_probes(space, address):
    pod = space.pod()
    container = pod["spec"]["containers"][0]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    said = space.kubectl("exec", pod["metadata"]["name"], "--", "singleflight", "stats", "--json")
    assert "executions" in said


def test_it_runs_as_nobody_on_a_read_only_root(space, address):
    number = processes.of_pod(space.pod())
    status = processes.status(number)
    assert status["Uid"].split() == ["65532"] * 4
    assert status["CapEff"] == status["CapBnd"] == "0000000000000000"
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2", "a filter"
    assert "ro" in processes.mounts(number)["/"]


def test_helm_test_passes(space, address):
    said = space.helm("test", chart.RELEASE, "--timeout", "90s", "--logs")
    assert "Succeeded" in said


def test_no_variable_of_another_service_looks_like_a_setting(space, address):
    """Kubernetes would give SINGLEFLIGHTD_PORT, and with a Service singleflightd-admin more."""
    number = processes.of_pod(space.pod())
    names = {entry.split("=")[0] for entry in processes.read(number, "environ").split("\0")}
    assert not [name for name in names if name.startswith("SINGLEFLIGHTD_SERVICE_")]
    assert "SINGLEFLIGHTD_PORT" not in names


def test_a_daemon_that_is_killed_is_back_and_its_callers_wait(space, address):
    pod = space.pod()
    processes.kill(pod)
    space.run_pod("after", "singleflight", "do", "after", "--", "echo", "served",
                  env={"SINGLEFLIGHT_ADDRESS": address})
    assert space.outcome("after") == (0, "served\n")
    again = space.pod()
    assert again["metadata"]["uid"] == pod["metadata"]["uid"]
    assert again["status"]["containerStatuses"][0]["restartCount"] == 1
