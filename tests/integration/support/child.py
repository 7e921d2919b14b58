# SPDX-License-Identifier: Apache-2.0
"""A process of its own with any number of callers in it, to be killed and frozen by tests.

    child.py ADDRESS KIND

Reads one JSON command a line from stdin, {"op": "join" | "chunk" | "finish" | "renew" | "cancel",
"name": ...}, and writes one JSON line for everything that a caller is told: {"name": ..., "step":
..., ...}.
"""

import json
import sys
import threading
import types

from support.net import Net

_output = threading.Lock()


def say(**event):
    """Writes one event line."""
    with _output:
        print(json.dumps(event), flush=True)


def describe(step, message):
    """The fields of a step that tests look at."""
    if step == "end":
        return dict(code=message.code.name, message=message.message)
    wanted = ("token", "attempt", "leader", "led", "callers", "shared", "retained", "followers")
    known = {f.name for f in message.DESCRIPTOR.fields}
    return {name: getattr(message, name) for name in wanted if name in known}


def report(name, caller):
    """Says everything that one caller is told, with the whole value at its result."""
    value = b""
    while True:
        step, message = caller.next(bound=3600)
        if step == "restart":
            value = b""
        elif step == "lead":
            value = b""
            caller.token = message.token
        elif step == "chunk":
            value += message.data
        extra = {}
        if step == "result":
            extra["value"] = (value + message.outcome.value).hex()
        say(name=name, step=step, **describe(step, message), **extra)
        if step == "end":
            return


def main(address, kind):
    """Obeys until stdin ends."""
    net = Net(types.SimpleNamespace(address=address), kind)
    callers = {}
    say(name="", step="ready")
    for line in sys.stdin:
        command = json.loads(line)
        op, name = command.pop("op"), command.pop("name")
        if op == "join":
            command["key"] = command["key"].encode()
            callers[name] = net.join(**command)
            threading.Thread(target=report, args=(name, callers[name]), daemon=True).start()
        elif op in ("chunk", "finish"):
            getattr(callers[name], op)(bytes.fromhex(command.pop("value")), **command)
        else:
            getattr(callers[name], op)(**command)
    net.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
