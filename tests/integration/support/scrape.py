# SPDX-License-Identifier: Apache-2.0
"""Looks at a daemon's admin listener as probes and Prometheus do."""

import http.client
import re

from support.wait import until

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

FLAGS = ("--admin-listen", "127.0.0.1:0")


def admin_address(daemon):
    """Where a daemon that was started with FLAGS said that its admin listener is."""

    def said():
        return [line for line in daemon.lines if " admin on http://" in line]

    (line,) = until(said, "it says where its admin listener is")
    return line.split("http://")[1]


def get(daemon, path, method="GET", headers=None, body=None):
    """One request: status, headers, text."""
    connection = http.client.HTTPConnection(admin_address(daemon), timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def samples(text):
    """A page as {(name, labels as a frozenset of pairs): value}."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = SAMPLE.match(line).groups()
        found[name, frozenset(LABEL.findall(labels or ""))] = float(value)
    return found


class Page:
    """The metrics at one moment."""

    def __init__(self, daemon):
        status, _, self.text = get(daemon, "/metrics")
        assert status == 200
        self.samples = samples(self.text)

    def value(self, name, **labels):
        return self.samples[name, frozenset(labels.items())]
