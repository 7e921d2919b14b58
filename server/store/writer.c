// SPDX-License-Identifier: Apache-2.0
#include "store/writer.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
    BATCH_MAX = 256,                // writes in one transaction
    BATCH_BYTES_MAX = 16 << 20,     // of their outcomes; one alone may have more
    QUEUE_BYTES_DEFAULT = 64 << 20, // of jobs
    RETRY_MS = 1000,                // what failed is tried again so often
};

// What is queued: an outcome to keep, a token to delete, or somebody to call.
struct job {
    struct sfl_link link;
    enum { JOB_RETAIN, JOB_DROP, JOB_CALL } type;
    bool is_void;    // RETAIN: it has been dropped in the same batch, so it need not be written
    bool has_failed; // RETAIN: it is not on disk; CALL: nor is what it waits for
    size_t bytes;    // of this job
    uint64_t token;
    union {
        struct {
            struct sfl_outcome *outcome;
            struct sfl_record_head head;
        };
        struct {
            void (*on_written)(void *context, bool is_written);
            void *context;
        };
    };
    uint8_t names[]; // group, key, fingerprint
};

struct sfl_writer {
    struct sfl_file *file;
    struct sfl_tokens *tokens;
    uint64_t queue_bytes_max;
    struct sfl_store_options options;
    pthread_t thread;

    pthread_mutex_t lock; // guards what follows
    pthread_cond_t queued;
    pthread_cond_t done;
    struct sfl_list jobs;
    uint64_t queued_count;
    uint64_t done_count;
    uint64_t job_bytes;     // of all that is queued or being written
    uint64_t outcome_bytes; // of what their outcomes hold
    bool is_closing;
    bool is_paused;
    bool is_busy;

    atomic_bool is_failing;
    atomic_bool has_lost_drops; // for want of memory
    _Atomic uint64_t lost;

    // The thread's alone.
    struct sfl_list stuck; // drops that failed; they are tried again until they succeed
    struct timespec retry_at;
};

// What came of the writes of one round.
struct round {
    bool has_written;
    int code; // of the last failure; 0: there was none
    unsigned lost;
};

// --- queueing, on any thread ---

static struct job *create_job(int type, uint64_t token, size_t names)
{
    struct job *job = malloc(sizeof(*job) + names);
    if (job == NULL)
        return NULL;
    sfl_link_init(&job->link);
    job->type = type;
    job->is_void = false;
    job->has_failed = false;
    job->bytes = sizeof(*job) + names;
    job->token = token;
    return job;
}

static uint64_t outcome_bytes(const struct job *job)
{
    return job->type == JOB_RETAIN ? sfl_outcome_held_bytes(job->outcome) : 0;
}

// False when that would pass `bytes_max`; then the job is as before.
static bool queue(struct sfl_writer *writer, struct job *job, uint64_t bytes_max)
{
    pthread_mutex_lock(&writer->lock);
    bool has_room = writer->job_bytes + job->bytes <= bytes_max;
    if (has_room) {
        sfl_list_append(&writer->jobs, &job->link);
        writer->queued_count++;
        writer->job_bytes += job->bytes;
        writer->outcome_bytes += outcome_bytes(job);
        pthread_cond_signal(&writer->queued);
    }
    pthread_mutex_unlock(&writer->lock);
    return has_room;
}

static void count_lost(struct sfl_writer *writer)
{
    atomic_fetch_add(&writer->lost, 1);
}

bool sfl_writer_retain(struct sfl_writer *writer, const struct sfl_kept *kept)
{
    struct sfl_record_head head = sfl_record_head_of(kept, sfl_clock_wall_us());
    struct job *job = create_job(JOB_RETAIN, kept->outcome->token, sfl_record_names_size(&head));
    if (job == NULL) {
        count_lost(writer);
        return false;
    }
    job->head = head;
    job->outcome = sfl_outcome_ref(kept->outcome);
    uint8_t *at = job->names;
    memcpy(at, kept->group.data, kept->group.size);
    at += kept->group.size;
    memcpy(at, kept->key.data, kept->key.size);
    at += kept->key.size;
    if (kept->fingerprint.size > 0)
        memcpy(at, kept->fingerprint.data, kept->fingerprint.size);
    if (queue(writer, job, writer->queue_bytes_max))
        return true;
    sfl_outcome_unref(job->outcome);
    free(job);
    count_lost(writer);
    return false;
}

void sfl_writer_drop(struct sfl_writer *writer, uint64_t token)
{
    struct job *job = create_job(JOB_DROP, token, 0);
    if (job != NULL) {
        (void)queue(writer, job, UINT64_MAX);
        return;
    }
    // From now on nobody can be told that all drops are on disk.
    atomic_store(&writer->has_lost_drops, true);
    sfl_log(SFL_LOG_ERROR, "out_of_memory_to_drop", SFL_U64("token", token));
}

bool sfl_writer_await(struct sfl_writer *writer, uint64_t token,
                      void (*on_written)(void *context, bool is_written), void *context)
{
    struct job *job = create_job(JOB_CALL, token, 0);
    if (job == NULL)
        return false;
    job->on_written = on_written;
    job->context = context;
    // A half more than outcomes may take, so that those who could queue one can wait for it, too.
    if (queue(writer, job, writer->queue_bytes_max + writer->queue_bytes_max / 2))
        return true;
    free(job);
    return false;
}

void sfl_writer_flush(struct sfl_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    uint64_t target = writer->queued_count;
    while (writer->done_count < target)
        pthread_cond_wait(&writer->done, &writer->lock);
    pthread_mutex_unlock(&writer->lock);
}

void sfl_writer_want_tokens(struct sfl_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    pthread_cond_signal(&writer->queued);
    pthread_mutex_unlock(&writer->lock);
}

struct sfl_store_state sfl_writer_state(struct sfl_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    uint64_t waiting_bytes = writer->job_bytes + writer->outcome_bytes;
    pthread_mutex_unlock(&writer->lock);
    return (struct sfl_store_state){
        .failing = atomic_load(&writer->is_failing),
        .waiting_bytes = waiting_bytes,
        .lost = atomic_load(&writer->lost),
    };
}

void sfl_writer_pause(struct sfl_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    writer->is_paused = true;
    while (writer->is_busy && !pthread_equal(pthread_self(), writer->thread))
        pthread_cond_wait(&writer->done, &writer->lock);
    pthread_mutex_unlock(&writer->lock);
}

void sfl_writer_resume(struct sfl_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    writer->is_paused = false;
    pthread_cond_signal(&writer->queued);
    pthread_mutex_unlock(&writer->lock);
}

// --- writing, on the writer's thread ---

static int put_outcome(struct sfl_file *file, void *context)
{
    const struct job *job = context;
    return sfl_file_put(file, &job->head, job->names, job->outcome);
}

static int delete_all(struct sfl_file *file, const struct sfl_list *drops)
{
    int code = 0;
    const struct sfl_link *link = sfl_list_first(drops);
    for (; link != NULL && code == 0; link = sfl_list_next(drops, link)) {
        const struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        if (job->type == JOB_DROP)
            code = sfl_file_delete(file, job->token);
    }
    return code;
}

struct whole {
    const struct sfl_list *stuck;
    const struct sfl_list *batch;
};

// Everything in one transaction, in the order in which it was queued.
static int write_whole(struct sfl_file *file, void *context)
{
    const struct whole *whole = context;
    int code = delete_all(file, whole->stuck);
    const struct sfl_link *link = sfl_list_first(whole->batch);
    for (; link != NULL && code == 0; link = sfl_list_next(whole->batch, link)) {
        struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        if (job->type == JOB_RETAIN)
            code = put_outcome(file, job);
        else if (job->type == JOB_DROP)
            code = sfl_file_delete(file, job->token);
    }
    return code;
}

static int write_drops(struct sfl_file *file, void *context)
{
    return delete_all(file, context);
}

static void free_jobs(struct sfl_list *jobs)
{
    struct sfl_link *link;
    while ((link = sfl_list_pop(jobs)) != NULL) {
        struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        if (job->type == JOB_RETAIN)
            sfl_outcome_unref(job->outcome);
        free(job);
    }
}

// An outcome of this batch that is dropped in it is not written: it would come after its drop.
static void make_void(const struct sfl_list *batch, uint64_t token)
{
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != NULL; link = sfl_list_next(batch, link)) {
        struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        if (job->type == JOB_RETAIN && job->token == token)
            job->is_void = true;
    }
}

static void take_out_drops(struct sfl_writer *writer, struct sfl_list *batch)
{
    struct sfl_link *link = sfl_list_first(batch);
    while (link != NULL) {
        struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        link = sfl_list_next(batch, link);
        if (job->type != JOB_DROP)
            continue;
        make_void(batch, job->token);
        sfl_link_remove(&job->link);
        sfl_list_append(&writer->stuck, &job->link);
    }
}

// Writes job by job what could not be written together: drops first, for they need least and matter
// most.
static void write_singly(struct sfl_writer *writer, struct sfl_list *batch, struct round *round)
{
    take_out_drops(writer, batch);
    if (!sfl_list_is_empty(&writer->stuck)) {
        int code = sfl_file_write(writer->file, write_drops, &writer->stuck);
        if (code == 0)
            free_jobs(&writer->stuck);
        else
            round->code = code;
    }
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != NULL; link = sfl_list_next(batch, link)) {
        struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        if (job->type != JOB_RETAIN || job->is_void)
            continue;
        int code = sfl_file_write(writer->file, put_outcome, job);
        if (code == 0)
            continue;
        round->code = code;
        round->lost++;
        job->has_failed = true;
        count_lost(writer);
    }
}

static bool has_writes(const struct sfl_list *batch)
{
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != NULL; link = sfl_list_next(batch, link)) {
        if (SFL_CONTAINER_OF(link, const struct job, link)->type != JOB_CALL)
            return true;
    }
    return false;
}

static void write_batch(struct sfl_writer *writer, struct sfl_list *batch, struct round *round)
{
    if (!has_writes(batch) && sfl_list_is_empty(&writer->stuck))
        return;
    struct whole whole = {&writer->stuck, batch};
    round->has_written = true;
    if (sfl_file_write(writer->file, write_whole, &whole) == 0)
        free_jobs(&writer->stuck);
    else
        write_singly(writer, batch, round);
}

static int put_tokens(struct sfl_file *file, void *context)
{
    return sfl_file_put_tokens(file, *(const uint64_t *)context);
}

static void reserve_tokens(struct sfl_writer *writer, struct round *round)
{
    uint64_t block = sfl_tokens_next_block(writer->tokens);
    int code = sfl_file_write(writer->file, put_tokens, &block);
    round->has_written = true;
    if (code == 0)
        sfl_tokens_reserve(writer->tokens, block);
    else
        round->code = code;
}

// --- telling ---

static bool is_among(const uint64_t *tokens, unsigned count, uint64_t token)
{
    for (unsigned i = 0; i < count; i++) {
        if (tokens[i] == token)
            return true;
    }
    return false;
}

// Tells of the outcomes that are lost. From then on nobody begins to wait for one, so that it
// suffices to let those know who wait already.
static unsigned tell_lost(struct sfl_writer *writer, const struct sfl_list *batch,
                          uint64_t tokens_out[static BATCH_MAX])
{
    unsigned count = 0;
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != NULL; link = sfl_list_next(batch, link)) {
        const struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        if (job->type != JOB_RETAIN || !job->has_failed)
            continue;
        tokens_out[count++] = job->token;
        if (writer->options.on_lost != NULL)
            writer->options.on_lost(
                writer->options.context, sfl_span_of(job->names, job->head.group_size),
                sfl_span_of(job->names + job->head.group_size, job->head.key_size), job->token);
    }
    return count;
}

static void mark_waiting(struct sfl_writer *writer, const uint64_t *tokens, unsigned count)
{
    pthread_mutex_lock(&writer->lock);
    const struct sfl_link *link = sfl_list_first(&writer->jobs);
    for (; link != NULL; link = sfl_list_next(&writer->jobs, link)) {
        struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        if (job->type == JOB_CALL && is_among(tokens, count, job->token))
            job->has_failed = true;
    }
    pthread_mutex_unlock(&writer->lock);
}

static void answer(const struct sfl_writer *writer, const struct sfl_list *batch,
                   const uint64_t *lost, unsigned lost_count)
{
    bool are_dropped = sfl_list_is_empty(&writer->stuck) && !atomic_load(&writer->has_lost_drops);
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != NULL; link = sfl_list_next(batch, link)) {
        const struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        if (job->type != JOB_CALL)
            continue;
        bool is_kept = !job->has_failed && !is_among(lost, lost_count, job->token);
        job->on_written(job->context, job->token == 0 ? are_dropped : is_kept);
    }
}

static void tell(struct sfl_writer *writer, const struct sfl_list *batch, const struct round *round)
{
    uint64_t lost[BATCH_MAX];
    unsigned lost_count = 0;
    if (round->lost > 0) {
        lost_count = tell_lost(writer, batch, lost);
        mark_waiting(writer, lost, lost_count);
    }
    answer(writer, batch, lost, lost_count);
}

static unsigned count_of(const struct sfl_list *list)
{
    unsigned count = 0;
    const struct sfl_link *link = sfl_list_first(list);
    for (; link != NULL; link = sfl_list_next(list, link))
        count++;
    return count;
}

static void set_state(struct sfl_writer *writer, const struct round *round)
{
    if (!round->has_written)
        return;
    bool is_failing = round->code != 0;
    if (is_failing) {
        sfl_log(SFL_LOG_ERROR, "data_not_written",
                SFL_STR("error", sfl_file_reason(writer->file, round->code)),
                SFL_U64("lost_outcomes", round->lost),
                SFL_U64("waiting_drops", count_of(&writer->stuck)));
        clock_gettime(CLOCK_MONOTONIC, &writer->retry_at);
        writer->retry_at.tv_sec += RETRY_MS / 1000;
    }
    if (atomic_exchange(&writer->is_failing, is_failing) == is_failing)
        return;
    if (!is_failing)
        sfl_log(SFL_LOG_INFO, "data_written_again");
    if (writer->options.on_change != NULL)
        writer->options.on_change(writer->options.context);
}

// --- the thread ---

static bool is_retry_due(const struct sfl_writer *writer)
{
    struct timespec now;
    if (!atomic_load(&writer->is_failing))
        return false;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > writer->retry_at.tv_sec ||
           (now.tv_sec == writer->retry_at.tv_sec && now.tv_nsec >= writer->retry_at.tv_nsec);
}

static bool has_work_locked(const struct sfl_writer *writer)
{
    if (writer->is_paused)
        return false;
    return writer->is_closing || !sfl_list_is_empty(&writer->jobs) || is_retry_due(writer) ||
           (sfl_tokens_are_wanted(writer->tokens) && !atomic_load(&writer->is_failing));
}

static void wait_locked(struct sfl_writer *writer)
{
    if (atomic_load(&writer->is_failing) && !writer->is_paused)
        pthread_cond_timedwait(&writer->queued, &writer->lock, &writer->retry_at);
    else
        pthread_cond_wait(&writer->queued, &writer->lock);
}

// What a batch takes of the queue's figures.
struct taken {
    uint64_t count;
    uint64_t job_bytes;
    uint64_t outcome_bytes;
};

// Takes a batch off the queue; waits for work. False when the writer closes and nothing is left.
static bool take_batch(struct sfl_writer *writer, struct sfl_list *batch, struct taken *taken_out)
{
    struct taken taken = {0};
    pthread_mutex_lock(&writer->lock);
    while (!has_work_locked(writer))
        wait_locked(writer);
    struct sfl_link *link;
    while (taken.count < BATCH_MAX && taken.outcome_bytes < BATCH_BYTES_MAX &&
           (link = sfl_list_pop(&writer->jobs)) != NULL) {
        const struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        sfl_list_append(batch, link);
        taken.count++;
        taken.job_bytes += job->bytes;
        taken.outcome_bytes += outcome_bytes(job);
    }
    writer->is_busy = true;
    bool goes_on = taken.count > 0 || !writer->is_closing;
    pthread_mutex_unlock(&writer->lock);
    *taken_out = taken;
    return goes_on;
}

static void give_back(struct sfl_writer *writer, const struct taken *taken)
{
    pthread_mutex_lock(&writer->lock);
    writer->done_count += taken->count;
    writer->job_bytes -= taken->job_bytes;
    writer->outcome_bytes -= taken->outcome_bytes;
    writer->is_busy = false;
    pthread_cond_broadcast(&writer->done);
    pthread_mutex_unlock(&writer->lock);
}

static void *run(void *argument)
{
    struct sfl_writer *writer = argument;
    struct sfl_list batch;
    struct taken taken;
    sfl_list_init(&batch);
    while (take_batch(writer, &batch, &taken)) {
        struct round round = {.code = 0};
        // While writing fails, tokens are also what finds out whether it does still.
        if (sfl_tokens_are_wanted(writer->tokens) || is_retry_due(writer))
            reserve_tokens(writer, &round);
        write_batch(writer, &batch, &round);
        set_state(writer, &round);
        tell(writer, &batch, &round);
        free_jobs(&batch);
        give_back(writer, &taken);
    }
    return NULL;
}

// --- life ---

static bool init_locks(struct sfl_writer *writer)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    bool is_good = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
                   pthread_cond_init(&writer->queued, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&writer->done, NULL);
    pthread_mutex_init(&writer->lock, NULL);
    return is_good;
}

static void free_writer(struct sfl_writer *writer)
{
    pthread_cond_destroy(&writer->done);
    pthread_cond_destroy(&writer->queued);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

enum sfl_status sfl_writer_create(struct sfl_file *file, struct sfl_tokens *tokens,
                                  const struct sfl_store_options *options,
                                  struct sfl_writer **writer_out)
{
    struct sfl_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return SFL_NO_MEMORY;
    writer->file = file;
    writer->tokens = tokens;
    writer->options = *options;
    writer->queue_bytes_max =
        options->queue_bytes_max > 0 ? options->queue_bytes_max : QUEUE_BYTES_DEFAULT;
    sfl_list_init(&writer->jobs);
    sfl_list_init(&writer->stuck);
    if (!init_locks(writer) || pthread_create(&writer->thread, NULL, run, writer) != 0) {
        free_writer(writer);
        return SFL_NO_MEMORY;
    }
    *writer_out = writer;
    return SFL_OK;
}

void sfl_writer_destroy(struct sfl_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    writer->is_closing = true;
    pthread_cond_signal(&writer->queued);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    if (!sfl_list_is_empty(&writer->stuck) &&
        sfl_file_write(writer->file, write_drops, &writer->stuck) != 0)
        sfl_log(SFL_LOG_ERROR, "drops_lost", SFL_U64("count", count_of(&writer->stuck)));
    free_jobs(&writer->stuck);
    free_writer(writer);
}
