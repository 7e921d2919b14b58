# SPDX-License-Identifier: Apache-2.0
"""What the chart and the kustomizations make is valid, everywhere, and fits the restricted profile."""

import json
import os
import subprocess
import tempfile
import unittest

import kubernetes_validate

import support

# What other projects define; their schemas are not at hand here.
FOREIGN = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Certificate"}


def everything():
    """(where it is from, its objects) of all that there is."""
    yield from support.rendered().items()
    for folder in support.KUSTOMIZATIONS:
        yield folder, support.built(folder)
    yield from support.examples().items()


def breaches(pod):
    """What the profile "restricted" of Pod Security has against a pod."""
    own = pod.get("securityContext", {})
    if any(pod.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")):
        yield "the host's namespaces"
    for volume in pod.get("volumes", []):
        allowed = {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "csi",
                   "downwardAPI", "ephemeral"}
        if not set(volume) - {"name"} <= allowed:
            yield f"the volume {volume['name']}"
    for container in support.containers_of(pod):
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{container['name']}: privilege escalation"
        if context.get("capabilities", {}).get("drop") != ["ALL"] or "add" in context["capabilities"]:
            yield f"{container['name']}: capabilities"
        if not context.get("runAsNonRoot", own.get("runAsNonRoot")):
            yield f"{container['name']}: root"
        profile = context.get("seccompProfile", own.get("seccompProfile", {}))
        if profile.get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{container['name']}: seccomp"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{container['name']}: a port of the host"


class Manifests(unittest.TestCase):
    def test_the_chart_has_no_fault_that_helm_lint_sees(self):
        support.helm("lint", "--strict", support.CHART)

    def test_every_object_is_valid_in_every_version(self):
        seen = set()
        for where, things in everything():
            # Fields come and do not go, so the ends tell of what is between; and some is tried in all.
            wide = where in ("defaults", "everything about the pod", "overlays/production")
            for thing in things:
                key = json.dumps(thing, sort_keys=True)
                if thing["kind"] in FOREIGN or (key in seen and not wide):
                    continue
                seen.add(key)
                for version in support.VERSIONS if wide else support.VERSIONS[::12]:
                    with self.subTest(where=where, kind=thing["kind"], version=version):
                        kubernetes_validate.validate(thing, version, strict=True)

    def test_a_typo_would_be_seen(self):
        deployment = support.built("base")
        deployment = support.one(deployment, "Deployment") | {"spec": {"replicaz": 1}}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(deployment, "1.37", strict=True)

    def test_every_pod_fits_the_restricted_profile(self):
        for where, things in everything():
            for pod in filter(None, map(support.pod_of, things)):
                with self.subTest(where=where):
                    self.assertEqual(list(breaches(pod)), [])

    def test_no_pod_has_a_token_or_writes_to_its_root(self):
        for where, things in everything():
            for pod in filter(None, map(support.pod_of, things)):
                with self.subTest(where=where):
                    self.assertIs(pod["automountServiceAccountToken"], False)
                    self.assertIs(pod["enableServiceLinks"], False)
                    for container in support.containers_of(pod):
                        self.assertIs(container["securityContext"]["readOnlyRootFilesystem"], True)

    def test_files_come_in_folders_that_the_kubelet_renews(self):
        for where, things in everything():
            for pod in filter(None, map(support.pod_of, things)):
                for container in support.containers_of(pod):
                    for mount in container.get("volumeMounts", []):
                        with self.subTest(where=where, mount=mount["name"]):
                            self.assertNotIn("subPath", mount)

    def test_files_of_secrets_are_for_the_daemon_s_group_alone(self):
        for where, things in everything():
            for pod in filter(None, map(support.pod_of, things)):
                for volume in pod.get("volumes", []):
                    if "secret" in volume:
                        with self.subTest(where=where, volume=volume["name"]):
                            self.assertEqual(volume["secret"]["defaultMode"], 0o440)
                            self.assertEqual(pod["securityContext"]["fsGroup"], 65532)

    def test_every_object_is_of_the_release_s_namespace(self):
        for where, things in support.rendered().items():
            for thing in things:
                with self.subTest(where=where, kind=thing["kind"]):
                    if thing["metadata"]["name"] != "mine":
                        self.assertIn(thing["metadata"]["namespace"], ("jobs", "monitoring"))

    def test_yamllint_finds_nothing(self):
        # What "./dev chart --update" writes, PyYAML has laid out.
        rules = ("{ignore: prometheus-rule.yaml, extends: default, rules: {line-length: {max: 110}, document-start: disable, "
                 "braces: {max-spaces-inside: 0}, comments-indentation: disable, "
                 "octal-values: disable}}")
        paths = [os.path.join(support.CHART, name) for name in ("Chart.yaml", "values.yaml")]
        paths.append(support.KUSTOMIZE)
        done = subprocess.run([os.path.join(support.TOOLS, "yamllint"), "--strict", "-d", rules,
                               *paths], capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout, "")


class Choices(unittest.TestCase):
    """What follows from values, one by one."""

    def test_the_daemon_s_service_finds_no_pod_of_a_hook(self):
        things = support.rendered()["tls with mutual authentication"]
        wanted = support.one(things, "Service")["spec"]["selector"]
        deployment = support.one(things, "Deployment")
        self.assertLessEqual(wanted.items(), deployment["spec"]["template"]["metadata"]["labels"].items())
        for labels in (support.one(things, "Job")["spec"]["template"]["metadata"]["labels"],
                       support.one(things, "Pod")["metadata"]["labels"]):
            self.assertFalse(wanted.items() <= labels.items())

    def test_the_pod_has_longer_than_the_drain(self):
        for drain, seconds in (("20s", 30), ("1500ms", 12), ("2m", 130), ("0", 10), (0, 10), ("1h", 3610)):
            with self.subTest(drain=drain):
                things = support.render({"settings": {"drain-time": drain}})
                pod = support.pod_of(support.one(things, "Deployment"))
                self.assertEqual(pod["terminationGracePeriodSeconds"], seconds)

    def test_without_tls_only_the_namespace_gets_in(self):
        rule = support.one(support.rendered()["defaults"], "NetworkPolicy")["spec"]["ingress"][0]
        self.assertEqual(rule, {"ports": [{"port": "grpc"}], "from": [{"podSelector": {}}]})
        rule = support.one(support.rendered()["tokens"], "NetworkPolicy")["spec"]["ingress"][0]
        self.assertEqual(rule, {"ports": [{"port": "grpc"}]})

    def test_the_daemon_reaches_nobody_but_its_collector(self):
        policy = support.one(support.rendered()["defaults"], "NetworkPolicy")
        self.assertEqual(policy["spec"]["egress"], [])
        policy = support.one(support.rendered()["traces"], "NetworkPolicy")
        ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
        self.assertEqual(ports, [53, 53, 4444])
        things = support.render({"tracing": {"endpoint": "http://[fd00::1]:4318"}})
        rule = support.one(things, "NetworkPolicy")["spec"]["egress"][1]
        self.assertEqual(rule, {"ports": [{"port": 4318}]})

    def test_the_pod_of_the_test_gets_in_whoever_else_does(self):
        things = support.rendered()["a network policy of one's own"]
        peers = support.one(things, "NetworkPolicy")["spec"]["ingress"][0]["from"]
        labels = support.one(things, "Pod")["metadata"]["labels"]
        self.assertIn({"podSelector": {"matchLabels": labels}}, peers)

    def test_the_image_is_named_as_asked(self):
        def image(where):
            return support.pod_of(support.one(support.rendered()[where], "Deployment"))[
                "containers"][0]["image"]
        self.assertEqual(image("defaults"), "singleflightd:0.1.0")
        self.assertEqual(image("as a part of another chart"), "mirror.example/singleflightd:0.1.0")
        self.assertEqual(image("everything about the pod"),
                         "registry.example:5000/team/singleflightd:1.2.3@sha256:" + "0" * 64)
        things = support.render({"image": {"digest": "sha256:" + "1" * 64}})
        pod = support.pod_of(support.one(things, "Deployment"))
        self.assertEqual(pod["containers"][0]["image"], "singleflightd@sha256:" + "1" * 64)

    def test_names_follow_the_release(self):
        names = {thing["metadata"]["name"] for thing in support.render({}, release="jobs")
                 if thing["kind"] in ("Deployment", "Service")}
        self.assertEqual(names, {"jobs-singleflightd"})
        things = support.render({"fullnameOverride": "x" * 80}, release="jobs")
        self.assertTrue(all(len(thing["metadata"]["name"]) <= 63 for thing in things))

    def test_a_platform_may_choose_the_user(self):
        """As OpenShift wants to."""
        users = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
        things = support.render({"podSecurityContext": users})
        for pod in filter(None, map(support.pod_of, things)):
            self.assertFalse(users.keys() & pod["securityContext"].keys())
            self.assertIs(pod["securityContext"]["runAsNonRoot"], True)

    def test_there_is_no_test_that_could_not_pass(self):
        things = support.rendered()["mutual authentication by the secret of the certificate"]
        self.assertEqual([thing for thing in things if thing["kind"] == "Pod"], [])

    def test_a_test_never_sees_the_daemon_s_key(self):
        pod = support.one(support.rendered()["tokens"], "Pod")["spec"]
        volume = next(volume for volume in pod["volumes"] if volume["name"] == "ca")
        self.assertEqual([item["key"] for item in volume["secret"]["items"]], ["ca.crt"])

    def test_notes_warn_of_a_daemon_that_is_open(self):
        def notes(where):
            done = support.helm("install", "singleflightd", support.CHART, "--dry-run=client",
                                values=support.MATRIX[where])
            return done.stdout.split("NOTES:")[1]
        self.assertIn("WARNING: THIS DAEMON IS OPEN. There is no TLS", notes("defaults"))
        self.assertNotIn("WARNING", notes("tokens or certificates, and rights"))
        self.assertIn("SINGLEFLIGHT_TOKEN_FILE", notes("tokens"))
        self.assertIn("Set test.clientSecret",
                      notes("mutual authentication by the secret of the certificate"))


class Examples(unittest.TestCase):
    def test_what_they_run_is_understood_by_the_tool(self):
        """Each command of the tool, with its words, against a daemon: it works once."""
        jobs = [thing for things in support.examples().values() for thing in things]
        self.assertEqual({thing["kind"] for thing in jobs}, {"CronJob", "DaemonSet"})
        with support.Daemon() as daemon:
            for job in jobs:
                if job["kind"] != "CronJob":
                    continue
                container = support.pod_of(job)["containers"][0]
                command = [support.TOOL, *container["command"][1:], *container["args"]]
                with self.subTest(job=job["metadata"]["name"]):
                    said = {daemon.run(command) for _ in range(2)}
                    self.assertEqual(len(said), 1)
            self.assertEqual(daemon.executions(), len(jobs) - 1)

    def test_the_loop_of_the_daemon_set_makes_the_list(self):
        pod = support.pod_of(support.examples()["daemon-set.yaml"][0])
        script = pod["containers"][0]["args"][0]
        with support.Daemon() as daemon, tempfile.TemporaryDirectory() as folder:
            script = script.replace("/tool/singleflight", support.TOOL).replace("/lists", folder)
            once = script.replace("while :; do", "if :; then").replace("done", "fi")
            once = "\n".join(line for line in once.splitlines() if "wait $!" not in line)
            daemon.run(["sh", "-c", once])
            with open(os.path.join(folder, "current"), encoding="utf-8") as file:
                self.assertEqual(file.read(), "192.0.2.1\n198.51.100.7\n")
