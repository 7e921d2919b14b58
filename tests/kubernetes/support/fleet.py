# SPDX-License-Identifier: Apache-2.0
"""The load of tests/fleet: clients of all languages, each result checked, while something happens."""

import json
import os
import subprocess

from .node import ROOT
from .wait import until

RUN = os.path.join(ROOT, "tests", "fleet", "run")


class Fleet:
    """with Fleet(cluster, address): what is done meanwhile must be seen by no caller."""

    def __init__(self, cluster, address, environment=None, arguments=()):
        self.files = os.path.join(cluster.work, "fleet")
        os.makedirs(self.files, exist_ok=True)
        for name in ("ready", "stop", "report"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))
        self.log = open(self.path("log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [RUN, "--address", address, "--seconds", "280", "--ready-file", self.path("ready"),
             "--until-file", self.path("stop"), "--report", self.path("report"),
             "--build", cluster.build, "--languages", os.environ["SFL_FLEET_LANGUAGES"],
             *arguments],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=os.environ | (environment or {}))

    def path(self, name):
        return os.path.join(self.files, name)

    def said(self):
        with open(self.path("log"), encoding="utf-8") as file:
            return file.read()[-8000:]

    def __enter__(self):
        def ready():
            assert self.process.poll() is None, f"the load could not begin:\n{self.said()}"
            return os.path.exists(self.path("ready"))
        try:
            until(ready, "each client has had a result", bound=90)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind, error, trace):
        with open(self.path("stop"), "w", encoding="utf-8"):
            pass
        try:
            code = self.process.wait(150)
        finally:
            self.end()
        print(self.said())  # pytest shows it when the test fails, and with -s
        if kind is None:
            assert code == 0, f"callers saw something else than a result:\n{self.said()}"

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def report(self):
        """After its end."""
        with open(self.path("report"), encoding="utf-8") as file:
            return json.load(file)
