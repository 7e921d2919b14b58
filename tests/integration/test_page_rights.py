# SPDX-License-Identifier: Apache-2.0
"""The page with a token file and an access file: what is hidden, and who may change something."""

import contextlib
import http.client
import json
import socket

import grpc
import pytest

from support import page, scrape, tls
from support.rights import House, secret
from support.wait import until

TOKENS = ("ops", "dev", "guest")
ACCESS = """
[who]
ops = token:ops
dev = token:dev
guest = token:guest

[group public.*]
list = ops dev
forget = ops dev
end = ops
do = ops
lead = ops

[group secret.*]
all = ops

[group nothing]
list = guest
"""
FLAGS = (*scrape.FLAGS, "--runs", "all")


@pytest.fixture
def house(tmp_path):
    opened = House(tmp_path, TOKENS, ACCESS, flags=FLAGS)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def busy(house):
    """One flight that runs in each of two groups."""
    net = house.net("ops")
    leaders = {name: net.lead(group=f"{name}.a", key=name.encode()) for name in ("public", "secret")}
    return house, leaders


def keys(answer):
    return sorted((row["group"], row["key"]) for row in answer["rows"])


def test_without_a_token_there_are_numbers_and_no_names(busy):
    house, _ = busy
    answer = page.ok(house.daemon, "flights", sort="group")
    assert keys(answer) == [("public.a", None), ("secret.a", None)]
    for row in answer["rows"]:
        assert row["leader"] is None and row["token"] is None and row["callers"] == 1
        assert row["can_forget"] is False and row["can_end"] is False
    status = page.ok(house.daemon, "status")
    assert status["current"]["flights"] == 2
    assert [(file["name"], file["failing"]) for file in status["files"]] == [(None, False)] * 2
    assert status["viewer"] == {
        "rights": True, "name": None, "sees_keys": False, "can_forget": False, "can_end": False,
    }


def test_what_is_hidden_is_not_found_either(busy):
    """A search that answered would be a way to guess."""
    house, _ = busy
    assert page.ok(house.daemon, "flights", search="publi")["total"] == 1  # the group's name
    assert page.ok(house.daemon, "flights", search="secret")["rows"][0]["group"] == "secret.a"
    net = house.net("ops")
    net.lead(group="secret.b", key=b"combination")
    assert page.ok(house.daemon, "flights", search="combination")["total"] == 0
    assert page.ok(house.daemon, "flights", secret("ops"), search="combination")["total"] == 1


def test_a_token_shows_what_its_name_may_list(busy):
    house, _ = busy
    seen = lambda name: keys(page.ok(house.daemon, "flights", secret(name)))
    assert seen("ops") == [("public.a", "public"), ("secret.a", "secret")]
    assert page.ok(house.daemon, "flights", secret("dev"), group="public.a")["rows"][0]["key"]
    assert page.ok(house.daemon, "flights", secret("dev"), group="secret.a")["rows"][0]["key"] is None
    assert page.ok(house.daemon, "flights", secret("guest"), group="public.a")["rows"][0]["key"] is None
    viewer = page.ok(house.daemon, "status", secret("dev"))["viewer"]
    assert viewer == {
        "rights": True, "name": "token:dev", "sees_keys": True, "can_forget": True, "can_end": False,
    }


def test_runs_are_hidden_in_the_same_way(busy):
    house, leaders = busy
    leaders["secret"].finish(b"", message="confidential")
    seen = lambda token: page.ok(house.daemon, "runs", token)["rows"]
    (row,) = until(lambda: seen(secret("ops")), "the run is there")
    assert row["key"] == "secret" and row["detail"] == "confidential"
    for token in (None, secret("dev")):
        (row,) = seen(token)
        assert row["key"] is None and row["detail"] is None and row["leader"] is None
        assert row["outcome"] == "ok"


@pytest.mark.parametrize(
    "authorization", ["Bearer nobody's", "Bearer", "Bearer ", "Bearer a b", "Basic b3BzOng="]
)
@pytest.mark.parametrize("path", ["status", "flights", "runs", "history", "events"])
def test_a_bad_token_is_refused_everywhere(house, authorization, path):
    headers = {"Authorization": authorization}
    status, answer = page.api(house.daemon, path, headers=headers)
    assert (status, answer) == (401, {"error": "the token is not known"})


def test_who_needs_a_token_is_told_of_which_kind(house):
    status, headers, _ = scrape.get(
        house.daemon, "/api/v1/status", headers={"Authorization": "Bearer nonsense"}
    )
    assert status == 401 and headers["WWW-Authenticate"] == "Bearer"


def test_bad_tokens_are_counted(house):
    page.api(house.daemon, "status", token="x")
    denied = scrape.Page(house.daemon).value("singleflight_auth_denied_total", reason="bad_token")
    assert denied == 1


def test_probes_and_metrics_need_no_token(house):
    for path in ("/livez", "/readyz", "/metrics", "/", "/page.css"):
        assert scrape.get(house.daemon, path, headers={"Authorization": "Bearer x"})[0] == 200


def test_acting_needs_the_right_to(busy):
    house, leaders = busy
    body = {"group": "public.a", "key": "public", "token": str(leaders["public"].token)}
    act = lambda path, name: page.post(house.daemon, path, body, name and secret(name))
    assert act("end", None) == (401, {"error": "a token is needed for that"})
    assert act("forget", None)[0] == 401
    assert act("end", "guest") == (403, {"error": "you may not end flights of this group"})
    assert act("end", "dev")[0] == 403
    assert act("forget", "guest") == (403, {"error": "you may not forget keys of this group"})
    assert house.count("page_refused") == 5
    assert act("end", "ops") == (200, {"ended": True})
    leaders["public"].ended(grpc.StatusCode.ABORTED)
    assert act("forget", "dev") == (200, {"forgotten": False})
    until(lambda: house.count("event=ended who=token:ops") == 1, "who did it is in the log")


def test_a_stream_shows_what_the_rights_are_now(busy):
    """A reload that takes the right away hides the keys; one that takes the token ends it."""
    house, _ = busy
    with page.events(house.daemon, secret("dev"), group="public.a") as stream:
        stream.until("flights", lambda data: data["total"] and data["rows"][0]["key"] == "public")
        house.write_access(ACCESS.replace("list = ops dev", "list = ops"))
        stream.until("flights", lambda data: data["rows"][0]["key"] is None)
        house.write_tokens("ops", "guest")
        while stream.next() is not None:
            pass
    with page.events(house.daemon, secret("dev")) as stream:
        assert stream.status == 401


def test_broken_files_are_shown_with_their_reason_to_those_who_are_known(house):
    house.write_access("[nonsense")
    failing = lambda token: [
        file for file in page.ok(house.daemon, "status", token)["files"] if file["failing"]
    ]
    assert until(lambda: failing(None), "it is seen")[0]["why"] is None
    assert "access" in failing(secret("ops"))[-1]["why"]
    house.write_access(ACCESS)
    until(lambda: not failing(None), "it is good again")


def test_with_a_token_file_alone_every_token_may_do_everything(tmp_path):
    house = House(tmp_path, TOKENS, flags=FLAGS)
    try:
        leader = house.net("dev").lead(group="x", key=b"k")
        assert page.ok(house.daemon, "flights")["rows"][0]["key"] is None
        assert page.ok(house.daemon, "flights", secret("guest"))["rows"][0]["key"] == "k"
        body = {"group": "x", "key": "k", "token": str(leader.token)}
        assert page.post(house.daemon, "end", body)[0] == 401
        assert page.post(house.daemon, "end", body, secret("guest")) == (200, {"ended": True})
    finally:
        house.close()


def test_with_the_rights_on_any_name_may_lead_here(house):
    """A token guards what there is; a certificate's name or a proxy's is good then."""
    assert page.api(house.daemon, "status", headers={"Host": "page.example.org"})[0] == 200


def test_quotas_stand_beside_what_is_used(tmp_path):
    house = House(tmp_path, TOKENS, ACCESS + "[group *]\nflights-limit = 5\n", flags=FLAGS)
    try:
        house.net("ops").lead(group="public.a", key=b"k")
        (group,) = page.ok(house.daemon, "status")["groups"]
        assert group["flights"] == 1 and group["limits"]["flights"] == 5
        assert group["limits"]["callers"] is None and group["retained_bytes"] == 0
    finally:
        house.close()


# --- without a file that says who may what: nobody is shown more than the gRPC port would ---


def elsewhere():
    """An address of this machine that is not loopback: a peer with it counts as another machine."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.77", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return probe.getsockname()[0]


def ask(net, host, path, body=None):
    """As a peer that reaches the admin port by this address of ours."""
    port = int(scrape.admin_address(net.daemon).rsplit(":", 1)[1])
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(
            "GET" if body is None else "POST",
            f"/api/v1/{path}",
            None if body is None else json.dumps(body),
            headers,
        )
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_where_the_port_is_for_this_machine_keys_are_so_too(private):
    """An admin port that Prometheus reaches is no way round it."""
    other = elsewhere()
    net = private("--admin-listen", "0.0.0.0:0")
    net.lead(key=b"k")
    ((row,),) = [ask(net, "127.0.0.1", "flights")[1]["rows"]]
    assert row["key"] == "k"
    ((row,),) = [ask(net, other, "flights")[1]["rows"]]
    assert row["key"] is None and row["leader"] is None and row["token"] is None
    viewer = ask(net, other, "status")[1]["viewer"]
    assert not viewer["rights"] and not viewer["sees_keys"] and not viewer["can_forget"]
    body = {"group": net.group, "key": "k"}
    status, answer = ask(net, other, "forget", body)
    assert status == 403 and "this machine only" in answer["error"]
    assert ask(net, "127.0.0.1", "forget", body) == (200, {"forgotten": True})


@pytest.mark.parametrize("header", ["X-Forwarded-For", "x-forwarded-proto", "Forwarded", "Via"])
def test_what_a_proxy_brings_is_not_from_this_machine(private, header):
    net = private(*scrape.FLAGS)
    net.lead(key=b"k")
    (row,) = page.api(net.daemon, "flights", headers={header: "for=192.0.2.1"})[1]["rows"]
    assert row["key"] is None and row["token"] is None
    body = {"group": net.group, "key": "k"}
    assert page.post(net.daemon, "forget", body, **{header.replace("-", "_"): "x"})[0] == 403
    assert page.post(net.daemon, "forget", body) == (200, {"forgotten": True})


def test_another_address_of_loopback_is_not_trusted(private):
    """Whatever shares the network of a pod or a machine can take one of those."""
    net = private(*scrape.FLAGS)
    net.lead(key=b"k")
    host, port = scrape.admin_address(net.daemon).split(":")
    connection = http.client.HTTPConnection(
        host, int(port), timeout=20, source_address=("127.0.0.9", 0)
    )
    with contextlib.closing(connection):
        connection.request("GET", "/api/v1/flights")
        (row,) = json.loads(connection.getresponse().read())["rows"]
    assert row["key"] is None


def test_where_the_port_serves_everybody_keys_show_and_nobody_else_acts(private):
    other = elsewhere()
    flags = ("--admin-listen", "0.0.0.0:0", "--insecure-listen")
    net = private(*flags, listen=("127.0.0.1:0", "0.0.0.0:0"))
    net.lead(key=b"k")
    assert ask(net, other, "flights")[1]["rows"][0]["key"] == "k"
    assert ask(net, other, "forget", {"group": net.group, "key": "k"})[0] == 403


def test_where_the_port_demands_certificates_keys_show_to_nobody(private, tmp_path):
    tls.make(tmp_path)
    net = private(*scrape.FLAGS, *tls.server_flags(tmp_path))
    caller = tls.TlsNet(net.daemon, tmp_path, "alice")
    try:
        caller.lead(key=b"k")
        (row,) = page.ok(net.daemon, "flights")["rows"]
        assert row["key"] is None
        # No token would help.
        assert page.ok(net.daemon, "status")["viewer"]["rights"] is False
        body = {"group": caller.group, "key": "k"}
        assert page.post(net.daemon, "forget", body)[0] == 403
        assert page.api(net.daemon, "flights", token="anything")[0] == 401
    finally:
        caller.close()


def test_a_certificate_shows_when_it_runs_out_and_why_the_next_one_is_not_taken(private, tmp_path):
    tls.make(tmp_path)
    pair = ("--tls-cert", tmp_path / "server.pem", "--tls-key", tmp_path / "server.key")
    net = private(*scrape.FLAGS, *pair)
    certificate = lambda: page.ok(net.daemon, "status")["certificates"][0]
    seen = certificate()
    assert seen["name"].endswith("server.pem") and not seen["failing"] and seen["why"] is None
    assert seen["not_after_ms"] > page.ok(net.daemon, "status")["now_ms"]
    good = (tmp_path / "server.pem").read_text()
    (tmp_path / "server.pem").write_text("nonsense")
    until(lambda: certificate()["failing"], "it is seen")
    assert "server.pem" in certificate()["why"]
    (tmp_path / "server.pem").write_text(good)
    until(lambda: not certificate()["failing"], "it is good again")
