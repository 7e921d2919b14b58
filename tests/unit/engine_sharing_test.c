// SPDX-License-Identifier: Apache-2.0
// What flights of different shards have in common, by counting: the linker hands the calls below to
// this test first. A flight takes its own shard's lock and nothing else; budgets and the source of
// tokens are asked once for many.
#include "coordinator/coordinator.h"
#include "engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SHARDS = 16, OPEN = 512, FLIGHTS = 64000, MUTEXES_MAX = 256 };

static struct {
    const pthread_mutex_t *mutex;
    uint64_t count;
} locks[MUTEXES_MAX];
static unsigned mutexes;
static uint64_t visits; // to any budget
static uint64_t asked;  // for tokens

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
bool __real_sfl_share_take_from_budget(struct sfl_share *share, uint64_t amount, uint64_t max);
bool __wrap_sfl_share_take_from_budget(struct sfl_share *share, uint64_t amount, uint64_t max);
void __real_sfl_share_give_to_budget(struct sfl_share *share, uint64_t amount);
void __wrap_sfl_share_give_to_budget(struct sfl_share *share, uint64_t amount);

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    unsigned i = 0;
    while (i < mutexes && locks[i].mutex != mutex)
        i++;
    if (i == mutexes && mutexes < MUTEXES_MAX)
        locks[mutexes++].mutex = mutex;
    if (i < MUTEXES_MAX)
        locks[i].count++;
    return __real_pthread_mutex_lock(mutex);
}

bool __wrap_sfl_share_take_from_budget(struct sfl_share *share, uint64_t amount, uint64_t max)
{
    visits++;
    return __real_sfl_share_take_from_budget(share, amount, max);
}

void __wrap_sfl_share_give_to_budget(struct sfl_share *share, uint64_t amount)
{
    visits++;
    __real_sfl_share_give_to_budget(share, amount);
}

static uint64_t take_tokens(void *context, uint64_t count)
{
    uint64_t *last = context;
    uint64_t first = *last + 1;
    *last += count;
    asked++;
    return first;
}

static void on_lead(void *context, struct sfl_member *member, const struct sfl_lead *lead)
{
    (void)context;
    (void)member;
    (void)lead;
}

static void on_result(void *context, struct sfl_member *member, const struct sfl_result *result)
{
    (void)context;
    (void)member;
    sfl_outcome_unref(result->outcome);
}

static void on_earlier_tick(void *context)
{
    (void)context;
}

static const struct sfl_engine_sink sink = {.lead = on_lead, .result = on_result};

static void join(struct sfl_engine *engine, struct sfl_member *member, uint64_t number)
{
    char key[32];
    snprintf(key, sizeof(key), "key %llu", (unsigned long long)number);
    const struct sfl_join wish = {
        .group = sfl_span_of_text("g"), .key = sfl_span_of_text(key), .deadline_ms = UINT64_MAX};
    sfl_caller_init(&member->caller);
    sfl_engine_join(engine, member, &wish, 1000);
}

static void finish(struct sfl_engine *engine, struct sfl_member *member)
{
    const struct sfl_finish outcome = {.kind = SFL_OUTCOME_OK,
                                       .value = sfl_span_of_text("a small value")};
    sfl_engine_finish(engine, member, &outcome, 1000);
}

static void forget_counts(void)
{
    mutexes = 0;
    memset(locks, 0, sizeof(locks));
    visits = 0;
    asked = 0;
}

static void flights_of_different_shards_have_next_to_nothing_in_common(void **state)
{
    (void)state;
    static struct sfl_member members[OPEN];
    uint64_t last_token = 0;
    struct sfl_limits limits = sfl_limits_default;
    struct sfl_coordinator *coordinator;
    const struct sfl_standalone_options standalone = {
        .lanes = SHARDS, .take_tokens = take_tokens, .context = &last_token};
    assert_int_equal(sfl_standalone_create(&standalone, &coordinator), SFL_OK);
    const struct sfl_engine_options options = {.shards = SHARDS,
                                               .limits = &limits,
                                               .coordinator = coordinator,
                                               .sink = &sink,
                                               .on_earlier_tick = on_earlier_tick};
    struct sfl_engine *engine;
    assert_int_equal(sfl_engine_create(&options, &engine), SFL_OK);
    uint64_t number = 0;
    for (unsigned i = 0; i < OPEN; i++)
        join(engine, &members[i], number++);
    forget_counts();
    for (unsigned i = 0; i < FLIGHTS; i++) {
        struct sfl_member *member = &members[i * 7 % OPEN];
        finish(engine, member);
        join(engine, member, number++);
    }
    uint64_t taken = 0;
    for (unsigned i = 0; i < mutexes; i++) {
        taken += locks[i].count;
        assert_true(locks[i].count < 2 * (FLIGHTS / SHARDS) * 3 / 2); // a shard's, and its part
    }
    print_message("a flight takes %.2f locks, visits %.4f budgets and asks for %.4f tokens\n",
                  (double)taken / FLIGHTS, (double)visits / FLIGHTS, (double)asked / FLIGHTS);
    assert_true(taken < FLIGHTS * 2 + FLIGHTS / 50);
    assert_true(visits < FLIGHTS / 50);
    assert_true(asked <= FLIGHTS / 64 + SHARDS);
    for (unsigned i = 0; i < OPEN; i++)
        finish(engine, &members[i]);
    assert_true(sfl_engine_is_idle(engine));
    sfl_engine_destroy(engine);
    coordinator->ops->destroy(coordinator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flights_of_different_shards_have_next_to_nothing_in_common),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
