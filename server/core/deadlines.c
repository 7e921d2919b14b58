// SPDX-License-Identifier: Apache-2.0
// A deadline stands on the level of the highest bit in which it differs from `now_ms`, so all of a
// lower level are due before any of a higher one, and on one level the slots are due in order.
#include "core/deadlines.h"

#include <assert.h>

enum { SLOT_MASK = SFL_WHEEL_SLOTS - 1, SPREAD_AT_ONCE = 64 };

void sfl_deadlines_init(struct sfl_deadlines *wheel, uint64_t now_ms)
{
    wheel->now_ms = now_ms;
    wheel->levels = 0;
    wheel->spreading = 0;
    for (unsigned level = 0; level < SFL_WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < SFL_WHEEL_SLOTS; slot++)
            sfl_list_init(&wheel->slots[level][slot]);
    }
}

void sfl_deadline_init(struct sfl_deadline *deadline, enum sfl_deadline_kind kind)
{
    sfl_link_init(&deadline->link);
    deadline->at_ms = UINT64_MAX;
    deadline->kind = kind;
    deadline->slot = 0;
}

static unsigned level_of(uint64_t differing)
{
    if (differing < SFL_WHEEL_SLOTS)
        return 0;
    return (63 - (unsigned)__builtin_clzll(differing)) / SFL_WHEEL_BITS;
}

static unsigned slot_at(uint64_t at_ms, unsigned level)
{
    return (unsigned)(at_ms >> (SFL_WHEEL_BITS * level)) & SLOT_MASK;
}

// Where a deadline stands for now: what is past is due now, what is beyond the wheel is due at its
// far end, which no clock that counts from the start of a machine comes to see.
static uint64_t place_of(const struct sfl_deadlines *wheel, uint64_t at_ms)
{
    uint64_t far_end = wheel->now_ms | ((UINT64_C(1) << (SFL_WHEEL_BITS * SFL_WHEEL_LEVELS)) - 1);
    if (at_ms < wheel->now_ms)
        return wheel->now_ms;
    return at_ms > far_end ? far_end : at_ms;
}

void sfl_deadline_arm(struct sfl_deadlines *wheel, struct sfl_deadline *deadline, uint64_t at_ms)
{
    sfl_deadline_disarm(wheel, deadline);
    uint64_t place = place_of(wheel, at_ms);
    unsigned level = level_of(place ^ wheel->now_ms);
    unsigned slot = slot_at(place, level);
    deadline->at_ms = at_ms;
    deadline->slot = (uint16_t)(level * SFL_WHEEL_SLOTS + slot);
    sfl_list_append(&wheel->slots[level][slot], &deadline->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
    wheel->levels |= 1U << level;
}

void sfl_deadline_disarm(struct sfl_deadlines *wheel, struct sfl_deadline *deadline)
{
    if (!sfl_link_is_linked(&deadline->link))
        return;
    unsigned level = deadline->slot / SFL_WHEEL_SLOTS;
    unsigned slot = deadline->slot % SFL_WHEEL_SLOTS;
    sfl_link_remove(&deadline->link);
    if (!sfl_list_is_empty(&wheel->slots[level][slot]))
        return;
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    if (wheel->occupied[level] == 0)
        wheel->levels &= ~(1U << level);
}

// The earliest slot that holds anything. False when none does.
static bool find_slot(const struct sfl_deadlines *wheel, unsigned *level_out, uint64_t *start_out)
{
    if (wheel->levels == 0)
        return false;
    unsigned level = (unsigned)__builtin_ctz(wheel->levels);
    unsigned slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);
    unsigned shift = SFL_WHEEL_BITS * level;
    uint64_t above = ~((UINT64_C(1) << (shift + SFL_WHEEL_BITS)) - 1);
    *level_out = level;
    *start_out = (wheel->now_ms & above) | ((uint64_t)slot << shift);
    return true;
}

static struct sfl_deadline *first_of(const struct sfl_list *slot)
{
    struct sfl_link *link = sfl_list_first(slot);
    return link == NULL ? NULL : SFL_CONTAINER_OF(link, struct sfl_deadline, link);
}

// Goes on with the slot that began at now_ms: at most `*left` of its deadlines go to the levels
// below. Until all have, none of them may be taken: those that are left may be due before.
static void spread_some(struct sfl_deadlines *wheel, unsigned *left)
{
    unsigned level = wheel->spreading;
    struct sfl_list *slot = &wheel->slots[level][slot_at(wheel->now_ms, level)];
    struct sfl_deadline *deadline;
    while (*left > 0 && (deadline = first_of(slot)) != NULL) {
        sfl_deadline_arm(wheel, deadline, deadline->at_ms);
        (*left)--;
    }
    if (sfl_list_is_empty(slot))
        wheel->spreading = 0;
}

struct sfl_deadline *sfl_deadlines_take(struct sfl_deadlines *wheel, uint64_t now_ms,
                                        bool *more_out)
{
    unsigned left = SPREAD_AT_ONCE;
    unsigned level;
    uint64_t start;
    *more_out = true;
    while (wheel->spreading > 0 || (find_slot(wheel, &level, &start) && start <= now_ms)) {
        if (wheel->spreading > 0) {
            spread_some(wheel, &left);
            if (left == 0)
                return NULL;
            continue;
        }
        assert(start >= wheel->now_ms);
        wheel->now_ms = start;
        if (level == 0) {
            struct sfl_deadline *deadline = first_of(&wheel->slots[0][slot_at(start, 0)]);
            sfl_deadline_disarm(wheel, deadline);
            return deadline;
        }
        wheel->spreading = level;
    }
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
    *more_out = false;
    return NULL;
}

uint64_t sfl_deadlines_next_ms(const struct sfl_deadlines *wheel)
{
    unsigned level;
    uint64_t start;
    if (wheel->spreading > 0)
        return wheel->now_ms;
    return find_slot(wheel, &level, &start) ? start : UINT64_MAX;
}
