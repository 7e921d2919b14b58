# SPDX-License-Identifier: Apache-2.0
"""What a daemon shows, read by a real Prometheus; its alerts, each firing and not firing; and that
alerts, dashboard, runbook and page name the same things.
"""

import json
import os
import pathlib
import re
import subprocess
import unittest.mock
import urllib.parse
import urllib.request

from support import BOUND, Case, Daemon, free_port, until

SOURCE = pathlib.Path(os.environ["SFL_SOURCE_DIR"]).resolve()
RULES = SOURCE / "deploy" / "prometheus" / "alerts.yaml"
RULES_TEST = SOURCE / "deploy" / "prometheus" / "alerts_test.yaml"
DASHBOARD = SOURCE / "deploy" / "grafana" / "dashboard.json"
RUNBOOK = SOURCE / "docs" / "runbook.md"

METRIC = re.compile(r"\b(?:singleflight|process|grpc_server)_\w+")


def promtool(*arguments, **options):
    return subprocess.run(["promtool", *map(str, arguments)], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=BOUND, **options)


def fetch(url, accept="*/*"):
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=BOUND) as response:
        return response.read().decode()


def alerts():
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def expressions_of_dashboard():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def names_in_use():
    """The metrics that alerts and dashboard look at."""
    rules = re.findall(r"expr: (.*?)\n +(?:for|labels):", RULES.read_text(), re.DOTALL)
    return set(METRIC.findall(" ".join(rules + expressions_of_dashboard())))


class Prometheus:
    """One that scrapes a daemon every second."""

    def __init__(self, folder, target):
        port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            f"rule_files: ['{RULES}']\n"
            "scrape_configs:\n"
            "  - job_name: singleflightd\n"
            f"    static_configs: [{{targets: ['{target}']}}]\n"
        )
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(folder / "prometheus.log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def ask(self, query):
        """The samples of an instant query; none while it does not answer yet."""
        url = f"{self.url}/api/v1/query?query={urllib.parse.quote(query)}"
        try:
            return json.loads(fetch(url))["data"]["result"]
        except OSError:
            return []

    def stop(self):
        self.process.terminate()
        self.process.wait(BOUND)
        self.log.close()


class Alerts(Case):
    has_daemon = False

    def test_the_rules_are_rules(self):
        done = promtool("check", "rules", RULES)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_each_alert_fires_and_does_not_fire(self):
        done = promtool("test", "rules", RULES_TEST)
        self.assertEqual(done.returncode, 0, done.stdout)
        tested = re.findall(r"- name: (\w+)\n", RULES_TEST.read_text())
        self.assertEqual(sorted(set(tested)), sorted(alerts()))

    def test_each_alert_has_a_section_in_the_runbook(self):
        anchors = {title.lower() for title in re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.M)}
        urls = re.findall(r"runbook_url: \S+/docs/runbook\.md#(\w+)", RULES.read_text())
        self.assertEqual(urls, [name.lower() for name in alerts()])
        self.assertEqual(set(urls) - anchors, set())
        self.assertEqual(anchors - set(urls), set(), "sections of no alert")


class Metrics(Case):
    """A daemon that has everything on which there are metrics, and some load."""

    has_daemon = False

    def setUp(self):
        super().setUp()
        self.admin = f"127.0.0.1:{free_port()}"
        access = self.folder / "access"
        access.write_text("[who]\nall = unix anonymous\n[group *]\nall = all\n")
        certificates = self.folder / "certificates"
        subprocess.run([SOURCE / "tests" / "support" / "certificates", certificates], check=True)
        socket = self.folder / "socket"
        collector = f"http://127.0.0.1:{free_port()}"  # where nobody listens
        with unittest.mock.patch.dict(os.environ, OTEL_EXPORTER_OTLP_ENDPOINT=collector):
            self.loaded = self.start_loaded(access, certificates, socket)
        self.addCleanup(self.loaded.stop)
        self.address = f"unix:{socket}"  # which stays plain
        for key in ("a", "b"):
            done = self.run_do("--retain", "1m", key, "--", "/bin/echo", "x")
            self.assertEqual(done.code, 0, done.errors())

    def start_loaded(self, access, certificates, socket):
        return Daemon(flags=("--admin-listen", self.admin, "--metrics-groups", "default",
                             "--data-dir", self.folder / "data", "--access-file", access,
                             "--tls-cert", certificates / "server.pem",
                             "--tls-key", certificates / "server.key", "--unix-socket", socket))

    def page(self, accept="*/*"):
        return fetch(f"http://{self.admin}/metrics", accept)

    def test_promtool_finds_nothing_wrong(self):
        done = promtool("check", "metrics", input=self.page())
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_a_prometheus_scrapes_it(self):
        prometheus = Prometheus(self.folder, self.admin)
        self.addCleanup(prometheus.stop)
        until(lambda: [s for s in prometheus.ask("up") if s["value"][1] == "1"], "it is up")
        (calls,) = prometheus.ask('singleflight_calls_total{group="default",role="leader"}')
        self.assertEqual(calls["value"][1], "2")
        seen = {sample["metric"]["__name__"] for sample in prometheus.ask('{job="singleflightd"}')}
        self.assertEqual(names_in_use() - seen, set(), "named in alerts or dashboard, not shown")
        for expression in expressions_of_dashboard():
            query = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
            url = f"{prometheus.url}/api/v1/query?query={urllib.parse.quote(query)}"
            self.assertEqual(json.loads(fetch(url))["status"], "success", query)
