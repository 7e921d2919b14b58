# SPDX-License-Identifier: Apache-2.0
"""Codecs: what they carry, what they refuse, and the program's own types."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Optional

import pydantic
import pytest

from singleflight import JSON, RAW, typed
from singleflight.typed import codec_of


@dataclasses.dataclass(frozen=True)
class Address:
    city: str
    zip: Optional[int] = None  # noqa: UP045


@dataclasses.dataclass
class Profile:
    name: str
    score: float
    homes: list[Address]
    tags: dict[str, bool] = dataclasses.field(default_factory=dict)
    pair: tuple[int, str] = (0, "")


@dataclasses.dataclass
class Node:
    value: int
    children: list[Node]


class Model(pydantic.BaseModel):
    name: str
    home: Address


PROFILE = Profile("Ada", 2, [Address("London", 7), Address("Paris")], {"x": True}, (1, "b"))


def test_dataclasses() -> None:
    codec = typed(Profile)
    assert JSON.decode(codec.encode(PROFILE))["homes"] == [
        {"city": "London", "zip": 7},
        {"city": "Paris", "zip": None},
    ]
    assert codec.decode(codec.encode(PROFILE)) == PROFILE
    tree = Node(1, [Node(2, []), Node(3, [Node(4, [])])])
    assert typed(Node).decode(typed(Node).encode(tree)) == tree


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Optional[Profile], None),
        (list[Address], [Address("x")]),
        (dict[str, Address], {"a": Address("x", 1)}),
        (tuple[Address, ...], (Address("x"), Address("y"))),
        (Model, Model(name="n", home=Address("x"))),
        (list[Model], [Model(name="n", home=Address("x"))]),
    ],
)
def test_types_with_them(kind: Any, value: Any) -> None:
    codec = typed(kind)
    assert codec.decode(codec.encode(value)) == value


def test_versions_of_a_type() -> None:
    codec = typed(Address)
    assert codec.decode(b'{"city":"x","country":"of a later version"}') == Address("x")
    for wrong in (b"{}", b'{"city":1}', b"[]", b'"x"', b'{"city":"x","zip":true}'):
        with pytest.raises(TypeError):
            codec.decode(wrong)
    with pytest.raises(TypeError):
        codec.encode({"city": "x"})


def test_a_function_says_what_it_returns() -> None:
    def profile(lead: object) -> Profile:
        return PROFILE

    async def later(lead: object) -> Optional[Profile]:  # noqa: UP045
        return PROFILE

    class Loader:
        def __call__(self, lead: object) -> Profile:
            return PROFILE

        def load(self, lead: object) -> list[Profile]:
            return [PROFILE]

    for function in (profile, later, Loader(), functools.partial(profile)):
        codec = codec_of(function, JSON)
        assert codec.decode(codec.encode(PROFILE)) == PROFILE
    codec = codec_of(Loader().load, JSON)
    assert codec.decode(codec.encode([PROFILE])) == [PROFILE]


def test_a_class_inside_a_function() -> None:
    @dataclasses.dataclass
    class Local:
        x: int

    def load(lead: object) -> Local:
        return Local(1)

    codec = codec_of(load, JSON)
    assert codec.decode(codec.encode(Local(1))) == Local(1)


def test_other_functions_have_json() -> None:
    def plain(lead: object) -> dict[str, int]:
        return {}

    for function in (lambda lead: 1, plain, None, len):
        assert codec_of(function, JSON) is JSON
    assert codec_of(plain, RAW) is RAW


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (float("nan"), "codec"),
        ([float("inf")], "codec"),
        (2**53, "text"),
        ({"a": [-(2**53)]}, "text"),
        ((2**60,), "text"),
        ({1: "a"}, "codec"),
        ([{"a": {None: 1}}], "codec"),
        (b"bytes", "codec=RAW"),
        ({1, 2}, "codec"),
        (Address("x"), "codec"),
    ],
)
def test_json_refuses_what_it_would_lose(value: object, hint: str) -> None:
    with pytest.raises((ValueError, TypeError), match=hint):
        JSON.encode(value)


def test_json_carries_the_rest() -> None:
    value = {"é": [1, None, True, 2**53 - 1, -(2**53 - 1), 1.5, "12345678901234567890"]}
    assert JSON.decode(JSON.encode(value)) == value
