# SPDX-License-Identifier: Apache-2.0
"""Alerts, monitors and dashboard, as Prometheus and Grafana will have them."""

import json
import os
import re
import subprocess
import tempfile
import unittest

import yaml

import support


def rules_of(values):
    things = support.render({"prometheusRule": {"enabled": True} | values})
    return support.one(things, "PrometheusRule")["spec"]["groups"][0]["rules"]


def original():
    path = os.path.join(support.ROOT, "deploy", "prometheus", "alerts.yaml")
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)["groups"][0]["rules"]


class Monitoring(unittest.TestCase):
    def test_promtool_takes_the_rules(self):
        for where, spec in (
                ("chart", {"groups": [{"name": "singleflightd", "rules": rules_of({
                    "alertLabels": {"team": "jobs"},
                    "extraRules": [{"record": "a:b", "expr": "sum(singleflight_flights)"}]})}]}),
                ("kustomize", support.one(support.built("overlays/production"), "PrometheusRule")["spec"])):
            with self.subTest(where=where), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                yaml.safe_dump(spec, file)
                file.flush()
                done = subprocess.run(["promtool", "check", "rules", file.name],
                                      capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_rules_are_those_that_are_tested(self):
        self.assertEqual(rules_of({}), original())

    def test_alerts_can_be_changed_and_left_out(self):
        rules = {rule["alert"]: rule for rule in rules_of({"alerts": {
            "SingleflightTracesDropped": {"enabled": False},
            "SingleflightLeadersLost": {"for": "30m", "labels": {"severity": "critical"}}},
            "alertLabels": {"team": "jobs"}})}
        self.assertNotIn("SingleflightTracesDropped", rules)
        self.assertEqual(len(rules), len(original()) - 1)
        self.assertEqual(rules["SingleflightLeadersLost"]["for"], "30m")
        self.assertEqual(rules["SingleflightLeadersLost"]["labels"],
                         {"severity": "critical", "team": "jobs"})
        self.assertIn("leader_losses", rules["SingleflightLeadersLost"]["expr"])

    def test_each_alert_has_its_section_in_the_runbook(self):
        path = os.path.join(support.ROOT, "docs", "runbook.md")
        with open(path, encoding="utf-8") as file:
            sections = set(re.findall(r"^## (\w+)$", file.read(), re.M))
        for rule in rules_of({"runbook": "https://wiki.example/sfl"}):
            with self.subTest(alert=rule["alert"]):
                self.assertIn(rule["alert"], sections)
                self.assertEqual(rule["annotations"]["runbook_url"],
                                 "https://wiki.example/sfl#" + rule["alert"].lower())

    def test_the_monitors_find_the_daemon_and_call_it_by_its_job(self):
        things = support.rendered()["monitored through a service"]
        monitor = support.one(things, "ServiceMonitor")
        service = support.one(things, "Service", "singleflightd-metrics")
        wanted = monitor["spec"]["selector"]["matchLabels"]
        self.assertLessEqual(wanted.items(), service["metadata"]["labels"].items())
        other = support.one(things, "Service", "singleflightd")
        self.assertFalse(wanted.items() <= other["metadata"]["labels"].items())
        endpoint = monitor["spec"]["endpoints"][0]
        self.assertIn(endpoint["port"], [port["name"] for port in service["spec"]["ports"]])
        self.assertEqual(endpoint["relabelings"][0],
                         {"targetLabel": "job", "replacement": "singleflightd"})
        self.assertEqual(endpoint["interval"], "30s")
        things = support.rendered()["monitored by its pod"]
        monitor = support.one(things, "PodMonitor")
        labels = support.one(things, "Deployment")["spec"]["template"]["metadata"]["labels"]
        self.assertLessEqual(monitor["spec"]["selector"]["matchLabels"].items(), labels.items())
        self.assertEqual(monitor["metadata"]["labels"]["release"], "kps")

    def test_grafana_s_sidecar_finds_the_dashboard(self):
        board = support.one(support.rendered()["monitored through a service"], "ConfigMap",
                            "singleflightd-dashboard")
        self.assertEqual(board["metadata"]["labels"]["grafana_dashboard"], "1")
        self.assertIn("panels", json.loads(board["data"]["singleflightd.json"]))
