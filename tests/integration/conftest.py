# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a daemon that a module shares or a test has for itself, and what tests hold in their
hands.
"""

import pytest

from support import stubs

stubs.prepare()

from support.daemon import Daemon  # noqa: E402
from support.net import Net  # noqa: E402


@pytest.fixture(scope="module")
def daemon(request):
    """One daemon for the module, with the module's DAEMON_FLAGS; it must live through every test of
    it.
    """
    with Daemon(*getattr(request.module, "DAEMON_FLAGS", ())) as running:
        yield running


@pytest.fixture(autouse=True)
def daemon_stays_up(request):
    """No test may bring the shared daemon down, whatever it sends."""
    yield
    if "daemon" in request.fixturenames:
        shared = request.getfixturevalue("daemon")
        assert shared.alive(), f"the daemon is gone; it said:\n{shared.log()[-4000:]}"


def opened(daemon, kind):
    net = Net(daemon, kind)
    try:
        yield net
    finally:
        net.close()


@pytest.fixture(params=["do", "session", "mixed"])
def rpc(request, daemon):
    """The same scenario over Do, over Session, and with callers of both kinds in turn."""
    yield from opened(daemon, request.param)


@pytest.fixture(params=["do", "session"])
def each(request, daemon):
    """The same scenario over Do and over Session, where a mixture would add nothing."""
    yield from opened(daemon, request.param)


@pytest.fixture
def net(daemon):
    """Towards the shared daemon, with Do where a test does not say otherwise."""
    yield from opened(daemon, "do")


@pytest.fixture
def private():
    """Starts daemons for this test alone: private("--flag", "value") is a Net towards a new one.

    Each is ended in order when the test has passed, and its end must be orderly.
    """
    nets = []

    def start(*flags, kind="do", **options):
        daemon = Daemon(*flags, **options)
        net = Net(daemon, kind)
        nets.append(net)
        return net

    yield start
    for net in nets:
        net.close()
    try:
        for net in nets:
            net.daemon.stop()
    finally:
        for net in nets:
            net.daemon.kill()
