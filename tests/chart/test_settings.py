# SPDX-License-Identifier: Apache-2.0
"""The chart and the daemon agree about settings."""

import filecmp
import importlib.machinery
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

import support

UPDATE = os.path.join(support.ROOT, "deploy", "helm", "update")
update = importlib.machinery.SourceFileLoader("update", UPDATE).load_module()
PREFIX = "/etc/singleflightd"


def certificates(folder):
    subprocess.run([os.path.join(support.ROOT, "tests", "support", "certificates"), folder],
                   check=True, capture_output=True)


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


class World:
    """The files of a pod, in a folder of ours."""

    def __init__(self, folder):
        self.folder = folder
        self.made = os.path.join(folder, "certificates")
        certificates(self.made)

    def write(self, variables, access):
        """What stands at each path that a variable names."""
        texts = {"TLS_CERT": read(self.made, "server.pem"), "TLS_KEY": read(self.made, "server.key"),
                 "TLS_CLIENT_CA": read(self.made, "ca.pem"), "TOKEN_FILE": "jobs " + "1a" * 32 + "\n",
                 "ACCESS_FILE": access}
        for name, text in texts.items():
            path = variables.get("SINGLEFLIGHTD_" + name)
            if path is not None:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)

    def check(self, pod, access=support.ACCESS, files=True):
        """`singleflightd --check-config` as the first container of a pod would run it."""
        container = pod["containers"][0]
        variables = {name: value.replace(PREFIX, self.folder)
                     for name, value in support.environment(container).items() if value is not None}
        if files:
            self.write(variables, access)
        arguments = [argument for argument in container.get("args", []) if argument != "--check-config"]
        return subprocess.run([support.DAEMON, "--check-config", *arguments], env=variables,
                              capture_output=True, text=True, check=False)


class Settings(unittest.TestCase):
    def test_what_the_chart_has_from_elsewhere_is_up_to_date(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, UPDATE, support.DAEMON, folder], check=True)
            for at, _, names in os.walk(folder):
                for name in names:
                    fresh = os.path.join(at, name)
                    ours = os.path.join(support.ROOT, os.path.relpath(fresh, folder))
                    with self.subTest(file=os.path.relpath(ours, support.ROOT)):
                        self.assertTrue(filecmp.cmp(fresh, ours, shallow=False),
                                        'run "./dev chart --update"')

    def test_every_setting_of_the_daemon_is_one_of_the_chart(self):
        sample = subprocess.run([support.DAEMON, "--print-sample-config"], check=True,
                                capture_output=True, text=True).stdout
        names = set(re.findall(r"^;? ?([a-z-]+) =", sample, re.M))
        known = set(json.loads(read(support.CHART, "files", "settings.json")))
        self.assertEqual(known, names)
        schema = json.loads(read(support.CHART, "values.schema.json"))
        self.assertEqual(known, set(schema["properties"]["settings"]["properties"]))

    def test_the_daemon_takes_what_the_chart_gives_it(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            for where, things in support.rendered().items():
                for kind in ("Deployment", "Job"):
                    if where == "without what can be left out" and kind == "Job":
                        continue
                    with self.subTest(where=where, kind=kind):
                        done = world.check(support.pod_of(support.one(things, kind)))
                        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_the_job_checks_what_the_daemon_will_read(self):
        for where, things in support.rendered().items():
            # There the Secret is not there yet when the Job runs.
            if where in ("without what can be left out", "cert-manager"):
                continue
            pods = [support.pod_of(support.one(things, kind)) for kind in ("Deployment", "Job")]
            variables = [support.environment(pod["containers"][0]) for pod in pods]
            with self.subTest(where=where):
                self.assertEqual(variables[0], variables[1])

    def test_the_check_names_the_secret_that_is_missing(self):
        things = support.rendered()["tokens or certificates, and rights"]
        job = support.pod_of(support.one(things, "Job"))
        for volume in job["volumes"]:
            self.assertIs(next(iter(set(volume) - {"name"})) and
                          volume.get("secret", volume.get("configMap"))["optional"], True)
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            done = world.check(job, files=False)
            self.assertEqual((done.returncode, done.stdout), (78, ""))
            self.assertIn("/tokens/our-tokens/tokens: cannot be read: No such file", done.stderr)
            # Helm prints it, and "kubectl describe" shows its end: so it is one line.
            self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_the_check_finds_rights_that_cannot_be_read(self):
        things = support.rendered()["tokens or certificates, and rights"]
        with tempfile.TemporaryDirectory() as folder:
            done = World(folder).check(support.pod_of(support.one(things, "Job")), access="[who\n")
            self.assertEqual(done.returncode, 78)
            self.assertIn("access.ini:1", done.stderr)

    def test_the_check_finds_settings_that_do_not_go_together(self):
        things = support.render({"settings": {"lease-min": "1h", "lease-max": "1m"}})
        with tempfile.TemporaryDirectory() as folder:
            done = World(folder).check(support.pod_of(support.one(things, "Job")))
            self.assertEqual(done.returncode, 78)
            self.assertIn("lease-min 1h is more than lease-max 1m", done.stderr)

    def test_the_check_does_not_wait_for_a_secret_that_cert_manager_will_make(self):
        job = support.pod_of(support.one(support.rendered()["cert-manager"], "Job"))
        self.assertNotIn("volumes", job)
        variables = support.environment(job["containers"][0])
        self.assertNotIn("SINGLEFLIGHTD_TLS_CERT", variables)

    def test_the_kustomizations_are_taken_too(self):
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            for name in support.KUSTOMIZATIONS:
                things = support.built(name)
                access = support.ACCESS
                if name == "overlays/production":
                    access = support.one(things, "ConfigMap", "singleflightd-access")["data"]["access.ini"]
                with self.subTest(folder=name):
                    done = world.check(support.pod_of(support.one(things, "Deployment")), access)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))


class Documents(unittest.TestCase):
    def test_every_value_is_documented_and_in_the_schema(self):
        text = read(support.CHART, "values.yaml")
        documented = {path for path, _ in update.documented(text)}
        schema = json.loads(read(support.CHART, "values.schema.json"))

        def walk(values, properties, path=()):
            for name, value in values.items():
                here = (*path, name)
                with self.subTest(value=".".join(here)):
                    self.assertIn(name, properties)
                deeper = properties.get(name, {}).get("properties")
                if isinstance(value, dict) and value and deeper and here != ("resources",):
                    walk(value, deeper, here)
                else:
                    covered = any(here[:length] in documented for length in range(1, len(here) + 1))
                    with self.subTest(value=".".join(here)):
                        self.assertTrue(here in documented or covered and len(here) > 1)

        walk(yaml.safe_load(text), schema["properties"])

    def test_the_values_fit_their_schema(self):
        schema = os.path.join(support.CHART, "values.schema.json")
        for arguments in (["--check-metaschema", schema],
                          ["--schemafile", schema, os.path.join(support.CHART, "values.yaml")]):
            done = subprocess.run([os.path.join(support.TOOLS, "check-jsonschema"), *arguments],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_chart_is_of_the_project_s_version(self):
        chart = yaml.safe_load(read(support.CHART, "Chart.yaml"))
        version = subprocess.run([support.DAEMON, "--version"], check=True, capture_output=True,
                                 text=True).stdout
        self.assertIn(f"singleflightd {chart['appVersion']}", version)
        self.assertIn(f"## {chart['version']}\n", read(support.CHART, "CHANGELOG.md"))
        self.assertIn(f"image: singleflightd:{chart['appVersion']}\n",
                      read(support.KUSTOMIZE, "base", "deployment.yaml"))
