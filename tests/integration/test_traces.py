# SPDX-License-Identifier: Apache-2.0
"""Traces: a span for each wait and each lead, and collectors of every kind."""

import os
import pathlib
import re
import signal
import subprocess
import threading

import grpc
import pytest
from support import scrape, wait
from support.callers import ERROR
from support.collector import Collector

ERROR_STATUS = 2
NEVER_MS = "3600000"


class Caller:
    """A traceparent of its own, as a client would pass it."""

    def __init__(self, sampled=True):
        self.trace_id = os.urandom(16)
        self.span_id = os.urandom(8)
        flags = "01" if sampled else "00"
        self.text = f"00-{self.trace_id.hex()}-{self.span_id.hex()}-{flags}"


def environment(collector, **more):
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        **more,
    }


@pytest.fixture
def collector():
    with Collector() as running:
        yield running


@pytest.fixture(params=["do", "session"])
def traced(request, private, collector):
    return private(kind=request.param, env=environment(collector))


def test_a_slow_followers_span_leads_to_the_leaders(traced, collector):
    """What a trace is for: who waited long finds out for whom."""
    one, other = Caller(), Caller()
    leader = traced.lead(traceparent=one.text)
    follower = traced.follow(traceparent=other.text)
    leader.finish(b"value")
    leader.delivery()
    follower.delivery()

    (lead,) = collector.spans(1, role="leader")
    (waited,) = collector.spans(1, role="follower")
    assert (lead.name, lead.trace_id, lead.parent_span_id) == (
        "singleflight lead", one.trace_id, one.span_id)
    assert (waited.name, waited.trace_id, waited.parent_span_id) == (
        "singleflight wait", other.trace_id, other.span_id)
    assert waited.link == lead.place
    assert not lead.links
    for span in (lead, waited):
        assert span.attributes["group"] == traced.group
        assert span.attributes["attempt"] == 1
        assert span.attributes["token"] == leader.token
        assert span.attributes["callers"] == 2
        assert span.attributes["outcome"] == "ok"
        assert span.attributes["retained"] is False
        assert span.kind == span.raw.SPAN_KIND_SERVER
        assert span.status.code == 0
        assert span.end_time_unix_nano >= span.start_time_unix_nano
        assert abs(span.start_time_unix_nano / 1e6 - wait.wall_milliseconds()) < 600_000
        assert traced.key not in span.raw.SerializeToString()
    assert lead.events == ["led", "outcome"]
    assert waited.events == ["follow", "outcome"]
    assert waited.resource["service.name"] == "singleflightd"
    assert waited.resource["service.version"]


def test_a_follower_that_takes_over_waits_first_and_leads_then(traced, collector):
    first = traced.join(alone=True, traceparent=Caller().text)
    first.leads()
    heir, other = Caller(), Caller()
    second = traced.follow(traceparent=heir.text)
    third = traced.follow(live=True, traceparent=other.text)
    first.cancel()
    second.leads()
    second.finish(b"value")
    second.delivery()
    third.delivery()

    lost, lead = sorted(collector.spans(2, role="leader"), key=lambda s: s.attributes["attempt"])
    waits = collector.spans(2, role="follower")
    (promoted,) = [s for s in waits if s.trace_id == heir.trace_id]
    (waited,) = [s for s in waits if s.trace_id == other.trace_id]
    assert lost.status.code == ERROR_STATUS
    assert "outcome" not in lost.attributes
    assert promoted.attributes["outcome"] == "promoted"
    assert promoted.events == ["follow", "promoted"]
    assert promoted.parent_span_id == lead.parent_span_id == heir.span_id
    assert promoted.end_time_unix_nano == lead.start_time_unix_nano
    assert lead.attributes["attempt"] == 2
    assert "restart" in waited.events
    assert waited.link == lead.place


def test_who_gets_a_retained_outcome_finds_the_lead_that_made_it(traced, collector):
    leader = traced.lead(retain_ms=60_000, traceparent=Caller().text)
    leader.finish(b"value")
    leader.delivery()
    traced.join(traceparent=Caller().text).delivery()

    (lead,) = collector.spans(1, role="leader")
    (hit,) = collector.spans(1, role="retained")
    assert hit.attributes["retained"] is True
    assert hit.link == lead.place


def test_errors_and_refusals_are_errors(traced, collector):
    leader = traced.lead(traceparent=Caller().text)
    leader.finish(b"", kind=ERROR, message="no")
    leader.delivery()
    traced.join(key=b"other", role="ROLE_FOLLOW_ONLY", traceparent=Caller().text).ended(
        grpc.StatusCode.NOT_FOUND)

    (lead,) = collector.spans(1, role="leader")
    (refused,) = collector.spans(1, role="refused")
    assert (lead.attributes["outcome"], lead.status.code) == ("error", ERROR_STATUS)
    assert refused.status.code == ERROR_STATUS
    assert "nothing to follow" in refused.status.message
    assert refused.attributes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]


def test_do_takes_the_trace_from_its_metadata_when_the_field_is_empty(private, collector):
    net = private(env=environment(collector))
    of_metadata, of_field = Caller(), Caller()
    for field in ("", of_field.text):
        caller = net.do(metadata=[("traceparent", of_metadata.text)])
        caller.send("join", net.join_message(traceparent=field))
        caller.leads()
        caller.finish(b"")
        caller.delivery()
    traces = [s.trace_id for s in collector.spans(2, role="leader")]
    assert traces == [of_metadata.trace_id, of_field.trace_id]


def test_a_trace_that_is_not_sampled_has_no_spans(traced, collector):
    """And a call without one has a trace of its own; what cannot be read is none."""
    for text in (Caller(sampled=False).text, "", "00-garbage"):
        leader = traced.lead(traceparent=text)
        leader.finish(b"")
        leader.delivery()
    spans = collector.spans(2)
    assert [s.parent_span_id for s in spans] == [b"", b""]
    assert len({s.trace_id for s in spans}) == 2


def test_samplers_and_attributes_come_from_the_environment(private, collector):
    net = private(env=environment(
        collector,
        OTEL_TRACES_SAMPLER="parentbased_always_off",
        OTEL_SERVICE_NAME="flights",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test%20bench,service.name=no",
        OTEL_EXPORTER_OTLP_HEADERS="X-Tenant=we%2Cus",
    ))
    for text in ("", Caller().text):
        leader = net.lead(traceparent=text)
        leader.finish(b"")
        leader.delivery()
    (span,) = collector.spans(1)
    assert span.parent_span_id
    assert span.resource["service.name"] == "flights"
    assert span.resource["deployment.environment"] == "test bench"
    assert collector.metadata[0]["x-tenant"] == "we,us"


def run_some(net, count):
    for _ in range(count):
        leader = net.lead(traceparent=Caller().text)
        leader.finish(b"")
        leader.delivery()


def logged(daemon, event):
    return wait.until(lambda: re.search(rf"event={event}.*", daemon.log()), f"{event} in the log")


def test_a_collector_that_is_not_there_costs_nothing(private):
    """It is said once, and an end in order does not wait for it."""
    with Collector() as gone:
        endpoint = gone.endpoint
    net = private(env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "0"})
    run_some(net, 20)
    assert "code=14" in logged(net.daemon, "traces_not_exported").group(0)
    run_some(net, 20)
    net.daemon.terminate()
    assert net.daemon.wait() == 0
    assert net.daemon.log().count("traces_not_exported") == 1


def counted(net, name, **labels):
    return int(scrape.Page(net.daemon).value(f"singleflight_traces_{name}", **labels))


def test_a_collector_that_hangs_fills_a_queue_that_is_bounded(private):
    held = threading.Event()
    with Collector(held=held) as collector:
        net = private(*scrape.FLAGS, env=environment(
            collector, OTEL_BSP_MAX_QUEUE_SIZE="8", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="8"))
        run_some(net, 60)
        wait.until(lambda: counted(net, "dropped_total", reason="queue") >= 60 - 2 * 8, "drops")
        dropped = counted(net, "dropped_total", reason="queue")
        held.set()
        collector.spans(60 - dropped)
        wait.until(lambda: counted(net, "exported_total") == 60 - dropped, "what was taken counts")
        assert counted(net, "dropped_total", reason="collector") == 0


def test_a_collector_that_has_no_time_is_asked_again(private):
    with Collector(codes=[grpc.StatusCode.UNAVAILABLE]) as collector:
        net = private(env=environment(collector))
        run_some(net, 1)
        assert len(collector.spans(1)) == 1
        logged(net.daemon, "traces_exported_again")


def test_what_a_collector_does_not_want_is_counted_and_not_sent_again(private):
    with Collector(codes=[grpc.StatusCode.UNAUTHENTICATED]) as collector:
        net = private(*scrape.FLAGS, env=environment(collector))
        run_some(net, 1)
        wait.until(lambda: counted(net, "dropped_total", reason="collector") == 1, "it is counted")
        run_some(net, 1)
        assert len(collector.spans(1)) == 1


def test_an_end_in_order_exports_what_is_left(private, collector):
    net = private(env=environment(collector, OTEL_BSP_SCHEDULE_DELAY=NEVER_MS))
    run_some(net, 3)
    net.daemon.terminate()
    assert net.daemon.wait() == 0
    assert len(collector.spans(3)) == 3


def test_an_end_does_not_wait_for_a_collector_that_hangs(private):
    held = threading.Event()
    with Collector(held=held) as collector:
        net = private(env=environment(collector))
        run_some(net, 3)
        begun = wait.milliseconds()
        net.daemon.terminate()
        assert net.daemon.wait() == 0
        assert wait.milliseconds() - begun < 5000
        held.set()


def test_traces_go_over_tls(private, tmp_path):
    tool = pathlib.Path(__file__).parents[1] / "support" / "certificates"
    subprocess.run([str(tool), str(tmp_path)], check=True, capture_output=True)
    credentials = grpc.ssl_server_credentials(
        [((tmp_path / "server.key").read_bytes(), (tmp_path / "server.pem").read_bytes())])
    with Collector(credentials) as collector:
        net = private(env=environment(
            collector,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"https://127.0.0.1:{collector.port}",
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(tmp_path / "ca.pem"),
        ))
        run_some(net, 1)
        assert len(collector.spans(1)) == 1


@pytest.mark.parametrize("name, value", [
    ("OTEL_TRACES_SAMPLER", "sometimes"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
    ("OTEL_RESOURCE_ATTRIBUTES", "a=%zz"),
])
def test_a_variable_that_cannot_be_read_is_said_and_ignored(private, collector, name, value):
    net = private(env=environment(collector, **{name: value}))
    line = logged(net.daemon, "variable_ignored").group(0)
    assert f"variable={name}" in line
    assert value not in line.split("reason=")[1]
    run_some(net, 1)
    collector.spans(1)


@pytest.mark.parametrize("more, word", [
    ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "is not grpc"),
    ({"OTEL_TRACES_EXPORTER": "zipkin"}, "neither otlp nor none"),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://somewhere"}, "no address"),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://localhost:1",
      "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere.pem"}, "a certificate"),
])
def test_what_cannot_be_exported_is_said_and_off(private, collector, more, word):
    net = private(env=environment(collector, **more))
    run_some(net, 1)
    assert word in net.daemon.log()
    assert "event=tracing" not in net.daemon.log()


@pytest.mark.parametrize("more", [
    {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}])
def test_off_is_off_without_a_word(private, collector, more):
    net = private(env=environment(collector, **more))
    run_some(net, 1)
    net.daemon.signal(signal.SIGHUP)
    logged(net.daemon, "nothing_to_reload")
    assert "trac" not in net.daemon.log()
    assert "variable_ignored" not in net.daemon.log()
