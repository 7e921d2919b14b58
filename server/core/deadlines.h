// SPDX-License-Identifier: Apache-2.0
// A hierarchical timing wheel (Varghese and Lauck, 1987): arming, disarming and finding the next
// deadline are O(1), and none of them allocates, so none can fail.
#ifndef SFL_CORE_DEADLINES_H
#define SFL_CORE_DEADLINES_H

#include "base/list.h"

#include <stdint.h>

enum {
    SFL_WHEEL_BITS = 6,
    SFL_WHEEL_SLOTS = 1 << SFL_WHEEL_BITS,
    SFL_WHEEL_LEVELS = 7, // 2^42 ms, which is 139 years
};

enum sfl_deadline_kind {
    SFL_DEADLINE_CALLER,   // a caller's own deadline
    SFL_DEADLINE_PAGE,     // the earliest lease, run_limit or retention of a page of flights
    SFL_DEADLINE_AUDIENCE, // an audience message that was held back
};

struct sfl_deadline {
    struct sfl_link link;
    uint64_t at_ms;
    enum sfl_deadline_kind kind;
    uint16_t slot; // where in the wheel it is linked
};

struct sfl_deadlines {
    uint64_t now_ms;    // deadlines up to here have been taken
    unsigned levels;    // those that hold anything, a bit each
    unsigned spreading; // the level whose slot of now_ms is being spread over those below; or 0
    uint64_t occupied[SFL_WHEEL_LEVELS];
    struct sfl_list slots[SFL_WHEEL_LEVELS][SFL_WHEEL_SLOTS];
};

void sfl_deadlines_init(struct sfl_deadlines *wheel, uint64_t now_ms);

void sfl_deadline_init(struct sfl_deadline *deadline, enum sfl_deadline_kind kind);

static inline bool sfl_deadline_is_armed(const struct sfl_deadline *deadline)
{
    return sfl_link_is_linked(&deadline->link);
}

// Arms a deadline, or moves one that is armed.
void sfl_deadline_arm(struct sfl_deadlines *wheel, struct sfl_deadline *deadline, uint64_t at_ms);

// Nothing happens when it is not armed. Its at_ms stays what it was.
void sfl_deadline_disarm(struct sfl_deadlines *wheel, struct sfl_deadline *deadline);

// Takes one deadline that is due at `now_ms`, disarmed, or works towards it: a call does a bounded
// amount of work, and so may find none although there are some. `more_out`: call again.
struct sfl_deadline *sfl_deadlines_take(struct sfl_deadlines *wheel, uint64_t now_ms,
                                        bool *more_out);

// A time at or before the earliest deadline (exact within the next 64 ms, early by at most the
// width of its slot beyond); UINT64_MAX when none is armed.
uint64_t sfl_deadlines_next_ms(const struct sfl_deadlines *wheel);

#endif
