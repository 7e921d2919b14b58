// SPDX-License-Identifier: Apache-2.0
// The data file: what is written comes back, what is dropped does not, tokens only grow.
#include "store/store.h"

#include "core/flight_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct sfl_budget held_bytes;
static struct sfl_share held;

struct file {
    char directory[64];
    struct sfl_store *store;
};

static void open_store(struct file *file)
{
    struct sfl_store_options options = {file->directory, 1 << 20};
    char error[SFL_STORE_ERROR_MAX];
    assert_int_equal(sfl_store_open(&options, &file->store, error), SFL_OK);
}

static int set_up(void **state)
{
    struct file *file = calloc(1, sizeof(*file));
    snprintf(file->directory, sizeof(file->directory), "/tmp/sfl-store-XXXXXX");
    if (mkdtemp(file->directory) == NULL)
        return -1;
    open_store(file);
    *state = file;
    return 0;
}

static int tear_down(void **state)
{
    struct file *file = *state;
    char path[128];
    sfl_store_close(file->store);
    snprintf(path, sizeof(path), "%s/data.mdb", file->directory);
    unlink(path);
    snprintf(path, sizeof(path), "%s/lock.mdb", file->directory);
    unlink(path);
    rmdir(file->directory);
    free(file);
    return 0;
}

static void reopen(struct file *file)
{
    sfl_store_close(file->store);
    open_store(file);
}

// Queues an outcome as the core would: through a flight that has one.
static void retain(struct file *file, const char *key, uint64_t token, struct sfl_span value,
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
    assert_int_equal(sfl_outcome_restore(&sfl_heap, &held, &sfl_limits_default, &parts, &outcome),
                     SFL_REASON_NONE);
    outcome->retain_ms = retain_ms;
    struct sfl_flight *flight = calloc(1, sizeof(*flight));
    flight->outcome = outcome;
    flight->callers = 7;
    flight->group_size = 5;
    flight->key_size = (uint16_t)strlen(key);
    flight->fingerprint_size = 5;
    assert_true(sfl_flight_names_size(flight) < SFL_NEAR_NAMES);
    snprintf((char *)flight->near_names, SFL_NEAR_NAMES, "group%sprint", key);
    sfl_store_retain(file->store, flight);
    sfl_outcome_unref(outcome);
    free(flight);
}

struct found {
    unsigned count;
    bool accept;
    uint64_t tokens[8];
    struct sfl_stored last;
    uint8_t value[1 << 17];
    char texts[16];
    char key[16];
};

static bool on_stored(void *context, const struct sfl_stored *stored)
{
    struct found *found = context;
    assert_true(found->count < 8);
    found->tokens[found->count++] = stored->token;
    found->last = *stored;
    memcpy(found->value, stored->value.data, stored->value.size);
    snprintf(found->texts, sizeof(found->texts), "%.*s", (int)stored->texts.size,
             (const char *)stored->texts.data);
    snprintf(found->key, sizeof(found->key), "%.*s", (int)stored->key.size,
             (const char *)stored->key.data);
    return found->accept;
}

static struct found *load(struct file *file)
{
    static struct found found;
    found = (struct found){.accept = true};
    assert_int_equal(sfl_store_load(file->store, on_stored, &found), SFL_OK);
    return &found;
}

static void what_was_retained_comes_back_after_a_restart(void **state)
{
    struct file *file = *state;
    static uint8_t value[100000];
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (uint8_t)(i * 7);
    retain(file, "key", 11, sfl_span_of(value, sizeof(value)), 60000);
    reopen(file);
    struct found *found = load(file);
    assert_int_equal(found->count, 1);
    assert_int_equal(found->last.token, 11);
    assert_int_equal(found->last.attempt, 2);
    assert_int_equal(found->last.callers, 7);
    assert_int_equal(found->last.kind, SFL_OUTCOME_ERROR);
    assert_int_equal(found->last.value.size, sizeof(value));
    assert_memory_equal(found->value, value, sizeof(value));
    assert_string_equal(found->texts, "texts");
    assert_string_equal(found->key, "key");
    assert_true(found->last.left_ms > 30000 && found->last.left_ms <= 60000);
    // Each is rounded down to a whole ms.
    assert_in_range(found->last.left_ms + found->last.age_ms, 59999, 60000);
}

static void what_was_dropped_does_not_come_back(void **state)
{
    struct file *file = *state;
    retain(file, "a", 1, sfl_span_of_text("one"), 60000);
    retain(file, "b", 2, sfl_span_of_text("two"), 60000);
    sfl_store_drop(file->store, 1);
    reopen(file);
    struct found *found = load(file);
    assert_int_equal(found->count, 1);
    assert_int_equal(found->tokens[0], 2);
}

static void what_is_over_is_deleted(void **state)
{
    struct file *file = *state;
    retain(file, "over", 1, sfl_span_of_text("one"), 0);
    retain(file, "good", 2, sfl_span_of_text("two"), 60000);
    reopen(file);
    assert_int_equal(load(file)->count, 1);
    assert_int_equal(load(file)->count, 1);
}

static void newer_outcomes_come_first_and_refused_ones_are_deleted(void **state)
{
    struct file *file = *state;
    retain(file, "key", 5, sfl_span_of_text("old"), 60000);
    retain(file, "key", 300, sfl_span_of_text("new"), 60000);
    retain(file, "key", 70000, sfl_span_of_text("newest"), 60000);
    reopen(file);
    struct found *found = load(file);
    assert_int_equal(found->count, 3);
    assert_int_equal(found->tokens[0], 70000);
    assert_int_equal(found->tokens[1], 300);
    assert_int_equal(found->tokens[2], 5);
    struct found refusing = {.accept = false};
    assert_int_equal(sfl_store_load(file->store, on_stored, &refusing), SFL_OK);
    assert_int_equal(refusing.count, 3);
    assert_int_equal(load(file)->count, 0);
}

static void tokens_grow_over_restarts(void **state)
{
    struct file *file = *state;
    uint64_t last = 0;
    for (unsigned run = 0; run < 5; run++) {
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t token = sfl_store_take_tokens(file->store, 1);
            assert_true(token > last);
            last = token;
        }
        reopen(file);
    }
}

static void a_second_process_is_refused(void **state)
{
    struct file *file = *state;
    struct sfl_store_options options = {file->directory, 1 << 20};
    struct sfl_store *second;
    char error[SFL_STORE_ERROR_MAX];
    assert_int_equal(sfl_store_open(&options, &second, error), SFL_UNAVAILABLE);
    assert_non_null(strstr(error, file->directory));
    assert_non_null(strstr(error, "in use"));
}

static void a_directory_that_cannot_be_made_is_a_clear_error(void **state)
{
    (void)state;
    struct sfl_store_options options = {"/proc/no/such/place", 1 << 20};
    struct sfl_store *store;
    char error[SFL_STORE_ERROR_MAX];
    assert_int_equal(sfl_store_open(&options, &store, error), SFL_UNAVAILABLE);
    assert_non_null(strstr(error, "/proc/no/such/place: "));
}

static void a_flush_waits_for_what_was_queued(void **state)
{
    struct file *file = *state;
    for (uint64_t token = 1; token <= 1000; token++) {
        retain(file, "key", token, sfl_span_of_text("v"), 60000);
        if (token > 1)
            sfl_store_drop(file->store, token - 1);
    }
    sfl_store_flush(file->store);
    struct found *found = load(file);
    assert_int_equal(found->count, 1);
    assert_int_equal(found->tokens[0], 1000);
    assert_int_equal(sfl_budget_used(&held_bytes), 0);
}

struct waiting {
    struct file *file;
    uint64_t count; // outcomes on disk when it was called
};

static void on_written(void *context)
{
    struct waiting *waiting = context;
    waiting->count = load(waiting->file)->count;
}

static void who_waits_is_called_when_what_came_before_is_on_disk(void **state)
{
    struct waiting before = {*state, UINT64_MAX};
    struct waiting after = {*state, UINT64_MAX};
    retain(*state, "a", 1, sfl_span_of_text("one"), 60000);
    retain(*state, "b", 2, sfl_span_of_text("two"), 60000);
    assert_true(sfl_store_await(before.file->store, on_written, &before));
    sfl_store_flush(before.file->store);
    assert_int_equal(before.count, 2);
    sfl_store_drop(after.file->store, 1);
    assert_true(sfl_store_await(after.file->store, on_written, &after));
    sfl_store_flush(after.file->store);
    assert_int_equal(after.count, 1);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    sfl_budget_init(&held_bytes, 64);
    sfl_share_init(&held, &held_bytes);
    const struct CMUnitTest tests[] = {
        STORY(what_was_retained_comes_back_after_a_restart),
        STORY(what_was_dropped_does_not_come_back),
        STORY(what_is_over_is_deleted),
        STORY(newer_outcomes_come_first_and_refused_ones_are_deleted),
        STORY(tokens_grow_over_restarts),
        STORY(a_second_process_is_refused),
        STORY(a_directory_that_cannot_be_made_is_a_clear_error),
        STORY(a_flush_waits_for_what_was_queued),
        STORY(who_waits_is_called_when_what_came_before_is_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
