# SPDX-License-Identifier: Apache-2.0
"""Time, processes, and a network between them.

Everything is an event of one queue. A process may be paused (it hears everything late, its clock runs
on) or dead. Streams are ordered, as TCP is: a message to a process behind a cut waits for the cut to
heal, unless somebody ends the stream before.
"""

import heapq
import itertools
import random

SILENCE_OF_A_STREAM = 3.0  # s: so long nothing from the other side, and a stream is taken for broken


class World:
    def __init__(self, seed, mutants=()):
        self.random = random.Random(seed)
        self.mutants = frozenset(mutants)
        self.now = 0.0
        self._queue = []
        self._order = itertools.count()
        self._cuts = {}
        self._held_back = {}
        self.slowest = 1.0  # s, of a message
        self.jitter_until = 0.0  # half of all messages are slow
        self.ids = itertools.count(1)
        self.story = []  # (key or "", line), for whoever wants to know why

    def tell(self, key, text):
        self.story.append((key, f"{self.now:9.3f} {text}"))

    def at(self, delay, function, *arguments):
        heapq.heappush(self._queue, (self.now + delay, next(self._order), function, arguments))

    def run(self, until):
        while self._queue and self._queue[0][0] <= until:
            self.now, _, function, arguments = heapq.heappop(self._queue)
            function(*arguments)
        self.now = until

    def has(self, mutant):
        return mutant in self.mutants

    def latency(self):
        """Of one message: mostly around a millisecond, sometimes a second."""
        slow = 0.5 if self.now < self.jitter_until else 0.02
        if self.random.random() >= slow:
            return self.random.expovariate(700)
        return self.random.uniform(0.02, self.slowest)

    def cut(self, one, other, seconds):
        """Nothing passes between two places; a place of "etcd" is etcd's."""
        pair = frozenset((one, other))
        self._cuts[pair] = max(self._cuts.get(pair, 0), self.now + seconds)

    def hold_back(self, sender, receiver, seconds):
        """What one says to the other comes late; not the other way round."""
        self._held_back[sender, receiver] = self.now + seconds

    def held_back_until(self, sender, receiver):
        return max(self.cut_until(sender, receiver), self._held_back.get((sender, receiver), 0))

    def cut_until(self, one, other):
        return self._cuts.get(frozenset((one, other)), 0)


class Process:
    """Something with a place, a clock of its own, and the gift to be paused or killed."""

    def __init__(self, world, place):
        self.world = world
        self.place = place
        self.is_dead = False
        self.paused_until = 0.0
        self.rate = 1 + world.random.choice([-0.005, 0, 0.005])

    def clock(self):
        return self.world.now * self.rate

    def world_time(self, clock):
        return clock / self.rate

    def pause(self, seconds):
        self.paused_until = max(self.paused_until, self.world.now + seconds)

    def later(self, seconds, function, *arguments):
        """A timer by this process' clock."""
        self.world.at(seconds / self.rate, self.soon, function, *arguments)

    def soon(self, function, *arguments):
        """Now, or when it wakes."""
        if self.is_dead:
            return
        if self.paused_until > self.world.now:
            wait = self.paused_until - self.world.now + self.world.random.random() * 1e-3
            self.world.at(wait, self.soon, function, *arguments)
            return
        function(*arguments)


class Share(Process):
    """A part of another process: it is paused and dies with it."""

    def __init__(self, whole):
        self.world, self.place, self.rate, self._whole = whole.world, whole.place, whole.rate, whole

    @property
    def is_dead(self):
        return self._whole.is_dead

    @property
    def paused_until(self):
        return self._whole.paused_until


class Stream:
    """Between a caller's process and a replica. Each side is told once that it is broken."""

    def __init__(self, client, server, on_client, on_server, on_break_client, on_break_server):
        self.client, self.server = client, server
        self._handlers = {client: on_client, server: on_server}
        self._breaks = {client: on_break_client, server: on_break_server}
        self._last = {client: 0.0, server: 0.0}
        self._silent_since = {client: None, server: None}
        self.is_open = True
        client.world.at(0.5, self._look)

    def other(self, side):
        return self.server if side is self.client else self.client

    def send(self, sender, message):
        self._pass_on(self.other(sender), self._receive, message)

    def _pass_on(self, to, function, *arguments):
        if not self.is_open:
            return
        world = to.world
        there = max(world.now + world.latency(), self._last[to] + 1e-6,
                    world.held_back_until(self.other(to).place, to.place))
        self._last[to] = there
        world.at(there - world.now, to.soon, function, to, *arguments)

    def _receive(self, to, message):
        if self.is_open:
            self._handlers[to](self, message)

    def _look(self):
        """Keepalive, seen from both sides."""
        if not self.is_open:
            return
        world = self.client.world
        for side in (self.client, self.server):
            other = self.other(side)
            is_away = (other.is_dead or other.paused_until > world.now
                       or world.cut_until(side.place, other.place) > world.now)
            if not is_away:
                self._silent_since[side] = None
            elif self._silent_since[side] is None:
                self._silent_since[side] = world.now
            elif world.now - self._silent_since[side] > SILENCE_OF_A_STREAM and not side.is_dead:
                self.end(side)
                side.soon(self._breaks[side], self)
                return
        world.at(0.5, self._look)

    def end(self, by):
        """One side ends it; the other hears it when a message would come through."""
        if not self.is_open:
            return
        other = self.other(by)
        world = by.world
        there = max(world.now + world.latency(), self._last[other] + 1e-6,
                    world.held_back_until(by.place, other.place))
        # What is on its way comes first.
        world.at(there - world.now, self._close)
        world.at(there - world.now, other.soon, self._breaks[other], self)

    def _close(self):
        self.is_open = False
