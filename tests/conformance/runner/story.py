# SPDX-License-Identifier: Apache-2.0
"""Plays one scenario with one pair of languages."""

import hashlib
import signal
import time

from .peers import (Daemon, Failure, Relay, base64_of, closed_address, until_listed,
                    within_patience)

EVENT_FIELDS = {"expect", "event", "value", "chunks", "details", "cause", "took_below_ms",
                "took_above_ms", "not_later_than", "skip"}
# What may come before the event that is waited for.
ALONG_THE_WAY = {"follow", "chunk", "restart", "lost"}


def is_possible(scenario, pair):
    """Whether both languages have what it is about: "not" says for which roles they have not."""
    return not any(language in scenario.get("not", {}).get(role, [])
                   for role, language in zip("LF", pair))


def expand(scenarios):
    """One scenario for each line of "each", with its words filled in."""
    for scenario in scenarios:
        for words in scenario.get("each", [{}]):
            yield fill_in({k: v for k, v in scenario.items() if k != "each"}, words)


def fill_in(node, words):
    if isinstance(node, dict):
        return {fill_in(key, words): fill_in(value, words) for key, value in node.items()}
    if isinstance(node, list):
        return [fill_in(value, words) for value in node]
    if isinstance(node, str) and "$" in node:
        for name, word in words.items():
            if node == "$" + name:
                return word
            node = node.replace("$" + name, str(word))
    return node


def fill_bytes(bytes, seed):
    return (b"".join(FILLS[(seed + (at >> 8) * 17) & 0xFF] for at in range(0, bytes, 256)))[:bytes]


# 256 bytes of a fill, by what its first byte is: (at * 31) repeats with 256.
FILLS = [bytes((first + at * 31) & 0xFF for at in range(256)) for first in range(256)]


def content(wanted):
    if "text" in wanted:
        return wanted["text"].encode()
    if "fills" in wanted:
        return b"".join(fill_bytes(**fill) for fill in wanted["fills"])
    return fill_bytes(**wanted)


class Story:
    def __init__(self, scenario, drivers, daemon, name, programs):
        self.scenario = scenario
        self.drivers = dict(drivers)  # role, "L" or "F" -> Driver
        self.daemon = daemon
        self.name = name              # unique: names of calls and clients, and the group
        self.programs = programs
        self.relays = {}
        self.saved = {}
        self.begun = {}               # name of a call -> when it was told to begin
        self.came = {}                # "CALL EVENT" -> when it came
        self.lapses = 0
        self.dead = set()
        self.closed = set()
        self.ours = []                # what this story has started: daemons, drivers

    async def play(self, start_driver):
        try:
            await self._set_up(start_driver)
            for number, step in enumerate(self.scenario["steps"], 1):
                try:
                    await self._step(step)
                except Failure as failure:
                    raise Failure(f"step {number}, {step}: {failure}") from None
            await self._close_clients()
        finally:
            await self._tear_down()

    # ---- before and after

    async def _set_up(self, start_driver):
        if self.scenario.get("own_daemon"):
            self.daemon = Daemon(self.programs, self.scenario.get("daemon_options", []),
                                 self.scenario.get("data_dir", False))
            self.ours.append(self.daemon)
            await self.daemon.start()
        for role in self.scenario.get("own_process", []):
            self.drivers[role] = await start_driver(self.drivers[role].language)
            self.ours.append(self.drivers[role])
        self.second = None
        if self.scenario.get("two_daemons"):
            self.second = Daemon(self.programs)
            self.ours.append(self.second)
            await self.second.start()
        for role in "LF":
            await self._open_client(role)

    async def _open_client(self, role):
        settings = self.scenario.get("clients", {}).get(role, {})
        event = await self._ask_for_client(role, role, settings)
        if event["event"] != "client":
            raise Failure(f"no client: {event}")

    async def _ask_for_client(self, role, name, settings):
        self.drivers[role].send({
            "op": "client", "client": self._own(name),
            "addresses": await self._addresses(role, settings.get("addresses", "daemon")),
            "options": settings.get("options", {})})
        return await self.drivers[role].next_event(self._own(name), "a client")

    async def _addresses(self, role, what):
        if isinstance(what, list):
            return what
        if role in self.scenario.get("relay", []):
            self.relays[role] = Relay(self.daemon.address)
            return [await self.relays[role].start()]
        if self.second is not None:
            return [self.daemon.address, self.second.address]
        return [await closed_address() if part == "closed" else self.daemon.address
                for part in what.split("+")]

    async def _close_clients(self):
        for role in "LF":
            if role not in self.dead and role not in self.closed:
                await self._close(role)

    async def _close(self, role):
        self.closed.add(role)
        self.drivers[role].send({"op": "close", "client": self._own(role)})
        while (await self.drivers[role].next_event(self._own(role), "closed"))["event"] != "closed":
            continue

    async def _tear_down(self):
        for relay in self.relays.values():
            relay.close()
        for peer in self.ours:
            if isinstance(peer, Daemon):
                await peer.end()
            elif peer.process.returncode is None:
                peer.signal(signal.SIGKILL)
                await peer.process.wait()

    # ---- names

    def _own(self, name):
        return f"{self.name}.{name}"

    def _driver_of(self, name):
        return self.drivers[name[0]]

    # ---- steps

    async def _step(self, step):
        for word, act in (("do", self._do), ("expect", self._expect), ("forget", self._forget),
                          ("refused_client", self._refused_client)):
            if word in step:
                return await act(step)
        (word, argument), = step.items()
        await getattr(self, "_" + word)(argument)

    async def _do(self, step):
        name = step["do"]
        self.begun[name] = time.monotonic()
        self._driver_of(name).send({
            "op": "do", "client": self._own(name[0]), "call": self._own(name),
            "options": self._options(step.get("options", {})),
            "function": self._function(step.get("function", []), name[0])})

    async def _refused_client(self, step):
        name = step["refused_client"]
        event = await self._ask_for_client(name[0], name, step)
        if event["event"] != "error":
            raise Failure(f"came instead of an error: {event}")
        self._match("message", step["message"], event.get("message"), event)

    def _options(self, options):
        out = {"group": self.name}
        out.update(options)
        for name in ("key", "key_hex", "key_bytes"):
            out.pop(name, None)
        out["key_b64"] = base64_of(self._key(options))
        if "fingerprint" in out:
            out["fingerprint_b64"] = base64_of(out.pop("fingerprint").encode())
        token = out.get("resume_token")
        if isinstance(token, dict):
            out["resume_token"] = self.saved[token["saved"]]
        return out

    @staticmethod
    def _key(options):
        if "key_hex" in options:
            return bytes.fromhex(options["key_hex"])
        if "key_bytes" in options:
            return b"k" * options["key_bytes"]
        return options.get("key", "key").encode()

    def _function(self, actions, role):
        return None if actions is None else [self._action(action, role) for action in actions]

    def _action(self, action, role):
        if "do_inside" in action:
            inside = action["do_inside"]
            return {"do_inside": {
                "call": self._own(inside["call"]), "options": self._options(inside["options"]),
                "function": self._function(inside.get("function", []), role)}}
        if "write_text" in action:
            return {"write_b64": base64_of(action["write_text"].encode())}
        if "wait" in action:
            return {"wait": self._own(f"{role}.{action['wait']}")}
        if "details" in action.get("error", {}):
            error = dict(action["error"])
            error["details_b64"] = base64_of(error.pop("details").encode())
            return {"error": error}
        return action

    async def _expect(self, step):
        name = step["expect"]
        while True:
            event = await self._driver_of(name).next_event(self._own(name), step["event"])
            self.came[f"{name} {event['event']}"] = event["came_at"]
            if event["event"] == step["event"]:
                break
            if event["event"] not in ALONG_THE_WAY | set(step.get("skip", [])):
                raise Failure(f"came instead: {event}")
        for field, wanted in step.items():
            if field not in EVENT_FIELDS:
                self._match(field, wanted, event.get(field), event)
        if "details" in step:
            wanted = base64_of(content(step["details"]))
            self._match("details_b64", wanted, event.get("details_b64"), event)
        for field in ("value", "chunks"):
            if field in step:
                self._match_content(field, content(step[field]), event)
        if step.get("cause", "") not in event.get("message", "") + event.get("stack", ""):
            raise Failure(f"neither message nor stack has {step['cause']!r}: {event}")
        self._match_time(step, event)

    def _match_time(self, step, event):
        took_ms = 1000 * (event["came_at"] - self.begun.get(step["expect"], 0))
        if took_ms >= step.get("took_below_ms", float("inf")):
            raise Failure(f"took {took_ms:.0f} ms: {event}")
        if took_ms < step.get("took_above_ms", 0):
            raise Failure(f"took {took_ms:.0f} ms only: {event}")
        for other, most_ms in step.get("not_later_than", {}).items():
            after_ms = 1000 * (event["came_at"] - self.came[other])
            if after_ms >= most_ms:
                raise Failure(f"came {after_ms:.0f} ms after {other}: {event}")

    @staticmethod
    def _match_content(field, wanted, event):
        if event.get(field + "_bytes") != len(wanted):
            raise Failure(f"{field}: not {len(wanted)} bytes: {event}")
        if event.get(field + "_sha256") != hashlib.sha256(wanted).hexdigest():
            raise Failure(f"{field}: other bytes: {event}")

    def _match(self, field, wanted, found, event):
        good = found == wanted
        if isinstance(wanted, dict):
            (how, what), = wanted.items()
            if how == "save":
                self.saved[what] = found
                good = int(found) > 0
            elif how == "same":
                good = found == self.saved[what]
            elif how == "greater":
                good = int(found) > int(self.saved[what])
            elif how == "in":
                good = found in what
            elif how == "contains":
                good = what in (found or "")
            elif how == "below":
                good = int(found) < what
            elif how == "above":
                good = int(found) > what
        if not good:
            raise Failure(f"{field} is {found!r}, not {wanted!r}: {event}")

    async def _forget(self, step):
        role = step["forget"]
        self.drivers[role].send({
            "op": "forget", "client": self._own(role), "group": self.name,
            "key_b64": base64_of(self._key(step)), "if_unshared": step.get("if_unshared", False),
            **{name: step[name] for name in ("end", "caller") if name in step}})
        event = await self.drivers[role].next_event(self._own(role), "forgot")
        if event["event"] != "forgot":
            raise Failure(f"came instead: {event}")
        for field in ("flight", "retained", "ended"):
            if field in step:
                self._match(field, step[field], event.get(field), event)

    async def _signal(self, name):
        self._driver_of(name).send({"op": "signal", "name": self._own(name)})

    async def _cancel(self, name):
        self._driver_of(name).send({"op": "cancel", "call": self._own(name)})

    async def _barrier(self, role):
        await self.drivers[role].barrier()

    async def _kill(self, role):
        self.dead.add(role)
        self.drivers[role].signal(signal.SIGKILL)
        await self.drivers[role].process.wait()

    async def _freeze(self, role):
        self.drivers[role].signal(signal.SIGSTOP)

    async def _thaw(self, role):
        self.drivers[role].signal(signal.SIGCONT)

    async def _cut(self, role):
        self.relays[role].cut()

    async def _hold(self, role):
        self.relays[role].answers.clear()

    async def _pass(self, role):
        self.relays[role].answers.set()

    async def _mute(self, role):
        self.relays[role].questions.clear()

    async def _unmute(self, role):
        self.relays[role].questions.set()

    async def _reconnected(self, role):
        await self.relays[role].wait_accepted()

    async def _daemon(self, what):
        if what == "kill":
            await self.daemon.end()
        elif what == "start":
            await self.daemon.start()
        elif what == "drain":
            await self.daemon.drain()
        elif what == "ended":
            await within_patience(self.daemon.process.wait(), "the daemon's end")
            if self.daemon.process.returncode != 0:
                raise Failure(f"the daemon ended with {self.daemon.process.returncode}")

    # ---- looks at the daemon

    async def _until_listed(self, what, good):
        daemons = [self.daemon] + ([self.second] if self.second else [])
        await until_listed(daemons, self.name, what, good)

    async def _listed(self, wanted):
        def fits(row):
            try:
                for field, value in wanted.items():
                    self._match(field, value, row.get(field), row)
            except Failure:
                return False
            return True

        await self._until_listed(str(wanted), fits)

    async def _stop(self, caller):
        await self.daemon.stop(self.name, "key", caller)

    async def _lapse_ms(self, span_ms):
        """So much time goes by: as much as a call of F has that nothing ends but its timeout."""
        self.lapses += 1
        name = f"F.lapse{self.lapses}"
        await self._do({"do": name, "options": {"key": name, "timeout_ms": span_ms},
                        "function": [{"wait": "never"}]})
        await self._expect({"expect": name, "event": "done", "skip": ["lead"]})

    async def _callers(self, count):
        await self._until_listed(f"{count} callers", lambda row: row["callers"] == count
                                 and row["state"] == "led" and not row["forgotten"])

    async def _state(self, state):
        await self._until_listed(state, lambda row: row["state"] == state)

    async def _expires_below_ms(self, most):
        await self._until_listed(f"expires below {most} ms", lambda row: row["expires_ms"] < most)
