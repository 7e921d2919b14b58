# SPDX-License-Identifier: Apache-2.0
"""A volume of the node for one claim, on a file system of its own: it can be full, or read-only."""

import os
import subprocess

from . import node
from .namespace import run


class Volume:
    def __init__(self, cluster, space, name="data", size="64m", options=""):
        self.space, self.name = space, name
        self.folder = os.path.join(cluster.work, "volumes", f"{space.name}-{name}")
        os.makedirs(self.folder)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}{options}", name, self.folder],
                       check=True)
        self.full_name = f"{space.name}-{name}"
        space.apply(self._volume(), self._claim())

    def _volume(self):
        return {
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": self.full_name},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                "storageClassName": self.full_name, "local": {"path": self.folder},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{
                    "key": "kubernetes.io/hostname", "operator": "In", "values": [node.NAME]}]}]}},
            },
        }

    def _claim(self):
        return {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": self.name, "namespace": self.space.name},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": self.full_name,
                     "resources": {"requests": {"storage": "1Gi"}}},
        }

    def values(self):
        return {"persistence": {"enabled": True, "existingClaim": self.name}}

    def fill(self):
        """Until nothing more goes in."""
        with open(os.path.join(self.folder, "filler"), "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                return

    def empty(self):
        os.unlink(os.path.join(self.folder, "filler"))

    def delete(self):
        run("kubectl", "delete", "persistentvolume", self.full_name, "--wait=false")
