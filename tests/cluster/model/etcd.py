# SPDX-License-Identifier: Apache-2.0
"""etcd, and who owns a slot.

That slots on etcd are owned by one member at a time, and that floors grow, has a simulator of its own
(docs/cluster-protocol.md). Here it is taken as given: the directory declares a member dead by its
silence, and hands its slots on. What remains of etcd are records, and transactions that hold only as
long as their member lives and owns the slot.
"""

BEAT = 0.5
HOLD = 4.0
SILENCE = 4.5
TRY = 0.5  # of a transaction without an answer
TOKENS_AHEAD = 5_000_000


class Slot:
    def __init__(self):
        self.owner = None  # a member's id
        self.giver = None  # "from": it acts until it has given the slot away
        self.epoch = 0
        self.floor = 1

    def acting(self):
        return self.giver or self.owner


class Etcd:
    def __init__(self, world, slots):
        self.world = world
        self.slots = [Slot() for _ in range(slots)]
        self.members = {}  # id -> replica
        self.seen = {}  # id -> when its last beat came in
        self.ceilings = {}  # of each member that ever was
        self.leads = {}  # (slot, token) -> record
        self.kept = {}  # (slot, key) -> (token, value)
        self.down_until = 0.0
        self.deaths = 0
        self.moves = 0
        world.at(0.1, self._watch_over)

    def reaches(self, replica):
        now = self.world.now
        return (self.down_until <= now and not replica.is_dead
                and self.world.cut_until(replica.place, "etcd") <= now)

    def register(self, replica):
        self.members[replica.id] = replica
        self.seen[replica.id] = self.world.now

    def beat(self, replica, sent, ceiling):
        """A try of a beat. True when it got in; its answer may still be lost."""
        if not self.reaches(replica) or replica.id not in self.members:
            return False
        self.seen[replica.id] = self.world.now
        self.ceilings[replica.id] = max(self.ceilings.get(replica.id, 0), ceiling)
        return True

    def transact(self, replica, slot, operation, done):
        """T7: tried until its fate is known. `operation` changes the records; done(was_in)."""
        world = self.world
        state = {"is_in": False}

        def attempt():
            if self.reaches(replica):
                if not state["is_in"]:
                    if replica.id not in self.members or self.slots[slot].acting() != replica.id:
                        world.at(world.latency(), replica.soon, done, False)
                        return
                    operation()
                    state["is_in"] = True
                if world.random.random() > 0.05:
                    world.at(world.latency(), replica.soon, done, True)
                    return
            world.at(TRY, replica.soon, attempt)

        world.at(world.latency(), replica.soon, attempt)

    def _watch_over(self):
        """Declares the silent dead, and gives orphaned slots away, as T3 and T4 do."""
        self.world.at(0.1, self._watch_over)
        if self.down_until > self.world.now:
            # Nobody's beats get in: the silence of all starts anew.
            for id in self.seen:
                self.seen[id] = max(self.seen[id], self.world.now)
            return
        for id in list(self.members):
            silence = SILENCE * 1.01
            if self.world.has("short_silence"):
                silence = HOLD * 0.8
            if self.world.now - self.seen[id] > silence:
                del self.members[id]
                self.deaths += 1
        self._take_orphans()

    def _take_orphans(self):
        takers = [r for r in self.members.values() if self.reaches(r) and r.may_take()]
        for number, slot in enumerate(self.slots):
            owner_lives = slot.owner in self.members
            giver_lives = slot.giver in self.members
            if slot.giver and not giver_lives and owner_lives:
                slot.giver = None  # T6d
                slot.floor = self._new_floor(slot)
                self.members[slot.owner].take(number)
            elif slot.giver and giver_lives and not owner_lives:
                self.call_off(number)  # T6b
            elif not owner_lives and not slot.giver or slot.giver and not (owner_lives or giver_lives):
                if takers:
                    taker = self.world.random.choice(takers)
                    slot.owner, slot.giver = taker.id, None
                    slot.epoch += 1
                    slot.floor = self._new_floor(slot)
                    taker.take(number)

    def _new_floor(self, slot):
        if self.world.has("no_grave"):
            return slot.floor
        return max([slot.floor, *self.ceilings.values()])

    # --- moves ---

    def give(self, number, giver, taker):
        """T5."""
        slot = self.slots[number]
        slot.owner, slot.giver = taker.id, giver.id
        slot.epoch += 1
        slot.floor = max(slot.floor, giver.ceiling)

    def finish_move(self, number):
        """T6."""
        self.slots[number].giver = None
        self.moves += 1

    def call_off(self, number):
        """T6b: the giver goes on."""
        slot = self.slots[number]
        slot.owner, slot.giver = slot.giver, None
        slot.epoch += 1
        self.members[slot.owner].thaw(number)
