# SPDX-License-Identifier: Apache-2.0
"""The files for Docker Compose: by their schema, and what they say, done by runc."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

from containers import Container
from images import ROOT, WORK, image
from test_daemon import USER, becomes_healthy, certificates, folder_of
from test_image import version

FOLDER = ROOT / "deploy/compose"
PLAIN, TLS = FOLDER / "compose.yaml", FOLDER / "compose.tls.yaml"


def merged(*paths):
    """Later files add to earlier ones: entries of mappings, items of lists."""
    def merge(one, other):
        if isinstance(one, dict) and isinstance(other, dict):
            return {key: merge(one.get(key), other.get(key)) for key in {**one, **other}}
        if isinstance(one, list) and isinstance(other, list):
            return one + other
        return one if other is None else other
    result = {}
    for path in paths:
        result = merge(result, yaml.safe_load(path.read_text()))
    return result


def resolved(text, variables):
    """${NAME:-fallback}, and $$ for a dollar."""
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: variables.get(m[1], m[2]), text)
    return text.replace("$$", "$")


class Project:
    """The services of the files, in one network namespace, where each name is 127.0.0.1."""

    def __init__(self, *paths, variables=None):
        self.services = merged(*paths)["services"]
        self.variables = variables or {}
        self.named = {}
        hosts = pathlib.Path(tempfile.mkdtemp(dir=WORK)) / "hosts"
        hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ["localhost", *self.services]))
        self.hosts = hosts

    def volume(self, text):
        source, _, place = resolved(text, self.variables).partition(":")
        if source.startswith(("/", ".")):
            return source, place
        return self.named.setdefault(source, folder_of(USER)), place

    def start(self, name, network=None, hostname="one"):
        service = self.services[name]
        volumes = [self.volume(text) for text in service.get("volumes", [])]
        if not (service["read_only"] and service["cap_drop"] == ["ALL"]):
            raise AssertionError(f"{name} may do more than it needs")
        return Container(
            entrypoint=service.get("entrypoint"),
            arguments=[resolved(word, self.variables) for word in service.get("command", [])],
            environment={"HOSTNAME": hostname, **service["environment"]},
            volumes=[*volumes, (self.hosts, "/etc/hosts:ro")], network=network)


class Compose(unittest.TestCase):
    def test_the_files_are_as_the_schema_says(self):
        subprocess.run([sys.executable, "-m", "check_jsonschema", "--builtin-schema",
                        "vendor.compose-spec", PLAIN, TLS], check=True, stdout=subprocess.DEVNULL)

    def test_they_name_this_version_and_the_images_own_health_check(self):
        services = merged(PLAIN)["services"]
        for service in services.values():
            self.assertEqual(resolved(service["image"], {}), f"singleflightd:{version()}")
        self.assertEqual(services["singleflightd"]["healthcheck"]["test"],
                         image("singleflightd").config["Healthcheck"]["Test"])
        self.assertEqual(services["job"]["depends_on"],
                         {"singleflightd": {"condition": "service_healthy"}})

    def one_job_for_all(self, project):
        with project.start("singleflightd") as daemon:
            becomes_healthy(daemon)
            network = daemon.network()
            said = []
            for hostname in ("one", "two"):
                with project.start("job", network, hostname) as job:
                    self.assertEqual(job.end(), 0, job.text())
                    said.append(job.text())
            self.assertEqual(said, ["one did it", "one did it"])

    def test_a_job_of_two_containers_runs_once(self):
        self.one_job_for_all(Project(PLAIN))

    def test_the_same_over_mutual_tls(self):
        project = Project(PLAIN, TLS, variables={"TLS_DIR": str(certificates())})
        self.one_job_for_all(project)

    def test_without_certificates_it_does_not_start(self):
        project = Project(PLAIN, TLS, variables={"TLS_DIR": str(folder_of(USER))})
        with project.start("singleflightd") as daemon:
            self.assertEqual(daemon.end(), 78)
            self.assertIn("/etc/singleflightd/server.pem", daemon.text())


class Bill(unittest.TestCase):
    def test_the_reference_parser_takes_both_lists(self):
        for name in ("singleflightd", "singleflight"):
            path = WORK / f"{name}.spdx.json"
            path.write_text(json.dumps(image(name).bill()))
            told = subprocess.run(
                [pathlib.Path(sys.executable).parent / "pyspdxtools", "-i", path],
                capture_output=True, text=True, check=False)
            self.assertEqual(told.returncode, 0, told.stdout + told.stderr)


if __name__ == "__main__":
    unittest.main()
