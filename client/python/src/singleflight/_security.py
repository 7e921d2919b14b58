# SPDX-License-Identifier: Apache-2.0
"""How a client connects, and how it says who it is: certificates and a token, out of files.

Certificates are read again for each new connection, the token at most once a second. What cannot be
used then leaves the old in its place.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Sequence
from typing import NamedTuple, Union

import grpc

from ._clock import clock
from ._logging import logger
from .errors import InvalidArgumentError, InvalidTypeError

#: A file; None: that of the environment variable, or none.
FilePath = Union[str, "os.PathLike[str]", None]

SYSTEM = "system"  # as tls_ca: the roots of the system

LOOK_TIME = 1.0  # seconds between two looks at the token's file

# Where systems keep their roots in one file, beside what OpenSSL was told.
_SYSTEM_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def variable_of(option: str) -> str:
    """The environment variable that stands in for an option."""
    return f"SINGLEFLIGHT_{option.upper()}"


def _given(option: object, name: str) -> str:
    # The option, or what the environment says; "" is none.
    if option is None:
        return os.environ.get(variable_of(name), "")
    try:
        text = os.fspath(option)  # type: ignore[call-overload]
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise InvalidTypeError(f"{name} is {type(option).__name__}: a text is wanted")
    return text


def _is_unix(address: str) -> bool:
    return address.startswith("unix")


def _is_loopback(address: str) -> bool:
    host = address.rpartition("/")[2].rpartition(":")[0].strip("[]")
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ---- TLS


class _Pems(NamedTuple):
    ca: bytes
    key: bytes | None
    cert: bytes | None


def _no_password() -> str:
    raise ValueError("it is encrypted")


class _Tls:
    def __init__(self, ca: str, cert: str, key: str) -> None:
        self._ca, self._cert, self._key = ca, cert, key
        pems = self._read()
        self._check(pems)
        self._take(pems)
        self._refused: _Pems | None = None

    def _take(self, pems: _Pems) -> None:
        self._pems = pems
        self._credentials = grpc.ssl_channel_credentials(pems.ca, pems.key, pems.cert)

    def current(self) -> grpc.ChannelCredentials:
        """Of what the files hold now, if it can be used."""
        pems = None
        try:
            pems = self._read()
            if pems not in (self._pems, self._refused):
                self._check(pems)
                self._take(pems)
        except InvalidArgumentError as error:
            self._refused = pems
            logger.warning("the TLS files are taken as they were before: %s", error.message)
        return self._credentials

    def _read(self) -> _Pems:
        ca = _system_roots() if self._ca == SYSTEM else _read_file(self._ca, "tls_ca")
        if not self._cert:
            return _Pems(ca, None, None)
        return _Pems(ca, _read_file(self._key, "tls_key"), _read_file(self._cert, "tls_cert"))

    def _check(self, pems: _Pems) -> None:
        # gRPC would only say, much later, that it cannot connect.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=pems.ca.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError) as error:
            raise InvalidArgumentError(
                f"tls_ca: there is no certificate in {self._ca}: {error}"
            ) from error
        if pems.cert is None:
            return
        try:
            context.load_cert_chain(self._cert, self._key, _no_password)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise InvalidArgumentError(
                f"tls_cert {self._cert} and tls_key {self._key} cannot be used: {error}"
            ) from error
        if self._read() != pems:
            raise InvalidArgumentError("the files of tls_cert and tls_key change right now")


def _read_file(path: str, name: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InvalidArgumentError(f"{name} {path} cannot be read: {error.strerror}") from error


def _system_roots() -> bytes:
    for path in (ssl.get_default_verify_paths().cafile, *_SYSTEM_ROOTS):
        if path is not None and os.path.exists(path):
            return _read_file(path, "tls_ca")
    raise InvalidArgumentError(
        "tls_ca is system, but no file with the system's roots was found: set SSL_CERT_FILE"
    )


# ---- the token


class _Token:
    def __init__(self, path: str) -> None:
        self._path = path
        self._mark = self._look()
        self._value = self._read()
        self._look_at = clock() + LOOK_TIME

    def current(self) -> str:
        """What the file holds, or held a second ago."""
        now = clock()
        if now < self._look_at:
            return self._value
        self._look_at = now + LOOK_TIME
        mark = self._look()
        if mark == self._mark:
            return self._value
        self._mark = mark
        try:
            self._value = self._read()
        except InvalidArgumentError as error:
            logger.warning("the token stays as it was: %s", error.message)
        return self._value

    def _look(self) -> tuple[int, ...]:
        try:
            stat = os.stat(self._path)
        except OSError:
            return ()
        return (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)

    def _read(self) -> str:
        token = _read_file(self._path, "token_file").strip()
        if not token or not all(0x21 <= byte <= 0x7E for byte in token):
            raise InvalidArgumentError(f"token_file {self._path} holds no token")
        return token.decode("ascii")


# ---- both


class Security:
    """What a client's options and the environment say about it, checked.

    Raises:
        InvalidArgumentError: it cannot work so; the text says why.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        credentials: grpc.ChannelCredentials | None = None,
        tls_ca: FilePath = None,
        tls_cert: FilePath = None,
        tls_key: FilePath = None,
        tls_server_name: str | None = None,
        token_file: FilePath = None,
    ) -> None:
        self._given = credentials
        self._tls: _Tls | None = None
        self._token: _Token | None = None
        self.channel_options: list[tuple[str, str]] = []
        if credentials is None:
            self._read_tls(tls_ca, tls_cert, tls_key, tls_server_name)
        path = _given(token_file, "token_file")
        if path:
            self._check_way(addresses)
            self._token = _Token(path)

    def _read_tls(
        self, tls_ca: FilePath, tls_cert: FilePath, tls_key: FilePath, tls_server_name: str | None
    ) -> None:
        ca, cert = _given(tls_ca, "tls_ca"), _given(tls_cert, "tls_cert")
        key, name = _given(tls_key, "tls_key"), _given(tls_server_name, "tls_server_name")
        if bool(cert) != bool(key):
            missing, there = ("tls_key", "tls_cert") if cert else ("tls_cert", "tls_key")
            raise InvalidArgumentError(f"{there} is set, but {missing} is not: both are needed")
        if not ca:
            if cert or name:
                which = "tls_cert" if cert else "tls_server_name"
                raise InvalidArgumentError(
                    f"{which} is set, but tls_ca is not: TLS needs the CA that the server's "
                    'certificate is of, or "system"'
                )
            return
        self._tls = _Tls(ca, cert, key)
        if name:
            self.channel_options = [("grpc.ssl_target_name_override", name)]

    def _check_way(self, addresses: Sequence[str]) -> None:
        if self._given is not None or self._tls is not None:
            return
        for address in addresses:
            if not _is_unix(address) and not _is_loopback(address):
                raise InvalidArgumentError(
                    f"token_file is set, and {address} would get the token in the clear: set "
                    "tls_ca, or use a loopback address or a unix socket"
                )

    def credentials(self, address: str) -> grpc.ChannelCredentials | None:
        """Those of a new connection; None: in the clear."""
        if self._given is not None:
            return self._given
        if self._tls is None or _is_unix(address):
            return None
        return self._tls.current()

    @property
    def token(self) -> str:
        """That of a new call; empty: none."""
        return "" if self._token is None else self._token.current()

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a new call says of its caller."""
        token = self.token
        return (("authorization", f"Bearer {token}"),) if token else ()
