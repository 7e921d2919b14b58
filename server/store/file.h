// SPDX-License-Identifier: Apache-2.0
// The data file: tables of records, and numbers, in LMDB, written in transactions.
//
// One thread uses a file, but for the opening. Codes are LMDB's or errno's; 0 is success.
#ifndef SFL_STORE_FILE_H
#define SFL_STORE_FILE_H

#include "base/status.h"
#include "store/record.h"

struct sfl_file;

enum { SFL_FILE_ERROR_MAX = 512 };

enum sfl_file_table {
    SFL_FILE_OUTCOMES, // by token
    SFL_FILE_LEADS,    // by token
    SFL_FILE_RUNS,     // by number
    SFL_FILE_TABLES,
};

// Opens `directory`/data.mdb, which no other process may have open, and makes both if they are not
// there. A file that is there is checked from end to end first; one of an older format is carried
// over.
// `map_bytes` is how large it may become before it has to be mapped anew. `tokens_out` is the
// greatest token that may have been granted. On failure a text that says what is wrong and what to
// do is written to `error_out`: SFL_UNAVAILABLE for a file that cannot be opened or is locked,
// SFL_FAILED_PRECONDITION for one of another format, or that is damaged.
enum sfl_status sfl_file_open(const char *directory, uint64_t map_bytes, struct sfl_file **file_out,
                              uint64_t *tokens_out,
                              char error_out[static SFL_FILE_ERROR_MAX]) SFL_MUST_USE;

void sfl_file_close(struct sfl_file *file);

// Runs `change` in a transaction and puts that on disk: all of it, or, when this fails, nothing.
// `change` runs again when the map was too small or LMDB had to be opened anew.
int sfl_file_write(struct sfl_file *file, int (*change)(struct sfl_file *file, void *context),
                   void *context) SFL_MUST_USE;

// What has come of writes so far. Not inside a transaction.
struct sfl_store_counts;
const struct sfl_store_counts *sfl_file_counts(const struct sfl_file *file);

// Changes, for within the above. After one that failed nothing may follow.
int sfl_file_put(struct sfl_file *file, enum sfl_file_table table,
                 const struct sfl_record_start *start, const uint8_t *beginning) SFL_MUST_USE;
int sfl_file_delete(struct sfl_file *file, enum sfl_file_table table,
                    uint64_t key) SFL_MUST_USE; // 0 also if not there
int sfl_file_put_tokens(struct sfl_file *file, uint64_t tokens) SFL_MUST_USE;

// Why a write failed. LMDB calls it an input/output error when a disk took a part of it.
const char *sfl_file_reason(struct sfl_file *file, int code);

// True when the file has no such record for certain. Not inside a transaction.
bool sfl_file_lacks(struct sfl_file *file, enum sfl_file_table table, uint64_t key);

// Calls `visit` for every record of a table, from the greatest key to the smallest; it returns what
// is wrong with the record, NULL: nothing. Bytes are borrowed. Not inside a transaction, and nobody
// writes meanwhile.
enum sfl_status sfl_file_read(struct sfl_file *file, enum sfl_file_table table,
                              const char *(*visit)(void *context, uint64_t key,
                                                   struct sfl_span bytes),
                              void *context) SFL_MUST_USE;

#endif
