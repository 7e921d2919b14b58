# SPDX-License-Identifier: Apache-2.0
"""A cluster with singleflightd in it, and a shell: ./dev kubernetes shell."""

import os
import subprocess
import sys

from support import chart
from support.cluster import Cluster
from support.namespace import Namespace

WORDS = """
A Kubernetes of one node, with the release "singleflightd" in the namespace "play"; kubectl and helm are
for it. All of it ends with this shell.
    kubectl get pods
    singleflight do hello --address {address} -- date
"""


def main():
    cluster = Cluster(os.environ["SFL_WORK"], os.environ["SFL_TOOLS"],
                      os.environ["SFL_BUILD_DIR"], os.environ["SFL_CGROUP"])
    try:
        cluster.start()
        space = Namespace("play")
        address = chart.install(space)
        space.kubectl("config", "set-context", "--current", "--namespace=play")
        print(WORDS.format(address=address), file=sys.stderr)
        environment = os.environ | {
            "SINGLEFLIGHT_ADDRESS": address,
            "PATH": f"{cluster.build}/bin:{os.environ['PATH']}"}
        # Started in the background of a script, it would not hear of Ctrl-C.
        subprocess.run(["env", "--default-signal=INT,QUIT", os.environ.get("SHELL", "bash")],
                       env=environment)
    finally:
        cluster.stop()


main()
