// SPDX-License-Identifier: Apache-2.0
// What an observer is told, in which order.
#include "asker.h"
#include "singleflight/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EVENTS_MAX 16

// What came; the client's thread writes, and the test reads when its calls have ended.
struct told {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
    char names[EVENTS_MAX][16];
    uint32_t attempts[EVENTS_MAX];
    char last[512]; // the facts of the last `ended`
    char lines[4096];
};

static void note(struct told *told, const char *name, const struct singleflight_event *event)
{
    pthread_mutex_lock(&told->lock);
    assert_true(told->count < EVENTS_MAX);
    snprintf(told->names[told->count], sizeof(told->names[0]), "%s", name);
    told->attempts[told->count++] = event->attempt;
    if (event->role != NULL)
        snprintf(told->last, sizeof(told->last), "%s %.*s %s %s %s", event->group,
                 (int)event->key_bytes, (const char *)event->key, event->role,
                 singleflight_status_name(event->status),
                 singleflight_outcome_name(event->outcome));
    pthread_cond_broadcast(&told->changed);
    pthread_mutex_unlock(&told->lock);
}

#define NOTES(name)                                                                                \
    static void on_##name(void *context, const struct singleflight_event *event)                   \
    {                                                                                              \
        note(context, #name, event);                                                               \
    }
NOTES(led)
NOTES(followed)
NOTES(takeover)
NOTES(failed_open)
NOTES(lost)
NOTES(ended)

static void on_line(void *context, const char *line)
{
    struct told *told = context;
    pthread_mutex_lock(&told->lock);
    size_t size = strlen(told->lines);
    snprintf(told->lines + size, sizeof(told->lines) - size, "%s\n", line);
    pthread_mutex_unlock(&told->lock);
}

struct world {
    struct singleflight_fake *fake;
    struct singleflight_client *client;
    struct told told;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    pthread_mutex_init(&world->told.lock, NULL);
    pthread_cond_init(&world->told.changed, NULL);
    assert_int_equal(singleflight_fake_create(&world->fake), SINGLEFLIGHT_OK);
    struct singleflight_observer observer = SINGLEFLIGHT_OBSERVER_INIT;
    observer.context = &world->told;
    observer.led = on_led;
    observer.followed = on_followed;
    observer.takeover = on_takeover;
    observer.failed_open = on_failed_open;
    observer.lost = on_lost;
    observer.ended = on_ended;
    observer.log = on_line;
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.observer = &observer;
    assert_int_equal(singleflight_fake_client(world->fake, &options, &world->client),
                     SINGLEFLIGHT_OK);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    singleflight_client_destroy(world->client);
    singleflight_fake_destroy(world->fake);
    pthread_cond_destroy(&world->told.changed);
    pthread_mutex_destroy(&world->told.lock);
    free(world);
    return 0;
}

static void wait_told(struct world *world, unsigned count)
{
    pthread_mutex_lock(&world->told.lock);
    while (world->told.count < count)
        pthread_cond_wait(&world->told.changed, &world->told.lock);
    pthread_mutex_unlock(&world->told.lock);
}

// The events so far are those names, with spaces between them.
static void assert_told(struct world *world, const char *names)
{
    char told[EVENTS_MAX * 17] = "";
    pthread_mutex_lock(&world->told.lock);
    for (unsigned i = 0; i < world->told.count; i++) {
        strcat(told, i == 0 ? "" : " ");
        strcat(told, world->told.names[i]);
    }
    pthread_mutex_unlock(&world->told.lock);
    assert_string_equal(told, names);
}

static enum singleflight_outcome failing(struct singleflight_leader *leader, void *context)
{
    (void)context;
    return singleflight_leader_error(leader, 7, "no");
}

static void ask(struct world *world, const struct singleflight_do_options *options,
                singleflight_function *function)
{
    struct gate gate = GATE_INIT;
    gate.open = true;
    (void)singleflight_do(world->client, options, function, &gate, NULL);
}

static void a_leader_leads_and_ends(void **state)
{
    struct world *world = *state;
    struct singleflight_do_options options = options_of("k");
    options.group = "users";
    ask(world, &options, failing);
    assert_told(world, "led ended");
    assert_int_equal(world->told.attempts[0], 1);
    assert_string_equal(world->told.last, "users k leader OK error");
}

static void a_follower_follows_and_ends(void **state)
{
    struct world *world = *state;
    struct singleflight_do_options options = options_of("k");
    singleflight_fake_outcome(world->fake, NULL, "k", 1, "v", 1);
    ask(world, &options, gate_function);
    assert_told(world, "followed ended");
    assert_string_equal(world->told.last, "default k follower OK ok");
}

static void a_follower_that_is_made_the_leader_takes_over(void **state)
{
    struct world *world = *state;
    struct singleflight_do_options options = options_of("k");
    singleflight_fake_takeover(world->fake, NULL, "k", 1);
    ask(world, &options, gate_function);
    assert_told(world, "followed takeover led ended");
    assert_int_equal(world->told.attempts[1], 2);
    assert_string_equal(world->told.last, "default k leader OK ok");
}

static void a_lead_that_is_lost_is_told(void **state)
{
    struct world *world = *state;
    struct singleflight_do_options options = options_of("k");
    singleflight_fake_lose(world->fake, NULL, "k", 1);
    ask(world, &options, lost_function);
    assert_told(world, "led lost ended");
    assert_string_equal(world->told.last, "default k leader ABORTED ");
}

static void without_a_server_it_is_alone(void **state)
{
    struct world *world = *state;
    struct singleflight_do_options options = options_of("k");
    options.fail_open = true;
    singleflight_fake_set_available(world->fake, false);
    ask(world, &options, gate_function);
    assert_told(world, "failed_open ended");
    assert_string_equal(world->told.last, "default k alone OK ok");
}

static void a_refused_call_just_ends(void **state)
{
    struct world *world = *state;
    struct singleflight_do_options options = options_of("k");
    singleflight_fake_refuse(world->fake, NULL, "k", 1, SINGLEFLIGHT_PERMISSION_DENIED, "no");
    ask(world, &options, gate_function);
    assert_told(world, "ended");
    assert_string_equal(world->told.last, "default k follower PERMISSION_DENIED ");
}

static void merged_calls_follow_the_one_that_leads(void **state)
{
    struct world *world = *state;
    struct gate gate = GATE_INIT;
    struct asker first;
    struct asker second;
    struct singleflight_do_options options = options_of("k");
    asker_start(&first, world->client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    asker_start(&second, world->client, &options, gate_function, &gate);
    wait_told(world, 2);
    assert_told(world, "led followed");
    gate_open(&gate);
    singleflight_result_free(asker_join(&first));
    singleflight_result_free(asker_join(&second));
    assert_told(world, "led followed ended ended");
    assert_int_equal(singleflight_fake_call_count(world->fake), 1);
}

static void lines_say_the_same(void **state)
{
    struct world *world = *state;
    struct singleflight_do_options options = options_of("a b\n");
    ask(world, &options, gate_function);
    const char *lines = world->told.lines;
    assert_non_null(strstr(lines, "led group=default key=a\\x20b\\x0a attempt=1 token=1\n"));
    assert_non_null(strstr(lines, " role=leader status=OK outcome=ok duration_us="));
}

static void an_observer_of_an_older_program_is_shorter(void **state)
{
    (void)state;
    struct singleflight_fake *fake = NULL;
    struct singleflight_client *client = NULL;
    struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct singleflight_observer observer = SINGLEFLIGHT_OBSERVER_INIT;
    observer.struct_bytes = offsetof(struct singleflight_observer, ended);
    observer.context = &told;
    observer.led = on_led;
    observer.ended = on_ended; // what stands there is none of the library's business
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.observer = &observer;
    assert_int_equal(singleflight_fake_create(&fake), SINGLEFLIGHT_OK);
    assert_int_equal(singleflight_fake_client(fake, &options, &client), SINGLEFLIGHT_OK);
    struct singleflight_do_options call = options_of("k");
    assert_int_equal(singleflight_do(client, &call, failing, NULL, NULL), SINGLEFLIGHT_OK);
    singleflight_client_destroy(client);
    singleflight_fake_destroy(fake);
    assert_int_equal(told.count, 1);
    assert_string_equal(told.names[0], "led");
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(a_leader_leads_and_ends),
        ROW(a_follower_follows_and_ends),
        ROW(a_follower_that_is_made_the_leader_takes_over),
        ROW(a_lead_that_is_lost_is_told),
        ROW(without_a_server_it_is_alone),
        ROW(a_refused_call_just_ends),
        ROW(merged_calls_follow_the_one_that_leads),
        ROW(lines_say_the_same),
        cmocka_unit_test(an_observer_of_an_older_program_is_shorter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
