# SPDX-License-Identifier: Apache-2.0
"""Callers that are known by their certificate, and what the access file makes of them."""

import grpc
import pytest

from support import tls
from support.rights import House, secret
from support.wait import until

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED

ACCESS = """
[who]
app = uri:spiffe://prod.example/ns/app/*
hosts = dns:*.Example
cron = token:cron
[group app]
all = app
[group hosts]
all = hosts
[group cron]
all = cron
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    tls.make(folder)
    tls.make(folder, "many", *(f"DNS:host-{i}.example" for i in range(40)))
    tls.make(folder, "stranger", "DNS:stranger.test")
    return folder


@pytest.fixture
def house(tmp_path, certificates):
    houses = []

    def start(auth="require", access=ACCESS, tokens=("cron",)):
        flags = tls.server_flags(certificates, auth)
        houses.append(House(tmp_path, tokens, access, flags))
        return houses[-1]

    yield start
    for opened in houses:
        opened.close()


@pytest.fixture
def caller(certificates):
    nets = []

    def start(house, name=None, token=None, kind="do"):
        authorization = () if token is None else f"Bearer {secret(token)}"
        nets.append(tls.TlsNet(house.daemon, certificates, name, authorization, kind=kind))
        return nets[-1]

    yield start
    for net in nets:
        net.close()


@pytest.mark.parametrize("kind", ["do", "session"])
def test_names_of_a_certificate_have_rights(house, caller, kind):
    opened = house()
    alice, bob = caller(opened, "alice", kind=kind), caller(opened, "bob", kind=kind)
    alice.key_is_free(group="app")
    alice.key_is_free(group="hosts")
    bob.key_is_free(group="hosts")
    bob.join(group="app").ended(PERMISSION_DENIED, "do")
    caller(opened, "stranger", kind=kind).join(group="hosts").ended(PERMISSION_DENIED)
    # A token adds its name to those of the certificate.
    bob.join(group="cron").ended(PERMISSION_DENIED)
    caller(opened, "bob", "cron", kind=kind).key_is_free(group="cron")
    caller(opened, "bob", "nobody", kind=kind).join(group="hosts").ended(UNAUTHENTICATED)


def test_without_a_certificate_a_token_will_do(house, caller):
    """Where certificates are optional, and over TLS from anywhere."""
    opened = house(auth="optional")
    caller(opened, token="cron").key_is_free(group="cron")
    caller(opened).join(group="app").ended(UNAUTHENTICATED)
    caller(opened, "alice").key_is_free(group="app")


def test_with_tokens_alone_a_certificate_is_a_name(house, caller):
    opened = house(auth="optional", access=None)
    caller(opened, "stranger").key_is_free(group="any")
    caller(opened).join(group="any").ended(UNAUTHENTICATED)


def test_more_names_than_can_be_taken_are_refused(house, caller):
    """One that is cut off could stand on the deny list."""
    caller(house(), "many").join(group="hosts").ended(UNAUTHENTICATED, "names")


def test_a_name_that_is_denied_ends_its_session(house, caller):
    opened = house()
    leader = caller(opened, "alice", kind="session").lead(group="app")
    follower = caller(opened, "bob", kind="session").lead(group="hosts")
    opened.write_access(ACCESS + "[server]\ndeny = uri:spiffe://prod.example/ns/app/sa/alice\n")
    assert leader.stream.status().code == PERMISSION_DENIED
    # Bob has been looked at, too, and goes on.
    until(lambda: opened.count("event=right_lost") == 1, "it is told")
    follower.finish(b"v")
    assert follower.delivery().led
    # A connection may outlive everything; what is asked is asked anew.
    caller(opened, "alice").join(group="app").ended(PERMISSION_DENIED, "deny list")
