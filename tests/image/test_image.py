# SPDX-License-Identifier: Apache-2.0
"""What the images are, before anything runs."""

import json
import os
import re
import stat
import unittest

from images import OUTPUT, ROOT, image

DAEMON_BYTES_MAX = 40_000_000  # over the base
TOOL_BYTES_MAX = 20_000_000
LABELS = ("title", "description", "version", "revision", "source", "licenses", "created")


def version():
    text = (ROOT / "CMakeLists.txt").read_text()
    return re.search(r"project\(singleflightd VERSION ([0-9.]+)", text).group(1)


class Size(unittest.TestCase):
    def test_the_daemon_adds_little_to_its_base(self):
        added = sum(image("singleflightd").layer_bytes[1:])
        print(f"{added / 1e6:.1f} MB over a base of "
              f"{image('singleflightd').layer_bytes[0] / 1e6:.1f} MB ", end="", flush=True)
        self.assertLess(added, DAEMON_BYTES_MAX)
        self.assertGreater(added, 5_000_000, "the base is not the first layer")

    def test_the_tool_is_small(self):
        total = sum(image("singleflight").layer_bytes)
        print(f"{total / 1e6:.1f} MB ", end="", flush=True)
        self.assertLess(total, TOOL_BYTES_MAX)


class Labels(unittest.TestCase):
    def test_both_have_the_labels_of_oci(self):
        for name in ("singleflightd", "singleflight"):
            labels = {word: image(name).labels.get(f"org.opencontainers.image.{word}")
                      for word in LABELS}
            self.assertNotIn(None, labels.values(), labels)
            self.assertEqual(labels["title"], name)
            self.assertEqual(labels["version"], version())
            self.assertEqual(labels["licenses"], "Apache-2.0")
            self.assertRegex(labels["created"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            self.assertRegex(labels["source"], r"^https://")
            (tag,) = image(name).manifest["RepoTags"]
            self.assertEqual(tag.removeprefix("docker.io/library/"), f"{name}:{version()}")

    def test_the_dockerfile_alone_knows_the_version(self):
        text = (ROOT / "deploy/container/Dockerfile").read_text()
        self.assertEqual(set(re.findall(r"^ARG VERSION=(.*)$", text, re.M)), {version()})

    def test_a_user_by_number_the_ports_and_a_health_check(self):
        config = image("singleflightd").config
        self.assertEqual(config["User"], "65532:65532")
        self.assertEqual(set(config["ExposedPorts"]), {"7433/tcp", "9433/tcp"})
        self.assertEqual(config["Healthcheck"]["Test"], ["CMD", "singleflightd", "--health"])
        self.assertEqual(config["StopSignal"], "SIGTERM")
        self.assertEqual(image("singleflight").config["User"], "65532:65532")


class Files(unittest.TestCase):
    def test_nothing_runs_as_somebody_else(self):
        for name in ("singleflightd", "singleflight"):
            self.assertEqual(image(name).that_change_the_user(), [])

    def test_the_data_folder_is_the_users_alone(self):
        about = os.lstat(image("singleflightd").root / "var/lib/singleflightd")
        self.assertEqual((about.st_uid, about.st_gid), (65532, 65532))
        self.assertEqual(stat.S_IMODE(about.st_mode), 0o700)

    def test_nothing_is_left_of_the_build(self):
        root = image("singleflightd").root
        self.assertEqual(list((root / "var/lib/apt/lists").iterdir()), [])
        for gone in ("source", "build", "mnt/grpc", "grpc", "usr/bin/gcc", "usr/bin/python3"):
            self.assertFalse((root / gone).exists(), gone)

    def test_the_tool_has_a_root_to_itself(self):
        names = sorted(path for path, _ in image("singleflight").files()
                       if not path.startswith("/usr/share/doc/"))
        self.assertEqual(names, ["/etc/ssl/certs/ca-certificates.crt", "/usr/bin/singleflight",
                                 "/usr/share/sbom/singleflight.spdx.json"])


class Bill(unittest.TestCase):
    """The SBOM: in the image, and beside the archive."""

    def packages(self, name):
        return {package["name"]: package for package in image(name).bill()["packages"]}

    def test_the_same_is_beside_the_archive(self):
        for name in ("singleflightd", "singleflight"):
            beside = json.loads((OUTPUT / f"{name}.spdx.json").read_text())
            self.assertEqual(beside, image(name).bill())
            self.assertEqual(beside["spdxVersion"], "SPDX-2.3")

    def test_it_has_ourselves_and_what_is_linked(self):
        for name in ("singleflightd", "singleflight"):
            found = self.packages(name)
            self.assertEqual(found[name]["versionInfo"], version())
            for part in ("grpc-core", "abseil-cpp", "upb", "utf8_range", "libssl-dev",
                         "zlib1g-dev", "libprotobuf-c-dev", "libc6-dev"):
                self.assertIn(part, found)
            self.assertRegex(found["grpc-core"]["versionInfo"], r"^1\.\d+\.\d+$")

    def test_it_has_every_package_that_dpkg_knows(self):
        status = (image("singleflightd").root / "var/lib/dpkg/status").read_text()
        wanted = set(re.findall(r"^Package: (\S+)\nStatus: install ok installed$", status, re.M))
        self.assertGreater(len(wanted), 50)
        self.assertEqual(wanted - set(self.packages("singleflightd")), set())

    def test_every_identifier_is_there_once(self):
        for name in ("singleflightd", "singleflight"):
            bill = image(name).bill()
            identifiers = [package["SPDXID"] for package in bill["packages"]]
            self.assertEqual(len(identifiers), len(set(identifiers)))
            known = {*identifiers, "SPDXRef-DOCUMENT"}
            for relation in bill["relationships"]:
                self.assertIn(relation["spdxElementId"], known)
                self.assertIn(relation["relatedSpdxElement"], known)


if __name__ == "__main__":
    unittest.main()
