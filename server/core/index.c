// SPDX-License-Identifier: Apache-2.0
#include "core/index.h"

#include <assert.h>
#include <string.h>

enum { FIRST_CAPACITY = 16 };

void sfl_index_init(struct sfl_index *index, const struct sfl_allocator *allocator)
{
    *index = (struct sfl_index){.allocator = allocator};
}

void sfl_index_deinit(struct sfl_index *index)
{
    if (index->slots != NULL)
        sfl_free(index->allocator, index->slots, index->capacity * sizeof(index->slots[0]));
    index->slots = NULL;
    index->capacity = 0;
    index->count = 0;
}

static void put(struct sfl_index *index, uint64_t hash, void *entry)
{
    uint64_t mask = index->capacity - 1;
    uint64_t at = hash & mask;
    while (index->slots[at].entry != NULL)
        at = (at + 1) & mask;
    index->slots[at] = (struct sfl_index_slot){hash, entry};
}

bool sfl_index_reserve(struct sfl_index *index)
{
    if (index->count + 1 <= index->capacity - index->capacity / 4)
        return true;
    uint64_t capacity = index->capacity == 0 ? FIRST_CAPACITY : index->capacity * 2;
    struct sfl_index_slot *slots = sfl_alloc(index->allocator, capacity * sizeof(slots[0]));
    if (slots == NULL)
        return false;
    memset(slots, 0, capacity * sizeof(slots[0]));

    struct sfl_index old = *index;
    index->slots = slots;
    index->capacity = capacity;
    for (uint64_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].entry != NULL)
            put(index, old.slots[i].hash, old.slots[i].entry);
    }
    sfl_index_deinit(&old);
    return true;
}

void sfl_index_insert(struct sfl_index *index, uint64_t hash, void *entry)
{
    assert(index->count < index->capacity);
    put(index, hash, entry);
    index->count++;
}

// Closes the gap at `hole` by moving back the entries that were pushed on past it (Knuth, TAOCP
// volume 3, 6.4, algorithm R).
static void close_gap(struct sfl_index *index, uint64_t hole)
{
    uint64_t mask = index->capacity - 1;
    for (uint64_t at = (hole + 1) & mask; index->slots[at].entry != NULL; at = (at + 1) & mask) {
        uint64_t home = index->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            index->slots[hole] = index->slots[at];
            hole = at;
        }
    }
    index->slots[hole].entry = NULL;
}

void sfl_index_remove(struct sfl_index *index, uint64_t hash, const void *entry)
{
    assert(index->capacity > 0);
    uint64_t mask = index->capacity - 1;
    uint64_t at = hash & mask;
    while (index->slots[at].entry != entry) {
        assert(index->slots[at].entry != NULL);
        at = (at + 1) & mask;
    }
    close_gap(index, at);
    index->count--;
}

void *sfl_index_any(const struct sfl_index *index, uint64_t *slot)
{
    assert(index->count > 0);
    void *entry = NULL;
    while (entry == NULL)
        entry = index->slots[(*slot)++ & (index->capacity - 1)].entry;
    return entry;
}

void *sfl_index_next(const struct sfl_index *index, uint64_t hash, struct sfl_index_walk *walk)
{
    if (index->count == 0)
        return NULL;
    uint64_t mask = index->capacity - 1;
    while (walk->steps < index->capacity) {
        const struct sfl_index_slot *slot = &index->slots[(hash + walk->steps) & mask];
        if (slot->entry == NULL)
            return NULL;
        walk->steps++;
        if (slot->hash == hash)
            return slot->entry;
    }
    return NULL;
}
