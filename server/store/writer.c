// SPDX-License-Identifier: Apache-2.0
#include "store/writer.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "store/job.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    BATCH_MAX = 256,                // writes in one transaction
    BATCH_BYTES_MAX = 16 << 20,     // of their outcomes; one alone may have more
    QUEUE_BYTES_DEFAULT = 64 << 20, // of jobs
    RETRY_MS = 1000,                // what failed is tried again so often
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
    bool has_ended;
    bool is_paused;
    bool is_busy;
    struct sfl_store_counts counts; // as the file had them after the last batch
    char why[SFL_STORE_WHY_MAX];    // of the last failure

    atomic_bool is_failing;
    atomic_bool has_lost_musts; // for want of memory
    _Atomic uint64_t lost;
    _Atomic uint64_t lost_leads;
    _Atomic uint64_t stuck_count;

    // The thread's alone.
    struct sfl_list stuck; // musts that failed, in order; they are tried until they succeed
    struct timespec retry_at;
};

// What came of the writes of one round.
struct round {
    bool has_written;
    int code; // of the last failure; 0: there was none
    unsigned lost;
};

static struct timespec time_after(uint64_t ms)
{
    enum { MS = 1000, NS_IN_MS = 1000000, YEAR_MS_IN_DAYS = 366 };
    const uint64_t ms_max = UINT64_C(1000) * 3600 * 24 * YEAR_MS_IN_DAYS;
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    ms = ms < ms_max ? ms : ms_max;
    at.tv_sec += (time_t)(ms / MS);
    at.tv_nsec += (long)(ms % MS) * NS_IN_MS;
    at.tv_sec += at.tv_nsec / (MS * NS_IN_MS);
    at.tv_nsec %= MS * NS_IN_MS;
    return at;
}

// --- queueing, on any thread ---

// False when that would pass `bytes_max`; then the job is as before.
static bool queue(struct sfl_writer *writer, struct sfl_job *job, uint64_t bytes_max)
{
    pthread_mutex_lock(&writer->lock);
    bool has_room = writer->job_bytes + job->bytes <= bytes_max;
    if (has_room) {
        sfl_list_append(&writer->jobs, &job->link);
        writer->queued_count++;
        writer->job_bytes += job->bytes;
        writer->outcome_bytes += sfl_job_outcome_bytes(job);
        pthread_cond_signal(&writer->queued);
    }
    pthread_mutex_unlock(&writer->lock);
    return has_room;
}

static void count_lost(struct sfl_writer *writer, enum sfl_file_table table)
{
    if (table == SFL_FILE_OUTCOMES)
        atomic_fetch_add(&writer->lost, 1);
    else if (table == SFL_FILE_LEADS)
        atomic_fetch_add(&writer->lost_leads, 1);
}

// Queues what may be refused, and takes it in any case.
static bool queue_or_lose(struct sfl_writer *writer, enum sfl_file_table table, struct sfl_job *job)
{
    if (job != NULL && queue(writer, job, writer->queue_bytes_max))
        return true;
    if (job != NULL)
        sfl_job_free(job);
    count_lost(writer, table);
    return false;
}

// Queues what may not, and takes it in any case.
static void queue_must(struct sfl_writer *writer, struct sfl_job *job, uint64_t key)
{
    if (job != NULL) {
        (void)queue(writer, job, UINT64_MAX);
        return;
    }
    // From now on nobody can be told that everything is on disk.
    atomic_store(&writer->has_lost_musts, true);
    sfl_log(SFL_LOG_ERROR, "out_of_memory_to_drop", SFL_U64("token", key));
}

bool sfl_writer_retain(struct sfl_writer *writer, const struct sfl_kept *kept)
{
    const struct sfl_record_start start = sfl_record_start_outcome(kept);
    struct sfl_job *job = sfl_job_create_put(SFL_FILE_OUTCOMES, &start);
    if (job != NULL) {
        sfl_record_put_outcome(job->beginning, kept, sfl_clock_wall_us());
        job->group_size = (uint16_t)kept->group.size;
        job->key_size = (uint16_t)kept->key.size;
    }
    return queue_or_lose(writer, SFL_FILE_OUTCOMES, job);
}

// Who waits does so by the same job, for the thread may be done with it before another is queued.
bool sfl_writer_lead(struct sfl_writer *writer, const struct sfl_kept_lead *lead,
                     void (*on_written)(void *context, bool is_written), void *context)
{
    const struct sfl_record_start start = sfl_record_start_lead(lead);
    struct sfl_job *job = sfl_job_create_put(SFL_FILE_LEADS, &start);
    if (job != NULL) {
        sfl_record_put_lead(job->beginning, lead);
        job->is_must = on_written == NULL;
        job->on_written = on_written;
        job->context = context;
    }
    if (on_written != NULL)
        return queue_or_lose(writer, SFL_FILE_LEADS, job);
    queue_must(writer, job, lead->token);
    return true;
}

void sfl_writer_run(struct sfl_writer *writer, uint64_t number, const struct sfl_run *run)
{
    const struct sfl_record_start start = sfl_record_start_run(number, run);
    struct sfl_job *job = sfl_job_create_put(SFL_FILE_RUNS, &start);
    if (job != NULL)
        sfl_record_put_run(job->beginning, run);
    (void)queue_or_lose(writer, SFL_FILE_RUNS, job);
}

void sfl_writer_delete(struct sfl_writer *writer, enum sfl_file_table table, uint64_t key)
{
    queue_must(writer, sfl_job_create(SFL_JOB_DELETE, table, key, 0), key);
}

bool sfl_writer_await(struct sfl_writer *writer, uint64_t token,
                      void (*on_written)(void *context, bool is_written), void *context)
{
    struct sfl_job *job = sfl_job_create(SFL_JOB_CALL, SFL_FILE_TABLES, token, 0);
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

// Waits for the thread until `until`, unless `wait_ms` is without end. False when that has passed.
static bool wait_done_locked(struct sfl_writer *writer, uint64_t wait_ms,
                             const struct timespec *until)
{
    if (wait_ms == UINT64_MAX)
        return pthread_cond_wait(&writer->done, &writer->lock) == 0;
    return pthread_cond_timedwait(&writer->done, &writer->lock, until) == 0;
}

bool sfl_writer_flush(struct sfl_writer *writer, uint64_t wait_ms)
{
    struct timespec until = time_after(wait_ms);
    bool is_in_time = true;
    pthread_mutex_lock(&writer->lock);
    uint64_t target = writer->queued_count;
    while (writer->done_count < target && is_in_time)
        is_in_time = wait_done_locked(writer, wait_ms, &until);
    bool is_done = writer->done_count >= target;
    pthread_mutex_unlock(&writer->lock);
    return is_done;
}

void sfl_writer_want_tokens(struct sfl_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    pthread_cond_signal(&writer->queued);
    pthread_mutex_unlock(&writer->lock);
}

struct sfl_keeper_state sfl_writer_state(struct sfl_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    uint64_t waiting_bytes = writer->job_bytes + writer->outcome_bytes;
    pthread_mutex_unlock(&writer->lock);
    return (struct sfl_keeper_state){
        .failing = atomic_load(&writer->is_failing),
        .waiting_bytes = waiting_bytes,
        .lost = atomic_load(&writer->lost),
        .lost_leads = atomic_load(&writer->lost_leads),
        .stuck = atomic_load(&writer->stuck_count),
    };
}

void sfl_writer_count(struct sfl_writer *writer, struct sfl_store_counts *counts_out)
{
    pthread_mutex_lock(&writer->lock);
    *counts_out = writer->counts;
    memcpy(counts_out->why, writer->why, sizeof(writer->why));
    pthread_mutex_unlock(&writer->lock);
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

static unsigned count_of(const struct sfl_list *list)
{
    unsigned count = 0;
    const struct sfl_link *link = sfl_list_first(list);
    for (; link != NULL; link = sfl_list_next(list, link))
        count++;
    return count;
}

struct whole {
    struct sfl_list *stuck;
    struct sfl_list *batch;
};

// Everything in one transaction, in the order in which it was queued.
static int write_whole(struct sfl_file *file, void *context)
{
    const struct whole *whole = context;
    int code = sfl_jobs_apply(file, whole->stuck);
    return code == 0 ? sfl_jobs_apply(file, whole->batch) : code;
}

static void take_out_musts(struct sfl_writer *writer, struct sfl_list *batch)
{
    struct sfl_link *link = sfl_list_first(batch);
    while (link != NULL) {
        struct sfl_job *job = SFL_CONTAINER_OF(link, struct sfl_job, link);
        link = sfl_list_next(batch, link);
        if (!job->is_must)
            continue;
        sfl_jobs_make_void(batch, job);
        sfl_link_remove(&job->link);
        sfl_list_append(&writer->stuck, &job->link);
    }
}

// What a removal would take away may also be stuck itself, before it.
static bool is_put_stuck(const struct sfl_writer *writer, const struct sfl_job *removal)
{
    const struct sfl_link *link = sfl_list_first(&writer->stuck);
    for (; link != &removal->link; link = sfl_list_next(&writer->stuck, link)) {
        const struct sfl_job *job = SFL_CONTAINER_OF(link, struct sfl_job, link);
        if (job->type == SFL_JOB_PUT && job->table == removal->table && job->key == removal->key)
            return true;
    }
    return false;
}

// So that what is stuck has a bound: what the disk has.
static void free_needless_removals(struct sfl_writer *writer)
{
    unsigned puts = 0;
    struct sfl_link *link = sfl_list_first(&writer->stuck);
    while (link != NULL) {
        struct sfl_job *job = SFL_CONTAINER_OF(link, struct sfl_job, link);
        link = sfl_list_next(&writer->stuck, link);
        if (job->type == SFL_JOB_PUT) {
            puts++;
        } else if (sfl_file_lacks(writer->file, job->table, job->key) &&
                   (puts == 0 || !is_put_stuck(writer, job))) {
            sfl_link_remove(&job->link);
            sfl_job_free(job);
        }
    }
}

static void write_stuck(struct sfl_writer *writer, struct round *round)
{
    if (sfl_list_is_empty(&writer->stuck))
        return;
    int code = sfl_file_write(writer->file, sfl_jobs_apply, &writer->stuck);
    if (code == 0) {
        sfl_jobs_free(&writer->stuck);
        return;
    }
    round->code = code;
    free_needless_removals(writer);
}

// A record that could not be written may be on disk all the same, when it was the file's head that
// failed last: whoever was told that it is lost must not meet it after a restart.
static void take_back(struct sfl_writer *writer, const struct sfl_job *failed)
{
    if (sfl_file_lacks(writer->file, failed->table, failed->key))
        return;
    struct sfl_job *job = sfl_job_create(SFL_JOB_DELETE, failed->table, failed->key, 0);
    if (job != NULL)
        sfl_list_append(&writer->stuck, &job->link);
    else
        atomic_store(&writer->has_lost_musts, true);
}

// Writes job by job what could not be written together: what is taken back first, for it needs
// least and matters most.
static void write_singly(struct sfl_writer *writer, struct sfl_list *batch, struct round *round)
{
    take_out_musts(writer, batch);
    write_stuck(writer, round);
    unsigned stuck_before = count_of(&writer->stuck);
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != NULL; link = sfl_list_next(batch, link)) {
        struct sfl_job *job = SFL_CONTAINER_OF(link, struct sfl_job, link);
        if (job->type != SFL_JOB_PUT || job->is_void)
            continue;
        // A lead that is on disk before the one that it follows is off it would make two of one.
        bool may_be_written = job->table != SFL_FILE_LEADS || sfl_list_is_empty(&writer->stuck);
        int code = round->code;
        if (may_be_written)
            code = sfl_file_write(writer->file, sfl_job_apply, job);
        if (code == 0)
            continue;
        round->code = code;
        round->lost++;
        job->has_failed = true;
        count_lost(writer, job->table);
        take_back(writer, job);
    }
    if (count_of(&writer->stuck) > stuck_before)
        write_stuck(writer, round);
}

static bool has_writes(const struct sfl_list *batch)
{
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != NULL; link = sfl_list_next(batch, link)) {
        if (SFL_CONTAINER_OF(link, const struct sfl_job, link)->type != SFL_JOB_CALL)
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
        sfl_jobs_free(&writer->stuck);
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

static int by_token(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

// Of tokens in order.
static bool is_among(const uint64_t *tokens, unsigned count, uint64_t token)
{
    return bsearch(&token, tokens, count, sizeof(token), by_token) != NULL;
}

// Tells of outcomes that are lost. From then on nobody begins to wait for one, so that it
// suffices to let those know who wait already.
static unsigned tell_lost(struct sfl_writer *writer, const struct sfl_list *batch,
                          uint64_t tokens_out[static BATCH_MAX])
{
    unsigned count = 0;
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != NULL; link = sfl_list_next(batch, link)) {
        const struct sfl_job *job = SFL_CONTAINER_OF(link, struct sfl_job, link);
        if (job->type != SFL_JOB_PUT || !job->has_failed || job->table != SFL_FILE_OUTCOMES)
            continue;
        tokens_out[count++] = job->key;
        if (writer->options.on_lost != NULL) {
            const uint8_t *names = job->beginning + sizeof(struct sfl_record_head);
            writer->options.on_lost(writer->options.context, sfl_span_of(names, job->group_size),
                                    sfl_span_of(names + job->group_size, job->key_size), job->key);
        }
    }
    return count;
}

static void mark_waiting(struct sfl_writer *writer, const uint64_t *tokens, unsigned count)
{
    pthread_mutex_lock(&writer->lock);
    const struct sfl_link *link = sfl_list_first(&writer->jobs);
    for (; link != NULL; link = sfl_list_next(&writer->jobs, link)) {
        struct sfl_job *job = SFL_CONTAINER_OF(link, struct sfl_job, link);
        if (job->type == SFL_JOB_CALL && is_among(tokens, count, job->key))
            job->has_failed = true;
    }
    pthread_mutex_unlock(&writer->lock);
}

static void answer(const struct sfl_writer *writer, const struct sfl_list *batch,
                   const uint64_t *lost, unsigned lost_count)
{
    bool is_stuck = !sfl_list_is_empty(&writer->stuck);
    bool are_dropped = !is_stuck && !atomic_load(&writer->has_lost_musts);
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != NULL; link = sfl_list_next(batch, link)) {
        const struct sfl_job *job = SFL_CONTAINER_OF(link, struct sfl_job, link);
        if (job->on_written == NULL)
            continue;
        bool is_kept = !job->has_failed;
        if (job->type == SFL_JOB_PUT)
            is_kept = is_kept && !(job->is_void && is_stuck); // what replaces it may be stuck
        else if (job->key == 0)
            is_kept = are_dropped;
        else
            is_kept = is_kept && !is_among(lost, lost_count, job->key);
        job->on_written(job->context, is_kept);
    }
}

static void tell(struct sfl_writer *writer, const struct sfl_list *batch, const struct round *round)
{
    uint64_t lost[BATCH_MAX];
    unsigned lost_count = 0;
    if (round->lost > 0) {
        lost_count = tell_lost(writer, batch, lost);
        qsort(lost, lost_count, sizeof(lost[0]), by_token); // pumps wait for what comes now
    }
    if (lost_count > 0)
        mark_waiting(writer, lost, lost_count);
    answer(writer, batch, lost, lost_count);
}

static void set_reason(struct sfl_writer *writer, const char *why)
{
    pthread_mutex_lock(&writer->lock);
    snprintf(writer->why, sizeof(writer->why), "%s", why);
    pthread_mutex_unlock(&writer->lock);
}

static void set_state(struct sfl_writer *writer, const struct round *round)
{
    if (!round->has_written)
        return;
    bool is_failing = round->code != 0;
    unsigned stuck = count_of(&writer->stuck);
    const char *why = is_failing ? sfl_file_reason(writer->file, round->code) : "";
    atomic_store(&writer->stuck_count, stuck);
    set_reason(writer, why);
    if (is_failing) {
        sfl_log(SFL_LOG_ERROR, "data_not_written", SFL_STR("error", why),
                SFL_U64("lost", round->lost), SFL_U64("waiting", stuck));
        writer->retry_at = time_after(RETRY_MS);
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
        const struct sfl_job *job = SFL_CONTAINER_OF(link, struct sfl_job, link);
        sfl_list_append(batch, link);
        taken.count++;
        taken.job_bytes += job->bytes;
        taken.outcome_bytes += sfl_job_outcome_bytes(job);
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
    writer->counts = *sfl_file_counts(writer->file);
    pthread_cond_broadcast(&writer->done);
    pthread_mutex_unlock(&writer->lock);
}

// What is still to be taken back, and the tokens that nobody was given.
static void write_last(struct sfl_writer *writer)
{
    if (!sfl_list_is_empty(&writer->stuck) &&
        sfl_file_write(writer->file, sfl_jobs_apply, &writer->stuck) != 0)
        sfl_log(SFL_LOG_ERROR, "drops_lost", SFL_U64("count", count_of(&writer->stuck)));
    sfl_jobs_free(&writer->stuck);
    uint64_t last = sfl_tokens_last(writer->tokens);
    int code = sfl_file_write(writer->file, put_tokens, &last);
    if (code != 0)
        sfl_log(SFL_LOG_WARN, "tokens_stay_reserved",
                SFL_STR("error", sfl_file_reason(writer->file, code)));
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
        sfl_jobs_free(&batch);
        give_back(writer, &taken);
    }
    write_last(writer);
    pthread_mutex_lock(&writer->lock);
    writer->has_ended = true;
    pthread_cond_broadcast(&writer->done);
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

// --- life ---

static bool init_locks(struct sfl_writer *writer)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    bool is_good = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
                   pthread_cond_init(&writer->queued, &monotonic) == 0 &&
                   pthread_cond_init(&writer->done, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
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

bool sfl_writer_destroy(struct sfl_writer *writer, uint64_t wait_ms)
{
    struct timespec until = time_after(wait_ms);
    bool is_in_time = true;
    pthread_mutex_lock(&writer->lock);
    writer->is_closing = true;
    pthread_cond_signal(&writer->queued);
    while (!writer->has_ended && is_in_time)
        is_in_time = wait_done_locked(writer, wait_ms, &until);
    bool has_ended = writer->has_ended;
    pthread_mutex_unlock(&writer->lock);
    if (!has_ended)
        return false;
    pthread_join(writer->thread, NULL);
    free_writer(writer);
    return true;
}
