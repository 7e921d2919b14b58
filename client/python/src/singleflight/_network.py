# SPDX-License-Identifier: Apache-2.0
"""What the two shells share about the network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

import grpc

from ._clock import clock
from ._core.backoff import Backoff
from ._core.model import Settings
from ._core.server import Server
from .errors import status_error

# What gRPC says of an address where nobody listens, or that there is none of.
_REFUSED = re.compile(
    "refused|no such file|no route to host|network is unreachable|not found|resolv|lookup|"
    "name or service not known",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether a try to connect failed for want of somebody who listens at the address."""
    return _REFUSED.search(text) is not None


# What a server says that is there, but has no health checks, or does not tell this caller.
_THERE = (
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)


def serves_health(code: grpc.StatusCode) -> bool:
    """Whether a health check that failed so was answered by a server that calls may go to."""
    return code in _THERE


class Tries:
    """A request that is sent again while its servers cannot be reached, for a bounded time."""

    def __init__(
        self, settings: Settings, servers: Sequence[Server], timeout: float | None
    ) -> None:
        self._backoff = Backoff(settings.backoff_min, settings.backoff_max, Random())
        likely = [server for server in servers if server.is_likely]
        self._servers = likely + [server for server in servers if server not in likely]
        self._tried = 0
        look_time = settings.connect_timeout or settings.look_time
        self._deadline = clock() + (look_time if timeout is None else timeout)
        self._unavailable = ""

    @property
    def server(self) -> Server:
        """The one to try."""
        return self._servers[self._tried % len(self._servers)]

    @property
    def left(self) -> float:
        """Seconds for the next try."""
        return max(0.0, self._deadline - clock())

    def wait_after(self, code: grpc.StatusCode, text: str) -> float:
        """How long to wait before the next try. Raises when that was the last."""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and self._unavailable:
            code, text = grpc.StatusCode.UNAVAILABLE, self._unavailable  # that is why
        address = self.server.address
        self._tried += 1
        first_round = self._tried < len(self._servers)
        wait = 0.0 if first_round else self._backoff.next()
        again = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        if not again or clock() + wait >= self._deadline:
            raise status_error(code.value[0], f"{address}: {text}")
        self._unavailable = text
        return wait
