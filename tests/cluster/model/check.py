# SPDX-License-Identifier: Apache-2.0
"""What must hold, seen by somebody who sees everything."""


class Violation(Exception):
    pass


class Check:
    def __init__(self, world, is_calm):
        self.world = world
        self.is_calm = is_calm  # nothing but moves: then nobody sees anything but a result
        self.calls = []
        self.tokens = {}  # key -> the greatest token granted
        self.acting = {}  # slot -> (epoch, home)
        self.grants = {}  # flight -> [times]
        self.outcomes = {}  # flight -> (token, value)
        self.values = set()  # (token, value) of all accepted
        self.last_token = {}  # flight -> token, of the last grant that stands
        self.holding = set()  # flights with HOLD
        self.nothing = set()  # flights that ended without an outcome
        self.excused = set()  # tokens whose caller left by itself
        self.forgets = {}  # key -> [(sent, answered)]
        self.over = set()  # flights that do not stand in the way of another one any more
        self.told = {}  # key -> the last token that somebody was told, of a flight not forgotten
        self.statuses = {}
        self.flight_of_token = {}

    def bad(self, text):
        raise Violation(f"{self.world.now:.3f} s: {text}")

    # --- homes ---

    def granted(self, home, slot, flight):
        self.world.tell(flight.key, f"{home.id} grants {flight.token} of flight {flight.id}")
        # While a slot is given away, its giver acts in the epoch before.
        now = home.etcd.slots[slot]
        epoch = now.epoch - 1 if now.giver else now.epoch
        last_epoch, last_home = self.acting.get(slot, (0, home.id))
        if last_home != home.id and epoch == last_epoch:
            self.bad(f"slot {slot}: {home.id} and {last_home} both act in epoch {epoch}")
        if home.etcd.slots[slot].acting() == home.id:
            self.acting[slot] = (epoch, home.id)
        elif last_home != home.id and last_epoch > 0:
            self.bad(f"slot {slot}: {home.id} acts, though {last_home} did after it")
        if flight.token <= self.tokens.get(flight.key, 0):
            self.bad(f"{flight.key}: token {flight.token} after {self.tokens[flight.key]}")
        self.tokens[flight.key] = flight.token
        self.grants.setdefault((flight.key, flight.id), []).append(self.world.now)
        self.flight_of_token[flight.key, flight.token] = flight.id
        if flight.options.holds:
            self.holding.add((flight.key, flight.id))
        if flight.options.holds and len(self.grants[flight.key, flight.id]) > 1:
            self.bad(f"flight {flight.id} holds, and has a second leader")

    def stands(self, flight):
        """Its grant is in: before that nobody knows of it, and a next home need not."""
        self.last_token[flight.key, flight.id] = flight.token

    def _stands_aside(self, call):
        """Its flight is over or forgotten, or its connection broke before."""
        return (call.key, call.token) in self.excused or (call.key, call.flight) in self.over

    def led(self, home, flight):
        """Somebody is about to be told that it leads."""
        if flight.is_forgotten:
            self.over.add((flight.key, flight.id))
            return
        self.told[flight.key] = flight.token
        for call in self.calls:
            is_other = call.key == flight.key and call.token and call.token != flight.token
            if not is_other or self._stands_aside(call):
                continue
            if call.believes_until() > self.world.now:
                self.bad(f"{flight.key}: token {flight.token} is told, and call {call.id} believes in "
                         f"{call.token} for {call.believes_until() - self.world.now:.3f} s")

    def believes(self, call):
        """The same from the other side: it goes on to believe, and somebody else was told meanwhile."""
        is_stale = call.believes_until() > self.world.now and self.told.get(call.key, 0) > call.token
        if is_stale and not self._stands_aside(call):
            self.bad(f"{call.key}: call {call.id} believes in {call.token}, and token "
                     f"{self.told[call.key]} has been told")

    def ran_out(self, flight):
        if any(seat.nonce == flight.nonce for seat in flight.followers):
            self.bad(f"{flight.key}: the lead of {flight.token} ran out, and its caller, who was never "
                     "told of it, follows")

    def left(self, flight):
        self.excused.add((flight.key, flight.token))

    def came_to_nothing(self, flight):
        """Its leader left, and no connection of a follower was whole."""
        self.nothing.add((flight.key, flight.id))

    def forgotten(self, flight):
        self.over.add((flight.key, flight.id))

    def accepted(self, home, flight, value):
        """Its outcome is decided, if not yet told."""
        self.world.tell(flight.key, f"{home.id} accepts {value} of flight {flight.id}")
        if (flight.key, flight.id) in self.outcomes:
            self.bad(f"flight {flight.id} has a second outcome")
        if flight.token != self.last_token.get((flight.key, flight.id)):
            self.bad(f"flight {flight.id}: an outcome of token {flight.token}, not the last one")
        self.outcomes[flight.key, flight.id] = (flight.token, value)
        self.values.add((flight.key, flight.token, value))
        self.over.add((flight.key, flight.id))

    # --- callers ---

    def began(self, call):
        self.calls.append(call)

    def leads(self, call, flight):
        if call.options.holds and call.flight != flight and (call.key, call.flight) in self.holding:
            self.bad(f"call {call.id} was in flight {call.flight}, whose work may not be tried twice, "
                     f"and leads {flight}")

    def runs(self, call):
        if call.options.holds and call.runs > 1:
            self.bad(f"call {call.id}: what may not be tried twice is run again")

    def delivered(self, call, message):
        token, value = message["token"], message["value"]
        if (call.key, token, value) not in self.values:
            self.bad(f"call {call.id}: a result nobody accepted: {token} {value}")
        flight = self.flight_of_token[call.key, token]
        told = message["flight"]
        if told is not None and self.outcomes.get((call.key, told)) != (token, value):
            self.bad(f"call {call.id}: the result of another flight")
        first = self.grants[call.key, flight][0]
        if call.fresh and first < call.began:
            self.bad(f"call {call.id} is fresh, and gets what began before it")
        for sent, answered in self.forgets.get(call.key, []):
            if answered < call.began and first < sent:
                self.bad(f"call {call.id} gets what was forgotten before it came")
        had = call.flight
        if self.is_calm and had and had != flight and (call.key, had) not in self.nothing:
            self.bad(f"call {call.id} was in flight {had}, and gets the result of {flight}")

    def ended(self, call, status, why):
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if self.is_calm and status not in ("OK", "CANCELLED"):
            self.bad(f"call {call.id} sees {status} ({why}), and nothing but moves has happened")
        if call in self.calls:
            self.calls.remove(call)

    def forgot(self, forget):
        self.forgets.setdefault(forget.key, []).append((forget.sent_first, self.world.now))

    def at_the_end(self):
        late = [call for call in self.calls if not call.process.is_dead]
        if late:
            call = late[0]
            self.bad(f"{len(late)} calls never end; call {call.id} of {call.key} is {call.state}")
