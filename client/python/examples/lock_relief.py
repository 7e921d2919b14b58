# SPDX-License-Identifier: Apache-2.0
"""Relief for a lock: a thousand processes want the job done, and one of them tries for the lock.

The others wait at the daemon, where waiting is cheap, and share what came of it. The lock stays,
for those who do not use singleflight.  Usage: lock_relief LOCK_FILE JOB
"""

from __future__ import annotations

import fcntl
import sys

from singleflight import Client, Lead, SingleflightError


def main(lock_file: str, job: str) -> None:
    """Has the job done."""

    def run(lead: Lead) -> str:
        with open(lock_file, "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            runs = len(file.readlines()) + 1  # the job: it counts its runs
            file.write(f"{lead.token}\n")
            return f"run {runs}"

    with Client() as client:
        print(client.do(job, run, group="jobs", retain=60).value)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (SingleflightError, OSError) as error:
        sys.exit(f"lock_relief: {error}")
