// SPDX-License-Identifier: Apache-2.0
#include "store/job.h"

#include <stdlib.h>

struct sfl_job *sfl_job_create(enum sfl_job_type type, enum sfl_file_table table, uint64_t key,
                               size_t beginning)
{
    struct sfl_job *job = malloc(sizeof(*job) + beginning);
    if (job == NULL)
        return NULL;
    sfl_link_init(&job->link);
    job->type = type;
    job->table = table;
    job->is_must = type == SFL_JOB_DELETE;
    job->is_void = false;
    job->has_failed = false;
    job->bytes = sizeof(*job) + beginning;
    job->key = key;
    job->on_written = NULL;
    job->context = NULL;
    return job;
}

struct sfl_job *sfl_job_create_put(enum sfl_file_table table, const struct sfl_record_start *start)
{
    struct sfl_job *job = sfl_job_create(SFL_JOB_PUT, table, start->key, start->size);
    if (job == NULL)
        return NULL;
    job->outcome = sfl_outcome_ref(start->outcome);
    job->beginning_size = start->size;
    job->group_size = 0;
    job->key_size = 0;
    return job;
}

void sfl_job_free(struct sfl_job *job)
{
    if (job->type == SFL_JOB_PUT)
        sfl_outcome_unref(job->outcome);
    free(job);
}

uint64_t sfl_job_outcome_bytes(const struct sfl_job *job)
{
    return job->type == SFL_JOB_PUT && job->outcome != NULL ? sfl_outcome_held_bytes(job->outcome)
                                                            : 0;
}

void sfl_jobs_free(struct sfl_list *jobs)
{
    struct sfl_link *link;
    while ((link = sfl_list_pop(jobs)) != NULL)
        sfl_job_free(SFL_CONTAINER_OF(link, struct sfl_job, link));
}

// One job; calls are none of the file's business.
int sfl_job_apply(struct sfl_file *file, void *context)
{
    const struct sfl_job *job = context;
    if (job->type == SFL_JOB_DELETE)
        return sfl_file_delete(file, job->table, job->key);
    if (job->type == SFL_JOB_CALL)
        return 0;
    const struct sfl_record_start start = {job->key, job->outcome, job->beginning_size};
    return sfl_file_put(file, job->table, &start, job->beginning);
}

int sfl_jobs_apply(struct sfl_file *file, void *context)
{
    const struct sfl_list *jobs = context;
    int code = 0;
    struct sfl_link *link = sfl_list_first(jobs);
    for (; link != NULL && code == 0; link = sfl_list_next(jobs, link))
        code = sfl_job_apply(file, SFL_CONTAINER_OF(link, struct sfl_job, link));
    return code;
}

// What a must takes back in its own batch is not written: it would come after it.
void sfl_jobs_make_void(const struct sfl_list *batch, const struct sfl_job *must)
{
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != &must->link; link = sfl_list_next(batch, link)) {
        struct sfl_job *job = SFL_CONTAINER_OF(link, struct sfl_job, link);
        if (job->type == SFL_JOB_PUT && job->table == must->table && job->key == must->key)
            job->is_void = true;
    }
}
