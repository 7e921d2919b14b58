# SPDX-License-Identifier: Apache-2.0
"""A minute of a cluster: three replicas, six processes that call, and what befalls them."""

from .caller import Call, Forget
from .check import Check
from .etcd import Etcd
from .flight import Options
from .replica import HERE, Replica
from .world import Process, Share, World

SLOTS = 2
KEYS = {"a": 0, "b": 1, "c": 1}
HOLDS = {"a": 0.1, "b": 0.1, "c": 0.6}  # how many of their callers ask for it
REPLICAS = 3
CALLERS = 6
DRAIN_TIME = 15.0
TROUBLE = 50.0
AFTER = 50.0  # until every call must have ended


class Scenario:
    def __init__(self, seed, mutants=()):
        self.world = World(seed, mutants)
        self.random = self.world.random
        self.is_calm = seed % 3 == 0
        if self.is_calm:
            self.world.slowest = 0.05
        self.check = Check(self.world, self.is_calm)
        self.etcd = Etcd(self.world, SLOTS)
        self.replicas = [self._replica(f"r{i}") for i in range(REPLICAS)]
        self.processes = [Process(self.world, f"c{i}") for i in range(CALLERS)]
        self.calls = 0
        self.world.at(0.5, self._call)
        self.world.at(3, self._befall)

    def run(self):
        self.world.run(TROUBLE + AFTER)
        self.check.at_the_end()

    def _replica(self, place):
        return Replica(self.world, place, self.etcd, self.check, self._died)

    def pick(self, home):
        """The replica with that id if it is known, otherwise any that runs."""
        known = [replica for replica in self.replicas if not replica.is_dead]
        for replica in known:
            if replica.id == home:
                return replica
        return self.random.choice(known) if known else None

    # --- callers ---

    def _call(self):
        if self.world.now > TROUBLE:
            return
        self.world.at(self.random.expovariate(6), self._call)
        key = self.random.choice(list(KEYS))
        options = Options(lease=self.random.choice([0, 0, 0, 2.0, 6.0, 8.0]),
                          holds=self.random.random() < HOLDS[key], keeps=self.random.random() < 0.15)
        is_plain = self.random.random() < 0.2
        process = self.random.choice(self.processes)
        if is_plain:
            replica = self.pick(None)
            process = replica and Share(replica)
        if process is None or process.paused_until > self.world.now:
            return
        self.calls += 1
        if self.random.random() < 0.06:
            Forget(self.world, self.random.choice(self.processes), self, self.check, key, KEYS[key])
            return
        call = Call(self.world, process, self, self.check, key, KEYS[key], options,
                    fresh=self.random.random() < 0.15, is_plain=is_plain,
                    takes=self.random.choice([0.01, 0.2, 1.0, 3.0, 5.0]))
        if self.random.random() < 0.05:
            self.world.at(self.random.uniform(0.05, 3), process.soon, call.leave)

    # --- what befalls them ---

    def _befall(self):
        if self.world.now > TROUBLE:
            return
        kinds = [self._move_and_drop, self._move_and_drop, self._move_and_leave, self._move, self._drain]
        if not self.is_calm:
            kinds += [self._kill, self._pause, self._cut_etcd, self._cut_caller, self._cut_peer,
                      self._stop_etcd, self._pause_caller, self._last_words, self._forget_in_the_dark,
                      self._jitter, self._sleep_over_a_record, self._cut_leader,
                      self._die_with_an_outcome, self._leave_at_once]
        self.random.choice(kinds)()
        self.world.at(self.random.uniform(0.1, 4), self._befall)

    def _any(self):
        return self.random.choice(self.replicas)

    def _move(self):
        number = self.random.randrange(SLOTS)
        giver = next((r for r in self.replicas if r.states[number] == HERE and not r.is_dead), None)
        takers = [r for r in self.replicas if r is not giver and not r.is_dead and r.may_take()
                  and r.id in self.etcd.members]
        if giver is not None and takers and giver.id in self.etcd.members:
            giver.soon(giver.give, number, self.random.choice(takers))

    def _move_and_drop(self):
        """The connections of followers break while their slot moves."""
        self._move()
        for call in self.check.calls:
            if call.state == "following" and call.stream is not None:
                self.world.at(self.random.uniform(0, 0.02), call.lose_connection)

    def _move_and_leave(self):
        """Leaders give up just after their slot has moved."""
        self._move()
        for call in self.check.calls:
            if call.leads() and not call.options.holds:
                self.world.at(self.random.uniform(0.01, 0.08), call.process.soon, call.leave)

    def _drain(self):
        """Gives all its slots, and ends when it has none and nobody is left."""
        replica = self._any()
        if replica.is_dead or replica.is_leaving:
            return
        replica.is_leaving = True
        self.world.at(DRAIN_TIME, self._end, replica)
        self._drain_on(replica)

    def _drain_on(self, replica):
        if replica.is_dead:
            return
        owned = [n for n, slot in enumerate(self.etcd.slots) if replica.id in (slot.owner, slot.giver)]
        if not owned and not self._relays(replica):
            self._end(replica)
            return
        takers = [r for r in self.replicas if r is not replica and not r.is_dead and r.may_take()
                  and r.id in self.etcd.members]
        for number in owned:
            if takers and replica.states[number] == HERE and replica.id in self.etcd.members:
                replica.soon(replica.give, number, self.random.choice(takers))
        self.world.at(0.3, self._drain_on, replica)

    def _relays(self, replica):
        return any(call.process.place == replica.place for call in self.check.calls)

    def _end(self, replica):
        if replica.is_dead:
            return
        has_slots = any(replica.id in (slot.owner, slot.giver) for slot in self.etcd.slots)
        if not has_slots or self.world.has("signs_off_with_slots"):
            self.etcd.members.pop(replica.id, None)
        replica.die("it has left")

    def _died(self, replica):
        self.world.at(self.random.uniform(0.2, 6), self._replace, replica)

    def _replace(self, replica):
        self.replicas[self.replicas.index(replica)] = self._replica(replica.place)

    def _leave_at_once(self):
        self._end(self._any())

    def _kill(self):
        self._kill_if_alive(self._any())

    def _pause(self):
        self._any().pause(self.random.choice([0.3, 2, 3.9, 4.3, 5, 10]))

    def _pause_caller(self):
        self.random.choice(self.processes).pause(self.random.choice([1, 3, 6, 9]))

    def _cut_etcd(self):
        self.world.cut(self._any().place, "etcd", self.random.choice([1, 3, 4.2, 6]))

    def _cut_caller(self):
        self.world.cut(self._any().place, self.random.choice(self.processes).place,
                       self.random.choice([0.5, 2, 5, 10]))

    def _cut_leader(self):
        leaders = [call for call in self.check.calls if call.leads() and call.stream is not None]
        if leaders:
            call = self.random.choice(leaders)
            self.world.cut(call.process.place, call.stream.server.place, self.random.choice([5, 10]))

    def _last_words(self):
        """It dies, and what it has said comes late."""
        replica = self._any()
        if replica.is_dead:
            return
        self._hold_back(replica)
        self.world.at(self.random.uniform(0.3, 1.5), self._kill_if_alive, replica)

    def _hold_back(self, replica):
        for process in self.processes:
            self.world.hold_back(replica.place, process.place, self.random.choice([1.5, 2.5]))

    def _die_with_an_outcome(self, looks=3000):
        """Of work that may not be tried twice: it is recorded, and nobody has heard of it."""
        def is_about_to(replica):
            return any(flight.is_settling and flight.options.holds and flight.leader is not None
                       and flight.attempt == 1 and flight.led_until > 0
                       for table in replica.tables.values() for flight in table.flights())

        ending = [replica for replica in self.replicas if is_about_to(replica)]
        if ending:
            self._hold_back(ending[0])
            self.world.at(0.05, self._kill_if_alive, ending[0])
        elif looks > 0:
            self.world.at(0.001, self._die_with_an_outcome, looks - 1)

    def _forget_in_the_dark(self):
        """A home dies that etcd did not hear any more."""
        replica, key = self._any(), self.random.choice(list(KEYS))
        self.world.cut(replica.place, "etcd", 3)
        Forget(self.world, self.random.choice(self.processes), self, self.check, key, KEYS[key])
        self.world.at(self.random.uniform(0.5, 2.5), self._kill_if_alive, replica)

    def _jitter(self):
        """What was sent later often comes earlier, and connections break."""
        self.world.jitter_until = self.world.now + 3
        for call in self.check.calls:
            for _ in range(3):
                self.world.at(self.random.uniform(0, 3), call.lose_connection)

    def _sleep_over_a_record(self, looks=1000):
        """It hears late that a record of its is in."""
        writing = [r for r in self.replicas if any(table.is_writing for table in r.tables.values())]
        if writing:
            writing[0].pause(self.random.choice([6, 10]))
        elif looks > 0:
            self.world.at(0.001, self._sleep_over_a_record, looks - 1)

    def _kill_if_alive(self, replica):
        if not replica.is_dead:
            replica.die("killed")

    def _cut_peer(self):
        self.world.cut(self._any().place, self._any().place, self.random.choice([1, 5]))

    def _stop_etcd(self):
        self.etcd.down_until = self.world.now + self.random.choice([1, 3, 6, 15])
