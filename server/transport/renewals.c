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

bool sfl_renewals_reserve(struct sfl_renewals **renewals)
{
    struct sfl_renewals *old = *renewals;
    if (old != NULL && old->count < old->capacity)
        return true;
    unsigned capacity = old == NULL ? ROOM_AT_FIRST : 2 * old->capacity;
    struct sfl_renewals *grown = sfl_alloc(&sfl_local_heap, size_of(capacity));
    if (grown == NULL)
        return false;
    grown->capacity = capacity;
    grown->first = 0;
    grown->count = old == NULL ? 0 : old->count;
    for (unsigned i = 0; i < grown->count; i++)
        grown->ids[i] = *place(old, i);
    sfl_renewals_destroy(old);
    *renewals = grown;
    return true;
}

bool sfl_renewals_are_full(const struct sfl_renewals *renewals)
{
    return renewals != NULL && renewals->count >= SFL_RENEWALS_MAX;
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

void sfl_renewals_destroy(struct sfl_renewals *renewals)
{
    if (renewals != NULL)
        sfl_free(&sfl_local_heap, renewals, size_of(renewals->capacity));
}
