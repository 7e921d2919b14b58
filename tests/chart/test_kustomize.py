# SPDX-License-Identifier: Apache-2.0
"""The chart and the kustomizations make the same of the daemon."""

import unittest

import support

PRODUCTION = {
    "tls": {"existingSecret": "singleflightd-tls",
            "clientCA": {"existingSecret": "singleflightd-client-ca", "auth": "optional"}},
    "tokens": {"existingSecret": "singleflightd-tokens"},
    "access": {"existingConfigMap": "singleflightd-access"},
    "persistence": {"enabled": True},
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}
# What helm alone knows.
HELM_LABELS = ("app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart",
               "app.kubernetes.io/version")


def plain(thing):
    """An object without helm's labels and the order of lists that have names."""
    if isinstance(thing, dict):
        return {key: plain(value) for key, value in thing.items()
                if key not in (*HELM_LABELS, "namespace", "namespaceSelector")
                or (key == "namespaceSelector" and "matchNames" not in value)}
    if isinstance(thing, list):
        named = all(isinstance(item, dict) and "name" in item for item in thing)
        return sorted(map(plain, thing), key=lambda item: item["name"]) if named else \
            [plain(item) for item in thing]
    # The alerts are laid out anew, and may have other line breaks.
    return " ".join(thing.split()) if isinstance(thing, str) else thing


class Kustomize(unittest.TestCase):
    maxDiff = None

    def agree(self, values, folder, but=()):
        ours = {(thing["kind"], thing["metadata"]["name"]): plain(thing)
                for thing in support.render(values)
                if "helm.sh/hook" not in thing["metadata"].get("annotations", {})}
        theirs = {(thing["kind"], thing["metadata"]["name"]): plain(thing)
                  for thing in support.built(folder)}
        self.assertEqual(set(ours), set(theirs) - set(but))
        for key, thing in ours.items():
            with self.subTest(object=key):
                self.assertEqual(thing, theirs[key])

    def test_the_base_is_the_chart_s_defaults(self):
        self.agree({}, "base")

    def test_the_overlay_is_the_chart_with_the_same_values(self):
        self.agree(PRODUCTION, "overlays/production", but={("ConfigMap", "singleflightd-access")})
