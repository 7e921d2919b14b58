# SPDX-License-Identifier: Apache-2.0
"""The flights of one slot at its home: the core of the daemon, as far as moves and deaths touch it."""

from .flight import ADOPTED, LINGER, Flight, Options, Outcome, Seat

SILENCE_OF_LEADS = 4.0  # s, of a lead without a lease that hears nothing from its home


class Table:
    def __init__(self, home, number, floor):
        self.home = home
        self.world = home.world
        self.number = number
        self.counter = floor
        self.cap = float("inf")  # while the slot is given away: the floor of its new owner
        self.current = {}  # key -> the flight that joins find
        self.next = {}  # key -> the flight of fresh callers
        self.forgotten = []
        self.ended = {}  # flight's id -> outcome that lingers
        self.kept = {}  # key -> (token, value)
        self.is_writing = 0
        self.is_over = False

    def flights(self):
        return [*self.current.values(), *self.forgotten]

    def find(self, test):
        return next((flight for flight in self.flights() if test(flight)), None)

    def patience(self, flight):
        """How long a home waits for its leader: its clock may be faster than the leader's."""
        return flight.options.lease * (1.0 if self.world.has("impatient_homes") else 1.02)

    def say(self, seat, **words):
        seat.stream.send(self.home, words)

    # --- records ---

    def write(self, operation, then):
        """T7. What nobody may know before it is in comes in `then`."""
        etcd = self.home.etcd
        if self.world.has("answers_before_the_record"):
            etcd.transact(self.home, self.number, operation, lambda was_in: None)
            then()
            return
        self.is_writing += 1

        def done(was_in):
            if not was_in or self.is_over:
                self.is_writing -= 1
            elif not self.home.is_acting(self.number) and not self.world.has("tells_after_its_hold"):
                self.home.later(0.1, done, True)
            else:
                self.is_writing -= 1
                then()

        etcd.transact(self.home, self.number, operation, done)

    def settle(self, flight, operation, then):
        """The same of one flight, whose other events wait."""
        flight.is_settling = True

        def go_on():
            then()
            self.unsettle(flight)

        self.write(operation, go_on)

    def unsettle(self, flight):
        flight.is_settling = False
        while flight.waiting and not flight.is_settling:
            function, arguments = flight.waiting.pop(0)
            function(*arguments)

    def when_settled(self, flight, function, *arguments):
        if flight.is_settling:
            flight.waiting.append((function, arguments))
        else:
            function(*arguments)

    def restore(self, adopted):
        etcd = self.home.etcd
        if adopted is not None:
            flights, self.next, ended, self.kept = adopted
            self.ended.update(ended)
            for flight in flights:
                self._place(flight)
                wait = ADOPTED if not self.world.has("adopts_without_time") else 0.05
                flight.led_until = self.home.clock() + max(self.patience(flight), wait)
                flight.awaits_until = self.home.clock() + wait
        else:
            for (number, _token), record in sorted(etcd.leads.items()):
                if number == self.number:
                    self._restore_lead(record)
        for (number, key), kept in etcd.kept.items():
            if number == self.number:
                self.kept[key] = kept

    def _restore_lead(self, record):
        flight = record.without_callers()
        self._place(flight)
        flight.led_until = self.home.clock() + self.patience(flight)
        if flight.options.lease == 0:
            self._lose(flight)

    def _place(self, flight):
        if flight.is_forgotten:
            self.forgotten.append(flight)
        else:
            self.current[flight.key] = flight

    def export(self):
        flights = [flight.without_callers() for flight in self.flights()]
        waiting = {key: flight.without_callers() for key, flight in self.next.items()}
        ended = {} if self.world.has("outcomes_stay_behind") else dict(self.ended)
        return flights, waiting, ended, dict(self.kept)

    def callers(self):
        for flight in [*self.flights(), *self.next.values()]:
            for seat in [*([flight.leader] if flight.leader else []), *flight.followers]:
                yield seat.stream, seat.call

    # --- what callers say ---

    def hear(self, stream, message):
        if "gone" in message:
            self.broken(message["gone"])
        elif "join" in message:
            self._join(stream, message)
        elif "renew" in message:
            self._renew(stream, message)
        elif "finish" in message:
            self._finish(stream, message)
        elif "forget" in message:
            self._forget(stream, message)

    def _join(self, stream, message):
        if stream not in self.home.streams:
            return
        key, seat = message["key"], Seat(stream, message["call"], message["nonce"], message["try"])
        if message.get("resume"):
            self._resume(seat, message)
            return
        if not self.world.has("no_nonce"):
            granted = self.find(lambda f: f.key == key and f.nonce == seat.nonce and f.token)
            if granted is not None:
                self.when_settled(granted, self._tell_again, granted, seat, message)
                return
        if self._return_to_flight(seat, message):
            return
        if message["fresh"]:
            self._join_fresh(seat, message)
            return
        current = self.current.get(key)
        if current is not None:
            self.when_settled(current, self._follow_current, current, seat, message)
        elif key in self.kept:
            token, value = self.kept[key]
            self.say(seat, result=seat.call, token=token, value=value, flight=None)
        else:
            self._open(seat, message)

    def _tell_again(self, flight, seat, message):
        if flight.nonce != seat.nonce or flight not in self.flights():
            self._join(seat.stream, message)
        elif not self._is_old(seat, flight.leader):
            flight.leader = seat
            self._say_lead(flight)

    def _return_to_flight(self, seat, message):
        """Its place in the flight that it had, when that is known here. True: it was answered."""
        id = message.get("flight")
        if not id or self.world.has("forgets_the_flight"):
            return False
        flight = self.find(lambda f: f.id == id)
        if flight is not None:
            self.when_settled(flight, self._follow, flight, seat, message)
            return True
        if id in self.ended and self.ended[id].value is None:
            return False  # nobody was left, so nothing came of it
        if id in self.ended:
            outcome = self.ended[id]
            self.say(seat, result=seat.call, token=outcome.token, value=outcome.value, flight=id)
            return True
        if message["options"].holds and not self.world.has("unknown_holds_run_again"):
            # It may have run: nobody here knows. What may not be tried twice is not.
            self.say(seat, end=seat.call, status="ABORTED", why="its home is gone with the outcome")
            return True
        return False

    def _open(self, seat, message):
        flight = Flight(message["key"], message["options"])
        self.current[flight.key] = flight
        self._grant(flight, seat)

    def _join_fresh(self, seat, message):
        key = message["key"]
        if key not in self.current:
            self._open(seat, message)
            return
        flight = self.next.setdefault(key, Flight(key, message["options"]))
        self._sit(flight, seat)
        self.say(seat, follow=seat.call, flight=0)

    def _follow_current(self, flight, seat, message):
        if self.current.get(flight.key) is flight:
            self._follow(flight, seat, message)
        else:
            self._join(seat.stream, message)

    def _follow(self, flight, seat, message):
        is_granted = flight.token and flight.nonce == seat.nonce and not self.world.has("no_nonce")
        if flight not in self.flights() or is_granted:
            self._join(seat.stream, message)
            return
        self._sit(flight, seat)
        self.say(seat, follow=seat.call, flight=flight.id)
        if flight.nonce == 0 and flight.leader is None and not flight.is_settling:
            self._grant(flight, flight.followers.pop(0))

    def _sit(self, flight, seat):
        """One call has one place, that of its last try: the streams of others are broken by then."""
        if any(self._is_old(seat, other) for other in flight.followers):
            return
        flight.followers = [other for other in flight.followers if other.nonce != seat.nonce]
        flight.followers.append(seat)

    def _is_old(self, seat, other):
        """A message of an older stream may come after one of a newer."""
        if other is None or other.nonce != seat.nonce or self.world.has("last_heard_wins"):
            return False
        return seat.tried < other.tried

    # --- leads ---

    def _grant(self, flight, seat):
        if not self._may_grant():
            # Until a beat is in. The flight's other events wait.
            flight.is_settling = True
            if not self.is_over:
                self.home.later(0.1, self._grant, flight, seat)
            return
        old = flight.token
        self.counter += 1
        flight.token = self.counter
        flight.id = flight.id or flight.token
        flight.attempt += 1
        flight.nonce = seat.nonce
        flight.leader = seat
        self.home.check.granted(self.home, self.number, flight)

        def lead():
            self.home.check.led(self.home, flight)
            flight.led_until = self.home.clock() + self.patience(flight)
            self._say_lead(flight)

        if flight.options.is_recorded:
            self.settle(flight, lambda: self._record(flight, old), lead)
        else:
            self.home.check.stands(flight)
            lead()
            self.unsettle(flight)

    def _may_grant(self):
        """Asked at the moment of the grant, whatever led to it."""
        if not self.home.is_acting(self.number) and not self.world.has("grants_unasked"):
            return False
        return self.counter + 1 < min(self.home.ceiling, self.cap) and not self.is_over

    def _record(self, flight, old):
        leads = self.home.etcd.leads
        leads.pop((self.number, old), None)
        leads[self.number, flight.token] = flight.without_callers()
        self.home.check.stands(flight)

    def _say_lead(self, flight):
        seat = flight.leader
        self.say(seat, lead=seat.call, token=flight.token, flight=flight.id, attempt=flight.attempt,
                 silence=self._silence(), lease=flight.options.lease)

    def _silence(self):
        """How long a lead without a lease holds from now: never longer than what I may act."""
        if self.world.has("constant_silence"):
            return SILENCE_OF_LEADS
        return min(SILENCE_OF_LEADS, self.home.hold_left())

    def _of_leader(self, stream, message):
        return self.find(lambda f: f.token == message["token"] and f.leader is not None
                         and f.leader.stream is stream)

    def _renew(self, stream, message):
        flight = self._of_leader(stream, message)
        if flight is not None and not flight.is_abandoned:
            flight.led_until = self.home.clock() + self.patience(flight)
            self.say(flight.leader, renewed=message["renew"], call=flight.leader.call,
                     silence=self._silence())

    def _resume(self, seat, message):
        flight = self.find(lambda f: f.key == message["key"] and f.token == message["resume"])
        if flight is not None:
            self.when_settled(flight, self._take_up, flight, seat, message)
            return
        for outcome in self.ended.values():
            if outcome.token == message["resume"] and outcome.value is not None:
                self.say(seat, result=seat.call, token=outcome.token, value=outcome.value,
                         flight=outcome.flight)
                return
        self.say(seat, end=seat.call, status="ABORTED", why="fenced")

    def _take_up(self, flight, seat, message):
        if flight.token != message["resume"] or flight not in self.flights():
            self._resume(seat, message)
            return
        if self._is_old(seat, flight.leader):
            return
        if flight.leader is not None and flight.leader.stream is not seat.stream:
            self.say(flight.leader, end=flight.leader.call, status="ABORTED", why="taken over")
        flight.leader = seat
        flight.led_until = self.home.clock() + self.patience(flight)
        self._say_lead(flight)

    def _finish(self, stream, message):
        flight = self.find(lambda f: f.token == message["token"])
        if flight is None:
            stream.send(self.home, {"end": message["call"], "status": "ABORTED", "why": "fenced"})
            return
        self.when_settled(flight, self._finish_settled, flight, stream, message)

    def _finish_settled(self, flight, stream, message):
        if flight not in self.flights() or flight.token != message["token"]:
            stream.send(self.home, {"end": message["call"], "status": "ABORTED", "why": "fenced"})
            return
        self._end(flight, message["value"])

    def _end(self, flight, value):
        """The outcome: recorded, then told, and the next flight begins."""
        token, keeps = flight.token, flight.options.keeps and not flight.is_forgotten
        flight.is_abandoned = value == "abandoned"

        def operation():
            etcd = self.home.etcd
            self.home.check.accepted(self.home, flight, value)
            etcd.leads.pop((self.number, token), None)
            if keeps and not flight.is_forgotten:
                etcd.kept[self.number, flight.key] = (token, value)

        def tell():
            if keeps and not flight.is_forgotten:
                self.kept[flight.key] = (token, value)
            self._remove(flight)
            outcome = Outcome(flight.id, token, value, flight.nonce, self.home.clock() + LINGER)
            self.ended[flight.id] = outcome
            for seat in [*([flight.leader] if flight.leader else []), *flight.followers]:
                self.say(seat, result=seat.call, token=token, value=value, flight=flight.id)
            self._begin_next(flight.key)

        if flight.options.is_recorded or keeps:
            self.settle(flight, operation, tell)
        else:
            self.home.check.accepted(self.home, flight, value)
            tell()

    def _remove(self, flight):
        self.world.tell(flight.key, f"{self.home.id}: flight {flight.id} is over")
        if flight in self.forgotten:
            self.forgotten.remove(flight)
        elif self.current.get(flight.key) is flight:
            del self.current[flight.key]

    def _begin_next(self, key):
        flight = self.next.get(key)
        if flight is None or key in self.current:
            return
        del self.next[key]
        if flight.followers:
            self.current[key] = flight
            self._grant(flight, flight.followers.pop(0))

    # --- losses ---

    def broken(self, stream):
        for flight in list(self.flights()):
            self.when_settled(flight, self._leave, flight, stream)
        for flight in self.next.values():
            flight.followers = [seat for seat in flight.followers if seat.stream is not stream]

    def _leave(self, flight, stream):
        if flight not in self.flights():
            return
        flight.followers = [seat for seat in flight.followers if seat.stream is not stream]
        if flight.leader is not None and flight.leader.stream is stream:
            flight.leader = None
            if flight.options.lease == 0:
                self.home.check.left(flight)
                self._lose(flight)

    def _lose(self, flight):
        """Its leader is lost: the oldest follower leads, or it is over."""
        flight.nonce = 0
        if flight.options.holds:
            self._end(flight, "abandoned")
        elif flight.followers:
            old, flight.leader = flight.leader, None
            if old is not None:
                self.say(old, end=old.call, status="ABORTED", why="lost")
            self._grant(flight, flight.followers.pop(0))
        elif self.home.clock() < flight.awaits_until and not self.world.has("ends_without_followers"):
            # Its followers have been told where it is, and are on their way: the first one leads.
            flight.leader, flight.led_until = None, flight.awaits_until
        else:
            self._drop(flight)

    def _drop(self, flight):
        if flight.leader is not None:
            self.say(flight.leader, end=flight.leader.call, status="ABORTED", why="lost")
        self._remove(flight)
        if self.home.clock() >= flight.awaits_until:
            self.home.check.came_to_nothing(flight)
        self.ended[flight.id] = Outcome(flight.id, flight.token, None, 0, self.home.clock() + LINGER)
        if flight.options.is_recorded:
            self.write(lambda: self.home.etcd.leads.pop((self.number, flight.token), None),
                       lambda: None)
        self._begin_next(flight.key)

    def tick(self):
        now = self.home.clock()
        for flight in list(self.flights()):
            is_timed = flight.options.lease > 0 or flight.leader is None
            if is_timed and flight.token and not flight.is_settling and now >= flight.led_until:
                self.home.check.ran_out(flight)
                self._lose(flight)
        self.ended = {id: outcome for id, outcome in self.ended.items() if outcome.until > now}
        for key in list(self.next):
            self._begin_next(key)

    def _forget(self, stream, message):
        key = message["key"]
        flight = self.current.get(key)
        if flight is not None:
            self.when_settled(flight, self._forget_settled, flight, stream, message)
        else:
            self._forget_settled(None, stream, message)

    def _forget_settled(self, flight, stream, message):
        key = message["key"]
        if flight is not self.current.get(key):
            self._forget(stream, message)
            return
        records = self.home.etcd

        def operation():
            records.kept.pop((self.number, key), None)
            if flight is not None:
                self.home.check.forgotten(flight)
            if flight is not None and (self.number, flight.token) in records.leads:
                records.leads[self.number, flight.token].is_forgotten = True

        def answer():
            stream.send(self.home, {"forgotten": message["call"]})

        def part():
            self.kept.pop(key, None)
            if flight is not None:
                self._part(flight)

        def part_and_answer():
            part()
            answer()
            self._begin_next(key)

        if self.world.has("forget_answers_first"):
            answer()
        if self.world.has("forget_parts_first"):
            part()
            self.write(operation, answer)
            self._begin_next(key)
        elif flight is None:
            self.write(operation, part_and_answer)
        else:
            # Who asks for the key meanwhile waits: or two flights of a key have records, and the
            # next home takes the older one for the one that counts.
            self.settle(flight, operation, part_and_answer)

    def _part(self, flight):
        """It goes on beside the key: nobody new finds it."""
        flight.is_forgotten = True
        self.world.tell(flight.key, f"{self.home.id}: flight {flight.id} is forgotten")
        del self.current[flight.key]
        self.forgotten.append(flight)
