# SPDX-License-Identifier: Apache-2.0
"""The lead that a whole program runs in: the tool tells it to its command by the environment."""

from __future__ import annotations

import os

from ._core.model import LeadRef


def environment_of_lead(lead: LeadRef, attempt: int) -> dict[str, str]:
    """The variables; without the key, and so without effect, if it cannot be in one."""
    variables = {
        "SINGLEFLIGHT_TOKEN": str(lead.token),
        "SINGLEFLIGHT_ATTEMPT": str(attempt),
        "SINGLEFLIGHT_GROUP": lead.group,
    }
    if b"\0" not in lead.key:
        variables["SINGLEFLIGHT_KEY"] = os.fsdecode(lead.key)
    return variables


def lead_of_environment() -> list[LeadRef]:
    """That lead, if there is one. Whether it is still current is the server's to say."""
    token = os.environ.get("SINGLEFLIGHT_TOKEN")
    if token is None:
        return []
    key = os.environ.get("SINGLEFLIGHT_KEY")
    if not key or not token.isdecimal() or not 0 < int(token) < 2**64:
        return []
    group = os.environ.get("SINGLEFLIGHT_GROUP") or "default"
    return [LeadRef(group, os.fsencode(key), int(token))]
