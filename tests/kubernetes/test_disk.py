# SPDX-License-Identifier: Apache-2.0
"""A data volume that is full, read-only, or not there."""

import json
import subprocess

import pytest

from support import chart, processes
from support.fleet import Fleet
from support.volume import Volume
from support.wait import until

VALUES = {"settings": {"drain-time": "2s"}}


@pytest.fixture(scope="module")
def volume(cluster, space):
    made = Volume(cluster, space)
    yield made
    made.delete()


@pytest.fixture(scope="module")
def address(space, volume):
    return chart.install(space, VALUES | volume.values())


def events_of(text, name):
    """The lines of the log, beside which standard output is shown."""
    lines = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == name]


def test_a_full_volume_is_said_and_callers_see_results(cluster, space, address, volume):
    pod = space.pod()
    name = pod["metadata"]["name"]
    with Fleet(cluster, address):
        volume.fill()
        until(lambda: events_of(space.logs(name), "data_not_written"), "the log says so", bound=60)
        volume.empty()
        until(lambda: events_of(space.logs(name), "data_written_again"), "and that it is over",
              bound=60)
    # For each round of writing that failed, as far as the log lets repeats through.
    told = events_of(space.logs(name), "data_not_written")
    assert {line["error"] for line in told} == {"No space left on device"}
    assert space.pod()["metadata"]["uid"] == pod["metadata"]["uid"]


def test_a_daemon_that_is_killed_loses_nothing(cluster, space, address):
    """Every outcome that is retained for a while is kept on disk, and so is who leads."""
    pod = space.pod()
    with Fleet(cluster, address, arguments=("--kinds", "kept")):
        processes.kill(pod)
        until(lambda: restarts(space.pod()) == restarts(pod) + 1, "it runs again")


def restarts(pod):
    return pod["status"]["containerStatuses"][0]["restartCount"]


def test_leads_outlive_the_pod(space, address):
    """A job goes on over the end of its daemon's pod, and has one run."""
    space.run_pod("job", "singleflight", "do", "job", "--lease", "60s", "--", "sh", "-c",
                  "echo begins; sleep 12; echo ends", env={"SINGLEFLIGHT_ADDRESS": address})
    space.kubectl("wait", "--for=condition=Ready", "pod/job", "--timeout=60s")
    until(lambda: "begins" in space.logs("job"), "the job runs")
    before = space.pod()["metadata"]
    space.kubectl("delete", "pod", before["name"])
    assert space.pod()["metadata"]["uid"] != before["uid"]
    assert space.outcome("job") == (0, "begins\nends\n")


def test_a_read_only_volume_is_one_line_and_the_release_before_comes_back(cluster, space, address):
    other = Volume(cluster, space, "frozen", options=",ro")
    upgrade = subprocess.Popen(
        ["helm", "-n", space.name, "upgrade", chart.RELEASE, chart.CHART, "--wait", "--timeout", "20s",
         "--rollback-on-failure", "--values", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        upgrade.stdin.write(json.dumps(VALUES | other.values()))
        upgrade.stdin.close()
        message = until(lambda: ending_of_daemon(space, "frozen"), "the daemon has ended", bound=60)
        assert len(message.splitlines()) == 1
        assert "Read-only file system" in message
        assert upgrade.wait(120) != 0
        claim = space.pod()["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
        assert claim == "data"
    finally:
        upgrade.kill()
        upgrade.wait()
        other.delete()


def ending_of_daemon(space, claim):
    """What a daemon on that claim has left for `kubectl describe` when it ended with an error."""
    for pod in space.pods("app.kubernetes.io/name=singleflightd"):
        if pod["spec"]["volumes"][0].get("persistentVolumeClaim", {}).get("claimName") != claim:
            continue
        for container in pod["status"].get("containerStatuses", []):
            for state in (container["state"], container["lastState"]):
                if state.get("terminated", {}).get("exitCode"):
                    return state["terminated"].get("message")
    return None
