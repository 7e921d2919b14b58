# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes of one node: every part is a process of ours, in the namespaces that tests/kubernetes/run
has made. Nothing of it outlives them."""

import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request

from . import image, node
from .dns import Dns, service_objects
from .wait import until


class Cluster:
    """`work`: an empty folder; `tools`: what cluster/build made; `build`: with bin/singleflightd in
    it; `cgroup`: below which the pods are."""

    def __init__(self, work, tools, build, cgroup):
        self.work, self.tools, self.build, self.cgroup = work, tools, build, cgroup
        self.socket = f"{work}/containerd.sock"
        self.running = {}
        self.dns = None

    # ---- its parts

    def start(self):
        node.write_files(self.work, self.socket, self.cgroup)
        self.commands = node.commands(self.work, self.tools, self.socket)
        for name in ("etcd", "kube-apiserver", "containerd"):
            self.start_part(name)
        self.load_images()
        self.wait_for_api()
        for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"):
            self.start_part(name)
        self.dns = Dns(self.ask)
        self.kubectl("apply", "--server-side", "-f", "-",
                     given="\n".join("---\n" + json.dumps(one) for one in service_objects()))
        self.wait_for_node()

    def start_part(self, name):
        with open(f"{self.work}/{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(self.commands[name], stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log)

    def check_parts(self):
        for name, process in self.running.items():
            if process.poll() is not None:
                raise AssertionError(f"{name} has ended; it said:\n{self.log(name)[-3000:]}")

    def log(self, name):
        with open(f"{self.work}/{name}.log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for_api(self):
        self.context = ssl.create_default_context(cafile=f"{self.work}/pki/ca.pem")

        def ready():
            self.check_parts()
            try:
                return self.read("/readyz") == b"ok"
            except (urllib.error.URLError, ConnectionError):
                return False

        until(ready, "the API server is ready", bound=120, every=0.2)

    def wait_for_node(self):
        def ready():
            self.check_parts()
            answer = self.kubectl("get", "node", node.NAME, "-o", "json", check=False)
            conditions = json.loads(answer)["status"]["conditions"] if answer else []
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        until(ready, "the node is Ready", bound=120, every=0.3)
        # Pods are refused before it is there.
        until(lambda: self.kubectl("-n", "default", "get", "serviceaccount", "default",
                                   check=False), "there is a service account", bound=60, every=0.3)

    def stop(self):
        """The API server does not end without etcd, so that is last."""
        if self.dns:
            self.dns.close()
        for name in ("kube-proxy", "kubelet", "kube-scheduler", "kube-controller-manager",
                     "containerd", "kube-apiserver", "etcd"):
            process = self.running.pop(name, None)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # ---- images

    def ctr(self, *arguments, check=True):
        return subprocess.run(["ctr", "--address", self.socket, "-n", "k8s.io", *arguments],
                              check=check, capture_output=True, text=True)

    def load_images(self):
        until(lambda: self.ctr("version", check=False).returncode == 0, "containerd answers",
              bound=60, every=0.1)
        archive = f"{self.work}/image.tar"
        image.write_pause(archive, node.PAUSE_IMAGE, f"{self.tools}/pause")
        self.load_image(archive)
        image.write_caller(archive, node.CALLER_IMAGE, self.build)
        self.load_image(archive)
        image.write_daemon(archive, node.DAEMON_IMAGE, self.build)
        self.load_image(archive)
        os.unlink(archive)

    def load_image(self, archive):
        self.ctr("images", "import", archive)

    # ---- talking to it

    def read(self, path):
        request = urllib.request.Request(node.API + path, headers={
            "Authorization": f"Bearer {node.ADMIN_TOKEN}"})
        with urllib.request.urlopen(request, context=self.context, timeout=20) as answer:
            return answer.read()

    def ask(self, path):
        """An object, or None when there is none."""
        try:
            return json.loads(self.read(path))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def kubectl(self, *arguments, check=True, given=None):
        """What it prints."""
        done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout
