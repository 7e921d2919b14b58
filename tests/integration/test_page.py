# SPDX-License-Identifier: Apache-2.0
"""The page on the admin listener and its API, with the rights off."""

import base64
import json
import re
import socket

import grpc
import pytest

from support import page, scrape
from support.callers import ERROR
from support.daemon import sanitized
from support.wait import milliseconds, until, wall_milliseconds

DAEMON_FLAGS = (*scrape.FLAGS, "--runs", "all")
MINUTE = 60_000
GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


def rows(net, **parameters):
    return page.ok(net.daemon, "flights", group=net.group, **parameters)["rows"]


def test_the_page_and_all_that_it_needs_is_served_from_here(daemon):
    status, headers, text = scrape.get(daemon, "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert GUARDS.items() <= dict(headers).items()
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    needed = re.findall(r"(?:src|href)=\"/?([\w.-]+)\"", text)
    assert needed
    for path in needed:
        assert scrape.get(daemon, f"/{path}")[0] == 200, path


def test_a_file_that_the_browser_has_is_not_sent_again(daemon):
    _, headers, _ = scrape.get(daemon, "/page.css")
    again = {"If-None-Match": headers["ETag"]}
    status, headers, text = scrape.get(daemon, "/page.css", headers=again)
    assert (status, text) == (304, "") and GUARDS.items() <= dict(headers).items()
    assert scrape.get(daemon, "/page.css", headers={"If-None-Match": '"other"'})[0] == 200


def test_the_status_says_what_the_daemon_counts(private):
    net = private(*DAEMON_FLAGS, "--callers-limit", "1000")
    before = page.ok(net.daemon, "status")
    leader = net.lead()
    net.follow()
    until(lambda: page.ok(net.daemon, "status")["current"]["callers"] == 2, "two callers")
    leader.finish()
    now = until(
        lambda: (s := page.ok(net.daemon, "status"))["counters"]["saved"] == 1 and s, "it is over"
    )
    assert now["counters"]["calls"] == 2 and now["counters"]["executions"] == 1
    assert now["current"]["flights"] == 0 and now["current"]["connections"] == 1
    assert now["limits"]["callers"] == 1000
    assert now["ready"] is True and now["why_not_ready"] is None and now["draining"] is False
    assert now["store"] == {"enabled": False, "failing": False, "bytes_waiting": 0, "why": None}
    assert now["certificates"] == [] and now["files"] == []
    assert before["started_ms"] <= before["now_ms"] <= now["now_ms"] <= wall_milliseconds() + 1000
    viewer = {"rights": False, "name": None, "sees_keys": True, "can_forget": True, "can_end": True}
    assert now["viewer"] == viewer


def test_a_flight_says_who_leads_and_how_it_stands(net):
    leader = net.lead(caller="boss", lease_ms=MINUTE)
    net.follow()
    leader.chunk(b"12345")
    row = until(lambda: [r for r in rows(net) if r["bytes"] == 5], "the chunk is there")[0]
    assert row["group"] == net.group and row["key"] == "key" and row["leader"] == "boss"
    assert row["state"] == "led" and row["callers"] == 2 and row["attempt"] == 1
    assert 50_000 < row["lease_ms"] <= MINUTE and row["expires_ms"] is None
    assert row["token"] == str(leader.token) and row["outcome"] is None
    until(lambda: rows(net)[0]["age_ms"] > row["age_ms"], "it grows older")


def test_a_retained_outcome_is_a_row_too(net):
    told = net.retained(b"abc", retain_ms=MINUTE)
    (row,) = rows(net)
    assert row["state"] == "retained" and row["outcome"] == "ok" and row["bytes"] == 3
    assert row["token"] == str(told.token) and 0 < row["expires_ms"] <= MINUTE
    assert row["lease_ms"] is None


def test_an_orphaned_flight_is_called_so(net):
    leader = net.lead(alone=True, lease_ms=MINUTE)
    leader.break_stream()
    until(lambda: rows(net)[0]["state"] == "orphaned", "its leader is gone")
    assert rows(net, state="orphaned,led") and not rows(net, state="led")


def test_rows_are_sorted_searched_and_shown_in_windows(net):
    for i, name in enumerate([b"apple", b"Banana", b"cherry", b"date"]):
        net.lead(key=name)
        for _ in range(i % 3):
            net.follow(key=name)
    keys = lambda **asked: [row["key"] for row in rows(net, **asked)]
    assert keys(sort="callers") == ["cherry", "Banana", "apple", "date"]
    assert keys(sort="key") == ["Banana", "apple", "cherry", "date"]
    assert keys(sort="age") == ["apple", "Banana", "cherry", "date"]
    assert keys(sort="key", offset=1, limit=2) == ["apple", "cherry"]
    assert keys(search="AN") == ["Banana"] and keys(search="nothing") == []
    assert keys(limit=0) == [] and keys(offset=10) == []
    total = page.ok(net.daemon, "flights", group=net.group, limit=1, search="e")["total"]
    assert total == 3


@pytest.mark.parametrize("key", [b"\xff\xfe key", "Schlüssel <b>\"'&".encode(), b"\x00\x01\n"])
def test_any_key_is_shown_and_can_be_acted_upon(net, key):
    """JSON is text, and keys are bytes."""
    net.lead(key=key)
    (row,) = rows(net)
    shown = base64.b64decode(row["key_base64"]) if "key_base64" in row else row["key"].encode()
    assert shown == key
    named = {name: row[name] for name in ("key", "key_base64", "group") if name in row}
    assert page.post(net.daemon, "forget", named) == (200, {"forgotten": True})


def test_a_run_says_how_it_ended(net):
    net.lead(key=b"one", caller="boss").finish(b"abc")
    net.lead(key=b"two").finish(kind=ERROR, code=9, message="no luck")
    seen = lambda: page.ok(net.daemon, "runs", group=net.group)
    until(lambda: seen()["total"] == 2, "both have ended")
    two, one = seen()["rows"]
    assert (one["key"], one["outcome"], one["leader"], one["bytes"]) == ("one", "ok", "boss", 3)
    assert (two["key"], two["outcome"], two["detail"]) == ("two", "error", "no luck")
    assert one["took_ms"] == one["ended_ms"] - one["began_ms"] and one["callers"] == 1
    asked = page.ok(net.daemon, "runs", group=net.group, outcome="error", search="TW")
    assert [row["key"] for row in asked["rows"]] == ["two"]
    assert page.ok(net.daemon, "runs", group=net.group, offset=1)["rows"][0]["key"] == "one"


def test_groups_are_counted_each_for_itself(net):
    net.lead()
    net.follow()
    net.lead(key=b"other")
    mine = lambda: [
        g for g in page.ok(net.daemon, "status")["groups"] if g["group"] == net.group
    ]
    (group,) = until(lambda: [g for g in mine() if g["callers"] == 3], "three callers")
    assert group["flights"] == 2 and group["limits"]["flights"] is None


def test_the_history_is_an_hour_of_points(daemon):
    history = page.ok(daemon, "history")
    series = [name for name in history if name not in ("step_ms", "first_ms")]
    assert sorted(series) == sorted(
        "calls executions saved flight_p50_ms flight_p99_ms wait_p50_ms wait_p99_ms "
        "flights callers held_bytes".split()
    )
    assert all(len(history[name]) == 360 for name in series) and history["step_ms"] == 10_000


@pytest.mark.parametrize(
    "path, parameters, problem",
    [
        ("flights", {"sort": "size"}, "sort must be callers, age, bytes, attempt, key or group"),
        ("flights", {"limit": "501"}, "limit must be a number from 0 to 500"),
        ("flights", {"limit": "-1"}, "limit must be a number from 0 to 500"),
        ("flights", {"limit": ""}, "limit must be a number from 0 to 500"),
        ("flights", {"offset": "99999999999"}, "offset must be a number from 0 to 10000"),
        ("flights", {"group": "g" * 1025}, "group is longer than 1024 bytes"),
        ("flights", {"search": b"\xff"}, "search is not UTF-8"),
        ("flights", {"state": "led,lost"}, "state must be finding-home, led"),
        ("flights", {"outcome": "ok"}, 'there is no parameter "outcome" here'),
        ("flights", {"a\nb<": "1"}, 'there is no parameter "a?b<" here'),
        ("runs", {"outcome": "good"}, "outcome must be ok, error, panic, abandoned or aborted"),
        ("runs", {"sort": "age"}, 'there is no parameter "sort" here'),
        ("status", {"x": "1"}, 'there is no parameter "x" here'),
        ("events", {"runs_limit": "x"}, "runs_limit must be a number from 0 to 500"),
    ],
)
def test_a_query_that_makes_no_sense_is_one_clear_line(daemon, path, parameters, problem):
    status, answer = page.api(daemon, path, **parameters)
    assert status == 400 and answer["error"].startswith(problem)


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1/flight", "/api/v2/status", "/api/"])
def test_what_is_not_there_is_told_as_json(daemon, path):
    status, _, text = scrape.get(daemon, path)
    assert status == 404 and json.loads(text) == {"error": "there is nothing here"}


@pytest.mark.parametrize(
    "path, method, allowed",
    [("status", "POST", "GET, HEAD"), ("forget", "GET", "POST"), ("end", "OPTIONS", "POST")],
)
def test_other_methods_are_refused_as_json(daemon, path, method, allowed):
    status, headers, text = scrape.get(daemon, f"/api/v1/{path}", method)
    assert status == 405 and headers["Allow"] == allowed and "alone" in json.loads(text)["error"]
    assert "Access-Control-Allow-Origin" not in headers


# --- what is told as it happens ---


def test_a_stream_begins_with_all_that_there_is(net):
    net.lead()
    with page.events(net.daemon, group=net.group) as stream:
        kinds = {}
        while len(kinds) < 4:
            name, data = stream.next()
            kinds.setdefault(name, data)
    assert sorted(kinds) == ["flights", "history", "runs", "status"]
    assert [row["key"] for row in kinds["flights"]["rows"]] == ["key"]


def test_what_begins_and_ends_is_told(net):
    with page.events(net.daemon, group=net.group, runs_group=net.group) as stream:
        stream.until("flights", lambda data: data["total"] == 0)
        leader = net.lead()
        stream.until("flights", lambda data: data["total"] == 1)
        net.follow()
        stream.until("flights", lambda data: data["rows"][0]["callers"] == 2)
        leader.finish()
        stream.until("runs", lambda data: data["total"] == 1)


def test_rows_that_stay_the_same_are_not_told_again(net):
    """Ages grow at the reader's."""
    net.lead()
    with page.events(net.daemon, group=net.group, runs_limit=0) as stream:
        stream.until("flights", lambda data: data["total"] == 1)
        names = [stream.next()[0] for _ in range(4)]
    assert names.count("status") >= 2 and names.count("flights") <= 1


def test_a_seventeenth_stream_is_refused_and_a_place_becomes_free(private):
    net = private(*DAEMON_FLAGS)
    streams = [page.Events(net.daemon) for _ in range(16)]
    try:
        assert [stream.status for stream in streams] == [200] * 16
        with page.events(net.daemon) as one_more:
            assert one_more.status == 429 and "16 pages" in one_more.error()
        assert scrape.get(net.daemon, "/livez")[0] == 200
        streams[0].close()

        def opens():
            with page.events(net.daemon) as stream:
                return stream.status == 200

        until(opens, "the place is free")
    finally:
        for stream in streams:
            stream.close()


def test_a_draining_daemon_tells_so_until_its_end(private):
    net = private(*DAEMON_FLAGS, "--drain-time", "10s")
    leader = net.lead()
    with page.events(net.daemon) as stream:
        stream.until("status")
        net.daemon.terminate()
        status = stream.until("status", lambda data: data["draining"])
        assert status["ready"] is False and status["why_not_ready"] == "draining"
        leader.finish()
        while stream.next() is not None:
            pass


# --- what is changed ---


def test_a_flight_is_ended_by_its_token_alone(net):
    leader, follower = net.lead(), net.follow()
    end = lambda token: page.post(
        net.daemon, "end", {"group": net.group, "key": "key", "token": token}
    )
    assert end("1") == (200, {"ended": False})
    assert end(str(leader.token)) == (200, {"ended": True})
    follower.ended(grpc.StatusCode.ABORTED, "ended by the page")
    assert end(str(leader.token)) == (200, {"ended": False})


def test_an_end_of_a_flight_that_is_over_leaves_what_it_retained(net):
    told = net.retained(b"abc", retain_ms=MINUTE)
    body = {"group": net.group, "key": "key", "token": str(told.token)}
    assert page.post(net.daemon, "end", body) == (200, {"ended": False})
    assert len(rows(net)) == 1


def test_a_flight_that_was_forgotten_can_still_be_ended(net):
    leader = net.lead()
    net.forget()
    (row,) = rows(net)
    assert row["state"] == "forgotten"
    body = {"group": net.group, "key": "key", "token": row["token"]}
    assert page.post(net.daemon, "end", body) == (200, {"ended": True})
    leader.ended(grpc.StatusCode.ABORTED)


def test_a_retained_outcome_is_forgotten(net):
    net.retained(b"abc", retain_ms=MINUTE)
    body = {"group": net.group, "key": "key"}
    assert page.post(net.daemon, "forget", body) == (200, {"forgotten": True})
    assert page.post(net.daemon, "forget", body) == (200, {"forgotten": False})
    assert rows(net) == []


@pytest.mark.parametrize(
    "path, body, problem",
    [
        ("forget", "", "the body must be one JSON object"),
        ("forget", "{", "the body must be one JSON object"),
        ("forget", "[]", "the body must be one JSON object"),
        ("forget", '{"key":"a"} x', "the body must be one JSON object"),
        ("forget", "[" * 1000, "the body must be one JSON object"),
        ("forget", b'{"key":"\xff"}', "the body must be one JSON object"),
        ("forget", {}, "key is missing"),
        ("forget", {"key": 7}, "key must be a string"),
        ("forget", {"key": "a", "group": ["b"]}, "group must be a string"),
        ("forget", {"key_base64": "a"}, "key_base64 is no base64"),
        ("forget", {"key": "a" * 1025}, "key is longer than this server takes"),
        ("forget", {"key": "a", "group": "b" * 129}, "group is longer than this server takes"),
        ("end", {"key": "a" * 1025, "token": "1"}, "key is longer than this server takes"),
        ("forget", {"key_base64": "YWJj\0YWJ"}, "key_base64 is no base64"),
        ("forget", {"key_base64": "=a=="}, "key_base64 is no base64"),
        ("end", {"key": "a"}, "token must be the flight's token, as a string"),
        ("end", {"key": "a", "token": 5}, "token must be a string"),
        ("end", {"key": "a", "token": "0"}, "token must be the flight's token, as a string"),
        ("end", {"key": "a", "token": "99999999999999999999"}, "token must be the flight's"),
        ("end", {"key": "a", "token": "12x"}, "token must be the flight's token, as a string"),
    ],
)
def test_a_body_that_makes_no_sense_is_one_clear_line(daemon, path, body, problem):
    status, answer = page.post(daemon, path, body)
    assert status == 400 and answer["error"].startswith(problem)


def test_a_body_without_end_is_refused(daemon):
    status, answer = page.post(daemon, "forget", '{"key":"' + "a" * (1 << 20) + '"}')
    assert status == 413 and "1 MiB" in answer["error"]


def test_a_body_is_not_waited_for_when_its_headers_say_enough(daemon):
    host, port = scrape.admin_address(daemon).split(":")
    with socket.create_connection((host, int(port)), timeout=20) as peer:
        peer.sendall(b"POST /api/v1/forget HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
                     b"Content-Type: text/plain\r\n\r\n")
        assert peer.recv(12).split()[1] == b"415"


def test_a_long_key_is_cut_and_acted_upon_when_it_was_had_whole(private):
    """Its first KiB is a key of its own, which stays."""
    net = private(*DAEMON_FLAGS, "--key-limit", "16KiB")
    key = b"k" * 16384
    net.lead(key=key)
    net.lead(key=key[:1024])
    cut, whole = sorted(rows(net), key=lambda row: "key_cut" not in row)
    assert cut["key"] == whole["key"] == "k" * 1024 and cut["key_bytes"] == 16384
    assert cut["can_forget"] is cut["can_end"] is False and "can_end" not in whole
    found = page.ok(
        net.daemon, f"flights?token={cut['token']}&key_hash={cut['key_hash']}"
    )
    assert found["total"] == 1 and found["rows"][0]["key"] == key.decode()
    body = {"group": net.group, "key": found["rows"][0]["key"], "token": cut["token"]}
    assert page.post(net.daemon, "end", {**body, "key": cut["key"]}) == (200, {"ended": False})
    assert page.post(net.daemon, "end", body) == (200, {"ended": True})
    assert [row["token"] for row in rows(net)] == [whole["token"]]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/jsonp"])
def test_a_form_can_change_nothing(net, content_type):
    """A browser sends those to anybody, without asking first."""
    net.lead()
    body = {"group": net.group, "key": "key"}
    status, answer = page.post(net.daemon, "forget", body, content_type=content_type)
    assert status == 415 and "application/json" in answer["error"]
    assert len(rows(net)) == 1


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://", "https://[::1]"])
def test_another_site_can_change_nothing(net, origin):
    net.lead()
    body = {"group": net.group, "key": "key"}
    status, answer = page.post(net.daemon, "forget", body, origin=origin)
    assert (status, answer) == (403, {"error": "the request comes from another site"})
    assert len(rows(net)) == 1
    own = f"http://{scrape.admin_address(net.daemon)}"
    assert page.post(net.daemon, "forget", body, origin=own) == (200, {"forgotten": True})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9433", "localhost.evil.example"])
def test_a_name_that_leads_here_opens_nothing(daemon, host):
    """DNS rebinding: the browser takes this server for the attacker's."""
    status, answer = page.api(daemon, "flights", headers={"Host": host})
    assert status == 403 and "--admin-listen" in answer["error"]


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:9433", "10.0.0.7:9433"])
def test_an_address_is_a_good_host(daemon, host):
    assert page.api(daemon, "status", headers={"Host": host})[0] == 200


@pytest.mark.parametrize("host", ["a b", "a:b", "a:", "[::1", "a/b", "x" * 300, "a:123456"])
def test_a_host_that_is_none_is_refused(daemon, host):
    status, answer = page.api(daemon, "status", headers={"Host": host})
    assert status == 403 and answer["error"] == "the header Host must be HOST or HOST:PORT"


# --- many ---


@pytest.mark.slow
def test_ten_thousand_flights_are_shown_while_do_stays_quick(private):
    """The walk over them disturbs nobody, and a page gets its window at once."""
    net = private(*DAEMON_FLAGS, "--connection-callers-limit", "20000")
    session = net.session()
    calls = [session.open_call() for _ in range(10_000)]
    for i, call in enumerate(calls):
        call.send("join", net.join_message(key=b"key %05d" % i))
    until(
        lambda: page.ok(net.daemon, "status")["current"]["flights"] == 10_000, "they all run", 60
    )
    with page.events(net.daemon, sort="key", offset=9_900) as stream:
        shown = stream.until("flights", lambda data: data["total"] == 10_000)
        assert [row["key"] for row in shown["rows"]][::99] == ["key 09900", "key 09999"]
        took = []
        for i in range(100):
            begun = milliseconds()
            net.lead(key=b"quick %d" % i).finish()
            took.append(milliseconds() - begun)
            if i % 25 == 0:
                found = page.ok(net.daemon, "flights", search="KEY 0777", sort="key")
                assert found["total"] == 10 and found["rows"][0]["key"] == "key 07770"
    assert sorted(took)[50] < (200 if sanitized() else 50)
