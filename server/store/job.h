// SPDX-License-Identifier: Apache-2.0
// What waits to be written: records to put, records to delete, and those who are to be called.
#ifndef SFL_STORE_JOB_H
#define SFL_STORE_JOB_H

#include "base/list.h"
#include "store/file.h"

enum sfl_job_type { SFL_JOB_PUT, SFL_JOB_DELETE, SFL_JOB_CALL };

struct sfl_job {
    struct sfl_link link;
    enum sfl_job_type type;
    enum sfl_file_table table;
    bool is_must;    // it is tried until it succeeds: every DELETE, and a PUT that takes back
    bool is_void;    // PUT: undone in the same batch, so it need not be written
    bool has_failed; // PUT: it is not on disk; CALL: nor is what it waits for
    size_t bytes;    // of this job
    uint64_t key;
    void (*on_written)(void *context, bool is_written); // CALL, PUT of a lead; NULL: nobody waits
    void *context;
    struct sfl_outcome *outcome; // PUT: a reference, or NULL
    size_t beginning_size;
    uint16_t group_size; // an outcome's, for whoever is told that it is lost
    uint16_t key_size;
    uint8_t beginning[]; // of the record
};

// Make one; NULL when there is no memory. A record's beginning is the caller's to write.
struct sfl_job *sfl_job_create(enum sfl_job_type type, enum sfl_file_table table, uint64_t key,
                               size_t beginning);
struct sfl_job *sfl_job_create_put(enum sfl_file_table table, const struct sfl_record_start *start);

void sfl_job_free(struct sfl_job *job);
void sfl_jobs_free(struct sfl_list *jobs);

// Bytes that its outcome holds.
uint64_t sfl_job_outcome_bytes(const struct sfl_job *job);

// Carry out one job, which is the context, or a list of them, in order, within sfl_file_write.
// Calls are none of the file's business.
int sfl_job_apply(struct sfl_file *file, void *context);
int sfl_jobs_apply(struct sfl_file *file, void *context);

// What a must takes back in its own batch is not written: it would come after it.
void sfl_jobs_make_void(const struct sfl_list *batch, const struct sfl_job *must);

#endif
