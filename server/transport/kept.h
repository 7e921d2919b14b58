// SPDX-License-Identifier: Apache-2.0
// Leaders of Sessions whose outcome is on its way to the disk. For the core they are over, so the
// time at which they want to know no more is kept here.
#ifndef SFL_TRANSPORT_KEPT_H
#define SFL_TRANSPORT_KEPT_H

#include "core/deadlines.h"

#include <pthread.h>

// Lock order: a shard's, then this one's, then an outbox's.
struct sfl_kept_waits {
    pthread_mutex_t lock;
    struct sfl_deadlines deadlines; // under the lock, and so are those armed in it
    uint64_t tick_ms;               // when the next tick is expected; under the lock
    void (*on_earlier_tick)(void *context);
    void *tick_context;
};

// `on_earlier_tick`: an earlier tick is wanted than the last one said. Any thread, under locks.
void sfl_kept_waits_init(struct sfl_kept_waits *waits, void (*on_earlier_tick)(void *context),
                         void *tick_context);
void sfl_kept_waits_deinit(struct sfl_kept_waits *waits);

void sfl_kept_waits_arm(struct sfl_kept_waits *waits, struct sfl_deadline *deadline,
                        uint64_t at_ms);

// From the return on, no tick looks at it. Nothing else happens when it is not armed.
void sfl_kept_waits_disarm(struct sfl_kept_waits *waits, struct sfl_deadline *deadline);

// Calls `expire` for each that is due, under the lock, and returns when to call it next at the
// latest.
uint64_t sfl_kept_waits_tick(struct sfl_kept_waits *waits, uint64_t now_ms,
                             void (*expire)(struct sfl_deadline *deadline));

#endif
