# SPDX-License-Identifier: Apache-2.0
"""What is wrong is one clear line where its user looks, and the old release goes on."""

import os

import pytest

from support import chart, secure
from support.namespace import Refused, caller
from support.node import DAEMON_IMAGE
from support.wait import until

VALUES = {"settings": {"drain-time": "2s"}, "checkConfig": {"deadlineSeconds": 40}}


@pytest.fixture
def goes_on(space, address):
    """Whatever the test does to the release, its pod is the same afterwards, and serves."""
    before = space.pod()
    yield
    after = space.pod()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0
    said = space.kubectl("exec", after["metadata"]["name"], "--", "singleflight", "do", "key", "--",
                         "singleflight", "--version")
    assert said.startswith("singleflight ")


def refused_upgrade(space, **values):
    """What helm says of an upgrade that must fail."""
    with pytest.raises(Refused) as refused:
        chart.install(space, {**VALUES, **values})
    return str(refused.value)


def lines_with(text, word):
    return [line for line in text.splitlines() if word in line]


@pytest.mark.parametrize("values, words", [
    ({"settings": {"drain-time": "soon"}}, "drain-time"),
    ({"settings": {"held-limit": "1"}}, "held-limit"),
    ({"settings": {"no-such-setting": "1"}}, "no-such-setting"),
    ({"settings": {"listen": "0.0.0.0:1"}}, "listen"),
    ({"replicaCount": 2}, "replicaCount"),
    ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"service": {"port": 743300}}, "port"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else None)
def test_a_value_out_of_bounds_is_named(space, goes_on, values, words):
    assert words in refused_upgrade(space, **values)


def test_settings_that_do_not_fit_together_are_named_by_the_daemon(space, goes_on):
    said = refused_upgrade(space, settings={"lease-min": "1m", "lease-max": "30s"})
    assert lines_with(said, "lease-m")


def test_a_missing_secret_is_named(space, goes_on):
    said = refused_upgrade(space, **secure.VALUES)
    assert lines_with(said, f"/{secure.TOKENS}/"), said


def test_a_secret_without_a_key_is_named(space, goes_on, keys):
    keys.put(space)
    space.kubectl("patch", "secret", secure.TLS, "--type=json", "-p",
                  '[{"op": "remove", "path": "/data/tls.key"}]')
    said = refused_upgrade(space, **secure.VALUES)
    assert lines_with(said, "tls.key"), said


def test_a_certificate_that_is_cut_off_is_named(space, goes_on, keys):
    keys.put(space)
    space.secret(secure.TLS, tls__crt=keys.text("daemon.pem")[:200], tls__key=keys.text("daemon.key"))
    said = refused_upgrade(space, **secure.VALUES)
    assert lines_with(said, "tls.crt"), said


@pytest.fixture(scope="module")
def keys(cluster, space):
    host = chart.address(space).removesuffix(":7433")
    return secure.Keys(os.path.join(cluster.work, "bad-keys"), cluster.build, host)


def test_a_node_port_that_is_taken_is_named(space, goes_on):
    space.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"},
                 "spec": {"type": "NodePort", "ports": [{"port": 1, "nodePort": 30433}]}})
    said = refused_upgrade(space, insecure="allow",
                           service={"type": "NodePort", "nodePort": 30433})
    assert "30433" in said


def test_a_port_in_use_is_one_line_in_the_log_and_in_describe(space):
    """Two daemons in one pod: the second one finds the port taken."""
    pod = caller("twice", image=DAEMON_IMAGE)
    first = pod["spec"]["containers"][0]
    del first["command"]
    first["name"] = "first"
    first["terminationMessagePolicy"] = "FallbackToLogsOnError"
    # It begins when the first one listens.
    pod["spec"]["initContainers"] = [first | {
        "restartPolicy": "Always",
        "startupProbe": {"tcpSocket": {"port": 7433}, "periodSeconds": 1}}]
    pod["spec"]["containers"] = [first | {"name": "second"}]
    space.apply(pod)

    def ended():
        status = space.get("pod", "twice")["status"].get("containerStatuses", [{}])[0]
        return (status.get("lastState", {}).get("terminated")
                or status.get("state", {}).get("terminated"))

    message = until(ended, "the second daemon has ended", bound=60)["message"]
    assert len(message.splitlines()) == 1
    assert "7433" in message and "in use" in message
    assert message.strip() in space.kubectl("describe", "pod", "twice")
    space.kubectl("delete", "pod", "twice", "--wait=false")
