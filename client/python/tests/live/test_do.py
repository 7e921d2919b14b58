# SPDX-License-Identifier: Apache-2.0
"""One leader, its followers, and what they get."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from support import Daemon, Gate, merged_calls, never, wait_follows, wait_until

from singleflight import (
    RAW,
    AbandonedError,
    AbortedError,
    CallCancelledError,
    CallOptions,
    Client,
    DeadlineExceededError,
    FailedPreconditionError,
    FunctionError,
    InvalidArgumentError,
    Kind,
    Lead,
    LimitExceededError,
    NotFoundError,
    PanicError,
    Pending,
    ResourceExhaustedError,
    Result,
    Role,
)


def test_alone(client: Client, key: str) -> None:
    result = client.do(key, lambda lead: {"name": "Ada", "token": lead.token})
    assert result.value == {"name": "Ada", "token": result.token}
    assert (result.led, result.shared, result.callers, result.attempt) == (True, False, 1, 1)
    assert result.token > 0
    assert not result.retained
    assert not result.failed_open


def test_tokens_grow(client: Client, key: str) -> None:
    tokens = [client.do(key, lambda lead: None).token for _ in range(5)]
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 5 * 1024 * 1024])
def test_values_of_every_size(client: Client, other: Client, key: str, size: int) -> None:
    value = bytes(i * 31 & 0xFF for i in range(256)) * (size // 256 + 1)
    value = value[:size]
    entered, leave = threading.Event(), threading.Event()

    def write(lead: Lead) -> bytes:
        entered.set()
        leave.wait(60)
        lead.write(value[: size // 2])
        return value[size // 2 :]

    leader = client.start(key, write, codec=RAW)
    entered.wait(60)
    follower = other.start(key, never, codec=RAW, role=Role.FOLLOW_ONLY)
    wait_follows(follower)
    leave.set()
    assert leader.wait().value == value
    assert follower.wait().value == value


@pytest.mark.parametrize("name", [b"\x00", b"\xff\x00\xfe", "€😀", b"k" * 1024])
def test_keys_are_any_bytes(client: Client, name: str | bytes) -> None:
    data = name.encode() if isinstance(name, str) else name
    assert client.do(name, lambda lead: lead.key == data).value is True


def test_followers_of_another_client_share(client: Client, other: Client, key: str) -> None:
    gate = Gate()
    leader = client.start(key, gate, audience=True)
    gate.entered.wait(60)
    followers = [other.start(key, never, role=Role.FOLLOW_ONLY) for _ in range(3)]
    wait_follows(*followers)
    assert not any(follower.done() for follower in followers)
    gate.leave.set()
    for follower in followers:
        result = follower.wait()
        assert (result.value, result.led) == ("value", False)
    assert leader.wait().led
    assert gate.runs == 1


def test_equal_calls_of_one_client_are_merged(client: Client, key: str) -> None:
    gate = Gate()
    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(client.do, key, gate) for _ in range(20)]
        gate.entered.wait(60)
        wait_until(lambda: len(merged_calls(client, key)) == 20)
        gate.leave.set()
        results = [future.result() for future in futures]
    assert gate.runs == 1
    assert [result.led for result in results].count(True) == 1
    assert {result.callers for result in results} == {20}
    assert all(result.shared for result in results)
    assert len({result.token for result in results}) == 1


def test_a_new_call_after_the_end_runs_anew(client: Client, key: str) -> None:
    gate = Gate()
    gate.leave.set()
    client.do(key, gate)
    client.do(key, gate)
    assert gate.runs == 2


# ---- errors of the function


def test_the_leader_gets_its_own_exception(client: Client, key: str) -> None:
    error = KeyError("no such user")

    def fail(lead: Lead) -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        client.do(key, fail)
    assert caught.value is error


def test_followers_get_type_message_and_traceback(client: Client, other: Client, key: str) -> None:
    gate = Gate(ValueError("not a number"))
    leader = client.start(key, gate)
    gate.entered.wait(60)
    follower = other.start(key, never, role=Role.FOLLOW_ONLY)
    wait_follows(follower)
    gate.leave.set()
    with pytest.raises(ValueError, match="not a number"):
        leader.wait()
    with pytest.raises(FunctionError) as caught:
        follower.wait()
    error = caught.value
    assert (error.kind, error.message, error.type) == (Kind.ERROR, "not a number", "ValueError")
    assert "in __call__" in error.stack
    assert "not a number" in str(error)
    notes = getattr(error, "__notes__", [str(error)])
    assert any("in __call__" in note for note in notes)
    assert error.result is not None
    assert error.result.callers == 2


def test_an_error_says_more_with_function_error(client: Client, other: Client, key: str) -> None:
    gate = Gate(FunctionError("gone", code=410, type="Gone", details=b"more"))
    client.start(key, gate, check=False)
    gate.entered.wait(60)
    follower = other.start(key, never, role=Role.FOLLOW_ONLY, check=False)
    wait_follows(follower)
    gate.leave.set()
    error = follower.wait().error
    assert isinstance(error, FunctionError)
    assert (error.code, error.type, error.details) == (410, "Gone", b"more")


def test_set_error_describes_the_exception(client: Client, key: str) -> None:
    def fail(lead: Lead) -> None:
        lead.set_error(code=-3, type="Mine", details=b"d")
        lead.write(b"half")
        raise OSError("late")

    assert isinstance(client.do(key, fail, check=False, retain_error=60).error, OSError)
    late = client.do(key, never, check=False).error
    assert isinstance(late, FunctionError)
    assert (late.code, late.type, late.details, late.value) == (-3, "Mine", b"d", b"half")


@pytest.mark.parametrize("error", [AssertionError("broken"), RecursionError("deep")])
def test_broken_programs_panic(client: Client, key: str, error: Exception) -> None:
    gate = Gate(error)
    gate.leave.set()
    result = client.do(key, gate, check=False, retain_error=60)
    assert (result.outcome, result.error) == (Kind.PANIC, error)
    with pytest.raises(PanicError):
        client.do(key, never)


def test_abandoned(client: Client, key: str) -> None:
    gate = Gate(AbandonedError("enough"))
    gate.leave.set()
    with pytest.raises(AbandonedError):
        client.do(key, gate, retain_error=60)
    with pytest.raises(AbandonedError, match="enough"):
        client.do(key, never)


def test_everybody_sees_the_same_value(client: Client, key: str) -> None:
    value: Any = client.do(key, lambda lead: (1, 2)).value
    assert value == [1, 2]


def test_pass_on_lets_the_next_one_try(client: Client, other: Client, key: str) -> None:
    entered, leave = threading.Event(), threading.Event()

    def pass_on(lead: Lead) -> None:
        entered.set()
        leave.wait(60)
        lead.pass_on()
        raise OSError("only here")

    leader = client.start(key, pass_on, audience=True)
    entered.wait(60)
    follower = other.start(key, lambda lead: lead.attempt)
    wait_for_followers(leader, 1)
    leave.set()
    with pytest.raises(OSError, match="only here"):
        leader.wait()
    assert follower.wait().value == 2


def wait_for_followers(leader: Pending[Any], count: int) -> None:
    def waits() -> bool:
        lead = leader._call.lead
        return lead is not None and (lead.followers or 0) >= count

    wait_until(waits)


def test_pass_on_among_merged_calls(client: Client, key: str) -> None:
    entered, leave = threading.Event(), threading.Event()

    def pass_on(lead: Lead) -> int:
        if lead.attempt > 1:
            return lead.attempt
        entered.set()
        leave.wait(60)
        lead.pass_on()
        raise OSError("only here")

    first = client.start(key, pass_on)
    entered.wait(60)
    rest = [client.start(key, pass_on) for _ in range(3)]
    wait_until(lambda: len(merged_calls(client, key)) == 4)
    leave.set()
    with pytest.raises(OSError, match="only here"):
        first.wait()
    assert [call.wait().value for call in rest] == [2, 2, 2]


# ---- statuses


def test_lead_only_and_follow_only(client: Client, other: Client, key: str) -> None:
    with pytest.raises(NotFoundError):
        client.do(key, role=Role.FOLLOW_ONLY)
    gate = Gate()
    leader = client.start(key, gate)
    gate.entered.wait(60)
    with pytest.raises(AbortedError, match="lead"):
        other.do(key, never, role=Role.LEAD_ONLY)
    gate.leave.set()
    leader.wait()


def test_another_fingerprint_is_refused(client: Client, key: str) -> None:
    client.do(key, lambda lead: 1, fingerprint=b"a", retain=60)
    assert client.do(key, never, fingerprint=b"a").retained
    with pytest.raises(FailedPreconditionError):
        client.do(key, never, fingerprint=b"b")


def test_bounds(client: Client) -> None:
    for options in (
        {"lease": 0.5},
        {"retain": -1},
        {"group": "no/slash"},
        {"fingerprint": b"f" * 65},
        {"role": 7},
        {"retain": 8 * 24 * 3600},
        {"caller": "c" * 129},
        {"max_attempts": -1},
    ):
        with pytest.raises(InvalidArgumentError):
            client.do("bounds", lambda lead: None, **cast("CallOptions", options))
    for key in ("", b"", b"k" * 1025, "\ud800", 7):
        with pytest.raises(InvalidArgumentError):
            client.do(cast("str", key), lambda lead: None)
    with pytest.raises(InvalidArgumentError):
        client.do("bounds")
    with pytest.raises(TypeError, match="retian"):
        client.do("bounds", lambda lead: None, retian=5)  # type: ignore[call-arg]


def test_timeout_removes_one_caller_only(client: Client, other: Client, key: str) -> None:
    gate = Gate()
    leader = client.start(key, gate)
    gate.entered.wait(60)
    patient = other.start(key, never)
    wait_follows(patient)
    with pytest.raises(DeadlineExceededError):
        other.do(key, never, timeout=0.05)
    with pytest.raises(TimeoutError):
        patient.wait(0.01)
    gate.leave.set()
    assert patient.wait().value == leader.wait().value == "value"


def test_merged_callers_have_deadlines_of_their_own(client: Client, key: str) -> None:
    gate = Gate()
    patient = client.start(key, gate, timeout=60)
    gate.entered.wait(60)
    with pytest.raises(DeadlineExceededError):
        client.do(key, never, timeout=0.05)
    other_patient = client.start(key, never, timeout=50)
    wait_until(lambda: len(merged_calls(client, key)) == 2)
    gate.leave.set()
    assert patient.wait().value == other_patient.wait().value == "value"


def test_a_merged_leader_that_leaves_does_not_stop_the_function(client: Client, key: str) -> None:
    gate = Gate()
    leader = client.start(key, gate)
    gate.entered.wait(60)
    follower = client.start(key, never)
    wait_until(lambda: len(merged_calls(client, key)) == 2)
    leader.cancel()
    wait_until(lambda: len(merged_calls(client, key)) == 1)
    gate.leave.set()
    assert follower.wait().value == "value"
    with pytest.raises(CallCancelledError):
        leader.wait()


def test_the_function_is_told_when_the_last_caller_leaves(client: Client, key: str) -> None:
    lost = threading.Event()
    entered = threading.Event()

    def function(lead: Lead) -> None:
        entered.set()
        assert lead.wait_lost(60)
        with pytest.raises(CallCancelledError):
            lead.write(b"too late")
        lost.set()

    calls = [client.start(key, function) for _ in range(2)]
    entered.wait(60)
    for call in calls:
        call.cancel()
    assert lost.wait(60)
    for call in calls:
        with pytest.raises(CallCancelledError):
            call.wait()


def test_leaving_with_a_lease_gives_it_back(client: Client, other: Client, key: str) -> None:
    entered, told = threading.Event(), threading.Event()

    def function(lead: Lead) -> None:
        entered.set()
        lead.wait_lost(60)
        told.set()

    leader = client.start(key, function, lease=600)
    entered.wait(60)
    leader.cancel()
    assert told.wait(60)
    assert other.start(key, lambda lead: "next", lease=600).wait(60).value == "next"


def test_a_leader_that_leaves_takes_nothing_from_those_elsewhere(
    client: Client, other: Client, key: str
) -> None:
    gate = Gate("kept")
    leader = client.start(key, gate, timeout=600)
    gate.entered.wait(60)
    follower = other.start(key, never, role=Role.FOLLOW_ONLY)
    wait_for_followers_elsewhere(client, key)
    leader.cancel()
    with pytest.raises(CallCancelledError):
        leader.wait()
    late = client.start(key, never)  # the function still runs here: it is the same flight
    wait_until(lambda: len(merged_calls(client, key)) == 1)
    gate.leave.set()
    assert follower.wait(60).value == late.wait(60).value == "kept"
    assert gate.runs == 1


def test_the_function_is_told_when_the_last_one_elsewhere_leaves(
    client: Client, other: Client, key: str
) -> None:
    entered, told = threading.Event(), threading.Event()

    def function(lead: Lead) -> None:
        entered.set()
        if lead.wait_lost(60):
            told.set()

    leader = client.start(key, function, lease=600)
    entered.wait(60)
    follower = other.start(key, never, role=Role.FOLLOW_ONLY)
    wait_for_followers_elsewhere(client, key)
    leader.cancel()
    follower.cancel()
    assert told.wait(60)


def wait_for_followers_elsewhere(client: Client, key: str) -> None:
    engine = client._engine
    assert engine is not None

    def waits() -> bool:
        seats = [seat for seat in list(engine.core.seats) if seat.join.key == key.encode()]
        return any(seat.followers for seat in seats)

    wait_until(waits)


@pytest.mark.parametrize("ends", ["timeout", "cancel"])
def test_a_leader_goes_whatever_its_function_does(client: Client, key: str, ends: str) -> None:
    gate = Gate()
    begun = time.monotonic()
    if ends == "timeout":
        with pytest.raises(DeadlineExceededError, match=r"of 0\.2 s is over"):
            client.do(key, gate, timeout=0.2)
    else:
        call = client.start(key, gate)
        gate.entered.wait(60)
        call.cancel()
        with pytest.raises(CallCancelledError):
            call.wait()
    assert time.monotonic() - begun < 30  # the function is deaf for a minute
    assert client.do(key, lambda lead: "next").value == "next"
    gate.leave.set()


def test_with_a_timeout_the_function_has_the_callers_context(client: Client, key: str) -> None:
    variable.set("mine")
    assert client.do(key, lambda lead: variable.get(), timeout=60).value == "mine"
    assert client.start(key, lambda lead: variable.get()).wait().value == "mine"
    own = client.do(key, lambda lead: threading.get_ident() == main, retain=0)
    other = client.do(key, lambda lead: threading.get_ident() == main, timeout=60)
    assert (own.value, other.value) == (True, False)


main = threading.get_ident()
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


# ---- retained outcomes, forget


def test_retained(client: Client, key: str) -> None:
    first = client.do(key, lambda lead: 1, retain=60)
    assert 59 < first.retain <= 60
    second: Result[Any] = client.do(key, never)
    assert (second.value, second.retained, second.led, second.token) == (
        1,
        True,
        False,
        first.token,
    )
    assert client.do(key, lambda lead: 2, max_age=1e-9).value in (1, 2)


def test_the_function_may_decide_what_is_retained(client: Client, key: str) -> None:
    def function(lead: Lead) -> int:
        lead.set_retain(0)
        return 1

    assert client.do(key, function, retain=60).retain == 0
    assert client.do(key, lambda lead: 2).value == 2


def test_forget(client: Client, key: str) -> None:
    assert client.forget(key) == (False, False, False)
    client.do(key, lambda lead: 1, retain=60)
    assert client.forget(key) == (False, True, False)
    gate = Gate("old")
    old = client.start(key, gate)
    gate.entered.wait(60)
    assert client.forget(key) == (True, False, False)
    assert client.do(key, lambda lead: "new").value == "new"
    gate.leave.set()
    assert old.wait().value == "old"


def test_forget_if_unshared(client: Client, other: Client, key: str) -> None:
    gate = Gate()
    leader = client.start(key, gate, audience=True)
    gate.entered.wait(60)
    follower = other.start(key, never)
    wait_for_followers(leader, 1)
    assert client.forget(key, if_unshared=True) == (False, False, False)
    gate.leave.set()
    assert follower.wait().value == leader.wait().value


# ---- limits, audience


def test_result_limit_of_a_follower(shared_daemon: Daemon, client: Client, key: str) -> None:
    gate = Gate("x" * 1000)
    leader = client.start(key, gate)
    gate.entered.wait(60)
    with Client(shared_daemon.address, result_limit=999) as small:
        follower = small.start(key, never, role=Role.FOLLOW_ONLY)
        wait_follows(follower)
        gate.leave.set()
        with pytest.raises(ResourceExhaustedError, match="result_limit is 999"):
            follower.wait()
    leader.wait()


def test_result_limit_of_a_leader(shared_daemon: Daemon, key: str) -> None:
    with Client(shared_daemon.address, result_limit=999) as small:
        with pytest.raises(LimitExceededError, match="result_limit is 999"):
            small.do(key, lambda lead: "x" * 1000)

        def swallow(lead: Lead) -> None:
            with contextlib.suppress(LimitExceededError):
                lead.write(b"x" * 1000)

        with pytest.raises(LimitExceededError, match="result_limit"):
            small.do(key, swallow)


def test_result_limit_of_the_daemon(key: str) -> None:
    daemon = Daemon("--result-limit", "1KiB")
    try:
        with Client(daemon.address) as client:
            with pytest.raises(LimitExceededError, match="1024"):
                client.do(key, lambda lead: "x" * 2000)
            assert client.do(key, lambda lead: 1).value == 1
    finally:
        daemon.stop()


def test_audience(client: Client, other: Client, key: str) -> None:
    seen = []
    entered = threading.Event()

    def function(lead: Lead) -> None:
        assert lead.audience is None
        entered.set()
        while (audience := lead.wait_audience(60)) is None or audience.followers < 2:
            pass
        seen.append(audience)
        while audience is not None and audience.followers > 0:
            audience = lead.wait_audience(60)

    leader = client.start(key, function, audience=True)
    entered.wait(60)
    merged = client.start(key, never, audience=True, timeout=30)
    follower = other.start(key, never)
    wait_until(lambda: seen)
    merged.cancel()
    follower.cancel()
    leader.wait()
    assert seen[0] == (2, None)
