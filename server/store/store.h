// SPDX-License-Identifier: Apache-2.0
// The data file of a standalone daemon: retained outcomes and the token high-water mark, in LMDB.
//
// Writes are queued and done in batches by a thread of the store's own, so nobody waits for the
// disk who does not ask to (sfl_store_await). What was retained (or forgotten) in the last moments
// before a crash, and not waited for, may therefore be missing (or still there) afterwards; after
// an orderly end nothing is. Tokens are exempt from that: they are reserved on disk before they are
// granted.
#ifndef SFL_STORE_STORE_H
#define SFL_STORE_STORE_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sfl_store;
struct sfl_flight;

enum { SFL_STORE_ERROR_MAX = 512 };

struct sfl_store_options {
    const char *directory;       // made if it is not there
    uint64_t retained_bytes_max; // how much the file has to hold
};

// Opens the data file, which no other process may have open. On failure a text that says what is
// wrong is written to `error_out`: SFL_UNAVAILABLE for a file that cannot be opened or is locked,
// SFL_FAILED_PRECONDITION for one of another format.
enum sfl_status sfl_store_open(const struct sfl_store_options *options,
                               struct sfl_store **store_out,
                               char error_out[static SFL_STORE_ERROR_MAX]) SFL_MUST_USE;

// Writes what is queued, gives unused tokens back, closes the file.
void sfl_store_close(struct sfl_store *store);

// One retained outcome as the file has it. Spans are borrowed for the call.
struct sfl_stored {
    uint64_t token;
    uint32_t attempt;
    uint32_t callers;
    int kind;
    uint64_t age_ms;  // since the flight ended
    uint64_t left_ms; // of its retention
    struct sfl_span group;
    struct sfl_span key;
    struct sfl_span fingerprint;
    struct sfl_span texts;
    struct sfl_span value;
};

// Calls `restore` for each outcome whose retention is not over, before anything is queued. Those
// that are over, and those for which `restore` returns false, are deleted.
enum sfl_status sfl_store_load(struct sfl_store *store,
                               bool (*restore)(void *context, const struct sfl_stored *stored),
                               void *context) SFL_MUST_USE;

// Queues a flight's retained outcome. Any thread, also under a shard's lock. Short of memory it is
// not kept, and counted as lost.
void sfl_store_retain(struct sfl_store *store, const struct sfl_flight *flight);

// Queues that the outcome of this token is dropped. Same conditions.
void sfl_store_drop(struct sfl_store *store, uint64_t token);

// Calls `on_written` on the store's thread once everything queued so far is on disk, or has failed
// to get there, which is logged. It must not block. False when there is no memory: it is not
// called.
bool sfl_store_await(struct sfl_store *store, void (*on_written)(void *context),
                     void *context) SFL_MUST_USE;

// Waits until everything queued so far is on disk, and all that wait for it have been called. Not
// under a lock.
void sfl_store_flush(struct sfl_store *store);

// The first of the next `count` tokens, which lie side by side and are greater than any that this
// or an earlier process with this file was given, and than the wall clock at start in microseconds.
// 0 when the disk cannot be written and the reserve is used up. Any thread, never waits.
uint64_t sfl_store_take_tokens(struct sfl_store *store, uint64_t count);

#endif
