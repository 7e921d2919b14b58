// SPDX-License-Identifier: Apache-2.0
// A quantity with a limit that many parts of the process use up together. The limit is exact, and
// yet no memory is written by all of them with each use.
//
// Each part has a share: an advance from which it takes, and to which it gives back, without
// anybody else. Only a share that runs dry or over goes to the budget, under its lock. Near the
// limit there are no advances, and before anything is refused, all shares are closed, which brings
// back what they did not use. So nobody is refused below the limit for what lies unused elsewhere.
#ifndef SFL_BASE_BUDGET_H
#define SFL_BASE_BUDGET_H

#include "base/list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sfl_budget {
    pthread_mutex_t lock; // guards all else; nothing is called under it
    uint64_t advance_max;
    uint64_t share_count;
    struct sfl_list open;     // shares that hold an advance
    _Atomic uint64_t granted; // what is used and what is held in advance
};

// Any thread may take from a share and give to it.
struct sfl_share {
    _Atomic int64_t left; // of the advance; SFL_SHARE_CLOSED: it has none
    _Atomic int64_t most; // what is above goes back
    struct sfl_budget *budget;
    struct sfl_link in_open; // under the budget's lock
};

enum { SFL_SHARE_CLOSED = -1 };

// A share holds at most twice `advance_max` in advance.
void sfl_budget_init(struct sfl_budget *budget, uint64_t advance_max);

// Every share must have ended before.
void sfl_budget_deinit(struct sfl_budget *budget);

// Has every share give back what it holds in advance: from now on a smaller limit is exact, too.
// Any thread.
void sfl_budget_recall(struct sfl_budget *budget);

// What is used, by all shares together. Other threads may change it meanwhile. Any thread.
uint64_t sfl_budget_used(struct sfl_budget *budget);

// What is used, and no more than what is held in advance beside it. Takes no lock.
static inline uint64_t sfl_budget_used_about(const struct sfl_budget *budget)
{
    return atomic_load_explicit(&budget->granted, memory_order_relaxed);
}

// A share of `budget`, which is borrowed. Any thread.
void sfl_share_init(struct sfl_share *share, struct sfl_budget *budget);

// All that was taken must have been given back.
void sfl_share_deinit(struct sfl_share *share);

// Under the budget's lock; called by the two below.
bool sfl_share_take_from_budget(struct sfl_share *share, uint64_t amount, uint64_t max);
void sfl_share_give_to_budget(struct sfl_share *share, uint64_t amount);

// Takes `amount` unless all shares together would use more than `max` then. False: nothing was
// taken.
static inline bool sfl_share_take(struct sfl_share *share, uint64_t amount, uint64_t max)
{
    int64_t left = atomic_load_explicit(&share->left, memory_order_relaxed);
    while (left >= 0 && (uint64_t)left >= amount) {
        if (atomic_compare_exchange_weak_explicit(&share->left, &left, left - (int64_t)amount,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return amount == 0 || sfl_share_take_from_budget(share, amount, max);
}

// Gives back what was taken from this share.
static inline void sfl_share_give(struct sfl_share *share, uint64_t amount)
{
    int64_t most = atomic_load_explicit(&share->most, memory_order_relaxed);
    int64_t left = atomic_load_explicit(&share->left, memory_order_relaxed);
    while (left >= 0 && amount <= (uint64_t)most && left <= most - (int64_t)amount) {
        // Whoever learns that nothing is used any more may end the share.
        if (atomic_compare_exchange_weak_explicit(&share->left, &left, left + (int64_t)amount,
                                                  memory_order_release, memory_order_relaxed))
            return;
    }
    if (amount > 0)
        sfl_share_give_to_budget(share, amount);
}

#endif
