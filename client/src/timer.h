// SPDX-License-Identifier: Apache-2.0
// Timers of one thread: an intrusive pairing heap, so arming one never needs memory.
#ifndef SFL_CLIENT_TIMER_H
#define SFL_CLIENT_TIMER_H

#include <stdbool.h>
#include <stdint.h>

// Embedded in what it belongs to; all zero but for `fire` before its first use.
struct sfl_timer {
    void (*fire)(struct sfl_timer *timer); // may arm and disarm any timer, this one too
    uint64_t at_ms;
    struct sfl_timer *child;   // the first of those that are not earlier
    struct sfl_timer *sibling; // the next child of the same parent
    struct sfl_timer *before;  // the previous sibling, or the parent of a first child
    bool armed;
};

struct sfl_timers {
    struct sfl_timer *root; // the earliest; NULL when none is armed
};

// Arms `timer` for `at_ms`, anew if it was armed.
void sfl_timers_arm(struct sfl_timers *timers, struct sfl_timer *timer, uint64_t at_ms);

// Disarms one that is armed.
void sfl_timers_remove(struct sfl_timers *timers, struct sfl_timer *timer);

// Nothing happens when it is not armed.
static inline void sfl_timers_disarm(struct sfl_timers *timers, struct sfl_timer *timer)
{
    if (timer->armed)
        sfl_timers_remove(timers, timer);
}

// The earliest time; UINT64_MAX when none is armed.
uint64_t sfl_timers_next_ms(const struct sfl_timers *timers);

// Fires those whose time has come, the earliest first. One that is armed meanwhile for a time that
// has come fires, too.
void sfl_timers_fire(struct sfl_timers *timers, uint64_t now_ms);

#endif
