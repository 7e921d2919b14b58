# SPDX-License-Identifier: Apache-2.0
"""Makes Python stubs from the proto files, into the build folder, before anything imports them."""

import os
import pathlib
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[3]


def build_dir():
    """The build folder under test, from SFL_BUILD_DIR."""
    path = os.environ.get("SFL_BUILD_DIR")
    if not path:
        raise RuntimeError("SFL_BUILD_DIR names no build folder; use tests/integration/run")
    return pathlib.Path(path)


def prepare():
    """Generates the stubs once per run and puts them on the import path."""
    out = build_dir() / "tests" / "integration" / "stubs"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        generate(out)
    sys.path.insert(0, str(out))


def generate(out):
    """Runs protoc for singleflight.v1; health and reflection come with their own Python
    packages.
    """
    import grpc_tools.protoc

    out.mkdir(parents=True, exist_ok=True)
    failed = grpc_tools.protoc.main(
        [
            "protoc",
            f"-I{SOURCE / 'proto'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            "singleflight/v1/singleflight.proto",
        ]
    )
    if failed:
        raise RuntimeError("protoc failed")
