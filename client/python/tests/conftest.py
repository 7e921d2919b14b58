# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

if sys.version_info < (3, 10):
    # The tests start daemons by fork there, and gRPC's handlers would close files of the child.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

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


@pytest.fixture
def other(shared_daemon: Daemon) -> Iterator[Client]:
    """Another client, as of another process: nothing is merged with it."""
    with Client(shared_daemon.address, caller="other") as client:
        yield client
