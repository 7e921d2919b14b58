# SPDX-License-Identifier: Apache-2.0
"""What Prometheus' operator is given, before the real API server with the operator's own schemas."""

import pytest

from support import chart
from support.namespace import Refused

pytestmark = pytest.mark.usefixtures("operator_schemas")
NAMES = {"servicemonitor": "serviceMonitor", "podmonitor": "podMonitor",
         "prometheusrule": "prometheusRule"}


def values(kind, **more):
    return {NAMES[kind]: {"enabled": True, **more}}


@pytest.mark.parametrize("kind", NAMES)
def test_it_is_taken(space, kind):
    chart.install(space, values(kind, labels={"release": "prometheus"}))
    made = space.get(kind)["items"]
    assert [one["metadata"]["labels"]["release"] for one in made] == ["prometheus"]


def test_every_alert_has_its_section_of_the_runbook(space):
    chart.install(space, values("prometheusrule"))
    rules = [rule for one in space.get("prometheusrule")["items"]
             for group in one["spec"]["groups"] for rule in group["rules"]]
    assert len(rules) >= 10
    for rule in rules:
        assert rule["annotations"]["runbook_url"].endswith("#" + rule["alert"].lower())


@pytest.mark.parametrize("kind, more", [
    ("servicemonitor", {"interval": "often"}), ("podmonitor", {"scrapeTimeout": "5 parsecs"}),
    ("prometheusrule", {"extraRules": [{"alert": "Mine"}]}),
])
def test_what_the_operator_would_not_take_is_refused(space, kind, more):
    with pytest.raises(Refused):
        chart.install(space, values(kind, **more))
