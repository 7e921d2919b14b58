# SPDX-License-Identifier: Apache-2.0
"""A small server with TLS in this process, and the certificates for it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from support import ROOT

from singleflight.v1 import singleflight_pb2 as pb
from singleflight.v1 import singleflight_pb2_grpc as pb_grpc


def make_certificates(folder: Path, *arguments: str) -> None:
    """By tests/support/certificates."""
    script = str(ROOT / "tests" / "support" / "certificates")
    subprocess.run([script, str(folder), *arguments], check=True, timeout=60)


class Server(pb_grpc.SingleFlightServicer):
    """Every call leads. It remembers who came with what, and refuses whom it is told to."""

    def __init__(self, folder: Path | None = None, wants_client: bool = False) -> None:
        self.refuses: grpc.StatusCode | None = None
        self.tokens: list[str] = []  #: of each stream and call, in their order
        self.names: list[list[str]] = []  #: of the client's certificate, likewise
        self.sessions = 0
        self.traceparents: list[str] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        pb_grpc.add_SingleFlightServicer_to_server(self, self._server)
        if folder is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            pair = ((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())
            ca = (folder / "ca.pem").read_bytes() if wants_client else None
            credentials = grpc.ssl_server_credentials([pair], ca, wants_client)
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.stop(None).wait()

    def _admit(self, context: grpc.ServicerContext) -> None:
        metadata = dict(context.invocation_metadata())
        self.tokens.append(str(metadata.get("authorization", "")))
        names = context.auth_context().get("x509_subject_alternative_name", ())
        self.names.append([bytes(name).decode() for name in names])
        if self.refuses is not None:
            context.abort(self.refuses, "the door is closed")

    def Session(self, request_iterator: Any, context: Any) -> Iterator[pb.SessionResponse]:  # noqa: N802
        self.sessions += 1
        self._admit(context)
        for request in request_iterator:
            calls = [answer for frame in request.calls for answer in self._answers(frame)]
            yield pb.SessionResponse(calls=calls)

    def Do(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError("clients use Session")

    def _answers(self, frame: pb.CallRequest) -> list[pb.CallResponse]:
        step = frame.WhichOneof("step")
        if step == "join":
            self.traceparents.append(frame.join.traceparent)
            lead = pb.Lead(token=7, attempt=1, run_limit_ms=60_000)
            return [pb.CallResponse(id=frame.id, lead=lead)]
        if step == "finish":
            result = pb.Result(led=True, callers=1, attempt=1, token=7)
            return [pb.CallResponse(id=frame.id, result=result)]
        return []

    def Forget(self, request: Any, context: Any) -> pb.ForgetResponse:  # noqa: N802
        self._admit(context)
        return pb.ForgetResponse(flight=True)
