// SPDX-License-Identifier: Apache-2.0
// Writes to the data file in batches, each with one sync, on a thread of its own.
//
// One record that cannot be written takes nothing else with it: a batch that fails is written
// again, what is taken back first (drops, leads that are over or forgotten), then each record by
// itself. What is taken back is tried until it succeeds. Whoever waits is told the truth about what
// it waits for.
#ifndef SFL_STORE_WRITER_H
#define SFL_STORE_WRITER_H

#include "store/file.h"
#include "store/store.h"
#include "store/tokens.h"

struct sfl_writer;

// Borrows file, tokens and options until sfl_writer_destroy.
enum sfl_status sfl_writer_create(struct sfl_file *file, struct sfl_tokens *tokens,
                                  const struct sfl_store_options *options,
                                  struct sfl_writer **writer_out) SFL_MUST_USE;

// Writes what is queued and which tokens were granted, and ends the thread. False when the disk did
// not take that in time: then the thread goes on, and nothing may be freed.
bool sfl_writer_destroy(struct sfl_writer *writer, uint64_t wait_ms) SFL_MUST_USE;

// As in store.h.
bool sfl_writer_retain(struct sfl_writer *writer, const struct sfl_kept *kept);
bool sfl_writer_lead(struct sfl_writer *writer, const struct sfl_kept_lead *lead,
                     void (*on_written)(void *context, bool is_written), void *context);
void sfl_writer_run(struct sfl_writer *writer, uint64_t number, const struct sfl_run *run);
void sfl_writer_delete(struct sfl_writer *writer, enum sfl_file_table table, uint64_t key);
bool sfl_writer_await(struct sfl_writer *writer, uint64_t token,
                      void (*on_written)(void *context, bool is_written), void *context);
bool sfl_writer_flush(struct sfl_writer *writer, uint64_t wait_ms);
struct sfl_keeper_state sfl_writer_state(struct sfl_writer *writer);
void sfl_writer_count(struct sfl_writer *writer, struct sfl_store_counts *counts_out);

// Another block of tokens is to be reserved. Any thread, never waits.
void sfl_writer_want_tokens(struct sfl_writer *writer);

// Keeps the thread away from the file between the two, which one thread calls. What it is at is
// finished first.
void sfl_writer_pause(struct sfl_writer *writer);
void sfl_writer_resume(struct sfl_writer *writer);

#endif
