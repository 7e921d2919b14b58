# SPDX-License-Identifier: Apache-2.0
"""Certificates for a test, and channels with them."""

import pathlib
import subprocess

import grpc

from support.rights import TokenNet

_MAKER = pathlib.Path(__file__).parents[2] / "support" / "certificates"


def make(folder, *arguments):
    """ca, server, alice and bob in this folder; or one more: NAME SAN..."""
    subprocess.run([_MAKER, folder, *arguments], check=True, capture_output=True)


def server_flags(folder, auth="require"):
    """TLS, for clients that the CA of the folder knows."""
    return (
        *("--tls-cert", folder / "server.pem", "--tls-key", folder / "server.key"),
        *("--tls-client-ca", folder / "ca.pem", "--tls-client-auth", auth),
    )


class TlsNet(TokenNet):
    """A Net over TLS, with the certificate of this name; None: without one."""

    def __init__(self, daemon, folder, name=None, authorization=(), **options):
        pair = [None, None]
        if name is not None:
            pair = [(folder / f"{name}.{end}").read_bytes() for end in ("key", "pem")]
        self._credentials = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes(), *pair)
        super().__init__(daemon, authorization, **options)

    def plain_channel(self, address, options=()):
        options = [("grpc.use_local_subchannel_pool", 1), *options]
        return grpc.secure_channel(f"ipv4:{address}", self._credentials, [
            *options, ("grpc.ssl_target_name_override", "localhost"),
        ])
