# SPDX-License-Identifier: Apache-2.0
"""The chart with cert-manager, which is played here: a Certificate, and later its Secret."""

import json
import os

import pytest

from support import chart, secure
from support.namespace import Refused
from support.wait import until

SECRET = "singleflightd-tls"
VALUES = {
    "tls": {"certManager": {"enabled": True, "issuerRef": {"name": "ca"}},
            "clientCA": {"fromTLSSecret": True}},
    "test": {"clientSecret": "client"},
    "settings": {"drain-time": "2s"},
}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "certificates.cert-manager.io"},
    "spec": {
        "group": "cert-manager.io", "scope": "Namespaced",
        "names": {"plural": "certificates", "singular": "certificate", "kind": "Certificate"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}],
    },
}


def test_the_first_certificate_is_waited_for_and_later_ones_are_checked(cluster, space):
    space.apply(DEFINITION)
    space.kubectl("wait", "--for=condition=Established", "--timeout=60s",
                  "crd/certificates.cert-manager.io")
    # Without its Secret the pod does not start, and the check before it does not fail.
    space.helm("install", chart.RELEASE, chart.CHART, "--values", "-", given=json.dumps(VALUES))
    until(lambda: [said for said in space.events("singleflightd") if f'"{SECRET}" not found' in said],
          "the pod waits for its Secret")
    made = space.get("certificate", chart.RELEASE)["spec"]
    assert made["secretName"] == SECRET

    keys = secure.Keys(os.path.join(cluster.work, "cert-manager"), cluster.build, *made["dnsNames"])
    certificate = {"tls__crt": keys.text("daemon.pem"), "tls__key": keys.text("daemon.key"),
                   "ca__crt": keys.text("ca.pem")}
    space.secret("client", tls__crt=keys.text("load.pem"), tls__key=keys.text("load.key"))
    space.secret(SECRET, **certificate)
    # The kubelet tries again after a while that grows.
    pod = space.pod()
    space.helm("test", chart.RELEASE, "--timeout", "90s")

    space.secret(SECRET, **certificate | {"tls__key": keys.text("load.key")})
    with pytest.raises(Refused, match=f"{SECRET}/tls.key: does not belong to the certificate"):
        chart.install(space, VALUES)
    assert space.pod()["metadata"]["uid"] == pod["metadata"]["uid"]
