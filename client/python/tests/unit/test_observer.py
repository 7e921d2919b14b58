# SPDX-License-Identifier: Apache-2.0
"""What observers and the log are told of calls."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from net import Net, result
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from secure import Server

from singleflight import Client, EndedEvent, Event, Observer, UnauthenticatedError, aio
from singleflight._core import effects
from singleflight._core.model import Code
from singleflight.observer import CallObserver, News, TracingObserver, Watch
from singleflight.otel import OpenTelemetryObserver
from singleflight.v1 import singleflight_pb2 as pb


class Notes(Observer):
    """Writes everything down."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Event]] = []

    def __getattribute__(self, name: str) -> Any:
        if hasattr(Observer, name) and not name.startswith("_"):
            return lambda event: self.told.append((name, event))
        return super().__getattribute__(name)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]

    @property
    def end(self) -> EndedEvent:
        assert self.names.count("ended") == 1 and self.names[-1] == "ended"
        event = self.told[-1][1]
        assert isinstance(event, EndedEvent)
        return event


class Told:
    """A core in virtual time whose calls are watched."""

    def __init__(self, **settings: Any) -> None:
        self.net = Net(**settings)
        self.news = News()
        self._seen = 0

    def begin(self, **options: Any) -> Notes:
        notes = Notes()
        call = self.net.begin(**options)
        call.watch = Watch([notes], Event("default", b"k"))
        return notes

    def look(self) -> None:
        for effect in self.net.events[self._seen :]:
            call = getattr(effect, "call", None)
            if call is None and hasattr(effect, "lead"):
                call = effect.lead.call
            if call is not None:
                self.news.see(call.watch, effect)
        self._seen = len(self.net.events)
        self.news.spread()


@pytest.fixture
def plain() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


# ---- which events there are


def test_a_leader_and_those_who_are_merged_with_it() -> None:
    told = Told()
    first, second = told.begin(), told.begin()
    told.net.sent()
    call = next(iter(told.net.core.calls))
    lead = told.net.lead(call)
    told.look()
    third = told.begin()
    told.net.finish(lead)
    told.net.say(1, result=result(led=True, callers=1))
    told.look()
    assert first.names == ["led", "ended"]
    assert first.told[0][1] == Event("default", b"k", 1, 10)
    assert (first.end.role, first.end.status, first.end.outcome) == ("leader", "OK", "ok")
    assert first.end.callers == 3
    assert second.names == third.names == ["followed", "ended"]
    assert (second.end.role, second.end.attempt, second.end.token) == ("follower", 1, 10)


def test_a_follower_takes_over_and_loses_the_lead() -> None:
    told = Told()
    notes = told.begin()
    told.net.sent()
    told.net.say(1, follow=pb.Follow(attempt=1))
    told.net.say(1, restart=pb.Restart(attempt=2))
    lead = told.net.lead(next(iter(told.net.core.calls)), attempt=3)
    told.net.break_stream()
    told.net.finish(lead)
    told.look()
    assert notes.names == ["followed", "followed", "takeover", "led", "lost", "ended"]
    assert [event.attempt for _, event in notes.told] == [1, 2, 3, 3, 3, 3]
    assert (notes.end.role, notes.end.status, notes.end.outcome) == ("leader", "ABORTED", "")


def test_an_outcome_that_is_not_confirmed_is_a_lost_lead() -> None:
    told = Told()
    notes = told.begin()
    told.net.sent()
    told.net.finish(told.net.lead(next(iter(told.net.core.calls))))
    told.net.sent()
    told.net.break_stream()
    told.look()
    assert notes.names == ["led", "lost", "ended"]


def test_without_a_server_it_fails_open_at_once_or_on_the_way() -> None:
    told = Told(fail_open=True)
    notes = told.begin(fail_open=True)
    told.net.break_stream(refused=True)
    told.net.finish(told.net.of(effects.Leads)[-1].lead)
    told.look()
    assert notes.names == ["failed_open", "ended"]
    assert (notes.end.role, notes.end.token) == ("alone", 0)

    told = Told(fail_open=True)
    notes = told.begin(fail_open=True)
    told.net.sent()
    lead = told.net.lead(next(iter(told.net.core.calls)))
    told.look()
    told.net.break_stream()
    told.net.finish(lead)
    told.look()
    assert notes.names == ["led", "failed_open", "ended"]
    assert notes.end.role == "alone"


def test_a_retained_outcome_and_a_refusal() -> None:
    told = Told()
    kept = told.begin()
    told.net.sent()
    told.net.say(1, result=result(retained=True, callers=0))
    refused = told.begin()
    told.net.sent()
    told.net.break_stream(Code.UNAUTHENTICATED)
    told.look()
    assert kept.names == refused.names == ["ended"]
    assert kept.end.role == "retained"
    assert (refused.end.role, refused.end.status) == ("follower", "UNAUTHENTICATED")


# ---- who is told, and how


def test_both_clients_tell_their_observers(plain: Server) -> None:
    notes, more = Notes(), Notes()
    with Client(plain.address, observer=[notes, more], caller="me") as client:
        client.do("key", lambda lead: 1, group="g")
    assert notes.names == more.names == ["led", "ended"]
    assert (notes.end.group, notes.end.key, notes.end.token) == ("g", b"key", 7)
    assert 0 < notes.end.duration < 60


async def test_that_of_asyncio_does(plain: Server) -> None:
    async def work(lead: aio.Lead) -> int:
        raise ValueError("no")

    notes = Notes()
    async with aio.Client(plain.address, observer=notes) as client:
        with pytest.raises(ValueError, match="no"):
            await client.do("key", work)
    assert notes.names == ["led", "ended"]
    assert notes.end.outcome == "error"


def test_an_observer_that_fails_or_calls_back_changes_nothing(
    plain: Server, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Observer):
        def led(self, event: Event) -> None:
            client.start("another", lambda lead: 2)  # it must not wait, but it may ask
            raise RuntimeError("broken observer")

    with Client(plain.address, observer=Bad()) as client:
        assert client.do("key", lambda lead: 1).value == 1
    assert "broken observer" in caplog.text


@pytest.mark.parametrize("fails_at", ["begin", "enter", "exit"])
def test_an_adapter_that_fails_changes_nothing(
    plain: Server, caplog: pytest.LogCaptureFixture, fails_at: str
) -> None:
    class OfCall(CallObserver):
        @contextlib.contextmanager
        def running(self) -> Iterator[None]:
            if fails_at == "enter":
                raise RuntimeError("broken adapter")
            yield
            raise RuntimeError("broken adapter")

    class Bad(TracingObserver):
        def begin(self, event: Event) -> CallObserver:
            if fails_at == "begin":
                raise RuntimeError("broken adapter")
            return OfCall()

    with Client(plain.address, observer=Bad()) as client:
        assert client.do("key", lambda lead: 1).value == 1
        with pytest.raises(ZeroDivisionError):
            client.do("key", lambda lead: 1 / 0)
    assert caplog.text.count("RuntimeError: broken adapter") == 2


def test_the_log_says_the_same_at_debug(plain: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "singleflight"), Client(plain.address) as client:
        client.do("key", lambda lead: 1)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "led group=default key=b'key' attempt=1 token=7"
    assert lines[1].startswith("ended group=default key=b'key' attempt=1 token=7 duration=0.")
    assert lines[1].endswith(" role=leader status=OK outcome=ok")


# ---- traces


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_server_is_told_the_traceparent(plain: Server) -> None:
    def fails() -> str:
        raise RuntimeError("no context")

    for function in (lambda: PARENT, lambda: None, fails):
        with Client(plain.address, traceparent=function) as client:
            client.do("key", lambda lead: 1)
    assert plain.traceparents == [PARENT, "", ""]


class Telemetry:
    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.metrics = InMemoryMetricReader()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.spans))
        meters = MeterProvider([self.metrics])
        self.observer = OpenTelemetryObserver(self.provider, meters)

    def points(self) -> list[Any]:
        data: Any = self.metrics.get_metrics_data()
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        assert (metric.name, metric.unit) == ("singleflight.client.do.duration", "s")
        return list(metric.data.data_points)


def test_spans_and_the_histogram_of_open_telemetry(plain: Server) -> None:
    telemetry = Telemetry()
    tracer = telemetry.provider.get_tracer("test")

    def work(lead: Any) -> int:
        tracer.start_span("inner").end()
        return 1

    outside = tracer.start_as_current_span("outer")
    with Client(plain.address, observer=telemetry.observer) as client, outside:
        client.do("key", work, group="g")
        client.do("key", work, group="g", timeout=60)  # in a thread of its own
    spans = {span.name: span for span in telemetry.spans.get_finished_spans()}
    do, inner, outer = spans["singleflight do"], spans["inner"], spans["outer"]
    assert do.parent is not None and inner.parent is not None and do.context is not None
    assert do.parent.span_id == outer.context.span_id
    assert inner.parent.span_id == do.context.span_id
    assert dict(do.attributes or {}) == {
        "singleflight.group": "g",
        "singleflight.role": "leader",
        "singleflight.attempt": 1,
        "singleflight.callers": 1,
        "singleflight.retained": False,
    }
    ids = f"{do.context.trace_id:032x}-{do.context.span_id:016x}"
    assert plain.traceparents[-1].startswith(f"00-{ids}-0")
    (point,) = telemetry.points()
    assert point.count == 2
    assert dict(point.attributes) == {
        "singleflight.role": "leader",
        "singleflight.outcome": "ok",
    }


async def test_spans_of_failures_with_asyncio(plain: Server) -> None:
    async def work(lead: aio.Lead) -> None:
        trace.get_current_span().set_attribute("mine", 1)
        raise ValueError("no")

    telemetry = Telemetry()
    async with aio.Client(plain.address, observer=telemetry.observer) as client:
        with pytest.raises(ValueError, match="no"):
            await client.do("key", work)
        plain.refuses = grpc.StatusCode.UNAUTHENTICATED
        client._started().core.renew_sessions()
        with pytest.raises(UnauthenticatedError):
            await client.do("key", work)
    failed, refused = telemetry.spans.get_finished_spans()
    assert [span.status.description for span in (failed, refused)] == ["error", "UNAUTHENTICATED"]
    assert not failed.status.is_ok and (failed.attributes or {})["mine"] == 1
