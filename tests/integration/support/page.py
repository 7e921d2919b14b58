# SPDX-License-Identifier: Apache-2.0
"""Asks the admin listener what the page asks it."""

import contextlib
import http.client
import json
import urllib.parse

from support import scrape
from support.wait import BOUND


def api(daemon, path, token=None, headers=None, **parameters):
    """GET /api/v1/PATH: status and object."""
    status, _, text = scrape.get(
        daemon, address(path, parameters), headers=with_token(headers, token)
    )
    return status, json.loads(text)


def ok(daemon, path, token=None, **parameters):
    """The object of an answer that must be good."""
    status, answer = api(daemon, path, token, **parameters)
    assert status == 200, answer
    return answer


def post(daemon, path, body, token=None, **headers):
    """POST /api/v1/PATH: status and object. `body` is an object, or the text itself."""
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    headers = {"Content-Type": "application/json", **named}
    headers = {name: value for name, value in headers.items() if value is not None}
    status, _, answer = scrape.get(
        daemon, f"/api/v1/{path}", "POST", with_token(headers, token), text
    )
    return status, json.loads(answer)


def address(path, parameters):
    query = urllib.parse.urlencode(parameters)
    return f"/api/v1/{path}?{query}" if query else f"/api/v1/{path}"


def with_token(headers, token):
    return {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}


class Events:
    """A stream of events that is read by one thread, when it is asked for the next one."""

    def __init__(self, daemon, token=None, **parameters):
        self.connection = http.client.HTTPConnection(
            scrape.admin_address(daemon), timeout=BOUND
        )
        self.connection.request(
            "GET", address("events", parameters), headers=with_token(None, token)
        )
        self.response = self.connection.getresponse()
        self.status = self.response.status

    def error(self):
        return json.loads(self.response.read())["error"]

    def next(self):
        """(event, object); None at the end. Comments are passed over."""
        name, data = None, []
        while line := self.response.readline():
            text = line.decode().rstrip("\n")
            if text.startswith("event: "):
                name = text[len("event: ") :]
            elif text.startswith("data: "):
                data.append(text[len("data: ") :])
            elif text == "" and name is not None:
                return name, json.loads("\n".join(data))
        return None

    def until(self, wanted, condition=lambda data: True):
        """The data of the next event of that name that fits. The daemon speaks each second, so a
        condition that is never met ends by the test's own bound."""
        for _ in range(200):
            event = self.next()
            assert event is not None, f"the stream ended before {wanted}"
            if event[0] == wanted and condition(event[1]):
                return event[1]
        raise AssertionError(f"200 events without the {wanted} that is waited for")

    def close(self):
        self.connection.close()


@contextlib.contextmanager
def events(daemon, token=None, **parameters):
    stream = Events(daemon, token, **parameters)
    try:
        yield stream
    finally:
        stream.close()
