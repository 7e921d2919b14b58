# SPDX-License-Identifier: Apache-2.0
"""A member of the cluster: its beats, its slots, and who may ask it what."""

from .etcd import BEAT, HOLD, TOKENS_AHEAD, TRY
from .table import Table
from .world import Process

HOME_WAIT = 10.0

ELSEWHERE, TAKING, HERE, LEAVING = "elsewhere", "taking", "here", "leaving"


class Replica(Process):
    def __init__(self, world, place, etcd, check, on_death):
        super().__init__(world, place)
        self.on_death = on_death
        self.id = next(world.ids)
        self.etcd = etcd
        self.check = check
        self.ceiling = 0
        self.hold_until = 0.0
        self.is_leaving = False
        self.streams = {}
        self.states = {number: ELSEWHERE for number in range(len(etcd.slots))}
        self.tables = {}
        self.frozen = {}  # slot -> messages that wait for the end of its move
        self.waiting = {}  # slot -> messages that wait for the slot
        self.acked = {}
        etcd.register(self)
        self._beat()
        self.soon(self._tick)

    # --- beats ---

    def _beat(self):
        if self.is_dead:
            return
        counters = [table.counter for table in self.tables.values()]
        ceiling = max([self.world_micros(), *counters]) + TOKENS_AHEAD
        self._try_beat(self.clock(), ceiling)

    def world_micros(self):
        return int(1e9 + self.world.now * 1e6)

    def _try_beat(self, sent, ceiling):
        if self.id not in self.etcd.members and self.etcd.reaches(self):
            self.die("it was declared dead")
            return
        if self.etcd.beat(self, sent, ceiling) and self.world.random.random() > 0.02:
            wait = self.world.latency()
            self.world.at(wait, self.soon, self._beaten, sent, ceiling)
            return
        self.later(TRY, self._try_beat, sent, ceiling)

    def _beaten(self, sent, ceiling):
        self.ceiling = max(self.ceiling, ceiling)
        begun = self.clock() if self.world.has("hold_from_answer") else sent
        self.hold_until = max(self.hold_until, begun + HOLD)
        self.later(BEAT, self._beat)
        for number, state in self.states.items():
            if state in (HERE, LEAVING):
                self._serve_waiting(number)

    def hold_left(self):
        if self.world.has("no_hold"):
            return HOLD
        return self.hold_until - self.clock()

    def may_take(self):
        return not self.is_leaving and self.paused_until <= self.world.now

    # --- slots ---

    def is_acting(self, number):
        return self.states[number] in (HERE, LEAVING) and self.hold_left() > 0

    def take(self, number, adopted=None):
        """The slot is mine: read its records, then serve."""
        self.states[number] = TAKING
        slot = self.etcd.slots[number]
        table = Table(self, number, slot.floor)
        epoch = slot.epoch

        def read():
            if slot.epoch != epoch or slot.acting() != self.id:
                self.states[number] = ELSEWHERE
                self._serve_waiting(number)
                return
            if not self.etcd.reaches(self):
                self.world.at(0.1, self.soon, read)
                return
            table.restore(adopted)
            self.tables[number] = table
            self.states[number] = HERE
            self.world.tell("", f"slot {number} is at {self.id}")
            self._serve_waiting(number)

        if self.world.has("serves_before_reading"):
            self.tables[number] = table
            self.states[number] = HERE
            self._serve_waiting(number)
            return
        self.world.at(self.world.latency() + 0.005, self.soon, read)

    def give(self, number, taker):
        """A planned move: adopt there, then T6 here; or called off."""
        if not self.is_acting(number) or number in self.frozen or not self.etcd.reaches(self):
            return
        self.etcd.give(number, self, taker)
        self.states[number] = LEAVING
        self.frozen[number] = []
        epoch = self.etcd.slots[number].epoch
        self.tables[number].cap = self.etcd.slots[number].floor
        self.later(1.0, self._call_off, number, epoch)
        self._export(number, taker, epoch)

    def _export(self, number, taker, epoch):
        slot = self.etcd.slots[number]
        if slot.epoch != epoch:
            return
        table = self.tables[number]
        if any(flight.is_settling for flight in table.flights()) or table.is_writing:
            self.later(0.02, self._export, number, taker, epoch)
            return
        records = table.export()

        def adopt():
            if taker.hold_left() >= 3.0:
                self.world.at(self.world.latency(), self.soon, given)

        def given():
            if slot.epoch != epoch or slot.giver != self.id or not self.etcd.reaches(self):
                return
            if not self.world.has("acts_after_giving"):
                self._stop_acting(number, taker)
            self.etcd.finish_move(number)
            taker.soon(taker.take, number, records)

        self.world.at(self._peer_latency(taker), taker.soon, adopt)

    def _peer_latency(self, other):
        cut = self.world.cut_until(self.place, other.place) - self.world.now
        return max(cut, 0) + self.world.latency()

    def _stop_acting(self, number, taker):
        self.world.tell("", f"slot {number} leaves {self.id} for {taker.id}")
        self.states[number] = ELSEWHERE
        table = self.tables.pop(number)
        table.is_over = True
        for stream, call in table.callers():
            stream.send(self, {"moved": call, "home": taker.id})
        for stream, message in self.frozen.pop(number, []):
            self._dispatch(stream, message)

    def _call_off(self, number, epoch):
        slot = self.etcd.slots[number]
        if slot.epoch != epoch or slot.giver != self.id:
            return
        if not self.etcd.reaches(self):
            self.later(0.2, self._call_off, number, epoch)
            return
        self.etcd.call_off(number)

    def thaw(self, number):
        self.states[number] = HERE
        self.tables[number].cap = float("inf")
        for stream, message in self.frozen.pop(number, []):
            self.soon(self._dispatch, stream, message)

    # --- messages ---

    def hear(self, stream, message):
        self._dispatch(stream, message)

    def _dispatch(self, stream, message, since=None):
        if stream not in self.streams and "gone" not in message:
            return
        number = message["slot"]
        is_frozen = number in self.frozen and self.states[number] == LEAVING
        if is_frozen and "renew" not in message:
            self.frozen[number].append((stream, message))
            return
        if self.is_acting(number):
            self.tables[number].hear(stream, message)
            return
        is_mine = self.states[number] in (TAKING, HERE, LEAVING)
        if is_mine and "renew" not in message:
            since = self.clock() if since is None else since
            self.waiting.setdefault(number, []).append((stream, message, since))
            self.later(HOME_WAIT, self._give_up, number, message)
        elif not is_mine and "call" in message and ("join" in message or "forget" in message):
            home = self.etcd.slots[number].acting()
            stream.send(self, {"moved": message["call"], "home": home})

    def _serve_waiting(self, number):
        for stream, message, since in self.waiting.pop(number, []):
            self._dispatch(stream, message, since)

    def _give_up(self, number, message):
        for entry in list(self.waiting.get(number, [])):
            if entry[1] is message:
                self.waiting[number].remove(entry)
                if "call" in message:
                    entry[0].send(self, {"end": message["call"], "status": "UNAVAILABLE"})

    def broken(self, stream):
        self.streams.pop(stream, None)
        for number, table in list(self.tables.items()):
            gone = {"gone": stream, "slot": number}
            if number in self.frozen:
                self.frozen[number].append((stream, gone))
            else:
                table.broken(stream)

    def _tick(self):
        self.later(0.05, self._tick)
        for number, table in list(self.tables.items()):
            if self.is_acting(number) and number not in self.frozen:
                table.tick()

    def pause(self, seconds):
        super().pause(seconds)
        self.world.tell("", f"{self.id} sleeps for {seconds} s")

    def die(self, why):
        self.world.tell("", f"{self.id} dies: {why}")
        self.is_dead = True
        for stream in list(self.streams):
            stream.end(self)
        self.on_death(self)
