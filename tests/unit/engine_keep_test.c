// SPDX-License-Identifier: Apache-2.0
// A lead with a lease, and a keeper that takes it or refuses it.
#include "base/clock.h"
#include "engine/engine.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct sfl_limits limits;
    struct sfl_coordinator *coordinator;
    struct sfl_engine *engine;
    struct sfl_member member;
    char heard[64]; // what the member and the keeper heard, in order
    uint64_t token;
    bool lead_was_kept;

    bool refuses_leads;
    void (*on_kept)(void *argument, bool is_kept); // who waits; NULL: nobody
    void *argument;
};

static void hear(struct world *world, const char *word)
{
    size_t used = strlen(world->heard);
    snprintf(world->heard + used, sizeof(world->heard) - used, "%s%s", used == 0 ? "" : " ", word);
}

static bool keep_lead(void *context, const struct sfl_kept_lead *lead,
                      void (*on_kept)(void *argument, bool is_kept), void *argument)
{
    struct world *world = context;
    assert_int_equal(lead->attempt, 1);
    assert_int_equal(lead->lease_ms, 5000);
    assert_true(sfl_span_equal(lead->leader, sfl_span_of_text("node 3")));
    hear(world, lead->forgotten ? "keep-forgotten" : "keep");
    if (on_kept == NULL)
        return true; // it replaces one
    if (world->refuses_leads)
        return false;
    world->on_kept = on_kept;
    world->argument = argument;
    return true;
}

static void unlead(void *context, uint64_t token)
{
    (void)token;
    hear(context, "unlead");
}

static bool retain(void *context, const struct sfl_kept *kept)
{
    (void)kept;
    hear(context, "retain");
    return true;
}

static void drop(void *context, uint64_t token)
{
    (void)context;
    (void)token;
}

static struct sfl_keeper_state state_of(void *context)
{
    (void)context;
    return (struct sfl_keeper_state){.lost_leads = 100};
}

static const struct sfl_keeper keeper = {
    .lead = keep_lead, .unlead = unlead, .retain = retain, .drop = drop, .state = state_of};

static void on_lead(void *context, struct sfl_member *member, const struct sfl_lead *lead)
{
    struct world *world = context;
    (void)member;
    world->token = lead->token;
    hear(world, "lead");
}

static void on_result(void *context, struct sfl_member *member, const struct sfl_result *result)
{
    struct world *world = context;
    (void)member;
    world->lead_was_kept = result->lead_was_kept;
    hear(world, "result");
    sfl_outcome_unref(result->outcome);
}

static void on_refuse(void *context, struct sfl_member *member, const struct sfl_refusal *refusal)
{
    (void)member;
    (void)refusal;
    hear(context, "refuse");
}

static bool may_tell(void *context, unsigned shard, unsigned batches)
{
    (void)context;
    (void)shard;
    (void)batches;
    return true;
}

static const struct sfl_engine_sink sink = {
    .lead = on_lead, .result = on_result, .refuse = on_refuse, .may_tell = may_tell};

static void on_earlier_tick(void *context)
{
    (void)context;
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    world->limits = sfl_limits_default;
    const struct sfl_standalone_options standalone = {.lanes = 1, .first_token = 100};
    assert_int_equal(sfl_standalone_create(&standalone, &world->coordinator), SFL_OK);
    const struct sfl_engine_options options = {.shards = 1,
                                               .limits = &world->limits,
                                               .coordinator = world->coordinator,
                                               .sink = &sink,
                                               .sink_context = world,
                                               .keeper = &keeper,
                                               .keeper_context = world,
                                               .on_earlier_tick = on_earlier_tick};
    assert_int_equal(sfl_engine_create(&options, &world->engine), SFL_OK);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    sfl_engine_shut(world->engine);
    sfl_engine_destroy(world->engine);
    world->coordinator->ops->destroy(world->coordinator);
    free(world);
    return 0;
}

static void join(struct world *world)
{
    const struct sfl_join wish = {.group = sfl_span_of_text("g"),
                                  .key = sfl_span_of_text("k"),
                                  .name = sfl_span_of_text("node 3"),
                                  .lease_ms = 5000,
                                  .deadline_ms = UINT64_MAX};
    sfl_caller_init(&world->member.caller);
    sfl_engine_join(world->engine, &world->member, &wish, sfl_clock_now_ms());
}

static void answer(struct world *world, bool is_kept)
{
    void (*on_kept)(void *argument, bool is_kept) = world->on_kept;
    world->on_kept = NULL;
    on_kept(world->argument, is_kept);
}

static void finish(struct world *world)
{
    const struct sfl_finish finish = {.kind = SFL_OUTCOME_OK, .value = sfl_span_of_text("v")};
    sfl_engine_finish(world->engine, &world->member, &finish, sfl_clock_now_ms());
}

static void forget(struct world *world)
{
    const struct sfl_forget wish = {.group = sfl_span_of_text("g"), .key = sfl_span_of_text("k")};
    assert_true(sfl_engine_forget(world->engine, &wish).flight);
}

static void a_lead_is_told_when_it_is_kept_and_over_before_the_result(void **state)
{
    struct world *world = *state;
    join(world);
    assert_string_equal(world->heard, "keep");
    answer(world, true);
    assert_string_equal(world->heard, "keep lead");
    finish(world);
    assert_string_equal(world->heard, "keep lead unlead result");
    assert_true(world->lead_was_kept);
}

static void a_lead_that_is_lost_on_the_way_is_told_all_the_same(void **state)
{
    struct world *world = *state;
    join(world);
    answer(world, false);
    finish(world);
    assert_string_equal(world->heard, "keep lead result");
    assert_false(world->lead_was_kept);
}

static void a_lead_that_is_refused_is_told_at_once(void **state)
{
    struct world *world = *state;
    world->refuses_leads = true;
    join(world);
    assert_string_equal(world->heard, "keep lead");
    finish(world);
    // The keeper counts what it refuses.
    assert_int_equal(sfl_engine_keeper_state(world->engine).lost_leads, 100);
}

static void who_leaves_while_it_is_kept_leaves_nothing_behind(void **state)
{
    struct world *world = *state;
    join(world);
    sfl_engine_leave(world->engine, &world->member, SFL_REASON_CANCELLED, true, sfl_clock_now_ms());
    assert_string_equal(world->heard, "keep refuse");
    answer(world, true);
    assert_string_equal(world->heard, "keep refuse unlead");
    assert_true(sfl_engine_is_idle(world->engine));
}

static void what_is_forgotten_on_the_way_is_kept_so(void **state)
{
    struct world *world = *state;
    join(world);
    forget(world);
    assert_string_equal(world->heard, "keep keep-forgotten");
    answer(world, true);
    finish(world);
    assert_string_equal(world->heard, "keep keep-forgotten lead unlead result");
}

static void what_is_forgotten_on_the_way_and_lost_is_taken_back(void **state)
{
    struct world *world = *state;
    join(world);
    forget(world);
    answer(world, false);
    assert_string_equal(world->heard, "keep keep-forgotten unlead lead");
    finish(world);
}

// Another thread is quicker: it comes whenever the shard's lock is given back.
static struct world *intruded;

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int code = __real_pthread_mutex_unlock(mutex);
    struct world *world = intruded;
    intruded = NULL;
    if (world != NULL)
        forget(world);
    return code;
}

static void what_is_forgotten_while_it_is_told_is_kept_so(void **state)
{
    struct world *world = *state;
    join(world);
    intruded = world;
    answer(world, true);
    assert_null(intruded);
    assert_string_equal(world->heard, "keep lead keep-forgotten");
    finish(world);
    assert_string_equal(world->heard, "keep lead keep-forgotten unlead result");
}

static void a_lead_comes_back_though_its_error_finds_no_room(void **state)
{
    struct world *world = *state;
    const struct sfl_kept_lead lead = {.group = sfl_span_of_text("g"),
                                       .key = sfl_span_of_text("k"),
                                       .leader = sfl_span_of_text("node 3"),
                                       .token = 50,
                                       .attempt = 2,
                                       .lease_ms = 5000,
                                       .run_limit_ms = 60000,
                                       .led_unix_ms = sfl_clock_wall_us() / 1000};
    const struct sfl_outcome_parts error = {.kind = SFL_OUTCOME_ERROR,
                                            .attempt = 1,
                                            .token = 40,
                                            .value = sfl_span_of_text("more than a little"),
                                            .texts = sfl_span_of_text("texts")};
    world->limits.held_bytes_max = 10;
    assert_true(sfl_engine_restore_lead(world->engine, &lead, &error, 0));
    const struct sfl_join resume = {.group = lead.group,
                                    .key = lead.key,
                                    .resume_token = lead.token,
                                    .lease_ms = 5000,
                                    .deadline_ms = UINT64_MAX};
    sfl_caller_init(&world->member.caller);
    sfl_engine_join(world->engine, &world->member, &resume, sfl_clock_now_ms());
    assert_string_equal(world->heard, "lead");
    assert_int_equal(world->token, 50);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_lead_is_told_when_it_is_kept_and_over_before_the_result),
        STORY(a_lead_that_is_lost_on_the_way_is_told_all_the_same),
        STORY(a_lead_that_is_refused_is_told_at_once),
        STORY(who_leaves_while_it_is_kept_leaves_nothing_behind),
        STORY(what_is_forgotten_on_the_way_is_kept_so),
        STORY(what_is_forgotten_on_the_way_and_lost_is_taken_back),
        STORY(what_is_forgotten_while_it_is_told_is_kept_so),
        STORY(a_lead_comes_back_though_its_error_finds_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
