// SPDX-License-Identifier: Apache-2.0
// What outlives this process, and the one interface of whoever keeps it: leads with a lease,
// retained outcomes, and runs, handed over as plain records.
//
// A keeper puts things in order and returns: what it takes is written in the order in which it was
// taken, some time later, and those that come together share what makes them last. Whoever has to
// know waits (`await`). What was taken and not awaited may be missing after a crash, or what was
// removed and not awaited be there still; after an orderly end neither is so.
//
// The data file is a keeper (server/store).
#ifndef SFL_KEEPER_KEEPER_H
#define SFL_KEEPER_KEEPER_H

#include "core/kept.h"
#include "core/run.h"

#include <stdbool.h>
#include <stdint.h>

// How a keeper fares.
// field, kind, metric, help.
#define SFL_KEEPER_STATE_LIST(X)                                                                   \
    X(failing, GAUGE, "store_failing", "1 while the disk does not take what is to be written.")    \
    X(waiting_bytes, GAUGE, "store_queue_bytes", "Bytes that have yet to be written.")             \
    X(lost, COUNTER, "store_outcomes_lost", "Outcomes to be retained that the disk did not take.") \
    X(lost_leads, COUNTER, "store_leads_unkept",                                                   \
      "Leads with a lease that the disk did not take: they hold, and do not survive a restart.")   \
    X(stuck, GAUGE, "store_stuck_removals",                                                        \
      "Removals that failed, and are tried until they succeed.")

struct sfl_keeper_state {
    bool failing;           // what it tried last could not all be written
    uint64_t waiting_bytes; // of what is not written yet
    uint64_t lost;          // outcomes that were to be retained and could not be kept, ever
    uint64_t lost_leads;    // leads with a lease that could not be kept, ever
    uint64_t stuck;         // removals that have failed, and are tried until they succeed
};

struct sfl_keeper {
    // The following are called on any thread, also under a shard's lock: they queue and return.
    // Those that return a bool say false when it will not be kept, for want of room or memory.

    // Keeps a lead, and has `on_kept` called once, as `await` does, when it is known whether a
    // restart would show it. When false is returned, it is not called. Without `on_kept` it
    // replaces the record of the same token, cannot be refused, and is tried again until it
    // succeeds. NULL, with `unlead`: leads are not kept.
    bool (*lead)(void *context, const struct sfl_kept_lead *lead,
                 void (*on_kept)(void *argument, bool is_kept), void *argument);
    // The lead of this token is over. Like `drop` it cannot be refused.
    void (*unlead)(void *context, uint64_t token);
    // What turns out to be lost later is told through sfl_engine_unkeep.
    bool (*retain)(void *context, const struct sfl_kept *outcome);
    void (*drop)(void *context, uint64_t token); // the outcome of this token
    // Has `on_kept` called once, on any thread and without a lock, when it is known whether a
    // restart would show what was queued so far: with a token, that its outcome is kept (or has
    // been, and was removed since); with 0, that everything is gone that was removed or forgotten.
    // False when too much waits: `on_kept` will not be called.
    bool (*await)(void *context, uint64_t token, void (*on_kept)(void *argument, bool is_kept),
                  void *argument);
    // Keeps a run under a number, and removes the one under another (0: none). A loss is no harm.
    void (*run)(void *context, uint64_t number, const struct sfl_run *run, uint64_t removed);

    struct sfl_keeper_state (*state)(void *context); // any thread
};

#endif
