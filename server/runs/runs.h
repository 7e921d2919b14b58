// SPDX-License-Identifier: Apache-2.0
// The flights that have ended, for those who look back the morning after: the newest ones, in
// memory, in the log, and with a keeper beyond the process.
//
// Every function may be called from any thread unless it says otherwise.
#ifndef SFL_RUNS_RUNS_H
#define SFL_RUNS_RUNS_H

#include "base/status.h"
#include "keeper/keeper.h"

struct sfl_runs;

// field, kind, metric, help.
#define SFL_RUNS_COUNTS_LIST(X)                                                                    \
    X(added, COUNTER, "runs", "Flights that have ended and were put down as runs.")                \
    X(kept, GAUGE, "runs_kept", "Runs that are remembered.")

struct sfl_runs_counts {
#define SFL_RUNS_FIELD(field, kind, metric, help) uint64_t field;
    SFL_RUNS_COUNTS_LIST(SFL_RUNS_FIELD)
#undef SFL_RUNS_FIELD
};

struct sfl_runs_options {
    uint64_t limit;                  // so many are kept, the newest ones; not 0
    const struct sfl_keeper *keeper; // borrowed; NULL: they end with the process
    void *keeper_context;
    // Some have come, and sfl_runs_log is to be called. It is not told again until that has said
    // that there was nothing. Also under a shard's lock: must not block.
    void (*on_added)(void *context);
    void *context;
};

enum sfl_status sfl_runs_create(const struct sfl_runs_options *options,
                                struct sfl_runs **runs_out) SFL_MUST_USE;

void sfl_runs_destroy(struct sfl_runs *runs);

// Adds one, which is copied; the oldest makes room. Also under a shard's lock: it queues and
// returns. The number that it has from now on; 0: it is lost, for want of memory.
uint64_t sfl_runs_add(struct sfl_runs *runs, const struct sfl_run *run);

// So many callers have got the retained outcome of this run by now. Nothing happens when it has
// made room meanwhile.
void sfl_runs_set_hits(struct sfl_runs *runs, uint64_t number, uint64_t hits);

// Adds to every run the hits that nobody has set yet, at the end of the process: so many callers
// have got its outcome, which is still retained. `hits_of` is called without a lock.
void sfl_runs_add_hits(struct sfl_runs *runs,
                       uint64_t (*hits_of)(void *context, const struct sfl_run *run),
                       void *context);

// Puts in one that an earlier process added, before the first is added; from the newest to the
// oldest. False when it is too old.
bool sfl_runs_restore(struct sfl_runs *runs, uint64_t number, const struct sfl_run *run);

struct sfl_runs_counts sfl_runs_count(struct sfl_runs *runs);

// A listing in pieces, from the newest to the oldest: `cursor` starts as {0}. Calls `visit` for
// some runs, under a lock, until it returns false; spans are borrowed. False at the end.
struct sfl_runs_cursor {
    uint64_t number; // of the last one that was visited
};
bool sfl_runs_visit(struct sfl_runs *runs, struct sfl_runs_cursor *cursor,
                    bool (*visit)(void *context, const struct sfl_run *run), void *context);

// Writes a line to the log for each that has come since the last call; when they are many, for some
// of them, and how many there were beside those. True when there were any: it is to be called again
// after a while, so that whoever adds need not wake anybody meanwhile. One thread, without a lock.
bool sfl_runs_log(struct sfl_runs *runs);

#endif
