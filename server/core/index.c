// SPDX-License-Identifier: Apache-2.0
#include "core/index.h"

#include <assert.h>
#include <string.h>

// An index that is more than 11/16 full begins to move to an array of twice the size. With each
// entry that comes then, so many slots are cleared and later moved that it is done at 3/4. One that
// is less than 1/8 full begins to move to a quarter of the size, with each entry that comes or
// goes; it is done when at most an eighth of that has come on top of a half.
enum {
    FIRST_CAPACITY = 16,
    SHRINKS_FROM = 1024,
    SHRINKS_BY = 4,
    CLEARED_AT_ONCE = 64,
    MOVED_AT_ONCE = 32,
};

static const uint64_t NOWHERE = UINT64_MAX;

static void free_array(struct sfl_index *index, struct sfl_index_array *array)
{
    if (array->slots != NULL)
        sfl_free(index->allocator, array->slots, array->capacity * sizeof(array->slots[0]));
    *array = (struct sfl_index_array){NULL, 0};
}

void sfl_index_init(struct sfl_index *index, const struct sfl_allocator *allocator)
{
    *index = (struct sfl_index){.allocator = allocator};
}

void sfl_index_deinit(struct sfl_index *index)
{
    free_array(index, &index->now);
    free_array(index, &index->next);
    index->count = 0;
}

// --- one array ---

static void put(const struct sfl_index_array *array, uint64_t hash, void *entry)
{
    uint64_t mask = array->capacity - 1;
    uint64_t at = hash & mask;
    while (array->slots[at].entry != NULL)
        at = (at + 1) & mask;
    array->slots[at] = (struct sfl_index_slot){hash, entry};
}

static uint64_t find(const struct sfl_index_array *array, uint64_t hash, const void *entry)
{
    uint64_t mask = array->capacity - 1;
    uint64_t at = hash & mask;
    while (array->slots[at].entry != entry) {
        if (array->slots[at].entry == NULL)
            return NOWHERE;
        at = (at + 1) & mask;
    }
    return at;
}

// Closes the gap at `hole` by moving back the entries that were pushed on past it (Knuth, TAOCP
// volume 3, 6.4, algorithm R).
static void close_gap(const struct sfl_index_array *array, uint64_t hole)
{
    uint64_t mask = array->capacity - 1;
    for (uint64_t at = (hole + 1) & mask; array->slots[at].entry != NULL; at = (at + 1) & mask) {
        uint64_t home = array->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            array->slots[hole] = array->slots[at];
            hole = at;
        }
    }
    array->slots[hole].entry = NULL;
}

static void *next_in(const struct sfl_index_array *array, uint64_t hash, uint64_t *steps)
{
    uint64_t mask = array->capacity - 1;
    while (*steps < array->capacity) {
        const struct sfl_index_slot *slot = &array->slots[(hash + *steps) & mask];
        if (slot->entry == NULL)
            return NULL;
        (*steps)++;
        if (slot->hash == hash)
            return slot->entry;
    }
    return NULL;
}

// --- growing and shrinking ---

static bool has_next(const struct sfl_index *index)
{
    return index->next.slots != NULL;
}

// Entries come to `next` only now, and go from `now` to it.
static bool is_moving(const struct sfl_index *index)
{
    return has_next(index) && index->cleared == index->next.capacity;
}

static bool begin_to_move(struct sfl_index *index, uint64_t capacity)
{
    struct sfl_index_slot *slots = sfl_alloc(index->allocator, capacity * sizeof(slots[0]));
    if (slots == NULL)
        return false;
    index->next = (struct sfl_index_array){slots, capacity};
    index->cleared = 0;
    index->moved = 0;
    return true;
}

static void clear_some(struct sfl_index *index)
{
    uint64_t left = index->next.capacity - index->cleared;
    uint64_t count = left < CLEARED_AT_ONCE ? left : CLEARED_AT_ONCE;
    memset(&index->next.slots[index->cleared], 0, count * sizeof(index->next.slots[0]));
    index->cleared += count;
}

// Moves whole runs of entries: those behind a gap would not be found.
static void move_some(struct sfl_index *index)
{
    const struct sfl_index_array *now = &index->now;
    uint64_t end = index->moved + MOVED_AT_ONCE;
    while (index->moved < now->capacity &&
           (index->moved < end || now->slots[index->moved].entry != NULL)) {
        struct sfl_index_slot *slot = &now->slots[index->moved++];
        if (slot->entry != NULL)
            put(&index->next, slot->hash, slot->entry);
        slot->entry = NULL;
    }
    if (index->moved < now->capacity)
        return;
    free_array(index, &index->now);
    index->now = index->next;
    index->next = (struct sfl_index_array){NULL, 0};
}

static void go_on(struct sfl_index *index)
{
    if (is_moving(index))
        move_some(index);
    else
        clear_some(index);
}

// An entry has gone. Without memory the index stays as large as it is.
static void shrink_some(struct sfl_index *index)
{
    uint64_t capacity = index->now.capacity;
    if (!has_next(index)) {
        if (capacity < SHRINKS_FROM || index->count >= capacity / 8)
            return;
        if (!begin_to_move(index, capacity / SHRINKS_BY))
            return;
    }
    if (index->next.capacity < capacity)
        go_on(index);
}

bool sfl_index_reserve(struct sfl_index *index)
{
    uint64_t capacity = index->now.capacity;
    if (!has_next(index)) {
        if (index->count < capacity / 16 * 11)
            return true;
        if (!begin_to_move(index, capacity == 0 ? FIRST_CAPACITY : capacity * 2))
            return index->count < capacity / 4 * 3;
    }
    go_on(index);
    // The first array of all is there at once.
    if (capacity == 0)
        move_some(index);
    return true;
}

// --- the whole ---

void sfl_index_insert(struct sfl_index *index, uint64_t hash, void *entry)
{
    assert(index->count < index->now.capacity);
    put(is_moving(index) ? &index->next : &index->now, hash, entry);
    index->count++;
}

void sfl_index_remove(struct sfl_index *index, uint64_t hash, const void *entry)
{
    const struct sfl_index_array *array = &index->now;
    assert(array->capacity > 0);
    uint64_t at = find(array, hash, entry);
    if (at == NOWHERE) {
        assert(is_moving(index));
        array = &index->next;
        at = find(array, hash, entry);
        assert(at != NOWHERE);
    }
    close_gap(array, at);
    index->count--;
    shrink_some(index);
}

uint64_t sfl_index_slots(const struct sfl_index *index)
{
    return index->now.capacity + (is_moving(index) ? index->next.capacity : 0);
}

void *sfl_index_at(const struct sfl_index *index, uint64_t slot)
{
    if (slot < index->now.capacity)
        return index->now.slots[slot].entry;
    return index->next.slots[slot - index->now.capacity].entry;
}

void *sfl_index_any(const struct sfl_index *index, uint64_t *slot)
{
    assert(index->count > 0);
    uint64_t slots = sfl_index_slots(index);
    void *entry = NULL;
    while (entry == NULL)
        entry = sfl_index_at(index, (*slot)++ % slots);
    return entry;
}

void *sfl_index_next(const struct sfl_index *index, uint64_t hash, struct sfl_index_walk *walk)
{
    if (index->count == 0)
        return NULL;
    if (!walk->in_next) {
        void *entry = next_in(&index->now, hash, &walk->steps);
        if (entry != NULL || !is_moving(index))
            return entry;
        *walk = (struct sfl_index_walk){.in_next = true};
    }
    return next_in(&index->next, hash, &walk->steps);
}
