# SPDX-License-Identifier: Apache-2.0
"""The small parts: timers, homes of keys, options, errors, codecs."""

from __future__ import annotations

import pickle
from datetime import timedelta
from random import Random

import grpc
import pytest

from singleflight import (
    JSON,
    RAW,
    AbortedError,
    Client,
    DeadlineExceededError,
    FunctionError,
    InvalidArgumentError,
    Kind,
    PanicError,
    StatusError,
)
from singleflight._core.backoff import Backoff
from singleflight._core.model import Settings
from singleflight._core.rendezvous import order, score
from singleflight._core.timers import Timer, Timers
from singleflight._shell import kind_of
from singleflight.errors import status_error
from singleflight.options import (
    default_caller,
    milliseconds,
    read_addresses,
    read_join,
)


def test_timers_fire_in_order_and_once() -> None:
    fired: list[str] = []
    timers = Timers()
    first, second = Timer(lambda: fired.append("first")), Timer(lambda: fired.append("second"))
    timers.arm(second, 2)
    timers.arm(first, 3)
    timers.arm(first, 1)
    assert timers.next_at() == 1
    timers.fire(2.5)
    assert fired == ["first", "second"]
    assert timers.next_at() is None
    timers.arm(first, 4)
    timers.disarm(first)
    timers.fire(9)
    assert fired == ["first", "second"]


def test_timers_that_are_armed_again_and_again_take_no_room() -> None:
    timers = Timers()
    timer = Timer(lambda: None)
    for at in range(10_000):
        timers.arm(timer, at)
    assert len(timers._heap) < 200
    assert timers.next_at() == 9999


def test_scores_are_those_of_every_language() -> None:
    assert score("10.0.0.1:7433", "default", b"user_123") == 0xF8F499640B554129
    assert score("unix:/run/singleflightd.sock", "reports", b"\x00\xff") == 0x6225ED5070BDC94F
    assert score("a:1", "", b"k") == score("a:1", "default", b"k")


def test_the_first_of_equal_addresses_comes_first() -> None:
    assert order(["a:1", "a:1"], "g", b"k") == [0, 1]
    assert sorted(order(["a:1", "b:1", "c:1"], "g", b"k")) == [0, 1, 2]


def test_backoff_doubles_up_to_its_end() -> None:
    backoff = Backoff(0.1, 0.5, Random(1))
    assert all(backoff.next() <= bound for bound in (0.1, 0.2, 0.4, 0.5, 0.5, 0.5))
    backoff.reset()
    assert backoff.next() <= 0.1


def test_durations() -> None:
    assert milliseconds(None, "x") == milliseconds(0, "x") == 0
    assert milliseconds(1.5, "x") == milliseconds(timedelta(seconds=1.5), "x") == 1500
    assert milliseconds(0.3, "x") == 300
    assert milliseconds(0.0001, "x") == 1  # not "none"
    for wrong in (-1, float("nan"), float("inf"), timedelta(seconds=-1)):
        with pytest.raises(InvalidArgumentError):
            milliseconds(wrong, "x")


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SINGLEFLIGHT_ADDRESS", raising=False)
    assert read_addresses(None) == ["127.0.0.1:7433"]
    monkeypatch.setenv("SINGLEFLIGHT_ADDRESS", "a:1, unix:/b ,[::1]:3")
    assert read_addresses(None) == ["a:1", "unix:/b", "[::1]:3"]
    assert read_addresses(["dns:///x:1"]) == ["dns:///x:1"]
    nothing: list[str] = []
    for wrong in ("", "a", "a:1,", "a:port", "a b:1", nothing):
        with pytest.raises(InvalidArgumentError):
            read_addresses(wrong)


def test_client_options_are_checked() -> None:
    with pytest.raises(InvalidArgumentError, match="host:port"):
        Client("nonsense")
    with pytest.raises(InvalidArgumentError, match="128 bytes"):
        Client("a:1", caller="c" * 129)
    with pytest.raises(InvalidArgumentError, match="connect_timeout"):
        Client("a:1", connect_timeout=-1)
    with pytest.raises(InvalidArgumentError, match="result_limit"):
        Client("a:1", result_limit=-1)


def test_the_default_caller_names_the_process() -> None:
    assert len(default_caller().encode()) <= 128
    assert default_caller().rsplit(":", 1)[1].isdigit()


def test_only_those_who_may_lead_fail_open() -> None:
    settings = Settings(["a:1"], "me", fail_open=True)
    assert read_join(settings, "k", {}).fail_open
    assert not read_join(settings, "k", {"fail_open": False}).fail_open
    assert not read_join(settings, "k", {"resume_token": 1}).fail_open


def test_errors() -> None:
    error = FunctionError("gone", code=7, type="Gone", stack="line 1", details=b"d", value=b"v")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.message, copy.code, copy.type) == ("gone", 7, "Gone")
    assert (copy.stack, copy.details, copy.value) == ("line 1", b"d", b"v")
    assert "Gone: gone" in str(copy)
    status = status_error(10, "fenced")
    assert isinstance(status, AbortedError)
    assert (status.code, str(status)) == (grpc.StatusCode.ABORTED, "ABORTED: fenced")
    assert pickle.loads(pickle.dumps(status)).code is grpc.StatusCode.ABORTED
    assert isinstance(status_error(4, ""), (DeadlineExceededError, TimeoutError))
    internal = status_error(13, "broken")
    assert (type(internal), internal.code) == (StatusError, grpc.StatusCode.INTERNAL)
    assert "older" in str(status_error(12, "unknown method"))


def test_errors_hold_what_can_travel() -> None:
    for wrong in (2**31, -(2**31) - 1):
        with pytest.raises(ValueError, match="32 bits"):
            FunctionError("x", code=wrong)
    with pytest.raises(ValueError, match="64 KiB"):
        FunctionError("x", details=bytes(64 * 1024 + 1))


def test_kinds() -> None:
    class Odd(BaseException):
        pass

    assert kind_of(ValueError()) is Kind.ERROR
    assert kind_of(AssertionError()) is kind_of(MemoryError()) is kind_of(Odd()) is Kind.PANIC
    assert kind_of(PanicError("x")) is Kind.PANIC
    assert kind_of(KeyboardInterrupt()) is kind_of(SystemExit()) is Kind.ABANDONED


def test_codecs() -> None:
    assert JSON.decode(JSON.encode({"é": [1, None]})) == {"é": [1, None]}
    assert JSON.decode(b"") is None
    with pytest.raises(ValueError, match="JSON"):
        JSON.encode(float("nan"))
    assert RAW.encode(None) == b""
    assert RAW.encode(bytearray(b"x")) == b"x"
    with pytest.raises(TypeError, match="str"):
        RAW.encode("text")
