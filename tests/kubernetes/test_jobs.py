# SPDX-License-Identifier: Apache-2.0
"""What singleflight is for, in pods: one runs it, all have its outcome."""

import json
import os

from support.namespace import Namespace
from support.node import CALLER_IMAGE, ROOT
from support.wait import until

EXAMPLE = os.path.join(ROOT, "deploy", "kubernetes", "examples", "cron-job.yaml")

SCRIPT = "echo $HOSTNAME ran; sleep 3; echo done"


def command(key, script=SCRIPT):
    return ("singleflight", "do", key, "--", "sh", "-c", script)


def test_a_job_on_two_pods_at_once_runs_once_and_both_have_its_output(space, address):
    environment = {"SINGLEFLIGHT_ADDRESS": address}
    for name in ("one", "two"):
        space.run_pod(name, *command("report"), env=environment)
    outcomes = [space.outcome(name) for name in ("one", "two")]
    assert [code for code, _ in outcomes] == [0, 0]
    assert outcomes[0][1] == outcomes[1][1], "both printed the same"
    assert outcomes[0][1] in ("one ran\ndone\n", "two ran\ndone\n")


def cron_job(space, address):
    """deploy/kubernetes/examples/cron-job.yaml with our image and address, and it says where it ran."""
    made = json.loads(space.kubectl("create", "--dry-run=client", "-o", "json", "-f", EXAMPLE))
    pod = made["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    copies, works = pod["initContainers"][0], pod["containers"][0]
    copies["image"] = works["image"] = CALLER_IMAGE
    assert copies["command"][0] == "cp"
    copies["command"].insert(0, "busybox")
    works["env"] = [{"name": "SINGLEFLIGHT_ADDRESS", "value": address},
                    {"name": "WHERE", "value": space.name}]
    works["args"][-1] = "echo ran in $WHERE"
    return made


def test_a_cron_job_in_two_namespaces_works_once(space, address):
    """Each is begun as its schedule would; to wait for the hour would prove nothing more."""
    spaces = [Namespace(f"cron-{name}") for name in ("a", "b")]
    try:
        for one in spaces:
            job = cron_job(one, address)
            one.apply(job)
            one.kubectl("create", "job", "first", f"--from=cronjob/{job['metadata']['name']}")
        logs = [log_of_job(one, "first") for one in spaces]
        assert logs[0] == logs[1]
        assert logs[0] in ("ran in cron-a\n", "ran in cron-b\n")
    finally:
        for one in spaces:
            one.delete()


def log_of_job(space, name):
    until(lambda: space.get("job", name)["status"].get("succeeded") == 1,
          f"job {name} of {space.name} has succeeded")
    return space.kubectl("logs", f"job/{name}")
