// SPDX-License-Identifier: Apache-2.0
// What has ended: the newest ones are kept, in the order in which they came, here and beyond.
#include "runs/runs.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIMIT = 100, KEPT_MAX = 1000 };

struct world {
    struct sfl_runs *runs;
    unsigned added; // times that it was told so
    // What a keeper holds: the number of hits by a run's number; UINT64_MAX: nothing.
    uint64_t kept[KEPT_MAX];
};

static void on_added(void *context)
{
    struct world *world = context;
    world->added++;
}

static void keep_run(void *context, uint64_t number, const struct sfl_run *run, uint64_t removed)
{
    struct world *world = context;
    assert_true(number < KEPT_MAX && removed < number);
    world->kept[number] = run->retained_hits;
    if (removed > 0)
        world->kept[removed] = UINT64_MAX;
}

static const struct sfl_keeper keeper = {.run = keep_run};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    for (unsigned i = 0; i < KEPT_MAX; i++)
        world->kept[i] = UINT64_MAX;
    const struct sfl_runs_options options = {.limit = LIMIT,
                                             .keeper = &keeper,
                                             .keeper_context = world,
                                             .on_added = on_added,
                                             .context = world};
    *state = world;
    return sfl_runs_create(&options, &world->runs) == SFL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    sfl_runs_destroy(world->runs);
    free(world);
    return 0;
}

static struct sfl_run run_of(uint64_t token)
{
    return (struct sfl_run){
        .group = sfl_span_of_text("jobs"),
        .key = sfl_span_of_text("night\nly"),
        .leader = sfl_span_of_text("node 3"),
        .message = sfl_span_of_text("no rows"),
        .token = token,
        .begun_unix_ms = 1000,
        .led_unix_ms = 2000,
        .ended_unix_ms = 3500,
        .attempts = 2,
        .callers = 5,
        .kind = SFL_OUTCOME_ERROR,
        .code = 7,
    };
}

static uint64_t add(struct world *world, uint64_t token)
{
    // The bytes are the adder's again afterwards.
    char key[] = "night\nly";
    struct sfl_run run = run_of(token);
    run.key = sfl_span_of_text(key);
    uint64_t number = sfl_runs_add(world->runs, &run);
    memset(key, 'x', sizeof(key) - 1);
    return number;
}

struct listing {
    unsigned count;
    unsigned stop_after;
    uint64_t tokens[KEPT_MAX];
    uint64_t hits[KEPT_MAX];
};

static bool list_one(void *context, const struct sfl_run *run)
{
    struct listing *listing = context;
    const struct sfl_run right = run_of(run->token);
    assert_true(sfl_span_equal(run->key, right.key) && sfl_span_equal(run->group, right.group));
    assert_true(sfl_span_equal(run->leader, right.leader));
    assert_true(sfl_span_equal(run->message, right.message));
    listing->hits[listing->count] = run->retained_hits;
    listing->tokens[listing->count++] = run->token;
    return listing->count != listing->stop_after;
}

static const struct listing *list(struct world *world, unsigned stop_after)
{
    static struct listing listing;
    listing = (struct listing){.stop_after = stop_after};
    struct sfl_runs_cursor cursor = {0};
    while (sfl_runs_visit(world->runs, &cursor, list_one, &listing))
        ;
    return &listing;
}

static void the_newest_ones_are_kept_and_listed_first(void **state)
{
    struct world *world = *state;
    assert_int_equal(list(world, 0)->count, 0);
    for (uint64_t token = 1; token <= 250; token++)
        assert_int_equal(add(world, token), token);
    const struct listing *listing = list(world, 0);
    assert_int_equal(listing->count, LIMIT);
    for (unsigned i = 0; i < LIMIT; i++)
        assert_int_equal(listing->tokens[i], 250 - i);
    for (uint64_t number = 1; number <= 250; number++)
        assert_true((world->kept[number] != UINT64_MAX) == (number > 150));
}

static void a_listing_ends_where_its_reader_has_enough(void **state)
{
    struct world *world = *state;
    for (uint64_t token = 1; token <= 90; token++)
        add(world, token);
    const struct listing *listing = list(world, 70);
    assert_int_equal(listing->count, 70);
    assert_int_equal(listing->tokens[69], 21);
}

static void hits_are_counted_while_the_run_is_there(void **state)
{
    struct world *world = *state;
    uint64_t number = add(world, 7);
    sfl_runs_set_hits(world->runs, number, 12);
    assert_int_equal(list(world, 0)->hits[0], 12);
    assert_int_equal(world->kept[number], 12);
    for (uint64_t token = 10; token < 10 + LIMIT; token++)
        add(world, token);
    sfl_runs_set_hits(world->runs, number, 99); // another stands in its place
    const struct listing *listing = list(world, 0);
    for (unsigned i = 0; i < LIMIT; i++)
        assert_int_equal(listing->hits[i], 0);
}

static void what_an_earlier_process_added_comes_first_in_time(void **state)
{
    struct world *world = *state;
    for (uint64_t number = 400; number > 200; number--) {
        struct sfl_run run = run_of(number);
        assert_true(sfl_runs_restore(world->runs, number, &run) == (number > 300));
    }
    assert_int_equal(world->added, 0);
    assert_int_equal(add(world, 1000), 401);
    const struct listing *listing = list(world, 0);
    assert_int_equal(listing->count, LIMIT);
    assert_int_equal(listing->tokens[0], 1000);
    assert_int_equal(listing->tokens[1], 400);
    assert_int_equal(listing->tokens[99], 302);
}

static void each_is_logged_once_in_one_line(void **state)
{
    struct world *world = *state;
    FILE *file = tmpfile();
    struct sfl_log_options options = sfl_log_defaults();
    options.fd = fileno(file);
    sfl_log_configure(&options);
    add(world, 1);
    add(world, 2);
    assert_int_equal(world->added, 1);
    assert_true(sfl_runs_log(world->runs));
    add(world, 3);
    assert_int_equal(world->added, 1); // nobody is woken while somebody looks by himself
    assert_true(sfl_runs_log(world->runs));
    assert_false(sfl_runs_log(world->runs));
    struct sfl_log_options defaults = sfl_log_defaults();
    sfl_log_configure(&defaults);
    char line[1000];
    rewind(file);
    for (unsigned token = 1; token <= 3; token++) {
        char last[32];
        assert_non_null(fgets(line, sizeof(line), file));
        snprintf(last, sizeof(last), " token=%u\n", token);
        assert_non_null(strstr(line, last));
        assert_non_null(strstr(line, "event=run_ended group=jobs key=\"night\\nly\" "
                                     "leader=\"node 3\" kind=error code=7 message=\"no rows\" "
                                     "took_ms=2500 attempts=2 callers=5"));
    }
    assert_null(fgets(line, sizeof(line), file));
    fclose(file);
    add(world, 4);
    assert_int_equal(world->added, 2);
}

static void many_at_once_are_logged_in_part_and_counted(void **state)
{
    struct world *world = *state;
    FILE *file = tmpfile();
    struct sfl_log_options options = sfl_log_defaults();
    options.fd = fileno(file);
    options.repeats_per_second = 0;
    sfl_log_configure(&options);
    for (uint64_t token = 1; token <= LIMIT + 7; token++) // 7 of which make room
        add(world, token);
    assert_true(sfl_runs_log(world->runs));
    struct sfl_log_options defaults = sfl_log_defaults();
    sfl_log_configure(&defaults);
    char line[1000];
    unsigned lines = 0;
    rewind(file);
    while (fgets(line, sizeof(line), file) != NULL)
        lines++;
    assert_int_equal(lines, 64 + 1);
    assert_non_null(strstr(line, "event=runs_not_logged count=43\n"));
    fclose(file);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_newest_ones_are_kept_and_listed_first),
        STORY(a_listing_ends_where_its_reader_has_enough),
        STORY(hits_are_counted_while_the_run_is_there),
        STORY(what_an_earlier_process_added_comes_first_in_time),
        STORY(each_is_logged_once_in_one_line),
        STORY(many_at_once_are_logged_in_part_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
