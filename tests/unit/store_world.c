// SPDX-License-Identifier: Apache-2.0
#include "store_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void on_lost(void *context, struct sfl_span group, struct sfl_span key, uint64_t token)
{
    struct store_world *world = context;
    unsigned at = atomic_fetch_add(&world->lost_count, 1);
    if (at >= STORE_LOST_MAX || group.size == 0 || key.size == 0)
        abort();
    world->lost[at] = token;
}

static void on_change(void *context)
{
    struct store_world *world = context;
    atomic_fetch_add(&world->changes, 1);
}

void store_world_open(struct store_world *world)
{
    char error[SFL_STORE_ERROR_MAX];
    enum sfl_status status = sfl_store_open(&world->options, &world->store, error);
    if (status != SFL_OK)
        fail_msg("%s", error);
}

void store_world_close(struct store_world *world)
{
    assert_true(sfl_store_close(world->store, UINT64_MAX));
    world->store = NULL;
}

void store_world_reopen(struct store_world *world)
{
    store_world_close(world);
    store_world_open(world);
}

const char *store_world_refused(struct store_world *world, enum sfl_status status)
{
    static char error[SFL_STORE_ERROR_MAX];
    assert_int_equal(sfl_store_open(&world->options, &world->store, error), status);
    world->store = NULL;
    assert_non_null(strstr(error, world->directory));
    assert_null(strchr(error, '\n'));
    return error;
}

int store_world_set_up(void **state)
{
    struct store_world *world = calloc(1, sizeof(*world));
    // In memory if there is such a place: thousands of files are made.
    snprintf(world->directory, sizeof(world->directory), "%s/sfl-store-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(world->directory) == NULL)
        return -1;
    snprintf(world->path, sizeof(world->path), "%s/data.mdb", world->directory);
    world->options = (struct sfl_store_options){
        .directory = world->directory,
        .retained_bytes_max = 1 << 20,
        .on_lost = on_lost,
        .on_change = on_change,
        .context = world,
    };
    sfl_budget_init(&world->held_bytes, 64);
    sfl_share_init(&world->share, &world->held_bytes);
    world->held = (struct sfl_held){.all = &world->share};
    store_world_open(world);
    *state = world;
    return 0;
}

int store_world_tear_down(void **state)
{
    struct store_world *world = *state;
    char path[128];
    if (world->store != NULL)
        store_world_close(world);
    unlink(world->path);
    snprintf(path, sizeof(path), "%s/lock.mdb", world->directory);
    unlink(path);
    rmdir(world->directory);
    sfl_share_deinit(&world->share);
    uint64_t held_bytes = sfl_budget_used(&world->held_bytes);
    sfl_budget_deinit(&world->held_bytes);
    free(world);
    return held_bytes == 0 ? 0 : -1;
}

struct sfl_outcome *store_outcome(struct store_world *world, uint64_t token, struct sfl_span value,
                                  uint64_t retain_ms)
{
    struct sfl_outcome_parts parts = {
        .kind = SFL_OUTCOME_ERROR,
        .attempt = 2,
        .token = token,
        .value = value,
        .texts = sfl_span_of_text("texts"),
    };
    struct sfl_outcome *outcome;
    assert_int_equal(
        sfl_outcome_restore(&sfl_heap, &world->held, &sfl_limits_default, &parts, &outcome),
        SFL_REASON_NONE);
    outcome->retain_ms = retain_ms;
    return outcome;
}

bool store_retain(struct store_world *world, const char *key, uint64_t token, struct sfl_span value,
                  uint64_t retain_ms)
{
    struct sfl_outcome *outcome = store_outcome(world, token, value, retain_ms);
    const struct sfl_kept kept = {
        .group = sfl_span_of_text("group"),
        .key = sfl_span_of_text(key),
        .fingerprint = sfl_span_of_text("print"),
        .callers = 7,
        .outcome = outcome,
    };
    bool is_taken = sfl_store_retain(world->store, &kept);
    sfl_outcome_unref(outcome);
    return is_taken;
}

static struct sfl_kept_lead lead_of(const char *key, uint64_t token)
{
    return (struct sfl_kept_lead){
        .group = sfl_span_of_text("group"),
        .key = sfl_span_of_text(key),
        .fingerprint = sfl_span_of_text("print"),
        .leader = sfl_span_of_text("node 3"),
        .token = token,
        .attempt = (uint32_t)token + 1,
        .max_attempts = (uint32_t)token + 2,
        .on_leader_loss = (enum sfl_leader_loss)(token % 3),
        .retain_from_lead = token % 2 == 1,
        .retain_ms = token + 3,
        .retain_error_ms = token + 4,
        .lease_ms = token + 5,
        .run_limit_ms = token + 6,
        .begun_unix_ms = token + 7,
        .led_unix_ms = token + 8,
        .error_led_unix_ms = token + 9,
    };
}

static void ignore(void *context, bool is_written)
{
    (void)context;
    (void)is_written;
}

bool store_lead(struct store_world *world, const char *key, uint64_t token, bool forgotten,
                struct sfl_outcome *error)
{
    struct sfl_kept_lead lead = lead_of(key, token);
    lead.forgotten = forgotten;
    lead.error = error;
    return sfl_store_lead(world->store, &lead, forgotten ? NULL : ignore, NULL);
}

struct question {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_answered;
    bool is_written;
};

static void on_written(void *context, bool is_written)
{
    struct question *question = context;
    pthread_mutex_lock(&question->lock);
    question->is_answered = true;
    question->is_written = is_written;
    pthread_cond_signal(&question->changed);
    pthread_mutex_unlock(&question->lock);
}

static bool wait_for_answer(struct question *question)
{
    pthread_mutex_lock(&question->lock);
    while (!question->is_answered)
        pthread_cond_wait(&question->changed, &question->lock);
    pthread_mutex_unlock(&question->lock);
    return question->is_written;
}

bool store_is_written(struct store_world *world, uint64_t token)
{
    struct question question = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
    assert_true(sfl_store_await(world->store, token, on_written, &question));
    return wait_for_answer(&question);
}

bool store_new_lead_is_written(struct store_world *world, uint64_t token, bool forgotten)
{
    struct question question = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
    struct sfl_kept_lead lead = lead_of("key", token);
    lead.forgotten = forgotten;
    assert_true(sfl_store_lead(world->store, &lead, on_written, &question));
    return wait_for_answer(&question);
}

static bool on_stored(void *context, const struct sfl_stored *stored)
{
    struct found *found = context;
    if (found->count >= STORE_FOUND_MAX || stored->value.size > sizeof(found->value))
        abort();
    found->tokens[found->count++] = stored->token;
    found->last = *stored;
    if (stored->value.size > 0)
        memcpy(found->value, stored->value.data, stored->value.size);
    snprintf(found->texts, sizeof(found->texts), "%.*s", (int)stored->texts.size,
             (const char *)stored->texts.data);
    snprintf(found->key, sizeof(found->key), "%.*s", (int)stored->key.size,
             (const char *)stored->key.data);
    return true;
}

static bool on_stored_lead(void *context, const struct sfl_stored_lead *stored)
{
    struct found *found = context;
    if (found->lead_count >= STORE_FOUND_MAX)
        abort();
    const struct sfl_kept_lead *lead = &stored->lead;
    const struct sfl_kept_lead right = lead_of("key", lead->token);
    assert_true(sfl_span_equal(lead->group, right.group));
    assert_true(lead->key.size > 0);
    assert_true(sfl_span_equal(lead->fingerprint, right.fingerprint));
    assert_true(sfl_span_equal(lead->leader, right.leader));
    assert_int_equal(lead->attempt, right.attempt);
    assert_int_equal(lead->max_attempts, right.max_attempts);
    assert_int_equal(lead->on_leader_loss, right.on_leader_loss);
    assert_int_equal(lead->retain_from_lead, right.retain_from_lead);
    assert_int_equal(lead->retain_ms, right.retain_ms);
    assert_int_equal(lead->retain_error_ms, right.retain_error_ms);
    assert_int_equal(lead->lease_ms, right.lease_ms);
    assert_int_equal(lead->run_limit_ms, right.run_limit_ms);
    assert_int_equal(lead->begun_unix_ms, right.begun_unix_ms);
    assert_int_equal(lead->led_unix_ms, right.led_unix_ms);
    assert_int_equal(lead->error_led_unix_ms, right.error_led_unix_ms);
    unsigned at = found->lead_count++;
    found->lead_tokens[at] = lead->token;
    found->lead_forgotten[at] = lead->forgotten;
    found->lead_error_tokens[at] = stored->error == NULL ? 0 : stored->error->token;
    if (stored->error == NULL)
        return true;
    assert_int_equal(stored->error->kind, SFL_OUTCOME_ERROR);
    assert_int_equal(stored->error->attempt, 2);
    assert_int_equal(stored->error_retain_ms, 777);
    snprintf(found->lead_error_texts, sizeof(found->lead_error_texts), "%.*s",
             (int)stored->error->texts.size, (const char *)stored->error->texts.data);
    return true;
}

static bool on_stored_run(void *context, uint64_t number, const struct sfl_run *run)
{
    struct found *found = context;
    assert_true(sfl_span_equal(run->message, sfl_span_of_text("message")));
    assert_true(sfl_span_equal(run->leader, sfl_span_of_text("leader")));
    assert_int_equal(run->ended_unix_ms, number * 10);
    assert_int_equal(run->code, -7);
    if (found->run_count >= STORE_FOUND_MAX)
        abort();
    found->run_numbers[found->run_count++] = number;
    return true;
}

struct found *store_load(struct store_world *world)
{
    static struct found found;
    found.count = 0;
    found.lead_count = 0;
    found.run_count = 0;
    const struct sfl_store_loader loader = {on_stored, on_stored_lead, on_stored_run, &found};
    assert_int_equal(sfl_store_load(world->store, &loader), SFL_OK);
    return &found;
}

bool store_has(struct store_world *world, uint64_t token)
{
    const struct found *found = store_load(world);
    for (unsigned i = 0; i < found->count; i++) {
        if (found->tokens[i] == token)
            return true;
    }
    return false;
}

bool store_has_lead(struct store_world *world, uint64_t token)
{
    const struct found *found = store_load(world);
    for (unsigned i = 0; i < found->lead_count; i++) {
        if (found->lead_tokens[i] == token)
            return true;
    }
    return false;
}
