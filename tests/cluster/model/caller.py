# SPDX-License-Identifier: Apache-2.0
"""One call, as a library makes it; or as a replica makes it for a plain caller, whom it relays."""

from .world import Stream

RENEW = 0.8


class Call:
    def __init__(self, world, process, cluster, check, key, slot, options, fresh=False, takes=0.1,
                 is_plain=False):
        self.world, self.process, self.cluster, self.check = world, process, cluster, check
        self.key, self.slot, self.options, self.fresh = key, slot, options, fresh
        self.takes, self.is_plain = takes, is_plain
        self.id = self.nonce = next(world.ids)
        self.began = world.now
        self.state = "joining"  # following, confirming, leading, finishing, done
        self.stream = None
        self.flight = None  # the one that it has its place in
        self.token = None
        self.lease = 0.0
        self.holds_until = 0.0  # by the process' clock: so long it believes that it leads
        self.sent = {}  # number of a renewal -> when it was sent
        self.join_sent = 0.0
        self.runs = 0
        self.tried = 0
        self.has_waited = False
        check.began(self)
        self.connect(None)

    # --- the way to the home ---

    def connect(self, home):
        if self.state == "done":
            return
        replica = self.cluster.pick(home)
        if replica is None or replica.is_dead:
            self.process.later(0.1, self.connect, None)
            return
        self.stream = Stream(self.process, replica, self.hear, replica.hear, self.broken, replica.broken)
        replica.streams[self.stream] = True
        self.join()

    def join(self):
        self.join_sent = self.process.clock()
        self.tried += 1
        message = {"join": True, "call": self.id, "slot": self.slot, "key": self.key,
                   "nonce": self.nonce, "try": self.tried, "fresh": self.fresh, "options": self.options,
                   "flight": self.flight}
        if self.leads():
            message["resume"] = self.token
        self.say(message)

    def __str__(self):
        return f"call {self.id} at {self.process.place} ({self.state})"

    def say(self, message):
        if "renew" not in message:
            self.world.tell(self.key, f"{self} says {message} to {self.stream.server.id}")
        self.stream.send(self.process, message)

    def leads(self):
        return self.state in ("confirming", "leading", "finishing")

    def broken(self, stream):
        if stream is self.stream and self.state != "done":
            self.elsewhere(None)

    def lose_connection(self):
        if self.state == "following" and self.stream is not None:
            self.elsewhere(None)

    def elsewhere(self, home):
        if self.stream is not None:
            self.stream.end(self.process)
            self.stream = None
        wait = 0.01 + self.world.random.random() * 0.05
        self.process.later(wait, self.connect, home)

    # --- what it hears ---

    def hear(self, stream, message):
        if stream is not self.stream or self.state == "done":
            return
        if "renewed" not in message:
            self.world.tell(self.key, f"{self} hears {message}")
        if "lead" in message:
            self.on_lead(message)
        elif "follow" in message:
            self.has_waited = True
            self.flight = message["flight"] or self.flight
            self.state = "following" if not self.leads() else self.state
        elif "renewed" in message:
            self.on_renewed(message)
        elif "result" in message:
            self.check.delivered(self, message)
            self.end("OK")
        elif "moved" in message:
            self.elsewhere(message["home"])
        elif "end" in message:
            self.end(message["status"], message.get("why", ""))

    def on_lead(self, message):
        is_back = self.token == message["token"] and self.leads()
        self.check.leads(self, message["flight"])
        self.token, self.flight = message["token"], message["flight"]
        self.lease = message["lease"]  # the opener's
        # What was granted at once holds from the join on; one that waited has to ask from when.
        if is_back or not self.has_waited:
            self.believe(self.join_sent, message["silence"])
        if is_back:
            if self.state == "finishing":
                self.finish()
            self.renew()
            return
        self.state = "leading" if not self.has_waited else "confirming"
        if self.state == "leading":
            self.run()
        self.renew()
        self.process.later(0.2, self.watch, self.token)

    def believe(self, since, silence):
        if self.world.has("belief_from_the_answer"):
            since = self.process.clock()
        self.holds_until = max(self.holds_until, since + (self.lease or silence))
        self.check.believes(self)

    def renew(self):
        number = len(self.sent) + 1
        self.sent[number] = self.process.clock()
        if self.stream is not None:
            self.say({"renew": number, "call": self.id, "slot": self.slot, "token": self.token})

    def on_renewed(self, message):
        if not self.leads():
            return
        self.believe(self.sent[message["renewed"]], message["silence"])
        if self.state == "confirming" and self.is_led():
            self.state = "leading"
            self.run()

    def is_led(self):
        return self.process.clock() < self.holds_until

    def watch(self, token):
        """Renews, and sees by the clock that the lead is lost."""
        if not self.leads() or token != self.token:
            return
        if self.state == "confirming" and self.process.clock() - self.sent[1] > 10:
            self.end("ABORTED", "nobody confirms the lead")
            return
        if self.state != "confirming" and not self.is_led():
            self.end("ABORTED", "the lead was lost by the clock")
            return
        self.process.later(min(RENEW, 0.2), self.watch, token)
        if self.process.clock() - self.sent[len(self.sent)] >= RENEW:
            self.renew()

    # --- the function ---

    def run(self):
        self.runs += 1
        self.check.runs(self)
        self.process.later(self.takes, self.finished, self.token)

    def finished(self, token):
        if self.state != "leading" or token != self.token:
            return
        if not self.is_led():
            self.end("ABORTED", "the lead was lost by the clock")
            return
        self.state = "finishing"
        if self.stream is not None:
            self.finish()

    def finish(self):
        self.say({"finish": True, "call": self.id, "slot": self.slot, "token": self.token,
                  "value": f"ok {self.token}"})

    def believes_until(self):
        """In the world's time; 0 when it does not lead."""
        if self.state not in ("leading", "finishing") or self.process.is_dead:
            return 0.0
        return self.process.world_time(self.holds_until)

    def leave(self):
        if self.state != "done":
            self.end("CANCELLED")

    def end(self, status, why=""):
        self.world.tell(self.key, f"{self} ends: {status} {why}")
        self.state = "done"
        self.check.ended(self, status, why)
        if self.stream is not None:
            self.stream.end(self.process)


class Forget:
    """Sent until it is answered."""

    def __init__(self, world, process, cluster, check, key, slot):
        self.world, self.process, self.cluster, self.check = world, process, cluster, check
        self.key, self.slot = key, slot
        self.id = next(world.ids)
        self.sent_first = world.now
        self.is_answered = False
        self.stream = None
        self.connect(None)

    def connect(self, home):
        replica = self.cluster.pick(home)
        if replica is None or replica.is_dead:
            self.process.later(0.1, self.connect, None)
            return
        self.stream = Stream(self.process, replica, self.hear, replica.hear, self.broken, replica.broken)
        replica.streams[self.stream] = True
        self.stream.send(self.process, {"forget": True, "call": self.id, "slot": self.slot,
                                        "key": self.key})

    def hear(self, stream, message):
        if stream is not self.stream or self.is_answered:
            return
        if "forgotten" in message:
            self.is_answered = True
            self.check.forgot(self)
            stream.end(self.process)
        else:
            stream.end(self.process)
            self.process.later(0.02, self.connect, message.get("home"))

    def broken(self, stream):
        if stream is self.stream and not self.is_answered:
            self.process.later(0.05, self.connect, None)
