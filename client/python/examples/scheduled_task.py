# SPDX-License-Identifier: Apache-2.0
"""A scheduled task, once across all nodes: put the same line into the crontab of every node.

    0 3 * * *  scheduled_task nightly-report make-report --all

The clocks of the nodes differ. Whoever comes first runs the command; who comes while it runs waits
for it; who comes within RETAIN after it gets the same output and exit code at once. So RETAIN is
longer than clocks may differ, and shorter than the time from one run to the next. A node that dies
at it is replaced by the next that waits.

Usage: scheduled_task NAME COMMAND [ARGUMENT...]
"""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

from singleflight import Client, Lead, SingleflightError

RETAIN = timedelta(minutes=10)


def main(name: str, *command: str) -> int:
    """Has the command run here or elsewhere; its exit code."""

    def run(lead: Lead) -> dict[str, object]:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            output = child.communicate()[0]
        return {"output": output, "exit_code": child.returncode}

    with Client() as client:
        # The lease: a broken connection does not make a second node begin.
        result = client.do(name, run, group="cron", retain=RETAIN, retain_error=RETAIN, lease=15)
    sys.stdout.write(str(result.value["output"]))
    return int(str(result.value["exit_code"]))


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except SingleflightError as error:
        sys.exit(f"scheduled_task: {error}")
