# SPDX-License-Identifier: Apache-2.0
"""What singleflight is for, in pods: one runs it, all have its outcome."""

from support.namespace import Namespace, pod_spec
from support.wait import until

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


def cron_job(name, address):
    spec = pod_spec("singleflight", "do", "nightly", "--every", "1h", "--", "sh", "-c",
                    "echo ran in $SINGLEFLIGHT_WHERE", env={
                        "SINGLEFLIGHT_ADDRESS": address, "SINGLEFLIGHT_WHERE": name})
    return {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {
            "spec": {"backoffLimit": 0, "template": {"spec": spec}}}},
    }


def test_a_cron_job_in_two_namespaces_works_once(space, address):
    """Each is begun as its schedule would; to wait for the minute would prove nothing more."""
    spaces = [Namespace(f"cron-{name}") for name in ("a", "b")]
    try:
        for one in spaces:
            one.apply(cron_job(one.name, address))
            one.kubectl("create", "job", "first", "--from=cronjob/nightly")
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
