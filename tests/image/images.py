# SPDX-License-Identifier: Apache-2.0
"""The archives of ./dev image: what they say of themselves, and the files in them."""

import functools
import json
import os
import pathlib
import stat
import subprocess
import tarfile

OUTPUT = pathlib.Path(os.environ["SFL_IMAGE_OUTPUT"])
WORK = pathlib.Path(os.environ["SFL_IMAGE_WORK"])
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Image:
    """One archive of the kind "docker-archive"."""

    def __init__(self, name):
        self.name = name
        with tarfile.open(OUTPUT / f"{name}.tar") as archive:
            self.manifest = json.load(archive.extractfile("manifest.json"))[0]
            self.all = json.load(archive.extractfile(self.manifest["Config"]))
            # The base is the first one.
            self.layer_bytes = [archive.getmember(layer).size for layer in self.manifest["Layers"]]
        self.config = self.all["config"]
        self.labels = self.config["Labels"]
        self.environment = dict(entry.split("=", 1) for entry in self.config.get("Env") or [])
        self.root = WORK / name
        self._unpack()

    def _unpack(self):
        self.root.mkdir()
        with tarfile.open(OUTPUT / f"{self.name}.tar") as archive:
            for layer in self.manifest["Layers"]:
                with archive.extractfile(layer) as stream:
                    unpack = subprocess.Popen(
                        ["tar", "--numeric-owner", "-xpC", self.root], stdin=subprocess.PIPE)
                    while block := stream.read(1 << 20):
                        unpack.stdin.write(block)
                    unpack.stdin.close()
                    assert unpack.wait() == 0
                self._remove_what_the_layer_removes()

    def _remove_what_the_layer_removes(self):
        for mark in list(self.root.rglob(".wh.*")):
            if mark.name != ".wh..wh..opq":
                subprocess.run(["rm", "-rf", mark.with_name(mark.name[len(".wh."):])], check=True)
            mark.unlink()

    def files(self):
        """Every file, with what lstat says."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                yield "/" + os.path.relpath(path, self.root), os.lstat(path)

    def that_change_the_user(self):
        """Programs that run as somebody else than who starts them."""
        return [path for path, about in self.files()
                if stat.S_ISREG(about.st_mode) and about.st_mode & (stat.S_ISUID | stat.S_ISGID)]

    def bill(self):
        """What is in it, as SPDX."""
        return json.loads((self.root / "usr/share/sbom" / f"{self.name}.spdx.json").read_text())


@functools.cache
def image(name):
    return Image(name)
