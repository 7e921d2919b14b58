# SPDX-License-Identifier: Apache-2.0
"""Values that cannot be are refused before anything is sent, with a message that helps."""

import concurrent.futures
import os
import unittest

import support

TLS = support.TLS
OPEN = "set tls.existingSecret or tls.certManager, and tls.clientCA or tokens.existingSecret"

# What helm is given, and a part of what it says.
REFUSED = [
    # typos, at every level
    ({"replicas": 3}, "additional properties 'replicas' not allowed"),
    ({"image": {"tga": "1"}}, "at '/image': additional properties 'tga' not allowed"),
    ({"tls": {"certmanager": {}}}, "at '/tls': additional properties 'certmanager' not allowed"),
    ({"tls": {"clientCA": {"secret": "x"}}}, "at '/tls/clientCA': additional properties 'secret'"),
    ({"tls": {"certManager": {"issuer": "x"}}}, "at '/tls/certManager': additional properties"),
    ({"settings": {"drain-tim": "20s"}}, "at '/settings': additional properties 'drain-tim'"),
    ({"settings": {"drainTime": "20s"}}, "at '/settings': additional properties 'drainTime'"),
    ({"networkPolicy": {"from": []}}, "at '/networkPolicy': additional properties 'from'"),
    ({"serviceMonitor": {"label": {}}}, "at '/serviceMonitor': additional properties 'label'"),
    ({"prometheusRule": {"alerts": {"SingleflightDown": {"fro": "1m"}}}}, "properties 'fro'"),
    # values of the wrong kind, or out of bounds
    ({"service": {"port": 99999}}, "at '/service/port': maximum: got 99,999, want 65,535"),
    ({"service": {"port": "http"}}, "at '/service/port': got string, want integer"),
    ({"service": {"type": "Ingress"}}, "'ClusterIP', 'NodePort', 'LoadBalancer'"),
    ({"insecure": True}, "at '/insecure': value must be one of 'trial', 'allow', 'refuse'"),
    ({"image": {"digest": "sha256:abc"}}, "at '/image/digest': 'sha256:abc' does not match"),
    ({"image": {"pullPolicy": "Sometimes"}}, "'IfNotPresent', 'Always', 'Never'"),
    ({"image": {"repository": "Upper/Case"}}, "at '/image/repository'"),
    ({"resources": {"limits": {"memory": "a lot"}}}, "at '/resources/limits/memory': 'a lot'"),
    ({"resources": {"limit": {"memory": "1Gi"}}}, "at '/resources': additional properties 'limit'"),
    ({"checkConfig": {"resources": {"requests": {"cpu": "some"}}}}, "'some' does not match"),
    ({"persistence": {"size": "lots"}}, "at '/persistence/size': 'lots' does not match"),
    ({"persistence": {"accessMode": "Once"}}, "at '/persistence/accessMode'"),
    ({"tls": {"existingSecret": "Not_A_Name"}}, "at '/tls/existingSecret'"),
    ({"tls": {"certManager": {"duration": "90d"}}}, "at '/tls/certManager/duration'"),
    ({"tls": {"clientCA": {"auth": "maybe"}}}, "value must be one of 'require', 'optional'"),
    ({"serviceMonitor": {"interval": "often"}}, "at '/serviceMonitor/interval'"),
    ({"tracing": {"endpoint": "collector:4317"}}, "at '/tracing/endpoint'"),
    ({"test": {"group": "my group"}}, "at '/test/group'"),
    ({"commonLabels": {"a": 1}}, "at '/commonLabels/a': got number, want string"),
    ({"terminationGracePeriodSeconds": -1}, "at '/terminationGracePeriodSeconds'"),
    ({"checkConfig": {"deadlineSeconds": 0}}, "at '/checkConfig/deadlineSeconds'"),
    # null takes a default away
    ({"tls": {"existingSecret": None}}, "at '/tls': missing property 'existingSecret'"),
    ({"tls": None}, "at '': missing property 'tls'"),
    ({"service": {"type": None}}, "at '/service': missing property 'type'"),
    ({"extraVolumeMounts": None}, "missing property 'extraVolumeMounts'"),
    # one process
    ({"replicaCount": 2}, "replicaCount: 2 must be 1: flights live in one process"),
    ({"replicaCount": 0}, "replicaCount: 0 must be 1"),
    # settings, in the daemon's words
    ({"settings": {"drain-time": "soon"}}, 'settings.drain-time: "soon" is no time: a whole number'),
    ({"settings": {"drain-time": "20"}}, 'settings.drain-time: "20" needs a unit: ms, s, m, h or d'),
    ({"settings": {"drain-time": 20}}, 'settings.drain-time: "20" needs a unit'),
    ({"settings": {"drain-time": "1.5s"}}, 'settings.drain-time: "1.5s" is no time'),
    ({"settings": {"drain-time": "-1s"}}, 'settings.drain-time: "-1s" is no time'),
    ({"settings": {"drain-time": ""}}, 'settings.drain-time: "" is no time'),
    ({"settings": {"drain-time": "20 s"}}, 'settings.drain-time: "20 s" is no time'),
    ({"settings": {"drain-time": "2d"}}, '"2d" is out of bounds; it takes 0 to 1d'),
    ({"settings": {"lease-min": "500ms"}}, '"500ms" is out of bounds; it takes 1s to 1d'),
    ({"settings": {"held-limit": "1GB"}}, 'settings.held-limit: "1GB" is no size: a whole number'),
    ({"settings": {"held-limit": "1Gi"}}, "B, KiB, MiB, GiB or TiB, such as 64MiB"),
    ({"settings": {"key-limit": "17KiB"}}, '"17KiB" is out of bounds; it takes 1 to 16KiB'),
    ({"settings": {"message-limit": "9" * 40}}, "is too large; it takes 256KiB to 1GiB"),
    ({"settings": {"pumps": 65}}, 'settings.pumps: "65" is out of bounds; it takes 1 to 64, or 0'),
    ({"settings": {"pumps": "four"}}, 'settings.pumps: "four" is no whole number'),
    ({"settings": {"shards": 1.5}}, 'settings.shards: "1.5" is no whole number'),
    ({"settings": {"log-level": "loud"}}, '"loud" is not error, warn, info or debug'),
    ({"settings": {"log-format": True}}, 'settings.log-format: "on" is not logfmt or json'),
    # what the chart derives
    ({"settings": {"listen": "0.0.0.0:1"}}, "settings.listen is not for you to set: the pod listens"),
    ({"settings": {"tls-cert": "/x"}}, "set tls.existingSecret or tls.certManager"),
    ({"settings": {"tls-client-auth": "require"}}, "set tls.clientCA.auth"),
    ({"settings": {"token-file": "/x"}}, "set tokens.existingSecret"),
    ({"settings": {"access-file": "/x"}}, "set access.inline or access.existingConfigMap"),
    ({"settings": {"admin-listen": "x:1"}}, "the probes ask port 9433"),
    ({"settings": {"insecure-listen": "yes"}}, "settings.insecure-listen is not for you to set"),
    ({"settings": {"data-dir": "/data"}}, "set persistence.enabled"),
    ({"extraEnv": [{"name": "SINGLEFLIGHTD_DRAIN_TIME", "value": "1s"}]},
     "extraEnv[0]: SINGLEFLIGHTD_DRAIN_TIME is a setting of the daemon: give it as settings.drain-time"),
    ({"extraEnv": [{"name": "SINGLEFLIGHTD_DATA_DIR", "value": "/x"}]}, "set persistence.enabled"),
    ({"extraArgs": ["--lease-max=1h"]}, "extraArgs[0]: --lease-max is a setting of the daemon"),
    # half a security
    ({"tls": TLS}, "nothing says who may call: set tls.clientCA or tokens.existingSecret"),
    ({"tokens": {"existingSecret": "x"}}, OPEN),
    ({"access": {"inline": support.ACCESS}}, "half of what makes it secure is set"),
    ({"tls": TLS | {"clientCA": {"existingSecret": "x", "auth": "optional"}}},
     'with tls.clientCA.auth "optional" nothing says who may call'),
    ({"tls": {"clientCA": {"existingSecret": "x"}}}, "clients show certificates over TLS alone"),
    ({"tls": {"clientCA": {"auth": "optional"}}}, '"optional" says nothing without a CA'),
    ({"insecure": "refuse"}, 'insecure: "refuse", and there is no TLS: ' + OPEN),
    ({"insecure": "refuse", "tls": TLS}, 'insecure: "refuse", and nothing says who may call'),
    ({"service": {"type": "LoadBalancer"}}, "shows an open daemon to others than this cluster"),
    ({"tls": TLS | {"certManager": {"enabled": True, "issuerRef": {"name": "x"}}}}, "are both set"),
    ({"tls": {"certManager": {"enabled": True}}}, "issuerRef.name: who should sign"),
    ({"tls": TLS | {"clientCA": {"existingSecret": "x", "fromTLSSecret": True}}},
     "tls.clientCA: existingSecret and fromTLSSecret are set; take one"),
    ({"access": {"inline": "x", "existingConfigMap": "y"}}, "access: inline and existingConfigMap"),
    # what does not go together
    ({"terminationGracePeriodSeconds": 15}, "15 ends the daemon before it has drained"),
    ({"terminationGracePeriodSeconds": 30, "settings": {"drain-time": "1m"}}, "give it 70"),
    ({"settings": {"held-limit": "2GiB"}}, 'with resources.limits.memory "2Gi" the pod would be killed'),
    ({"settings": {"held-limit": "1600MiB"}}, 'settings.held-limit: "1600MiB" takes 1.3 times as much'),
    ({"resources": {"limits": {"memory": "512Mi"}}}, 'settings.held-limit: "1GiB" takes 1.3 times'),
    ({"service": {"nodePort": 30000}}, "service.nodePort: 30000 is for service.type NodePort"),
    ({"persistence": {"existingClaim": "x"}}, "is not used; set persistence.enabled"),
    ({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "count everything twice"),
    ({"prometheusRule": {"alerts": {"SingleFlightDown": {}}}}, "there is no such alert; there are"),
]


def refusal(values):
    return support.helm("template", "x", support.CHART, values=values, check=False)


class Refusals(unittest.TestCase):
    def test_each_bad_value_is_refused_and_the_message_names_it(self):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            answers = list(pool.map(refusal, [values for values, _ in REFUSED]))
        for (values, message), done in zip(REFUSED, answers):
            with self.subTest(values=values):
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(message, done.stderr)

    def test_all_faults_are_told_at_once(self):
        done = refusal({"settings": {"drain-time": "x", "pumps": 65}, "replicaCount": 3, "tls": TLS})
        faults = [line for line in done.stderr.splitlines() if line.startswith("  - ")]
        self.assertEqual(len(faults), 4, done.stderr)
