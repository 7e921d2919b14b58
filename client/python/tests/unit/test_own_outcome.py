# SPDX-License-Identifier: Apache-2.0
"""A leader that resumes when its outcome is retained already hears it as a retained one."""

from __future__ import annotations

import pytest

from singleflight import JSON
from singleflight._core.model import Code, Ended, Kind, Outcome, Settings
from singleflight._shell import AskedCall, ask
from singleflight.options import CallOptions


def asked() -> AskedCall:
    options: CallOptions = {"stale": 60, "lease": 60}
    return ask(Settings(["127.0.0.1:1"], "me"), "k", lambda lead: 1, JSON, True, options)


@pytest.mark.parametrize("led", [True, False])
@pytest.mark.parametrize("kind", [Kind.OK, Kind.ERROR])
def test_it_is_neither_stale_nor_of_another_program(led: bool, kind: Kind) -> None:
    ended = Ended(Code.OK, outcome=Outcome(kind), led=led, retained=True, age_ms=50)
    assert asked().is_stale(ended) is not led
    assert asked().is_too_old(ended) is (not led and kind is not Kind.OK)
    assert asked().begins_again(ended) is not led
