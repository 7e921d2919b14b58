// SPDX-License-Identifier: Apache-2.0
#include "transport/renewals.h"

#include "base/local_heap.h"

#include <assert.h>

enum { ROOM_AT_FIRST = 4 };

// A ring. The capacity is a power of two.
struct sfl_renewals {
    unsigned capacity;
    unsigned first;
    unsigned count;
    uint64_t ids[];
};

static size_t size_of(unsigned capacity)
{
    return sizeof(struct sfl_renewals) + capacity * sizeof(uint64_t);
}

static uint64_t *place(struct sfl_renewals *renewals, unsigned n)
{
    return &renewals->ids[(renewals->first + n) & (renewals->capacity - 1)];
}

// Counts the room of a larger ring for the stream. False when that would be too much.
static bool take_stream_room(atomic_uint *stream_room, unsigned more)
{
    if (atomic_fetch_add_explicit(stream_room, more, memory_order_relaxed) + more <=
        SFL_STREAM_RENEWALS_MAX)
        return true;
    atomic_fetch_sub_explicit(stream_room, more, memory_order_relaxed);
    return false;
}

static enum sfl_reason resize(struct sfl_renewals **renewals, unsigned capacity,
                              atomic_uint *stream_room)
{
    struct sfl_renewals *old = *renewals;
    if (!take_stream_room(stream_room, capacity - ROOM_AT_FIRST))
        return SFL_REASON_STREAM_RENEWALS_LIMIT;
    struct sfl_renewals *resized = sfl_alloc(&sfl_local_heap, size_of(capacity));
    if (resized == NULL) {
        atomic_fetch_sub_explicit(stream_room, capacity - ROOM_AT_FIRST, memory_order_relaxed);
        return SFL_REASON_NO_MEMORY;
    }
    resized->capacity = capacity;
    resized->first = 0;
    resized->count = old == NULL ? 0 : old->count;
    for (unsigned i = 0; i < resized->count; i++)
        resized->ids[i] = *place(old, i);
    sfl_renewals_destroy(old, stream_room);
    *renewals = resized;
    return SFL_REASON_NONE;
}

enum sfl_reason sfl_renewals_reserve(struct sfl_renewals **renewals, atomic_uint *stream_room)
{
    const struct sfl_renewals *there = *renewals;
    if (there == NULL)
        return resize(renewals, ROOM_AT_FIRST, stream_room);
    if (there->count >= SFL_RENEWALS_MAX)
        return SFL_REASON_RENEWALS_LIMIT;
    if (there->count == there->capacity)
        return resize(renewals, 2 * there->capacity, stream_room);
    if (there->count == 0 && there->capacity > ROOM_AT_FIRST)
        (void)resize(renewals, ROOM_AT_FIRST, stream_room); // there is room in any case
    return SFL_REASON_NONE;
}

void sfl_renewals_add(struct sfl_renewals *renewals, uint64_t id)
{
    assert(renewals->count < renewals->capacity);
    *place(renewals, renewals->count++) = id;
}

uint64_t sfl_renewals_take(struct sfl_renewals *renewals, bool *is_last_out)
{
    assert(renewals->count > 0);
    uint64_t id = *place(renewals, 0);
    renewals->first++;
    renewals->count--;
    *is_last_out = renewals->count == 0;
    return id;
}

void sfl_renewals_destroy(struct sfl_renewals *renewals, atomic_uint *stream_room)
{
    if (renewals == NULL)
        return;
    atomic_fetch_sub_explicit(stream_room, renewals->capacity - ROOM_AT_FIRST,
                              memory_order_relaxed);
    sfl_free(&sfl_local_heap, renewals, size_of(renewals->capacity));
}
