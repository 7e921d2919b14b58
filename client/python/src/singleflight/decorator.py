# SPDX-License-Identifier: Apache-2.0
"""``@coalesce``: calls of a function that run at the same time, anywhere, become one."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import json
import threading
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, TypeVar, Union, cast

from . import aio
from ._fork import tell_of_forks
from ._shell import KeyLike, lead_variable
from .client import Client
from .codec import JSON, Codec
from .typed import codec_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import CallOptions

F = TypeVar("F", bound=Callable[..., Any])

#: A format string over the arguments, such as ``"user:{user_id}"``, or a function of them.
KeyOf = Union[str, Callable[..., KeyLike]]

_lock = threading.Lock()
_default: Client | None = None
_defaults: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, aio.Client] = (
    weakref.WeakKeyDictionary()
)


def default_client() -> Client:
    """The client that decorators use without one of their own: one per process, fork or no fork."""
    global _default
    with _lock:
        if _default is None:
            _default = Client()
        return _default


def default_aio_client() -> aio.Client:
    """The client that decorators of coroutines use without one of their own: one per event loop."""
    loop = asyncio.get_running_loop()
    client = _defaults.get(loop)
    if client is None:
        client = _defaults[loop] = aio.Client()
    return client


def current_lead() -> Any:
    """The :class:`Lead` (or :class:`aio.Lead`) of the function that runs; None outside of one."""
    return lead_variable.get(None)


class _Forks:
    def after_fork(self) -> None:
        global _lock
        _lock = threading.Lock()  # a thread of the parent may have had it


_forks = _Forks()
tell_of_forks(_forks)


def coalesce(
    key: KeyOf,
    *,
    client: Client | aio.Client | None = None,
    codec: Codec | None = None,
    fingerprint_of: Callable[..., bytes] | bool = False,
    **options: Unpack[CallOptions],
) -> Callable[[F], F]:
    """Makes calls of a function, or coroutine function, share one execution per key.

    ::

        @coalesce(key="user:{user_id}", group="users", retain=5)
        def load(user_id): ...

    Args:
        key: a format string over the arguments, or a function of them.
        client: who asks: a :class:`Client` for functions, an :class:`aio.Client` for coroutine
            functions. Default: one per process, or per event loop, made from the environment.
        codec: instead of the client's.
        fingerprint_of: a function of the arguments that hashes them, or True for a hash of all of
            them as JSON. Calls of one key with other arguments are refused then.
        options: see :class:`~singleflight.CallOptions`.
    """

    def decorate(function: F) -> F:
        read = _Arguments(function, key, fingerprint_of, options)
        own_codec = codec or _typed(function, client)
        wrapper: Callable[..., Any]
        if inspect.iscoroutinefunction(function):
            if isinstance(client, Client):
                raise TypeError("a coroutine function needs a client of singleflight.aio")

            @functools.wraps(function)
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                name, call_options = read(args, kwargs)
                asker = client or default_aio_client()
                result = await asker.do(
                    name, lambda _: function(*args, **kwargs), codec=own_codec, **call_options
                )
                return result.value
        else:
            if isinstance(client, aio.Client):
                raise TypeError("a function that is no coroutine function needs a Client")

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                name, call_options = read(args, kwargs)
                asker = client or default_client()
                result = asker.do(
                    name, lambda _: function(*args, **kwargs), codec=own_codec, **call_options
                )
                return result.value

        return cast("F", wrapper)

    return decorate


def _typed(function: Callable[..., Any], client: Client | aio.Client | None) -> Codec | None:
    # Where JSON would be used, and the function says that it returns a type of its own.
    given = client.codec if client is not None else JSON
    codec = codec_of(function, given)
    return None if codec is given else codec


class _Arguments:
    """Reads a key, and perhaps a fingerprint, out of the arguments of a call."""

    def __init__(
        self,
        function: Callable[..., Any],
        key: KeyOf,
        fingerprint_of: Callable[..., bytes] | bool,
        options: CallOptions,
    ) -> None:
        self._signature = inspect.signature(function)
        self._key = key
        self._fingerprint_of = fingerprint_of
        self._options = options

    def __call__(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[KeyLike, CallOptions]:
        options = self._options
        if callable(self._fingerprint_of):
            fingerprint = self._fingerprint_of(*args, **kwargs)
            options = cast("CallOptions", {**options, "fingerprint": fingerprint})
        elif self._fingerprint_of:
            fingerprint = self._hash(self._bound(args, kwargs))
            options = cast("CallOptions", {**options, "fingerprint": fingerprint})
        if callable(self._key):
            return self._key(*args, **kwargs), options
        return self._key.format_map(self._bound(args, kwargs)), options

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    @staticmethod
    def _hash(arguments: Mapping[str, Any]) -> bytes:
        text = json.dumps(arguments, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()
