// SPDX-License-Identifier: Apache-2.0
// The data file of a standalone daemon: leads with a lease, retained outcomes, runs and the token
// high-water mark, in LMDB. It does what a keeper does (keeper/keeper.h).
//
// Writes are queued and done in batches by a thread of the store's own, so nobody waits for the
// disk who does not ask to (sfl_store_await). What was queued in the last moments before a crash,
// and not waited for, may therefore not have been done afterwards; after an orderly end all is.
// Tokens are exempt from that: they are reserved on disk before they are granted.
#ifndef SFL_STORE_STORE_H
#define SFL_STORE_STORE_H

#include "base/histogram.h"
#include "base/status.h"
#include "keeper/keeper.h"

struct sfl_store;

enum { SFL_STORE_ERROR_MAX = 512 };

struct sfl_store_options {
    const char *directory;       // made if it is not there; borrowed for the opening
    uint64_t retained_bytes_max; // how much the file has to hold; it grows when that takes more
    // Bytes of queued jobs, without the outcomes' own; 0: 64 MiB. Beyond it nothing is kept, and
    // nobody may wait.
    uint64_t queue_bytes_max;
    // An outcome that was queued could not be written: it is not on disk, and whoever waits for it
    // is told so afterwards. On the store's thread, without a lock; spans are borrowed. May be
    // NULL.
    void (*on_lost)(void *context, struct sfl_span group, struct sfl_span key, uint64_t token);
    // The state has begun or ceased to be `failing`. On the store's thread. May be NULL.
    void (*on_change)(void *context);
    void *context;
};

// Opens the data file, which no other process may have open; what is there is checked from end to
// end before it is used. On failure a text that says what is wrong and what to do is written to
// `error_out`: SFL_UNAVAILABLE for a file that cannot be opened or is locked,
// SFL_FAILED_PRECONDITION for one of a newer format or one that is damaged.
enum sfl_status sfl_store_open(const struct sfl_store_options *options,
                               struct sfl_store **store_out,
                               char error_out[static SFL_STORE_ERROR_MAX]) SFL_MUST_USE;

// Writes what is queued, gives unused tokens back, closes the file. False when the disk did not
// take that within `wait_ms` (UINT64_MAX: whatever it takes): then the store is lost to the
// process, which can only end.
bool sfl_store_close(struct sfl_store *store, uint64_t wait_ms) SFL_MUST_USE;

// One retained outcome as the file has it. Spans are borrowed for the call.
struct sfl_stored {
    uint64_t token;
    uint32_t attempt;
    uint32_t callers;
    enum sfl_outcome_kind kind;
    uint64_t age_ms;  // since the flight ended
    uint64_t left_ms; // of its retention
    struct sfl_span group;
    struct sfl_span key;
    struct sfl_span fingerprint;
    struct sfl_span texts;
    struct sfl_span value;
};

// One lead as the file has it.
struct sfl_stored_lead {
    struct sfl_kept_lead lead;             // its error is NULL
    const struct sfl_outcome_parts *error; // NULL: none was passed on
    uint64_t error_retain_ms;
};

// Who takes what a file holds. False: it is of no use, and is deleted.
struct sfl_store_loader {
    bool (*outcome)(void *context, const struct sfl_stored *stored);
    bool (*lead)(void *context, const struct sfl_stored_lead *stored);
    bool (*run)(void *context, uint64_t number, const struct sfl_run *run);
    void *context;
};

// Hands over each outcome whose retention is not over (the others are deleted), then each lead,
// then each run, from the newest to the oldest of a kind.
enum sfl_status sfl_store_load(struct sfl_store *store,
                               const struct sfl_store_loader *loader) SFL_MUST_USE;

// Queue, as a keeper does (keeper/keeper.h). Any thread, also under a shard's lock. What may be
// refused is counted as lost then; what may not is queued whatever the queue's bound, for each
// belongs to something that was queued before.
bool sfl_store_lead(struct sfl_store *store, const struct sfl_kept_lead *lead,
                    void (*on_written)(void *context, bool is_written), void *context) SFL_MUST_USE;
void sfl_store_unlead(struct sfl_store *store, uint64_t token);
bool sfl_store_retain(struct sfl_store *store, const struct sfl_kept *kept) SFL_MUST_USE;
void sfl_store_drop(struct sfl_store *store, uint64_t token);
void sfl_store_run(struct sfl_store *store, uint64_t number, const struct sfl_run *run,
                   uint64_t removed);

// Calls `on_written` on the store's thread once it is known whether what it waits for is on disk:
// with a token, its outcome (true also when that has been removed since); with 0, all that was
// removed or forgotten so far. It must not block. False when there is no room or memory: it is
// not called.
bool sfl_store_await(struct sfl_store *store, uint64_t token,
                     void (*on_written)(void *context, bool is_written),
                     void *context) SFL_MUST_USE;

// Waits until all that was queued so far has been tried, and all that wait for it have been called;
// at most so long, UINT64_MAX: whatever it takes. False when the time was over first. Not under a
// lock.
bool sfl_store_flush(struct sfl_store *store, uint64_t wait_ms);

// The first of `count` tokens in a row, greater than any that this or an earlier process with this
// file was given, and than the wall clock at start in microseconds. 0 when the disk cannot be
// written and the reserve is used up. Any thread, never waits.
uint64_t sfl_store_take_tokens(struct sfl_store *store, uint64_t count);

// How the disk takes it. Any thread.
struct sfl_keeper_state sfl_store_state(struct sfl_store *store);

enum { SFL_STORE_WHY_MAX = 128 };

// What the disk has taken since the start.
struct sfl_store_counts {
    struct sfl_histogram write_us; // how long each write took, its sync included
    uint64_t failures;             // writes that it did not take
    char why[SFL_STORE_WHY_MAX];   // the last one was not; empty while all is well
};
void sfl_store_count(struct sfl_store *store, struct sfl_store_counts *counts_out); // any thread

#endif
