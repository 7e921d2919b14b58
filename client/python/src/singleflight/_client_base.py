# SPDX-License-Identifier: Apache-2.0
"""What the two clients have in common: their options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import grpc

from ._core.model import Settings
from ._security import FilePath, Security
from ._shell import AskedCall, KeyLike, ask
from .codec import JSON, Codec
from .observer import Observers, Observing, Traceparent
from .options import CallOptions, Duration, channel_options, default_caller, read_settings


class ClientBase:
    """Merges equal work of all processes that ask the same servers.

    One client per process is the usual number. It connects when the first call needs it, and anew
    in a child of the process.

    Args:
        addresses: servers, ``"host:port"`` or ``"unix:/path"``, in a list or separated by commas.
            Default: the environment variable ``SINGLEFLIGHT_ADDRESS``, or ``127.0.0.1:7433``. With
            several, each key has one home among them, so all programs must write them alike.
        caller: the name in listings, at most 128 bytes. Default: ``<program>@<host>:<process id>``.
        fail_open: when no server can be reached, run the function here, and say so in the result.
        connect_timeout: how long a call looks for a server before it ends with
            :class:`UnavailableError`: longer than a server is away that is restarted. With
            ``fail_open`` it is no longer than it takes to know that none is there: a server that
            leaves a call without an answer for 5 s (``connect_timeout``, if that is shorter) is
            none. 0: it does not wait for a connection that is not there. Default: 30 s.
        backoff_min: the first bound of the random wait between two tries to connect.
        backoff_max: the last bound; it doubles in between.
        keepalive_time: a ping goes out after so much silence.
        keepalive_timeout: the connection is given up when nothing answers it for so long.
        result_limit: the largest value in bytes that this client makes or takes.
        tls_ca: a file with the CA of the servers' certificates, in PEM, or ``"system"`` for the
            system's roots. It turns TLS on, but for ``unix:`` addresses. Default: the environment
            variable ``SINGLEFLIGHT_TLS_CA``, or plain text.
        tls_cert: a file with this client's own certificate and its chain, for mutual TLS, in PEM.
            Default: ``SINGLEFLIGHT_TLS_CERT``. New connections take what is in the files then.
        tls_key: a file with its key. Default: ``SINGLEFLIGHT_TLS_KEY``.
        tls_server_name: the name that the server's certificate must have, instead of the
            address's. Default: ``SINGLEFLIGHT_TLS_SERVER_NAME``.
        token_file: a file with a bearer token; looked at again when it changes. Not over plain TCP
            but to loopback addresses. Default: ``SINGLEFLIGHT_TOKEN_FILE``.
        observer: is told what happens to calls; or several, in a list.
        traceparent: a function that returns the W3C trace context of the caller; it is called when
            a call is made. Not needed beside :mod:`singleflight.otel`.
        credentials: gRPC's channel credentials, instead of all that starts with ``tls_``.
        codec: how values become bytes. Default: JSON.

    Raises:
        InvalidArgumentError: an address, an option or a file cannot be read.
    """

    _awaits = False  # it runs coroutine functions

    def __init__(
        self,
        addresses: str | Sequence[str] | None = None,
        *,
        caller: str | None = None,
        fail_open: bool = False,
        connect_timeout: Duration = None,
        backoff_min: Duration = None,
        backoff_max: Duration = None,
        keepalive_time: Duration = None,
        keepalive_timeout: Duration = None,
        result_limit: int = 0,
        tls_ca: FilePath = None,
        tls_cert: FilePath = None,
        tls_key: FilePath = None,
        tls_server_name: str | None = None,
        token_file: FilePath = None,
        credentials: grpc.ChannelCredentials | None = None,
        codec: Codec = JSON,
        observer: Observers = None,
        traceparent: Traceparent | None = None,
    ) -> None:
        self._settings = read_settings(
            addresses, caller, fail_open, connect_timeout, backoff_min, backoff_max, result_limit
        )
        self._names_itself = caller is None
        self._options = channel_options(keepalive_time, keepalive_timeout)
        self._security = Security(
            self._settings.addresses,
            credentials,
            tls_ca,
            tls_cert,
            tls_key,
            tls_server_name,
            token_file,
        )
        self._codec = codec
        self._observing = Observing(observer, traceparent)

    @property
    def codec(self) -> Codec:
        """The codec of calls that are given none."""
        return self._codec

    def _ask(
        self,
        settings: Settings,
        key: KeyLike,
        function: object,
        codec: Codec,
        check: bool,
        options: CallOptions,
        live: bool = False,
    ) -> AskedCall:
        asked = ask(settings, key, function, codec, check, options, live, self._awaits)
        asked.watch_with(self._observing.watch(asked.join))
        return asked

    def _settings_now(self) -> Settings:
        # Perhaps in a child of the process that made it.
        if not self._names_itself:
            return self._settings
        return replace(self._settings, caller=default_caller())
