# SPDX-License-Identifier: Apache-2.0
"""Container images without a container engine: programs and the libraries that they need, as an
archive that `docker load` and `ctr images import` take."""

import hashlib
import io
import json
import os
import subprocess
import tarfile

USER = 65532


def libraries(program):
    """What the dynamic linker would load for `program`, as paths; nothing for a static one."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True)
    if listed.returncode != 0:
        return []
    words = (word for line in listed.stdout.splitlines() for word in line.split())
    return [word for word in words if word.startswith("/")]


class Layer:
    """One layer of an image, in memory."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w")
        self.names = set()

    def folder(self, path, mode=0o755, owner=0):
        path = path.strip("/")
        if not path or path in self.names:
            return
        self.folder(os.path.dirname(path))
        self._add(path, tarfile.DIRTYPE, mode, owner, b"")

    def file(self, path, data, mode=0o755):
        path = path.strip("/")
        if path not in self.names:
            self.folder(os.path.dirname(path))
            self._add(path, tarfile.REGTYPE, mode, 0, data)

    def link(self, path, target):
        self._add(path.strip("/"), tarfile.SYMTYPE, 0o777, 0, b"", target)

    def program(self, source, path):
        """`source` as `path`, with all that it needs to run."""
        for name in libraries(source):
            with open(name, "rb") as file:
                self.file(name, file.read())
        with open(source, "rb") as file:
            self.file(path, file.read())

    def _add(self, path, kind, mode, owner, data, target=""):
        self.names.add(path)
        entry = tarfile.TarInfo(path)
        entry.linkname = target
        entry.type, entry.mode, entry.size = kind, mode, len(data)
        entry.uid = entry.gid = owner
        self.tar.addfile(entry, io.BytesIO(data))

    def close(self):
        self.tar.close()
        return self.bytes.getvalue()


def write(path, name, layer, config):
    """An image of one layer; `config` is what a Dockerfile says of it."""
    layer = layer.close()
    image = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }).encode()
    image_name = hashlib.sha256(image).hexdigest() + ".json"
    manifest = [{"Config": image_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        for member, data in ((image_name, image), ("layer.tar", layer),
                             ("manifest.json", json.dumps(manifest).encode())):
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def write_daemon(path, name, build):
    """Like that of deploy/container/Dockerfile, as far as Kubernetes can tell."""
    layer = Layer()
    for program in ("singleflightd", "singleflight"):
        layer.program(os.path.join(build, "bin", program), f"/usr/bin/{program}")
    layer.folder("/var/lib/singleflightd", 0o700, USER)
    layer.folder("/tmp", 0o1777)
    write(path, name, layer, {
        "User": f"{USER}:{USER}", "Entrypoint": ["singleflightd"],
        "Env": ["PATH=/usr/bin", "SINGLEFLIGHTD_LISTEN=0.0.0.0:7433",
                "SINGLEFLIGHTD_INSECURE_LISTEN=yes"],
    })


def write_caller(path, name, build):
    """A job's image: a shell, and the tool in it."""
    layer = Layer()
    layer.program(os.path.join(build, "bin", "singleflight"), "/usr/bin/singleflight")
    layer.program("/bin/busybox", "/bin/busybox")
    for applet in ("sh", "sleep", "date", "cat", "echo", "id", "hostname", "ls", "touch", "env"):
        layer.link(f"/bin/{applet}", "busybox")
    layer.folder("/tmp", 0o1777)
    write(path, name, layer, {"User": f"{USER}:{USER}", "Env": ["PATH=/usr/bin:/bin"]})


def write_pause(path, name, program):
    layer = Layer()
    layer.program(program, "/pause")
    write(path, name, layer, {"User": "65535:65535", "Entrypoint": ["/pause"]})
