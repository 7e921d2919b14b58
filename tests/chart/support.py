# SPDX-License-Identifier: Apache-2.0
"""What the tests of the chart share: rendering it, and the values it is rendered with."""

import concurrent.futures
import functools
import glob
import json
import os
import subprocess
import tempfile

import yaml

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CHART = os.path.join(ROOT, "deploy", "helm", "singleflightd")
KUSTOMIZE = os.path.join(ROOT, "deploy", "kubernetes")
TOOLS = os.environ["SFL_KUBERNETES_TOOLS"]
BUILD = os.environ["SFL_BUILD_DIR"]
DAEMON = os.path.join(BUILD, "bin", "singleflightd")
TOOL = os.path.join(BUILD, "bin", "singleflight")

# From the oldest Kubernetes that the chart takes to the newest that there is.
VERSIONS = [f"1.{minor}" for minor in range(25, 38)]

ACCESS = "[who]\njobs = token:jobs dns:jobs.example\n\n[group *]\nlead = jobs\n"
TLS = {"existingSecret": "our-tls"}
CLIENT_CA = {"existingSecret": "our-ca"}

# Values by what they are for. Each is rendered, validated and read by the daemon.
MATRIX = {
    "defaults": {},
    "tls with mutual authentication": {
        "tls": TLS | {"clientCA": CLIENT_CA}, "test": {"clientSecret": "test-client"}},
    "mutual authentication by the secret of the certificate": {
        "tls": TLS | {"clientCA": {"fromTLSSecret": True}}, "insecure": "refuse"},
    "client CA in a ConfigMap": {"tls": TLS | {"clientCA": {"existingConfigMap": "our-ca"}}},
    "tokens": {"tls": TLS, "tokens": {"existingSecret": "our-tokens"},
               "test": {"tokenSecret": "test-token", "serverName": "sfl.example"}},
    "tokens or certificates, and rights": {
        "tls": TLS | {"clientCA": CLIENT_CA | {"auth": "optional"}},
        "tokens": {"existingSecret": "our-tokens"}, "access": {"inline": ACCESS}},
    "rights in a ConfigMap of somebody else's": {
        "tls": TLS | {"clientCA": CLIENT_CA | {"auth": "optional"}},
        "access": {"existingConfigMap": "our-access", "key": "rights"}},
    "cert-manager": {
        "tls": {"certManager": {"enabled": True, "issuerRef": {"name": "ca", "kind": "ClusterIssuer"},
                                "dnsNames": ["sfl.example"], "ipAddresses": ["10.1.2.3"]},
                "clientCA": {"fromTLSSecret": True}}},
    "open on purpose": {"insecure": "allow", "service": {"type": "LoadBalancer"}},
    "files of other names": {
        "tls": {"existingSecret": "x", "certKey": "cert.pem", "keyKey": "key.pem",
                "clientCA": {"existingSecret": "y", "key": "roots.pem"}}},
    "names that YAML takes for something else": {
        "fullnameOverride": "123", "tls": {"existingSecret": "on", "clientCA": {
            "existingSecret": "y", "key": "1"}}, "tokens": {"existingSecret": "1e3", "key": "0"},
        "access": {"existingConfigMap": "null"}, "imagePullSecrets": ["1"], "priorityClassName": "no",
        "test": {"clientSecret": "5", "tokenSecret": "6", "caSecret": "7"},
        "serviceAccount": {"name": "8"},
        "persistence": {"enabled": True, "existingClaim": "9", "size": "10"}},
    "a volume": {"persistence": {"enabled": True, "storageClass": "fast", "size": "20Gi"}},
    "a volume that is there": {"persistence": {"enabled": True, "existingClaim": "old"}},
    "a volume without a class": {"persistence": {"enabled": True, "storageClass": "-"}},
    "monitored through a service": {
        "serviceMonitor": {"enabled": True, "namespace": "monitoring", "labels": {"release": "kps"},
                           "interval": "30s", "scrapeTimeout": "10s",
                           "relabelings": [{"targetLabel": "cluster", "replacement": "a"}],
                           "metricRelabelings": [{"action": "labeldrop", "regex": "x"}]},
        "prometheusRule": {"enabled": True, "alertLabels": {"team": "jobs"}},
        "dashboard": {"enabled": True, "annotations": {"folder": "Jobs"}}},
    "monitored by its pod": {"podMonitor": {"enabled": True, "labels": {"release": "kps"}}},
    "traces": {"tracing": {"endpoint": "https://collector.monitoring:4444"},
               "networkPolicy": {"tracesTo": [{"namespaceSelector": {}}]}},
    "a network policy of one's own": {
        "networkPolicy": {"grpcFrom": [{"namespaceSelector": {"matchLabels": {"sfl": "yes"}}}],
                          "adminFrom": [], "extraEgress": [{"ports": [{"port": 443}]}]}},
    "without what can be left out": {
        "networkPolicy": {"enabled": False}, "pdb": {"enabled": False}, "test": {"enabled": False},
        "checkConfig": {"enabled": False}, "serviceAccount": {"create": False},
        "startupProbe": None, "livenessProbe": None, "settings": {"drain-time": None}},
    "services": {"service": {"type": "NodePort", "nodePort": 31433, "port": 443, "headless": True,
                             "appProtocol": "grpc", "annotations": {"a": "b"},
                             "extraSpec": {"ipFamilyPolicy": "PreferDualStack"}},
                 "insecure": "allow", "listenHost": "::"},
    "settings as YAML reads them": {
        "settings": {"flights-limit": 1000000, "runs": False, "metrics-groups": ["a", "b.c"],
                     "drain-time": "90s", "held-limit": "512MiB", "pumps": 2,
                     "first-message-time": 0, "log-format": "logfmt", "retain-limit": "007d"}},
    "everything about the pod": {
        "commonLabels": {"team": "jobs"}, "podLabels": {"pod": "x"}, "podAnnotations": {"p": "q"},
        "imagePullSecrets": ["regcred", {"name": "other"}], "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "a", "operator": "Exists"}], "priorityClassName": "high",
        "runtimeClassName": "gvisor", "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "extraEnv": [{"name": "OTEL_SERVICE_NAME", "value": "{{ .Release.Name }}"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraVolumes": [{"name": "tmp", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}],
        "image": {"registry": "registry.example:5000/team/", "tag": "1.2.3",
                  "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
        "serviceAccount": {"name": "jobs", "annotations": {"iam": "role"}},
        "terminationGracePeriodSeconds": 60, "nameOverride": "sfl", "clusterDomain": "k8s.example"},
    "as a part of another chart": {"global": {"imageRegistry": "mirror.example",
                                              "imagePullSecrets": ["global"], "other": 1},
                                   "enabled": True},
}


def helm(*arguments, values=None, check=True):
    """Runs helm with these values, and returns the finished process."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        command = [os.path.join(TOOLS, "helm"), *arguments]
        if values is not None:
            command += ["--values", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(arguments)}\n{done.stderr}")
    return done


def objects(text):
    return [thing for thing in yaml.safe_load_all(text) if thing]


def render(values, release="singleflightd"):
    """The objects that `helm install` would make with these values."""
    return objects(helm("template", release, CHART, "--namespace", "jobs", values=values).stdout)


@functools.lru_cache(maxsize=None)
def rendered():
    """Everything of MATRIX, by its name: made once for all tests."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(MATRIX, pool.map(render, MATRIX.values())))


@functools.lru_cache(maxsize=None)
def built(folder):
    """What `kubectl kustomize` makes of a folder in deploy/kubernetes."""
    command = [os.path.join(TOOLS, "kubectl"), "kustomize", os.path.join(KUSTOMIZE, folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return objects(done.stdout)


KUSTOMIZATIONS = [".", "base", "overlays/production"]


def examples():
    """The objects of deploy/kubernetes/examples, by their file."""
    found = {}
    for path in glob.glob(os.path.join(KUSTOMIZE, "examples", "*.yaml")):
        with open(path, encoding="utf-8") as file:
            found[os.path.basename(path)] = objects(file.read())
    return found


def one(things, kind, name=None):
    """The object of this kind (and name) among them: there is just one."""
    found = [thing for thing in things
             if thing["kind"] == kind and name in (None, thing["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of kind {kind}, name {name}"
    return found[0]


def pod_of(thing):
    """The pod's spec in an object; None when it makes no pods."""
    at = {"Pod": (), "Job": ("template",), "Deployment": ("template",), "DaemonSet": ("template",),
          "CronJob": ("jobTemplate", "spec", "template")}.get(thing["kind"])
    if at is None:
        return None
    spec = thing["spec"]
    for part in at:
        spec = spec[part]
    return spec["spec"] if at else spec


def containers_of(pod):
    return pod.get("initContainers", []) + pod["containers"]


def environment(container):
    return {variable["name"]: variable.get("value") for variable in container.get("env", [])}


class Daemon:
    """A daemon on a port of its own, for as long as a `with` lasts."""

    def __enter__(self):
        self.process = subprocess.Popen([DAEMON, "--listen", "127.0.0.1:0"], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline()
        self.address = line.rsplit(" ", 1)[1].strip()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def run(self, command):
        """What a command prints that finds this daemon; it has to succeed."""
        variables = os.environ | {"SINGLEFLIGHT_ADDRESS": self.address}
        return subprocess.run(command, env=variables, check=True, capture_output=True, text=True,
                              timeout=120).stdout

    def executions(self):
        return json.loads(self.run([TOOL, "stats", "--json"]).splitlines()[0])["executions"]
