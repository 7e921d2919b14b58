# SPDX-License-Identifier: Apache-2.0
"""A daemon with a token file and an access file, and callers with tokens."""

import collections
import hashlib
import os

import grpc

from support.daemon import Daemon
from support.net import Net, open_channel


class _Details(
    collections.namedtuple(
        "_Details",
        ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression"),
    ),
    grpc.ClientCallDetails,
):
    pass


class _Authorization(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Puts metadata to every call."""

    def __init__(self, metadata):
        self._metadata = metadata

    def _with(self, details):
        metadata = [*(details.metadata or ()), *self._metadata]
        return _Details(details.method, details.timeout, metadata, None, None, None)

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(self._with(details), request)

    def intercept_unary_stream(self, continuation, details, request):
        return continuation(self._with(details), request)

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(self._with(details), requests)


class TokenNet(Net):
    """A Net whose calls bring `authorization` (several of them when it is given as a list)."""

    def __init__(self, daemon, authorization=(), **options):
        values = [authorization] if isinstance(authorization, str) else authorization
        self._metadata = [("authorization", value) for value in values]
        super().__init__(daemon, **options)

    def open_channel(self, address=None, options=()):
        channel = self.plain_channel(address or self.address, options)
        self._closers.append(channel)
        return grpc.intercept_channel(channel, _Authorization(self._metadata))

    def plain_channel(self, address, options):
        return open_channel(address, options)


class House:
    """A daemon with its files. Tokens are what their names say: "secret of NAME"."""

    def __init__(self, folder, tokens=None, access=None, flags=(), **options):
        self._folder = folder
        self._nets = []
        self.unix = str(folder / "socket")
        arguments = ["--unix-socket", self.unix, *flags]
        if tokens is not None:
            self.write_tokens(*tokens)
            arguments += ["--token-file", folder / "tokens"]
        if access is not None:
            self.write_access(access)
            arguments += ["--access-file", folder / "access"]
        self.daemon = Daemon(*arguments, **options)

    def _write(self, name, text):
        """As one should: another file takes the place of the old one."""
        (self._folder / "new").write_text(text)
        os.replace(self._folder / "new", self._folder / name)

    def write_tokens(self, *names):
        lines = (f"{n} {hashlib.sha256(secret(n).encode()).hexdigest()}\n" for n in names)
        self._write("tokens", "# tokens\n" + "".join(lines))

    def write_access(self, text):
        self._write("access", text)

    def write_token_text(self, text):
        self._write("tokens", text)

    def net(self, name=None, authorization=None, kind="do", unix=False):
        """A caller with the token of this name; None: without any."""
        if authorization is None:
            authorization = () if name is None else f"Bearer {secret(name)}"
        address = f"unix:{self.unix}" if unix else None
        net = TokenNet(self.daemon, authorization, kind=kind, address=address)
        self._nets.append(net)
        return net

    def count(self, text):
        return self.daemon.log().count(text)

    def close(self):
        for net in self._nets:
            net.close()
        try:
            self.daemon.stop()
        finally:
            self.daemon.kill()


def secret(name):
    return f"secret-of-{name}"
