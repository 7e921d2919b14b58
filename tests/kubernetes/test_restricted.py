# SPDX-License-Identifier: Apache-2.0
"""The namespaces of these tests take nothing but the profile "restricted"."""

import pytest

from support.namespace import Refused, caller


def without_seccomp(pod):
    del pod["spec"]["securityContext"]["seccompProfile"]


def as_root(pod):
    pod["spec"]["securityContext"] |= {"runAsNonRoot": False, "runAsUser": 0}


def with_more_privileges(pod):
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True


def with_a_folder_of_the_node(pod):
    pod["spec"]["volumes"] = [{"name": "node", "hostPath": {"path": "/"}}]


@pytest.mark.parametrize("fault, word", [
    (without_seccomp, "seccompProfile"), (as_root, "runAsNonRoot"),
    (with_more_privileges, "allowPrivilegeEscalation"), (with_a_folder_of_the_node, "hostPath"),
])
def test_a_pod_that_may_do_more_is_refused(space, fault, word):
    pod = caller("more", "true")
    pod["spec"]["securityContext"] = dict(pod["spec"]["securityContext"])
    pod["spec"]["containers"][0]["securityContext"] = dict(
        pod["spec"]["containers"][0]["securityContext"])
    fault(pod)
    with pytest.raises(Refused, match=f'violates PodSecurity "restricted.*{word}'):
        space.apply(pod)


def test_a_restricted_pod_runs(space):
    space.run_pod("fine", "id", "-u")
    assert space.outcome("fine") == (0, "65532\n")


def test_an_unknown_field_is_refused(space):
    pod = caller("typo", "true")
    pod["spec"]["enableServiceLink"] = False
    with pytest.raises(Refused, match="enableServiceLink"):
        space.apply(pod)
