# SPDX-License-Identifier: Apache-2.0
"""The Python code of docs/caching.md, against a daemon and a database that counts."""

from __future__ import annotations

import re
import threading
from collections import Counter
from typing import Any

import pytest
from support import PATIENCE, ROOT, Daemon, wait_until

from singleflight import Client, FunctionError, StatusError

PAGE = (ROOT / "docs" / "caching.md").read_text()


class Database:
    """Answers with what is stored, and can be held at the gate."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.names = {"ann": "Ann"}
        self.open = threading.Event()
        self.open.set()
        self.broken = False

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        assert self.open.wait(PATIENCE)
        if self.broken:
            raise OSError("the database is down")

    def profile(self, user_id: str) -> str:
        found = self.names.get(user_id)
        self._ask("profile")
        if found is None:
            raise LookupError(f"no user {user_id}")
        return found

    def rename(self, user_id: str, name: str) -> None:
        self.names[user_id] = name

    def prices(self) -> int:
        self._ask("prices")
        return self.asked["prices"]

    def settings(self, user_id: str) -> str:
        self._ask("settings")
        return f"settings of {user_id}"

    def report(self, tenant: str, month: str) -> str:
        self._ask("report")
        return f"{tenant} in {month}"


class Page:
    """The functions of the page, with a database and a client of their own."""

    def __init__(self, address: str) -> None:
        self.database = Database()
        self.client = Client(address)
        self.names: dict[str, Any] = {"client": self.client, "database": self.database}
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(block, "docs/caching.md", "exec"), self.names)

    def __getattr__(self, name: str) -> Any:
        return self.names[name]

    def start(
        self, count: int, name: str, *arguments: object
    ) -> tuple[list[Any], list[threading.Thread]]:
        answers: list[Any] = []
        function = self.names[name]
        threads = [
            threading.Thread(target=lambda: answers.append(function(*arguments)))
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        return answers, threads


@pytest.fixture
def page(daemon: Daemon) -> Any:
    page = Page(daemon.address)
    yield page
    page.database.open.set()
    page.client.close()


def test_a_hot_key(page: Page) -> None:
    page.database.open.clear()
    answers, threads = page.start(20, "profile", "ann")
    wait_until(lambda: page.database.asked["profile"] == 1)
    page.database.open.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert answers == ["Ann"] * 20
    assert page.profile("ann") == "Ann"  # a late one
    assert page.database.asked["profile"] == 1


def test_a_refresh_in_the_background(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    # A minute is long: the same call, and the clock of ages in milliseconds.
    do = page.client.do
    monkeypatch.setattr(
        page.client,
        "do",
        lambda key, function, **options: do(key, function, **{**options, "max_age": 0.2}),
    )
    assert page.prices() == 1
    page.database.broken = True
    wait_until(lambda: page.prices() == 1 and page.database.asked["prices"] >= 2)
    assert page.prices() == 1  # a refresh that failed
    page.database.broken = False
    wait_until(lambda: page.prices() > 2)


def test_after_a_write(page: Page) -> None:
    page.database.open.clear()
    before, threads = page.start(1, "profile", "ann")
    wait_until(lambda: page.database.asked["profile"] == 1)
    after, writers = page.start(10, "rename", "ann", "Anna")
    wait_until(lambda: page.database.names["ann"] == "Anna")
    page.database.open.set()
    for thread in [*threads, *writers]:
        thread.join(PATIENCE)
    assert before == ["Ann"]
    assert after == ["Anna"] * 10
    # Those who were slow to come may have made another one; but not each of them.
    assert page.database.asked["profile"] < 10


def test_invalidation_while_it_is_loaded(page: Page) -> None:
    page.database.open.clear()
    before, threads = page.start(1, "profile", "ann")
    wait_until(lambda: page.database.asked["profile"] == 1)
    page.database.names["ann"] = "Anna"
    page.invalidate("ann")
    page.database.open.set()
    threads[0].join(PATIENCE)
    assert before == ["Ann"]
    assert page.profile("ann") == "Anna"


def test_an_error_is_kept(page: Page) -> None:
    with pytest.raises(LookupError):
        page.existing("bob")
    with pytest.raises(FunctionError, match="no user bob"):
        page.existing("bob")
    assert page.database.asked["profile"] == 1


def test_versions(page: Page) -> None:
    assert page.settings("ann") == "settings of ann"
    page.names["SCHEMA"] = 3
    assert page.settings("ann") == "settings of ann"
    assert page.database.asked["settings"] == 2
    # A value that is no JSON is a miss.
    page.client.do("settings:v4:ann", lambda lead: lead.write(b"\xff"), retain=60, codec=Bytes())
    page.names["SCHEMA"] = 4
    assert page.settings("ann") == "settings of ann"


class Bytes:
    """Writes what no other codec reads."""

    def encode(self, value: object) -> bytes:
        return b"\xff"

    def decode(self, data: bytes) -> object:
        return None


def test_tenants(page: Page) -> None:
    assert page.report("acme", "may") == "acme in may"
    assert page.report("acme", "may") == "acme in may"
    assert page.report("other", "may") == "other in may"
    assert page.database.asked["report"] == 2
    with pytest.raises(StatusError, match="fingerprint"):
        page.client.do(
            "report:acme:may", lambda lead: "", group="reports", fingerprint="other/may", retain=60
        )
