# SPDX-License-Identifier: Apache-2.0
"""A namespace that takes only pods of the profile "restricted", and what is done in it."""

import json
import subprocess

from .node import CALLER_IMAGE
from .wait import until

RESTRICTED = {
    "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER = {
    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


class Refused(Exception):
    """A command that failed; what it said."""


def run(*command, given=None, timeout=180):
    """What the command prints; Refused with all that it said when it fails."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise Refused(f"{' '.join(command)}: {done.stderr}{done.stdout}")
    return done.stdout


class Namespace:
    def __init__(self, name, enforce="restricted"):
        self.name = name
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "labels": {"pod-security.kubernetes.io/enforce": enforce,
                                     "pod-security.kubernetes.io/warn": enforce}}})

    def delete(self):
        run("kubectl", "delete", "namespace", self.name, "--wait=false")

    # ---- kubectl

    def kubectl(self, *arguments, given=None, timeout=180):
        return run("kubectl", "-n", self.name, *arguments, given=given, timeout=timeout)

    def apply(self, *objects):
        """Strictly: a field that the API server does not know is refused."""
        text = "\n".join("---\n" + json.dumps(one) for one in objects)
        return self.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", given=text)

    def get(self, *what):
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def secret(self, name, **files):
        """Makes it, or changes it; "__" stands for the dot in a file's name."""
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
                    "stringData": {key.replace("__", "."): text for key, text in files.items()}})

    def events(self, about=""):
        """Their messages, of objects whose name begins so."""
        return [event.get("message", "") for event in self.get("events")["items"]
                if event["involvedObject"]["name"].startswith(about)]

    # ---- pods

    def pods(self, selector):
        return self.get("pods", "-l", selector)["items"]

    def pod(self, selector="app.kubernetes.io/name=singleflightd"):
        """The only one that runs and is ready."""
        def found():
            ready = [pod for pod in self.pods(selector) if is_ready(pod)]
            return ready[0] if len(ready) == 1 else None
        return until(found, f"{self.name} has one ready pod of {selector}", bound=90)

    def logs(self, pod, *arguments):
        return self.kubectl("logs", pod, *arguments)

    def run_pod(self, name, *command, env=None, **more):
        """A pod of the callers' image that runs `command` once."""
        self.apply(caller(name, *command, env=env, **more))

    def outcome(self, name, bound=60):
        """When a pod of run_pod has ended: its exit code and what it said."""
        def ended():
            state = self.get("pod", name)["status"].get("containerStatuses", [{}])[0].get("state", {})
            return state.get("terminated")
        code = until(ended, f"pod {name} has ended", bound=bound)["exitCode"]
        return code, self.logs(name)

    # ---- helm

    def helm(self, *arguments, given=None, timeout=180):
        return run("helm", "-n", self.name, *arguments, given=given, timeout=timeout)


def is_ready(pod):
    return "deletionTimestamp" not in pod["metadata"] and any(
        c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def caller(name, *command, env=None, image=CALLER_IMAGE, **more):
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": pod_spec(*command, env=env, image=image) | more,
    }


def pod_spec(*command, env=None, image=CALLER_IMAGE):
    return {
        "restartPolicy": "Never", "automountServiceAccountToken": False,
        "enableServiceLinks": False, "securityContext": RESTRICTED,
        "containers": [{
            "name": "caller", "image": image, "command": list(command),
            "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
            "securityContext": CONTAINER,
        }],
    }
