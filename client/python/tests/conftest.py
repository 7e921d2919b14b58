# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import Daemon

from singleflight import Client


@pytest.fixture(scope="session")
def shared_daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    yield daemon
    daemon.stop()


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """One of the test's own, to be drained, killed and started again."""
    daemon = Daemon("--drain-time", "10s")
    yield daemon
    daemon.stop()


@pytest.fixture
def client(shared_daemon: Daemon) -> Iterator[Client]:
    with Client(shared_daemon.address) as client:
        yield client


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key of the test's own."""
    return str(request.node.name)
