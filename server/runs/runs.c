// SPDX-License-Identifier: Apache-2.0
#include "runs/runs.h"

#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

enum { VISIT_AT_ONCE = 64, LOG_AT_ONCE = 64 };

// One run with its own bytes. Under the lock.
struct entry {
    struct sfl_run run;
    uint64_t number;
    unsigned references; // the ring's, and that of whoever logs it
    uint8_t bytes[];
};

// A run stands at its number modulo the limit.
struct sfl_runs {
    struct sfl_runs_options options;
    pthread_mutex_t lock; // after a shard's; guards what follows
    struct entry **ring;
    uint64_t newest; // number; 0: none has come
    uint64_t logged; // up to this number
    struct sfl_runs_counts counts;
    bool is_watched; // sfl_runs_log is called without being asked for
};

enum sfl_status sfl_runs_create(const struct sfl_runs_options *options, struct sfl_runs **runs_out)
{
    struct sfl_runs *runs = calloc(1, sizeof(*runs));
    if (runs == NULL)
        return SFL_NO_MEMORY;
    runs->options = *options;
    runs->ring = calloc(options->limit, sizeof(struct entry *));
    if (runs->ring == NULL) {
        free(runs);
        return SFL_NO_MEMORY;
    }
    pthread_mutex_init(&runs->lock, NULL);
    *runs_out = runs;
    return SFL_OK;
}

void sfl_runs_destroy(struct sfl_runs *runs)
{
    for (uint64_t i = 0; i < runs->options.limit; i++)
        free(runs->ring[i]);
    free(runs->ring);
    pthread_mutex_destroy(&runs->lock);
    free(runs);
}

static struct sfl_span copy(uint8_t **at, struct sfl_span span)
{
    struct sfl_span copied = sfl_span_of(*at, span.size);
    if (span.size > 0)
        memcpy(*at, span.data, span.size);
    *at += span.size;
    return copied;
}

static struct entry *create_entry(const struct sfl_run *run)
{
    size_t bytes = run->group.size + run->key.size + run->leader.size + run->message.size;
    struct entry *entry = malloc(sizeof(*entry) + bytes);
    if (entry == NULL)
        return NULL;
    uint8_t *at = entry->bytes;
    entry->references = 1;
    entry->run = *run;
    entry->run.group = copy(&at, run->group);
    entry->run.key = copy(&at, run->key);
    entry->run.leader = copy(&at, run->leader);
    entry->run.message = copy(&at, run->message);
    return entry;
}

static void drop_locked(struct entry *entry)
{
    if (entry != NULL && --entry->references == 0)
        free(entry);
}

static struct entry **place_of(struct sfl_runs *runs, uint64_t number)
{
    return &runs->ring[number % runs->options.limit];
}

// The number of the oldest that may be there.
static uint64_t oldest_locked(const struct sfl_runs *runs)
{
    uint64_t limit = runs->options.limit;
    return runs->newest > limit ? runs->newest - limit + 1 : 1;
}

// NULL when it has made room, or was lost.
static struct entry *find_locked(struct sfl_runs *runs, uint64_t number)
{
    struct entry *entry = *place_of(runs, number);
    return entry != NULL && entry->number == number ? entry : NULL;
}

static void keep_locked(const struct sfl_runs *runs, const struct entry *entry, uint64_t removed)
{
    const struct sfl_keeper *keeper = runs->options.keeper;
    if (keeper != NULL)
        keeper->run(runs->options.keeper_context, entry->number, &entry->run, removed);
}

uint64_t sfl_runs_add(struct sfl_runs *runs, const struct sfl_run *run)
{
    struct entry *entry = create_entry(run);
    if (entry == NULL)
        return 0;
    pthread_mutex_lock(&runs->lock);
    bool is_watched = runs->is_watched;
    runs->is_watched = true;
    uint64_t number = ++runs->newest;
    struct entry **place = place_of(runs, number);
    uint64_t removed = *place == NULL ? 0 : (*place)->number;
    runs->counts.kept += *place == NULL;
    runs->counts.added++;
    drop_locked(*place);
    *place = entry;
    entry->number = number;
    keep_locked(runs, entry, removed);
    pthread_mutex_unlock(&runs->lock);
    if (!is_watched)
        runs->options.on_added(runs->options.context);
    return number;
}

struct sfl_runs_counts sfl_runs_count(struct sfl_runs *runs)
{
    pthread_mutex_lock(&runs->lock);
    struct sfl_runs_counts counts = runs->counts;
    pthread_mutex_unlock(&runs->lock);
    return counts;
}

void sfl_runs_set_hits(struct sfl_runs *runs, uint64_t number, uint64_t hits)
{
    pthread_mutex_lock(&runs->lock);
    struct entry *entry = find_locked(runs, number);
    if (entry != NULL && entry->run.retained_hits != hits) {
        entry->run.retained_hits = hits;
        keep_locked(runs, entry, 0);
    }
    pthread_mutex_unlock(&runs->lock);
}

void sfl_runs_add_hits(struct sfl_runs *runs,
                       uint64_t (*hits_of)(void *context, const struct sfl_run *run), void *context)
{
    pthread_mutex_lock(&runs->lock);
    for (uint64_t number = runs->newest; number >= oldest_locked(runs) && number > 0; number--) {
        struct entry *entry = find_locked(runs, number);
        if (entry == NULL)
            continue;
        entry->references++;
        pthread_mutex_unlock(&runs->lock);
        uint64_t hits = hits_of(context, &entry->run);
        pthread_mutex_lock(&runs->lock);
        entry->run.retained_hits += hits;
        if (hits > 0 && find_locked(runs, number) == entry)
            keep_locked(runs, entry, 0);
        drop_locked(entry);
    }
    pthread_mutex_unlock(&runs->lock);
}

bool sfl_runs_restore(struct sfl_runs *runs, uint64_t number, const struct sfl_run *run)
{
    bool is_taken = false;
    pthread_mutex_lock(&runs->lock);
    if (runs->newest == 0) {
        runs->newest = number;
        runs->logged = number;
    }
    struct entry **place = place_of(runs, number);
    struct entry *entry = NULL;
    if (*place == NULL && runs->newest - number < runs->options.limit)
        entry = create_entry(run);
    if (entry != NULL) {
        entry->number = number;
        *place = entry;
        runs->counts.kept++;
        is_taken = true;
    }
    pthread_mutex_unlock(&runs->lock);
    return is_taken;
}

bool sfl_runs_visit(struct sfl_runs *runs, struct sfl_runs_cursor *cursor,
                    bool (*visit)(void *context, const struct sfl_run *run), void *context)
{
    pthread_mutex_lock(&runs->lock);
    uint64_t oldest = oldest_locked(runs);
    uint64_t number = cursor->number == 0 ? runs->newest : cursor->number - 1;
    bool goes_on = true;
    for (unsigned i = 0; i < VISIT_AT_ONCE && goes_on && number >= oldest; i++, number--) {
        const struct entry *entry = find_locked(runs, number);
        cursor->number = number;
        if (entry != NULL)
            goes_on = visit(context, &entry->run);
    }
    pthread_mutex_unlock(&runs->lock);
    return goes_on && number >= oldest;
}

static const char *kind_name(int kind)
{
    static const char *const names[] = {"none", "ok", "error", "panic", "abandoned"};
    return kind >= 0 && kind < (int)(sizeof(names) / sizeof(names[0])) ? names[kind] : "unknown";
}

static void log_run(const struct sfl_run *run)
{
    uint64_t took_ms =
        run->ended_unix_ms > run->begun_unix_ms ? run->ended_unix_ms - run->begun_unix_ms : 0;
    sfl_log(SFL_LOG_INFO, "run_ended", SFL_SPAN("group", run->group), SFL_SPAN("key", run->key),
            SFL_SPAN("leader", run->leader), SFL_STR("kind", kind_name(run->kind)),
            SFL_I64("code", run->code), SFL_SPAN("message", run->message),
            SFL_U64("took_ms", took_ms), SFL_U64("attempts", run->attempts),
            SFL_U64("callers", run->callers), SFL_U64("token", run->token));
}

// Some that have not been logged, with references.
struct batch {
    unsigned count;
    uint64_t passed; // so many more came, or had made room already
    struct entry *entries[LOG_AT_ONCE];
};

// Takes those that are logged now, the oldest ones, and passes over all others.
static void take_unlogged(struct sfl_runs *runs, struct batch *batch)
{
    pthread_mutex_lock(&runs->lock);
    uint64_t oldest = oldest_locked(runs);
    uint64_t number = runs->logged + 1 < oldest ? oldest : runs->logged + 1;
    for (; number <= runs->newest && batch->count < LOG_AT_ONCE; number++) {
        struct entry *entry = find_locked(runs, number);
        if (entry == NULL)
            continue;
        entry->references++;
        batch->entries[batch->count++] = entry;
    }
    batch->passed = runs->newest - runs->logged - batch->count;
    runs->logged = runs->newest;
    runs->is_watched = batch->count > 0;
    pthread_mutex_unlock(&runs->lock);
}

static void give_back(struct sfl_runs *runs, const struct batch *batch)
{
    pthread_mutex_lock(&runs->lock);
    for (unsigned i = 0; i < batch->count; i++)
        drop_locked(batch->entries[i]);
    pthread_mutex_unlock(&runs->lock);
}

bool sfl_runs_log(struct sfl_runs *runs)
{
    struct batch batch = {.count = 0};
    take_unlogged(runs, &batch);
    for (unsigned i = 0; i < batch.count; i++)
        log_run(&batch.entries[i]->run);
    if (batch.passed > 0)
        sfl_log(SFL_LOG_INFO, "runs_not_logged", SFL_U64("count", batch.passed));
    if (batch.count > 0)
        give_back(runs, &batch);
    return batch.count > 0;
}
