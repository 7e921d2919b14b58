// SPDX-License-Identifier: Apache-2.0
// An open-addressed hash index of pointers. It stores hashes beside the pointers, so that a miss
// touches no entry.
//
// It grows a little with each entry that comes, so that nobody waits while a large index is copied:
// some of its entries stand in the old array then, and some in one of twice the size. In the same
// way it shrinks when most entries have gone.
#ifndef SFL_CORE_INDEX_H
#define SFL_CORE_INDEX_H

#include "base/allocator.h"
#include "base/prefetch.h"

#include <stdbool.h>
#include <stdint.h>

struct sfl_index_slot {
    uint64_t hash;
    void *entry; // NULL: empty
};

struct sfl_index_array {
    struct sfl_index_slot *slots;
    uint64_t capacity; // a power of two, or 0
};

struct sfl_index {
    const struct sfl_allocator *allocator;
    struct sfl_index_array now;
    struct sfl_index_array next; // the other one, while the index grows or shrinks
    uint64_t cleared;            // so many slots of `next` are; with the last one, it is in use
    uint64_t moved;              // so many slots of `now` have been
    uint64_t count;
};

void sfl_index_init(struct sfl_index *index, const struct sfl_allocator *allocator);

// Frees the index, not its entries.
void sfl_index_deinit(struct sfl_index *index);

// Makes room for one more entry, so that the next sfl_index_insert cannot fail. False when there is
// no memory.
bool sfl_index_reserve(struct sfl_index *index);

static inline void sfl_index_array_prefetch(const struct sfl_index_array *array, uint64_t hash)
{
    enum { REACH = 4 }; // most searches end within so many slots, which may be the next cache line
    const struct sfl_index_slot *slot = &array->slots[hash & (array->capacity - 1)];
    sfl_prefetch(slot);
    sfl_prefetch(slot + REACH);
}

// Lets the processor fetch the place of a hash from memory while it does something else.
static inline void sfl_index_prefetch(const struct sfl_index *index, uint64_t hash)
{
    if (index->now.capacity > 0)
        sfl_index_array_prefetch(&index->now, hash);
    if (index->next.capacity > 0)
        sfl_index_array_prefetch(&index->next, hash);
}

// Adds an entry, after sfl_index_reserve. Equal hashes and equal keys may stand side by side.
void sfl_index_insert(struct sfl_index *index, uint64_t hash, void *entry);

// Takes out exactly this entry, which must be there.
void sfl_index_remove(struct sfl_index *index, uint64_t hash, const void *entry);

// The index seen as a row of so many slots, and the entry in one of them; NULL for an empty one.
uint64_t sfl_index_slots(const struct sfl_index *index);
void *sfl_index_at(const struct sfl_index *index, uint64_t slot);

// Some entry of an index that is not empty: the first one from `*slot` on, in a circle. Moves
// `*slot` on.
void *sfl_index_any(const struct sfl_index *index, uint64_t *slot);

// Walks the entries of one hash: start with {0}-initialised state, NULL ends it. The index must not
// change meanwhile.
struct sfl_index_walk {
    uint64_t steps;
    bool in_next;
};
void *sfl_index_next(const struct sfl_index *index, uint64_t hash, struct sfl_index_walk *walk);

#endif
