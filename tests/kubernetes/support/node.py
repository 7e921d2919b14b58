# SPDX-License-Identifier: Apache-2.0
"""What the parts of the cluster read when they start, and how they are called."""

import json
import os
import re
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as _file:
    VERSION = re.search(r"^project\(singleflightd VERSION ([0-9.]+)", _file.read(), re.M)[1]
DAEMON_IMAGE = f"docker.io/library/singleflightd:{VERSION}"
CALLER_IMAGE = "localhost/caller:1"
PAUSE_IMAGE = "localhost/pause:1"
CERTIFICATES = os.path.join(ROOT, "tests", "support", "certificates")

# In a network namespace of its own, so it may be the same everywhere.
ADDRESS = "10.9.9.1"
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/24"
DNS = "10.96.0.10"
API = "https://127.0.0.1:6443"
ETCD = "http://127.0.0.1:2379"
NAME = "node-1"
ADMIN_TOKEN = "admin-of-a-test"

CONTAINERD = """\
version = 2
root = "{work}/containerd/root"
state = "{work}/containerd/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE nothing may become harder to kill than it is.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{work}/net.d"
"""

NETWORK = {
    "cniVersion": "0.4.0", "name": "pods",
    "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]],
                 "routes": [{"dst": "0.0.0.0/0"}]},
    }, {"type": "portmap", "capabilities": {"portMappings": True}}],
}

KUBECONFIG = {
    "apiVersion": "v1", "kind": "Config", "current-context": "test",
    "users": [{"name": "admin", "user": {"token": ADMIN_TOKEN}}],
    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
}


def kubelet(work, socket, cgroup):
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "failCgroupV1": False, "failSwapOn": False,
        # A changed Secret is in its file after as long, plus a little.
        "syncFrequency": "5s",
        "clusterDNS": [DNS], "clusterDomain": "cluster.local", "resolvConf": "",
        "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{cgroup}", "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{socket}",
        "address": ADDRESS, "healthzBindAddress": "127.0.0.1",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False},
                           "x509": {}},
        "authorization": {"mode": "AlwaysAllow"},
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%",
                         "memory.available": "100Mi"},
        "makeIPTablesUtilChains": False,
        "podLogsDir": f"{work}/podlogs", "volumePluginDir": f"{work}/volumeplugins",
    }


def proxy(work):
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "nftables", "clusterCIDR": PODS, "hostnameOverride": NAME,
        "bindAddress": ADDRESS, "clientConnection": {"kubeconfig": f"{work}/kubeconfig"},
        # The limits of the machine are not ours to change.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s",
                      "tcpCloseWaitTimeout": "0s"},
    }


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text if isinstance(text, str) else json.dumps(text))


def write_files(work, socket, cgroup):
    """Certificates, credentials and configuration of all parts, into the folder `work`."""
    pki = f"{work}/pki"
    subprocess.run([CERTIFICATES, pki, "apiserver", "IP:127.0.0.1", "IP:10.96.0.1", f"IP:{ADDRESS}",
                    "DNS:kubernetes.default.svc"], check=True)
    for command in (f"genpkey -algorithm RSA -out {pki}/sa.key",
                    f"pkey -in {pki}/sa.key -pubout -out {pki}/sa.pub"):
        subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    write(f"{pki}/tokens.csv", f"{ADMIN_TOKEN},admin,1,system:masters\n")
    cluster = {"server": API, "certificate-authority": f"{pki}/ca.pem"}
    write(f"{work}/kubeconfig", KUBECONFIG | {"clusters": [{"name": "test", "cluster": cluster}]})
    write(f"{work}/containerd.toml", CONTAINERD.format(work=work, socket=socket, pause=PAUSE_IMAGE))
    network = json.loads(json.dumps(NETWORK))
    network["plugins"][0]["ipam"]["dataDir"] = f"{work}/ipam"
    write(f"{work}/net.d/pods.conflist", network)
    write(f"{work}/kubelet.json", kubelet(work, socket, cgroup))
    write(f"{work}/proxy.json", proxy(work))


def commands(work, tools, socket):
    """The parts by name, in the order in which they are started."""
    pki, config = f"{work}/pki", f"{work}/kubeconfig"
    return {
        "etcd": ["etcd", f"--data-dir={work}/etcd", f"--listen-client-urls={ETCD}",
                 f"--advertise-client-urls={ETCD}", "--unsafe-no-fsync"],
        "kube-apiserver": [
            f"{tools}/kube-apiserver", f"--etcd-servers={ETCD}", "--bind-address=0.0.0.0",
            "--secure-port=6443", f"--advertise-address={ADDRESS}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--tls-cert-file={pki}/apiserver.pem", f"--tls-private-key-file={pki}/apiserver.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            f"--service-cluster-ip-range={SERVICES}", f"--token-auth-file={pki}/tokens.csv",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=false"],
        "kube-controller-manager": [
            f"{tools}/kube-controller-manager", f"--kubeconfig={config}",
            f"--service-account-private-key-file={pki}/sa.key", f"--root-ca-file={pki}/ca.pem",
            "--use-service-account-credentials", "--leader-elect=false",
            "--bind-address=127.0.0.1", f"--cert-dir={pki}/controllers"],
        "kube-scheduler": [
            f"{tools}/kube-scheduler", f"--kubeconfig={config}", "--leader-elect=false",
            "--bind-address=127.0.0.1", f"--cert-dir={pki}/scheduler"],
        "containerd": ["containerd", "-c", f"{work}/containerd.toml"],
        "kubelet": [
            f"{tools}/kubelet", f"--config={work}/kubelet.json", f"--kubeconfig={config}",
            f"--root-dir={work}/kubelet", f"--cert-dir={work}/kubelet/pki",
            f"--hostname-override={NAME}", f"--node-ip={ADDRESS}"],
        "kube-proxy": [f"{tools}/kube-proxy", f"--config={work}/proxy.json"],
    }
