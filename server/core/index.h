// SPDX-License-Identifier: Apache-2.0
// An open-addressed hash index of pointers. It stores hashes beside the pointers, so that a miss
// touches no entry.
#ifndef SFL_CORE_INDEX_H
#define SFL_CORE_INDEX_H

#include "base/allocator.h"
#include "base/prefetch.h"

#include <stdbool.h>
#include <stdint.h>

enum { SFL_INDEX_REACH = 4 }; // most searches end within so many slots

struct sfl_index_slot {
    uint64_t hash;
    void *entry; // NULL: empty
};

struct sfl_index {
    const struct sfl_allocator *allocator;
    struct sfl_index_slot *slots;
    uint64_t capacity; // a power of two, or 0
    uint64_t count;
};

void sfl_index_init(struct sfl_index *index, const struct sfl_allocator *allocator);

// Frees the index, not its entries.
void sfl_index_deinit(struct sfl_index *index);

// Makes room for one more entry, so that the next sfl_index_insert cannot fail. False when there is
// no memory.
bool sfl_index_reserve(struct sfl_index *index);

// Lets the processor fetch the place of a hash from memory while it does something else.
static inline void sfl_index_prefetch(const struct sfl_index *index, uint64_t hash)
{
    if (index->capacity == 0)
        return;
    const struct sfl_index_slot *slot = &index->slots[hash & (index->capacity - 1)];
    sfl_prefetch(slot);
    sfl_prefetch(slot + SFL_INDEX_REACH);
}

// Adds an entry, after sfl_index_reserve. Equal hashes and equal keys may stand side by side.
void sfl_index_insert(struct sfl_index *index, uint64_t hash, void *entry);

// Takes out exactly this entry, which must be there.
void sfl_index_remove(struct sfl_index *index, uint64_t hash, const void *entry);

// Some entry of an index that is not empty: the first one from `*slot` on, in a circle. Moves
// `*slot` on.
void *sfl_index_any(const struct sfl_index *index, uint64_t *slot);

// Walks the entries of one hash: start with {0}-initialised state, NULL ends it. The index must not
// change meanwhile.
struct sfl_index_walk {
    uint64_t steps;
};
void *sfl_index_next(const struct sfl_index *index, uint64_t hash, struct sfl_index_walk *walk);

#endif
