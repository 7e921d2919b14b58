# SPDX-License-Identifier: Apache-2.0
"""The numbers that the clients of all languages share stand in client/constants.json."""

from __future__ import annotations

import inspect
import json
from typing import Any

from support import ROOT

from singleflight import Client, _security, _shell, errors, options
from singleflight._core import core, lead, model, seat, seat_lead

FILES = ("tls_ca", "tls_cert", "tls_key", "tls_server_name", "token_file")


def test_the_shared_numbers() -> None:
    shared = json.loads((ROOT / "client" / "constants.json").read_text())
    settings = model.Settings([], "")
    ours: dict[str, Any] = {
        "address_variable": options.ADDRESS_VARIABLE,
        "address_default": options.ADDRESS_DEFAULT,
        "connect_timeout_ms": settings.connect_timeout * 1000,
        "answer_timeout_ms": settings.look_time * 1000,
        "backoff_min_ms": settings.backoff_min * 1000,
        "backoff_max_ms": settings.backoff_max * 1000,
        "keepalive_time_ms": options.KEEPALIVE_TIME_MS,
        "keepalive_timeout_ms": options.KEEPALIVE_TIMEOUT_MS,
        "close_ms": core.CLOSE_TIME * 1000,
        "wire_slack_ms_min": seat.WIRE_SLACK_MIN * 1000,
        "wire_slack_divisor": seat.WIRE_SLACK_DIVISOR,
        "renewals_per_hold": seat_lead.RENEWALS,
        "ask_ms_max": seat_lead.ASK_TIME_MAX * 1000,
        "within_max": _shell._WITHIN_MAX,
        "result_bytes_max": settings.result_limit,
        "message_bytes_max": options.MESSAGE_BYTES_MAX,
        "chunk_bytes_max": lead.CHUNK_BYTES_MAX,
        "details_bytes_max": errors._DETAILS_BYTES_MAX,
        "key_bytes_max": options._KEY_BYTES_MAX,
        "caller_bytes_max": options._CALLER_BYTES_MAX,
        "type_encode_error": model.ENCODE_ERROR,
        "type_limit_exceeded": model.LIMIT_EXCEEDED,
        "tls_ca_system": _security.SYSTEM,
        "files_look_ms": _security.LOOK_TIME * 1000,
        **{f"{name}_variable": _security.variable_of(name) for name in FILES},
    }
    # What is told is told by a timer that is armed for that very moment.
    not_a_number_of_ours = {"about", "lost_told_within_ms"}
    assert {name: shared[name] for name in shared.keys() - not_a_number_of_ours} == ours


def test_options_that_are_not_given_are_those() -> None:
    parameters = inspect.signature(Client).parameters
    assert parameters["connect_timeout"].default is None
    assert Client("a:1")._settings.backoff_max == model.Settings([], "").backoff_max
