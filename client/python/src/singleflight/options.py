# SPDX-License-Identifier: Apache-2.0
"""The options of clients and calls: their names, their defaults, and how they are read."""

from __future__ import annotations

import math
import os
import re
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TypedDict, Union

from ._core.model import Join, LeaderLoss, Role, Settings
from .errors import InvalidArgumentError, InvalidTypeError

#: Seconds, or a timedelta. None: the default, or none.
Duration = Union[float, timedelta, None]

ADDRESS_VARIABLE = "SINGLEFLIGHT_ADDRESS"
ADDRESS_DEFAULT = "127.0.0.1:7433"

KEEPALIVE_TIME_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 5_000
MESSAGE_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024  # what the server sends at most, and some more

_CALLER_BYTES_MAX = 128
_KEY_BYTES_MAX = 64 * 1024  # the server has its own limit; this only keeps messages bounded
_ADDRESS = re.compile(
    r"unix(-abstract)?:(?!//?$)\S.*"
    r"|(dns:///)?(\[[\w:.%]+\]|[^:\s/\[\]]+):(?P<port>\d{1,5})"
)
_PORT_MAX = 65535


class CallOptions(TypedDict, total=False):
    """The options of one call.

    Those marked (opener) hold for the flight as its first caller gave them; the others are each
    caller's own. Equal calls of one client are merged before they go to the network: calls are
    equal when everything here is, except ``timeout`` and ``connect_timeout``.
    """

    group: str  #: a namespace: at most 128 bytes of ``[A-Za-z0-9._-]``; default "default"
    timeout: Duration  #: the call ends with DeadlineExceededError after that; 0: at once
    retain: Duration  #: (opener) keep an OK outcome so long, at most 7 days
    retain_error: Duration  #: (opener) the same for every other outcome
    max_age: Duration  #: take a retained outcome only if it is not older
    lease: Duration  #: (opener) 1 s to 10 min: the lead outlives a broken connection for so long
    run_limit: Duration  #: (opener) a leader that runs longer is replaced
    on_leader_loss: LeaderLoss  #: (opener) PROMOTE, the default, FAIL or HOLD
    max_attempts: int  #: (opener) leaders in all; 0, the default: no limit
    role: Role  #: ANY, the default, LEAD_ONLY or FOLLOW_ONLY
    audience: bool  #: while leading, learn who waits
    fingerprint: str | bytes  #: (opener) of the arguments; another one for the key is refused
    retain_from_lead: bool  #: (opener) retain counts from the beginning of the run, not its end
    fresh: bool  #: join no flight that was led before this call, and take no retained outcome
    stale: Duration  #: serve a value that is older than ``max_age``, up to so old, and refresh it
    caller: str  #: name in listings, instead of the client's
    resume_token: int  #: take back the lead that this token was granted to a process that is gone
    connect_timeout: Duration  #: instead of the client's; 0: do not wait for a connection
    fail_open: bool  #: instead of the client's
    local_merge: bool  #: False: go to the network in any case


_CALL_OPTIONS = frozenset(CallOptions.__annotations__)


def _seconds(duration: Duration, name: str) -> float:
    value = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        kind = type(duration).__name__
        raise InvalidTypeError(f"{name} is {kind}: seconds or a timedelta are wanted")
    if math.isnan(value):
        raise InvalidArgumentError(f"{name} is {duration!r}: seconds are wanted")
    return value


def milliseconds(duration: Duration, name: str) -> int:
    """A duration for the wire; what is above 0 does not become 0."""
    if duration is None:
        return 0
    value = _seconds(duration, name)
    if value < 0 or math.isinf(value):
        raise InvalidArgumentError(f"{name} is {duration!r}: seconds from 0 are wanted")
    return min(math.ceil(round(value * 1000, 6)), 2**63)


def seconds(duration: Duration, name: str, default: float) -> float:
    """A duration for this process; None is the default."""
    return default if duration is None else milliseconds(duration, name) / 1000


def read_timeout(timeout: Duration) -> float | None:
    """A timeout in seconds: None is none, and what is below 0 is over, as 0 is."""
    if timeout is None:
        return None
    value = _seconds(timeout, "timeout")
    return None if value == math.inf else max(0.0, value)


def _check_text(text: object, name: str, limit: int) -> str:
    if not isinstance(text, str) or not _is_utf8(text) or len(text.encode()) > limit:
        raise InvalidArgumentError(f"{name} is not at most {limit} bytes of UTF-8")
    return text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def key_bytes(key: str | bytes) -> bytes:
    """A key as bytes; text is UTF-8."""
    if isinstance(key, str):
        if not _is_utf8(key):
            raise InvalidArgumentError("key is no valid text: it has lone surrogates")
        key = key.encode()
    elif not isinstance(key, bytes):
        raise InvalidTypeError(f"key is {type(key).__name__}: text or bytes are wanted")
    if not key:
        raise InvalidArgumentError("key is missing: a key has 1 to 1,024 bytes")
    if len(key) > _KEY_BYTES_MAX:
        raise InvalidArgumentError("key is too long: a key has 1 to 1,024 bytes")
    return key


def fingerprint_bytes(fingerprint: object) -> bytes:
    """A fingerprint as bytes; text is UTF-8."""
    if isinstance(fingerprint, str):
        data = fingerprint.encode(errors="surrogatepass")
    elif isinstance(fingerprint, (bytes, bytearray, memoryview)):
        data = bytes(fingerprint)
    else:
        kind = type(fingerprint).__name__
        raise InvalidTypeError(f"fingerprint is {kind}: text or bytes are wanted")
    if len(data) > 64:
        raise InvalidArgumentError("fingerprint is too long: at most 64 bytes")
    return data


def _enum_value(value: int, cls: type[Role | LeaderLoss], name: str) -> int:
    try:
        return int(cls(value))
    except ValueError:
        raise InvalidArgumentError(f"{name} is none of {cls.__name__}") from None


def _count(value: int, name: str, bits: int) -> int:
    if not isinstance(value, int):
        raise InvalidTypeError(f"{name} is {type(value).__name__}: a number is wanted")
    if not 0 <= value < 2**bits:
        raise InvalidArgumentError(f"{name} is {value}: 0 to {2**bits - 1} is wanted")
    return value


def read_join(
    settings: Settings, key: str | bytes, options: CallOptions, live: bool = False
) -> Join:
    """Checks the options of a call. Bounds that the server may have set otherwise are its own."""
    if not options.keys() <= _CALL_OPTIONS:
        unknown = ", ".join(sorted(options.keys() - _CALL_OPTIONS))
        raise InvalidTypeError(f"there is no option {unknown}")
    join = Join(
        group="",
        key=key_bytes(key),
        caller=settings.caller,
        connect_timeout=settings.connect_timeout,
        fail_open=settings.fail_open,
        live=live,
    )
    if options:
        _read_options(join, options)
    join.mergeable = join.mergeable and join.role == Role.ANY and not live and not join.resume_token
    join.fail_open = join.fail_open and join.role != Role.FOLLOW_ONLY and not join.resume_token
    return join


def _read_options(join: Join, options: CallOptions) -> None:
    join.group = _check_text(options.get("group", ""), "group", 4096)
    if "caller" in options:
        join.caller = _check_text(options["caller"], "caller", _CALLER_BYTES_MAX)
    join.retain_ms = milliseconds(options.get("retain"), "retain")
    join.retain_error_ms = milliseconds(options.get("retain_error"), "retain_error")
    join.max_age_ms = milliseconds(options.get("max_age"), "max_age")
    join.lease_ms = milliseconds(options.get("lease"), "lease")
    join.run_limit_ms = milliseconds(options.get("run_limit"), "run_limit")
    join.on_leader_loss = _enum_value(
        options.get("on_leader_loss", 0), LeaderLoss, "on_leader_loss"
    )
    join.role = _enum_value(options.get("role", 0), Role, "role")
    join.max_attempts = _count(options.get("max_attempts", 0), "max_attempts", 32)
    join.resume_token = _count(options.get("resume_token", 0), "resume_token", 64)
    join.audience = bool(options.get("audience", False))
    join.mergeable = bool(options.get("local_merge", True))
    join.fingerprint = fingerprint_bytes(options.get("fingerprint", b""))
    join.retain_from_lead = bool(options.get("retain_from_lead", False))
    join.fresh = bool(options.get("fresh", False))
    join.fail_open = bool(options.get("fail_open", join.fail_open))
    if options.get("connect_timeout") is not None:
        join.connect_timeout = seconds(options.get("connect_timeout"), "connect_timeout", 0)


# ---- clients


def read_addresses(addresses: str | Sequence[str] | None) -> list[str]:
    """Addresses as given, or from the environment, or the default."""
    if addresses is None:
        addresses = os.environ.get(ADDRESS_VARIABLE) or ADDRESS_DEFAULT
    if isinstance(addresses, str):
        addresses = addresses.split(",")
    try:
        result = [_read_address(address) for address in addresses]
    except TypeError as error:
        kind = type(addresses).__name__
        raise InvalidTypeError(f"addresses are {kind}: texts are wanted") from error
    if not result:
        raise InvalidArgumentError("addresses are missing: there is none in the list")
    return result


def _read_address(address: object) -> str:
    if not isinstance(address, str):
        raise TypeError(f"{address!r} is no text")
    address = address.strip()
    match = _ADDRESS.fullmatch(address)
    port = match["port"] if match is not None else None
    if match is None or (port is not None and not 0 < int(port) <= _PORT_MAX):
        raise InvalidArgumentError(
            f'the address {address!r} is none: "host:port", with a port from 1 to {_PORT_MAX}, '
            'or "unix:/path" is wanted'
        )
    return address


def default_caller() -> str:
    """``<program>@<host>:<process id>``."""
    program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"
    caller = f"{_cut(program, 40)}@{_cut(socket.gethostname(), 60)}:{os.getpid()}"
    return caller if _is_utf8(caller) else f"process {os.getpid()}"


def _cut(text: str, limit: int) -> str:
    return text.encode(errors="replace")[:limit].decode(errors="ignore")


def read_settings(
    addresses: str | Sequence[str] | None,
    caller: str | None,
    fail_open: bool,
    connect_timeout: Duration,
    backoff_min: Duration,
    backoff_max: Duration,
    result_limit: int,
) -> Settings:
    """Checks the options of a client."""
    defaults = Settings([], "")
    if caller is None:
        caller = default_caller()
    return Settings(
        addresses=read_addresses(addresses),
        caller=_check_text(caller, "caller", _CALLER_BYTES_MAX),
        fail_open=fail_open,
        connect_timeout=seconds(connect_timeout, "connect_timeout", defaults.connect_timeout),
        backoff_min=seconds(backoff_min, "backoff_min", 0) or defaults.backoff_min,
        backoff_max=seconds(backoff_max, "backoff_max", 0) or defaults.backoff_max,
        result_limit=_count(result_limit, "result_limit", 62) or defaults.result_limit,
    )


def channel_options(keepalive_time: Duration, keepalive_timeout: Duration) -> list[tuple[str, int]]:
    """What gRPC is told about every channel."""
    time_ms = milliseconds(keepalive_time, "keepalive_time") or KEEPALIVE_TIME_MS
    timeout_ms = milliseconds(keepalive_timeout, "keepalive_timeout") or KEEPALIVE_TIMEOUT_MS
    return [
        ("grpc.keepalive_time_ms", time_ms),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        # What gRPC waits for the answer to any ping, those of keepalive too: a minute by itself.
        ("grpc.http2.ping_timeout_ms", timeout_ms),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
