# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS, tokens and rights from Secrets; and a certificate that is changed while all call."""

import os

import pytest

from support import chart, secure
from support.fleet import Fleet
from support.wait import until


@pytest.fixture(scope="module")
def keys(cluster, space):
    host = chart.address(space).removesuffix(":7433")
    made = secure.Keys(os.path.join(cluster.work, "keys"), cluster.build, host)
    made.put(space)
    return made


@pytest.fixture(scope="module")
def address(space, keys):
    return chart.install(space, secure.VALUES)


def test_who_shows_no_certificate_is_not_served(space, address):
    space.run_pod("stranger", "singleflight", "health", "--connect-timeout", "3s",
                  env={"SINGLEFLIGHT_ADDRESS": address})
    code, _ = space.outcome("stranger")
    assert code == 69, "no server for it"


def test_a_certificate_is_swapped_under_load(cluster, space, address, keys):
    pod = space.pod()
    with Fleet(cluster, address, keys.environment()):
        before = keys.served_serial(address)
        serial = keys.renew(space)
        assert serial != before
        until(lambda: keys.served_serial(address) == serial, "the new certificate is shown",
              bound=60)
        assert space.pod()["metadata"]["uid"] == pod["metadata"]["uid"], "nothing was restarted"
        # Connections that were there go on with the old one; those of the next pod have the new one.
        space.kubectl("delete", "pod", pod["metadata"]["name"])
        assert space.pod()["metadata"]["uid"] != pod["metadata"]["uid"]


def test_a_secret_that_is_half_written_changes_nothing(space, address, keys):
    before = keys.served_serial(address)
    pod = space.pod()["metadata"]["name"]
    space.secret(secure.TLS, tls__crt=keys.text("load.pem"))  # the key is another one's
    until(lambda: "certificates_not_reloaded" in space.logs(pod), "the log says so", bound=60)
    lines = [line for line in space.logs(pod).splitlines() if "certificates_not_reloaded" in line]
    assert len(lines) == 1
    assert keys.served_serial(address) == before
    keys.put_certificate(space)
    until(lambda: "certificates_reloaded" in space.logs(pod), "all is well again", bound=60)
