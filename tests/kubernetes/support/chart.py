# SPDX-License-Identifier: Apache-2.0
"""The chart of deploy/helm/singleflightd, as a release."""

import json
import os

from .node import ROOT

CHART = os.path.join(ROOT, "deploy", "helm", "singleflightd")
RELEASE = "singleflightd"


def install(space, values=None, release=RELEASE, wait="60s"):
    """Installs or upgrades it, waits for it, and gives back where callers find it."""
    space.helm("upgrade", "--install", release, CHART, "--wait", "--timeout", wait,
               "--values", "-", given=json.dumps(values or {}))
    return address(space, release)


def address(space, release=RELEASE):
    return f"{release}.{space.name}.svc.cluster.local:7433"
