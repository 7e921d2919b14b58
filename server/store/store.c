// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // F_OFD_SETLK
#include "store/store.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "core/flight.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

// Tokens are reserved on disk in blocks; the next block is reserved when half of one is used.
#define TOKEN_BLOCK (UINT64_C(1) << 30)

enum {
    FORMAT = 1,
    MAP_BYTES_MIN = 64 << 20,
    BATCH_MAX = 256, // writes in one transaction
};

// What a record begins with; group, key, fingerprint, texts and value follow, in this order.
// Numbers are in the byte order of the machine: a data file does not move between architectures.
struct record {
    uint32_t attempt;
    uint32_t callers;
    uint32_t kind;
    uint16_t group_size;
    uint16_t key_size;
    uint16_t fingerprint_size;
    uint16_t unused;
    uint32_t texts_size;
    uint64_t ended_at_us; // of the wall clock
    uint64_t until_us;
    uint64_t value_size;
};

// What is queued: an outcome to keep, a token to delete, or somebody to call.
struct job {
    struct sfl_link link;
    enum { JOB_RETAIN, JOB_DROP, JOB_CALL } type;
    void (*on_written)(void *context);
    void *context;
    uint64_t token;
    struct sfl_outcome *outcome;
    struct record record;
    uint8_t names[]; // group, key, fingerprint
};

struct sfl_store {
    MDB_env *environment;
    MDB_dbi retained; // token -> record
    MDB_dbi meta;     // name -> number

    _Atomic uint64_t last_token;
    _Atomic uint64_t reserved_token; // tokens up to here may be granted

    pthread_t writer;
    pthread_mutex_t lock; // guards what follows
    pthread_cond_t queued;
    pthread_cond_t written;
    struct sfl_list jobs;
    uint64_t queued_count;
    uint64_t written_count;
    bool reserve; // another block of tokens is wanted
    bool closing;
};

static enum sfl_status fail(char *error_out, const char *what, int code)
{
    snprintf(error_out, SFL_STORE_ERROR_MAX, "%s: %s", what, mdb_strerror(code));
    return SFL_UNAVAILABLE;
}

static int get_number(MDB_txn *txn, MDB_dbi meta, const char *name, uint64_t *number_out)
{
    MDB_val key = {strlen(name), (void *)name};
    MDB_val data;
    int code = mdb_get(txn, meta, &key, &data);
    if (code == 0 && data.mv_size != sizeof(*number_out))
        return MDB_CORRUPTED;
    if (code == 0)
        memcpy(number_out, data.mv_data, sizeof(*number_out));
    return code;
}

static int put_number(MDB_txn *txn, MDB_dbi meta, const char *name, uint64_t number)
{
    MDB_val key = {strlen(name), (void *)name};
    MDB_val data = {sizeof(number), &number};
    return mdb_put(txn, meta, &key, &data, 0);
}

// Opens both tables and checks the format; a new file gets it.
static int open_tables(struct sfl_store *store, MDB_txn *txn, uint64_t *tokens_out)
{
    int code = mdb_dbi_open(txn, "retained", MDB_CREATE | MDB_INTEGERKEY, &store->retained);
    if (code == 0)
        code = mdb_dbi_open(txn, "meta", MDB_CREATE, &store->meta);
    if (code != 0)
        return code;
    uint64_t format;
    code = get_number(txn, store->meta, "format", &format);
    if (code == MDB_NOTFOUND)
        code = put_number(txn, store->meta, "format", FORMAT);
    else if (code == 0 && format != FORMAT)
        return MDB_VERSION_MISMATCH;
    if (code != 0)
        return code;
    *tokens_out = 0;
    code = get_number(txn, store->meta, "tokens", tokens_out);
    return code == MDB_NOTFOUND ? 0 : code;
}

// Writes that tokens up to `token` may be granted.
static int write_reserve(struct sfl_store *store, uint64_t token)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(store->environment, NULL, 0, &txn);
    if (code != 0)
        return code;
    code = put_number(txn, store->meta, "tokens", token);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static int open_file(struct sfl_store *store, uint64_t *tokens_out)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(store->environment, NULL, 0, &txn);
    if (code != 0)
        return code;
    code = open_tables(store, txn, tokens_out);
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

// Two daemons on one file would grant the same tokens, so the file is locked while it is open.
static enum sfl_status lock_directory(struct sfl_store *store, const char *directory,
                                      char *error_out)
{
    mdb_filehandle_t file;
    int code = mdb_env_get_fd(store->environment, &file);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (code == 0 && fcntl(file, F_OFD_SETLK, &lock) != 0) {
        snprintf(error_out, SFL_STORE_ERROR_MAX, "%s: in use by another process", directory);
        return SFL_UNAVAILABLE;
    }
    return code == 0 ? SFL_OK : fail(error_out, directory, code);
}

static enum sfl_status open_environment(struct sfl_store *store,
                                        const struct sfl_store_options *options, char *error_out)
{
    if (mkdir(options->directory, 0700) != 0 && errno != EEXIST)
        return fail(error_out, options->directory, errno);
    int code = mdb_env_create(&store->environment);
    if (code != 0)
        return fail(error_out, options->directory, code);
    // Twice the payload: a page-wise file needs room beside what it replaces.
    uint64_t map_bytes = options->retained_bytes_max * 2 + MAP_BYTES_MIN;
    code = mdb_env_set_maxdbs(store->environment, 2);
    if (code == 0)
        code = mdb_env_set_mapsize(store->environment, map_bytes);
    if (code == 0)
        code = mdb_env_open(store->environment, options->directory, MDB_NOTLS, 0600);
    if (code != 0)
        return fail(error_out, options->directory, code);
    return lock_directory(store, options->directory, error_out);
}

static void *write_jobs(void *argument);

static enum sfl_status start(struct sfl_store *store, const struct sfl_store_options *options,
                             char *error_out)
{
    uint64_t tokens = 0;
    int code = open_file(store, &tokens);
    if (code == MDB_VERSION_MISMATCH) {
        snprintf(error_out, SFL_STORE_ERROR_MAX,
                 "%s: a data file of another format; this daemon reads format %d",
                 options->directory, FORMAT);
        return SFL_FAILED_PRECONDITION;
    }
    uint64_t wall_us = sfl_clock_wall_us();
    uint64_t first = tokens > wall_us ? tokens : wall_us;
    if (code == 0)
        code = write_reserve(store, first + TOKEN_BLOCK);
    if (code != 0)
        return fail(error_out, options->directory, code);
    atomic_init(&store->last_token, first);
    atomic_init(&store->reserved_token, first + TOKEN_BLOCK);
    if (pthread_create(&store->writer, NULL, write_jobs, store) != 0)
        return SFL_NO_MEMORY;
    return SFL_OK;
}

static void free_store(struct sfl_store *store)
{
    if (store->environment != NULL)
        mdb_env_close(store->environment);
    pthread_cond_destroy(&store->written);
    pthread_cond_destroy(&store->queued);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

enum sfl_status sfl_store_open(const struct sfl_store_options *options,
                               struct sfl_store **store_out,
                               char error_out[static SFL_STORE_ERROR_MAX])
{
    snprintf(error_out, SFL_STORE_ERROR_MAX, "%s: out of memory", options->directory);
    struct sfl_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return SFL_NO_MEMORY;
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->queued, NULL);
    pthread_cond_init(&store->written, NULL);
    sfl_list_init(&store->jobs);
    enum sfl_status status = open_environment(store, options, error_out);
    if (status == SFL_OK)
        status = start(store, options, error_out);
    if (status != SFL_OK) {
        free_store(store);
        return status;
    }
    *store_out = store;
    return SFL_OK;
}

static void queue(struct sfl_store *store, struct job *job)
{
    pthread_mutex_lock(&store->lock);
    sfl_list_append(&store->jobs, &job->link);
    store->queued_count++;
    pthread_cond_signal(&store->queued);
    pthread_mutex_unlock(&store->lock);
}

// For the disk: `names` bytes of names.
static struct job *create_job(int type, uint64_t token, size_t names)
{
    struct job *job = malloc(sizeof(*job) + names);
    if (job == NULL) {
        sfl_log(SFL_LOG_ERROR, "data file: out of memory, a write is lost");
        return NULL;
    }
    sfl_link_init(&job->link);
    job->type = type;
    job->token = token;
    job->outcome = NULL;
    return job;
}

void sfl_store_retain(struct sfl_store *store, const struct sfl_flight *flight)
{
    struct sfl_span group = sfl_flight_group(flight);
    struct sfl_span key = sfl_flight_key(flight);
    struct sfl_span fingerprint = sfl_flight_fingerprint(flight);
    const struct sfl_outcome *outcome = flight->outcome;
    struct job *job =
        create_job(JOB_RETAIN, outcome->token, group.size + key.size + fingerprint.size);
    if (job == NULL)
        return;
    uint64_t now_us = sfl_clock_wall_us();
    job->outcome = sfl_outcome_ref(flight->outcome);
    job->record = (struct record){
        .attempt = outcome->attempt,
        .callers = flight->callers,
        .kind = outcome->kind,
        .group_size = (uint16_t)group.size,
        .key_size = (uint16_t)key.size,
        .fingerprint_size = (uint16_t)fingerprint.size,
        .texts_size = outcome->texts == NULL ? 0 : (uint32_t)outcome->texts->size,
        .ended_at_us = now_us,
        .until_us = now_us + outcome->retain_ms * 1000,
        .value_size = outcome->value_bytes,
    };
    memcpy(job->names, group.data, group.size);
    memcpy(job->names + group.size, key.data, key.size);
    if (fingerprint.size > 0)
        memcpy(job->names + group.size + key.size, fingerprint.data, fingerprint.size);
    queue(store, job);
}

void sfl_store_drop(struct sfl_store *store, uint64_t token)
{
    struct job *job = create_job(JOB_DROP, token, 0);
    if (job != NULL)
        queue(store, job);
}

bool sfl_store_await(struct sfl_store *store, void (*on_written)(void *context), void *context)
{
    struct job *job = create_job(JOB_CALL, 0, 0);
    if (job == NULL)
        return false;
    job->on_written = on_written;
    job->context = context;
    queue(store, job);
    return true;
}

void sfl_store_flush(struct sfl_store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t target = store->queued_count;
    while (store->written_count < target)
        pthread_cond_wait(&store->written, &store->lock);
    pthread_mutex_unlock(&store->lock);
}

// Writes header, names, texts and value into the place that LMDB gave for the record.
static void fill_record(uint8_t *at, const struct job *job)
{
    const struct record *record = &job->record;
    size_t names = (size_t)record->group_size + record->key_size + record->fingerprint_size;
    memcpy(at, record, sizeof(*record));
    at += sizeof(*record);
    memcpy(at, job->names, names);
    at += names;
    if (record->texts_size > 0)
        memcpy(at, job->outcome->texts->data, record->texts_size);
    at += record->texts_size;
    struct sfl_value_cursor cursor = {0};
    while (cursor.position < record->value_size) {
        struct sfl_span part =
            sfl_value_read(job->outcome->value, record->value_size, &cursor, SIZE_MAX);
        memcpy(at, part.data, part.size);
        at += part.size;
    }
}

static int write_job(struct sfl_store *store, MDB_txn *txn, const struct job *job)
{
    uint64_t token = job->token;
    MDB_val key = {sizeof(token), &token};
    if (job->type == JOB_CALL)
        return 0;
    if (job->type == JOB_DROP) {
        int code = mdb_del(txn, store->retained, &key, NULL);
        return code == MDB_NOTFOUND ? 0 : code;
    }
    const struct record *record = &job->record;
    MDB_val data = {sizeof(*record) + record->group_size + record->key_size +
                        record->fingerprint_size + record->texts_size + record->value_size,
                    NULL};
    int code = mdb_put(txn, store->retained, &key, &data, MDB_RESERVE);
    if (code == 0)
        fill_record(data.mv_data, job);
    return code;
}

static int write_batch(struct sfl_store *store, const struct sfl_list *batch)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(store->environment, NULL, 0, &txn);
    if (code != 0)
        return code;
    const struct sfl_link *link = sfl_list_first(batch);
    for (; link != NULL && code == 0; link = sfl_list_next(batch, link))
        code = write_job(store, txn, SFL_CONTAINER_OF(link, struct job, link));
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static void end_batch(struct sfl_list *batch)
{
    struct sfl_link *link;
    while ((link = sfl_list_pop(batch)) != NULL) {
        struct job *job = SFL_CONTAINER_OF(link, struct job, link);
        if (job->type == JOB_CALL)
            job->on_written(job->context);
        sfl_outcome_unref(job->outcome);
        free(job);
    }
}

static void reserve_tokens(struct sfl_store *store)
{
    uint64_t target = atomic_load(&store->last_token) + TOKEN_BLOCK;
    int code = write_reserve(store, target);
    if (code == 0)
        atomic_store(&store->reserved_token, target);
    else
        sfl_log(SFL_LOG_ERROR, "data file: cannot reserve tokens",
                SFL_STR("error", mdb_strerror(code)));
}

// Takes up to BATCH_MAX jobs off the queue; waits for work. False when the store closes and
// nothing is left.
static bool take_batch(struct sfl_store *store, struct sfl_list *batch, uint64_t *count_out,
                       bool *reserve_out)
{
    pthread_mutex_lock(&store->lock);
    while (sfl_list_is_empty(&store->jobs) && !store->reserve && !store->closing)
        pthread_cond_wait(&store->queued, &store->lock);
    uint64_t count = 0;
    struct sfl_link *link;
    while (count < BATCH_MAX && (link = sfl_list_pop(&store->jobs)) != NULL) {
        sfl_list_append(batch, link);
        count++;
    }
    *count_out = count;
    *reserve_out = store->reserve;
    store->reserve = false;
    pthread_mutex_unlock(&store->lock);
    return count > 0 || *reserve_out;
}

static void *write_jobs(void *argument)
{
    struct sfl_store *store = argument;
    struct sfl_list batch;
    sfl_list_init(&batch);
    uint64_t count;
    bool reserve;
    while (take_batch(store, &batch, &count, &reserve)) {
        if (reserve)
            reserve_tokens(store);
        int code = count > 0 ? write_batch(store, &batch) : 0;
        if (code != 0)
            sfl_log(SFL_LOG_ERROR, "data file: cannot write", SFL_STR("error", mdb_strerror(code)),
                    SFL_U64("lost_writes", count));
        end_batch(&batch);
        pthread_mutex_lock(&store->lock);
        store->written_count += count;
        pthread_cond_broadcast(&store->written);
        pthread_mutex_unlock(&store->lock);
    }
    return NULL;
}

void sfl_store_close(struct sfl_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->closing = true;
    pthread_cond_signal(&store->queued);
    pthread_mutex_unlock(&store->lock);
    pthread_join(store->writer, NULL);
    int code = write_reserve(store, atomic_load(&store->last_token));
    if (code != 0)
        sfl_log(SFL_LOG_WARN, "data file: unused tokens stay reserved",
                SFL_STR("error", mdb_strerror(code)));
    free_store(store);
}

uint64_t sfl_store_take_tokens(struct sfl_store *store, uint64_t count)
{
    uint64_t before = atomic_fetch_add(&store->last_token, count);
    uint64_t last = before + count;
    uint64_t reserved = atomic_load(&store->reserved_token);
    uint64_t half = reserved - TOKEN_BLOCK / 2;
    if ((before < half && last >= half) || last > reserved) {
        pthread_mutex_lock(&store->lock);
        store->reserve = true;
        pthread_cond_signal(&store->queued);
        pthread_mutex_unlock(&store->lock);
    }
    return last > reserved ? 0 : before + 1;
}

// Reads a record. False when its sizes do not add up.
static bool read_record(MDB_val key, MDB_val data, uint64_t now_us, struct sfl_stored *stored_out)
{
    struct record record;
    if (key.mv_size != sizeof(uint64_t) || data.mv_size < sizeof(record))
        return false;
    memcpy(&record, data.mv_data, sizeof(record));
    uint64_t rest = data.mv_size - sizeof(record);
    uint64_t fixed =
        (uint64_t)record.group_size + record.key_size + record.fingerprint_size + record.texts_size;
    if (fixed > rest || rest - fixed != record.value_size || record.until_us <= now_us)
        return false;
    const uint8_t *at = (const uint8_t *)data.mv_data + sizeof(record);
    // A wall clock that went back must not make a retention longer than it was.
    uint64_t whole_us = record.until_us - record.ended_at_us;
    uint64_t left_us = record.until_us - now_us;
    if (left_us > whole_us)
        left_us = whole_us;
    *stored_out = (struct sfl_stored){
        .attempt = record.attempt,
        .callers = record.callers,
        .kind = (int)record.kind,
        .age_ms = (whole_us - left_us) / 1000,
        .left_ms = left_us / 1000,
        .group = {at, record.group_size},
        .key = {at + record.group_size, record.key_size},
        .fingerprint = {at + record.group_size + record.key_size, record.fingerprint_size},
        .texts = {at + fixed - record.texts_size, record.texts_size},
        .value = {at + fixed, record.value_size},
    };
    memcpy(&stored_out->token, key.mv_data, sizeof(stored_out->token));
    return true;
}

static int load(struct sfl_store *store, MDB_txn *txn,
                bool (*restore)(void *context, const struct sfl_stored *stored), void *context)
{
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, store->retained, &cursor);
    if (code != 0)
        return code;
    uint64_t now_us = sfl_clock_wall_us();
    MDB_val key;
    MDB_val data;
    // From the newest to the oldest token: of two outcomes of one key the newer counts.
    for (code = mdb_cursor_get(cursor, &key, &data, MDB_LAST); code == 0;
         code = mdb_cursor_get(cursor, &key, &data, MDB_PREV)) {
        struct sfl_stored stored;
        if (read_record(key, data, now_us, &stored) && restore(context, &stored))
            continue;
        code = mdb_cursor_del(cursor, 0);
        if (code != 0)
            break;
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

enum sfl_status sfl_store_load(struct sfl_store *store,
                               bool (*restore)(void *context, const struct sfl_stored *stored),
                               void *context)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(store->environment, NULL, 0, &txn);
    if (code != 0)
        return SFL_UNAVAILABLE;
    code = load(store, txn, restore, context);
    if (code != 0) {
        mdb_txn_abort(txn);
        return SFL_UNAVAILABLE;
    }
    return mdb_txn_commit(txn) == 0 ? SFL_OK : SFL_UNAVAILABLE;
}
