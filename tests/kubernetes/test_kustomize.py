# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes: each variant is taken without a warning, and they run."""

import glob
import os
import subprocess

import pytest

from support.node import ROOT

FOLDER = os.path.join(ROOT, "deploy", "kubernetes")
VARIANTS = ["."] + sorted(
    os.path.relpath(os.path.dirname(path), FOLDER)
    for path in glob.glob(os.path.join(FOLDER, "overlays", "*", "kustomization.yaml")))


def apply(space, folder, *more):
    """Strictly; a warning is a failure."""
    done = subprocess.run(
        ["kubectl", "-n", space.name, "apply", "--server-side", "--validate=strict", "-k", folder,
         *more], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("operator_schemas")
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_taken_without_a_warning(space, variant):
    apply(space, os.path.join(FOLDER, variant), "--dry-run=server")


def test_the_plain_one_runs(space):
    apply(space, FOLDER)
    space.kubectl("rollout", "status", "deployment/singleflightd", "--timeout=60s")
    space.run_pod("asks", "singleflight", "do", "plain", "--", "echo", "served",
                  env={"SINGLEFLIGHT_ADDRESS": "singleflightd:7433"})
    assert space.outcome("asks") == (0, "served\n")
    space.kubectl("delete", "-k", FOLDER, "--wait=true")
