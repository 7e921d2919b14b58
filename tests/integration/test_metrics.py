# SPDX-License-Identifier: Apache-2.0
"""The admin listener: probes and metrics."""

import hashlib
import pathlib
import resource
import socket
import subprocess
import time

import grpc
import pytest

from support import scrape
from support.daemon import grpc_library, run_to_end
from support.secure import tcp
from support.wait import until

DAEMON_FLAGS = scrape.FLAGS
CERTIFICATES = pathlib.Path(__file__).resolve().parents[1] / "support" / "certificates"


@pytest.mark.parametrize("path, text", [("/livez", "live\n"), ("/readyz", "ready\n")])
def test_a_daemon_that_serves_is_live_and_ready(daemon, path, text):
    """Probes need nothing of the answer but its status."""
    status, headers, answer = scrape.get(daemon, path)
    assert (status, answer) == (200, text)
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/metric", "/metrics/", "//", "/../etc/passwd", "/livez.txt"])
def test_any_other_path_is_not_found(daemon, path):
    assert scrape.get(daemon, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_any_other_method_is_not_allowed(daemon, method):
    status, headers, _ = scrape.get(daemon, "/metrics", method=method, body=b"x=y")
    assert status == 405
    assert headers["Allow"] == "GET, HEAD"


def test_head_has_no_body(daemon):
    status, headers, text = scrape.get(daemon, "/metrics", method="HEAD")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) > 1000


def test_the_metrics_are_in_the_text_format(daemon):
    _, headers, text = scrape.get(daemon, "/metrics")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE singleflight_calls_total counter\n" in text
    assert "# EOF" not in text


def test_openmetrics_is_for_who_asks_for_it(daemon):
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    _, headers, text = scrape.get(daemon, "/metrics", headers={"Accept": accept})
    wanted = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert headers["Content-Type"] == wanted
    assert "# TYPE singleflight_calls counter\nsingleflight_calls_total" in text
    assert text.endswith("\n# EOF\n")


def exchange(daemon, request):
    """What the listener answers to these bytes until it closes the connection."""
    host, port = scrape.admin_address(daemon).rsplit(":", 1)
    answer = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        while piece := connection.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(daemon, request_bytes):
    answer = exchange(daemon, request_bytes)
    assert not answer.startswith(b"HTTP/1.1 200")
    assert scrape.get(daemon, "/livez")[0] == 200


def test_headers_without_end_are_refused(daemon):
    """The memory of a connection has a bound."""
    try:
        answer = exchange(daemon, b"GET / HTTP/1.1\r\n" + b"X-Header: abcdefgh\r\n" * 20000)
    except ConnectionError:
        answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert scrape.get(daemon, "/livez")[0] == 200


def test_whoever_says_nothing_keeps_nobody_out_for_long(daemon):
    """More connections than it has places for: they go when they have been silent."""
    host, port = scrape.admin_address(daemon).rsplit(":", 1)
    silent = [socket.create_connection((host, int(port)), timeout=20) for _ in range(40)]
    try:
        until(lambda: scrape.get(daemon, "/livez")[0] == 200, "it answers", bound=60)
    finally:
        for connection in silent:
            connection.close()


def test_flights_and_callers_are_counted(private):
    """One flight with two followers, seen while it runs and when it has ended."""
    net = private(*scrape.FLAGS, kind="session")
    leader = net.lead()
    followers = [net.follow(), net.follow()]
    page = scrape.Page(net.daemon)
    assert page.value("singleflight_flights") == 1
    assert page.value("singleflight_callers") == 3
    assert page.value("singleflight_flight_duration_seconds_count") == 0
    leader.finish(b"12345")
    for caller in [leader, *followers]:
        caller.delivery()
    page = scrape.Page(net.daemon)
    assert page.value("singleflight_flights") == 0
    assert page.value("singleflight_calls_total", role="leader") == 1
    assert page.value("singleflight_calls_total", role="follower") == 2
    assert page.value("singleflight_executions_saved_total") == 2
    assert page.value("singleflight_flights_ended_total", outcome="ok") == 1
    assert page.value("singleflight_flight_duration_seconds_count") == 1
    assert page.value("singleflight_follower_wait_seconds_count") == 2
    assert page.value("singleflight_outcome_size_bytes_bucket", le="64") == 1
    assert page.value("singleflight_outcome_size_bytes_sum") == 5


def test_the_same_as_get_stats(private):
    """The metrics and GetStats come from one list."""
    net = private(*scrape.FLAGS)
    net.retained(b"abc", retain_ms=60_000)
    net.join(retain_ms=60_000).delivery()
    stats = net.stats("")
    page = scrape.Page(net.daemon)
    roles = ("leader", "follower", "retained")
    assert stats.calls == sum(page.value("singleflight_calls_total", role=r) for r in roles) == 2
    assert stats.retained_hits == page.value("singleflight_calls_total", role="retained") == 1
    assert stats.executions == page.value("singleflight_executions_total") == 1
    assert stats.retained_now == page.value("singleflight_retained_outcomes") == 1
    assert stats.bytes_now == page.value("singleflight_held_bytes")


def test_a_lost_leader_is_counted_by_how(private):
    net = private(*scrape.FLAGS)
    leader, heir = net.lead(), net.follow()
    leader.cancel()
    heir.leads()
    page = scrape.Page(net.daemon)
    assert page.value("singleflight_leader_losses_total", reason="left") == 1
    assert page.value("singleflight_executions_total") == 2


def test_a_refused_call_is_counted_by_limit(private):
    net = private(*scrape.FLAGS, "--flights-limit", "1")
    net.lead()
    net.join(key=b"another").ended(grpc.StatusCode.RESOURCE_EXHAUSTED)
    page = scrape.Page(net.daemon)
    assert page.value("singleflight_refused_total", limit="flights") == 1
    assert page.value("singleflight_calls_total", role="refused") == 1


def test_groups_have_a_label_when_they_are_named(private):
    """A label's values are the operator's to choose, never the callers'."""
    net = private(*scrape.FLAGS, "--metrics-groups", "reports,mails")
    net.lead(group="reports")
    net.lead(group="whatever", key=b"1")
    net.lead(group="another", key=b"2")
    page = scrape.Page(net.daemon)
    assert page.value("singleflight_flights", group="reports") == 1
    assert page.value("singleflight_flights", group="mails") == 0
    assert page.value("singleflight_flights", group="other") == 2
    assert "whatever" not in page.text


def test_a_draining_daemon_is_live_and_not_ready(private):
    """Endpoints take it out before its flights have ended."""
    net = private(*scrape.FLAGS, drain_time="30s")
    leader = net.lead()
    net.daemon.terminate()
    until(lambda: scrape.get(net.daemon, "/readyz")[0] == 503, "it drains")
    assert scrape.get(net.daemon, "/readyz")[2] == "draining\n"
    assert scrape.get(net.daemon, "/livez")[0] == 200
    assert scrape.Page(net.daemon).value("singleflight_draining") == 1
    leader.finish(b"")
    leader.delivery()


def test_a_port_in_use_is_one_clear_line(daemon):
    """And the same exit code as for any other listener."""
    address = scrape.admin_address(daemon)
    ended = run_to_end("--listen", "127.0.0.1:0", "--admin-listen", address)
    assert ended.returncode == 1
    assert ended.stderr == f"singleflightd: admin-listen {address}: Address already in use\n"


def test_the_guard_of_grpcs_sockets_lets_it_alone(private):
    """Connections to the admin listener are not counted, and no limit of gRPC's holds for them."""
    net = private(*scrape.FLAGS, "--connections-limit", "1", "--address-connections-limit", "1")
    net.lead()
    pages = [scrape.Page(net.daemon) for _ in range(5)]
    assert {page.value("singleflight_connections") for page in pages} == {1}
    assert pages[-1].value("singleflight_connections_refused_total") == 0


def test_rpcs_are_counted_by_method_and_status(private):
    """In the names that gRPC's own dashboards read. A Session is one RPC."""
    net = private(*scrape.FLAGS, kind="session")
    service = "singleflight.v1.SingleFlight"
    leader = net.lead()
    caller = net.do()
    caller.send("join", net.join_message())
    caller.follows()
    net.stats()
    leader.finish(b"")
    caller.delivery()
    net.do().send("join", net.join_message(key=b""))
    net.do().cancel()

    def count(method, code):
        labels = {"grpc_service": service, "grpc_method": method, "grpc_code": code}
        key = "grpc_server_handled_total", frozenset(labels.items())
        return scrape.Page(net.daemon).samples.get(key, 0)

    until(lambda: count("Do", "InvalidArgument") == 1, "a refused Do is counted")
    assert count("Do", "OK") == 1
    page = scrape.Page(net.daemon)
    started = "grpc_server_started_total"
    assert page.value(started, grpc_service=service, grpc_method="Session") == 1
    assert count("Session", "OK") == 0
    admin = "singleflight.v1.Admin"
    assert page.value(started, grpc_service=admin, grpc_method="GetStats") == 1


def test_pumps_and_outboxes_are_counted(private):
    net = private(*scrape.FLAGS, "--pumps", "2")
    net.retained(b"x" * 1000)
    page = scrape.Page(net.daemon)
    pumps = ("0", "1")
    assert sum(page.value("singleflight_pump_turns_total", pump=p) for p in pumps) > 0
    assert sum(page.value("singleflight_pump_completions_total", pump=p) for p in pumps) > 0
    assert sum(page.value("singleflight_outbox_messages_total", pump=p) for p in pumps) >= 2
    assert sum(page.value("singleflight_outbox_bytes_total", pump=p) for p in pumps) > 20
    until(
        lambda: all(
            scrape.Page(net.daemon).value("singleflight_pump_backlog", pump=p) == 0 for p in pumps
        ),
        "nothing waits",
    )


def test_the_data_file_is_seen(private, tmp_path):
    """There with a data directory alone."""
    net = private(*scrape.FLAGS, "--data-dir", tmp_path / "data")
    net.retained(b"abc")
    syncs = "singleflight_store_sync_duration_seconds_count"
    until(lambda: scrape.Page(net.daemon).value(syncs) >= 1, "a write is counted")
    page = scrape.Page(net.daemon)
    assert page.value("singleflight_store_write_failures_total") == 0
    assert page.value("singleflight_store_failing") == 0
    assert page.value("singleflight_runs_total") == 1
    assert page.value("singleflight_runs_kept") == 1
    assert "singleflight_store" not in scrape.Page(private(*scrape.FLAGS).daemon).text


def test_what_is_denied_and_reloads_are_seen(private, tmp_path):
    """There with a token file or an access file alone."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"ci {hashlib.sha256(b'good').hexdigest()}\n")
    net = private(*scrape.FLAGS, "--token-file", tokens)
    caller = net.do(metadata=[("authorization", "Bearer bad")])
    caller.send("join", net.join_message())
    caller.ended(grpc.StatusCode.UNAUTHENTICATED)
    page = scrape.Page(net.daemon)
    assert page.value("singleflight_auth_denied_total", reason="bad_token") == 1
    assert page.value("singleflight_config_last_reload_successful", files="rights") == 1
    assert page.value("singleflight_config_last_reload_timestamp_seconds", files="rights") > 1.5e9

    def failures():
        return scrape.Page(net.daemon).value(
            "singleflight_config_reload_failures_total", files="rights"
        )

    tokens.write_text("ci no-hash\n")
    until(failures, "the broken file is seen")
    page = scrape.Page(net.daemon)
    assert page.value("singleflight_config_last_reload_successful", files="rights") == 0


def test_the_certificate_in_force_is_seen(private, tmp_path):
    """When it runs out, and that a new one was taken."""
    subprocess.run([CERTIFICATES, tmp_path], check=True)
    pair = ("--tls-cert", tmp_path / "server.pem", "--tls-key", tmp_path / "server.key")
    net = private(*scrape.FLAGS, *pair)
    not_after = "singleflight_tls_certificate_not_after_timestamp_seconds"
    before = scrape.Page(net.daemon)
    assert before.value("singleflight_config_reloads_total", files="tls") == 0
    assert before.value(not_after) > time.time() + 20 * 86400
    assert "auth_denied" not in before.text

    subprocess.run([CERTIFICATES, "--days", "2", tmp_path, "server", "DNS:localhost"], check=True)
    until(lambda: scrape.Page(net.daemon).value(not_after) < time.time() + 3 * 86400, "it is taken")
    page = scrape.Page(net.daemon)
    assert page.value("singleflight_config_reloads_total", files="tls") == 1
    assert page.value("singleflight_config_last_reload_successful", files="tls") == 1


@pytest.mark.skipif(not grpc_library().startswith("1.51"), reason="this gRPC tells nothing of them")
def test_handshakes_that_fail_are_counted(private, tmp_path):
    """More than the log has lines for."""
    subprocess.run([CERTIFICATES, tmp_path], check=True)
    net = private(*scrape.FLAGS, "--tls-cert", tmp_path / "server.pem",
                  "--tls-key", tmp_path / "server.key")
    failures = "singleflight_tls_handshake_failures_total"
    assert scrape.Page(net.daemon).value(failures) == 0
    for _ in range(30):
        with tcp(net.daemon.address) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
    until(lambda: scrape.Page(net.daemon).value(failures) == 30, "they are counted")
    assert scrape.Page(net.daemon).value("singleflight_tls_handshakes_total") >= 30


def test_a_disk_that_is_full_is_seen(private, tmp_path):
    """And that it takes everything again."""
    net = private(*scrape.FLAGS, "--data-dir", tmp_path / "data")
    size = (tmp_path / "data" / "data.mdb").stat().st_size
    unlimited = resource.RLIM_INFINITY
    resource.prlimit(net.daemon.pid, resource.RLIMIT_FSIZE, (size, unlimited))
    net.retained(b"x" * 100_000)

    def failing():
        return scrape.Page(net.daemon).value("singleflight_store_failing")

    until(lambda: failing() == 1, "it says so")
    page = scrape.Page(net.daemon)
    assert page.value("singleflight_store_write_failures_total") >= 1
    assert page.value("singleflight_store_outcomes_lost_total") == 1
    assert scrape.get(net.daemon, "/readyz")[0] == 200, "flights go on"
    resource.prlimit(net.daemon.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
    until(lambda: failing() == 0, "it is written again")


@pytest.mark.parametrize("address", ["192.0.2.1:9", "no.such.host.invalid:9"])
def test_an_address_that_cannot_be_had_is_one_clear_line(address):
    ended = run_to_end("--listen", "127.0.0.1:0", "--admin-listen", address)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"singleflightd: admin-listen {address}: ")


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
def test_it_listens_on_ipv6_too(private):
    net = private("--admin-listen", "[::1]:0")
    assert scrape.get(net.daemon, "/livez")[0] == 200
