// SPDX-License-Identifier: Apache-2.0
// What becomes of streams when rights change: what is lost ends, in turns, and nothing else does.
#include "transport_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SESSION "/singleflight.v1.SingleFlight/Session"
#define DO "/singleflight.v1.SingleFlight/Do"
#define PEER "ipv4:127.0.0.1:1000"
// Of the token "a".
#define HASH "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
#define WHO "[who]\nc = token:cron\n"

enum { PERMISSION_DENIED = 7, UNAUTHENTICATED = 16, CALLS = 100, TURN = 8 };

struct story {
    struct fake_world world;
    char tokens[64];
    char access[64];
    struct sfl_stream *stream;
};

static struct fake_frame frames[FAKE_FRAMES_MAX];

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_file(char path[64], const char *text)
{
    strcpy(path, "/tmp/sfl_rights_XXXXXX");
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    write_file(path, text);
}

static int set_up(void **state)
{
    struct story *story = calloc(1, sizeof(*story));
    char problem[SFL_SECURITY_PROBLEM_MAX];
    assert_non_null(story);
    fake_world_init(&story->world);
    make_file(story->tokens, "cron " HASH "\n");
    make_file(story->access, WHO "[group *]\nall = c\n");
    const struct sfl_security_options options = {story->tokens, story->access};
    assert_int_equal(sfl_security_create(&options, &story->world.security, problem), SFL_OK);
    fake_world_start(&story->world);
    fake_be_pump();
    fake_show_token("a");
    *state = story;
    return 0;
}

static int tear_down(void **state)
{
    struct story *story = *state;
    fake_turns_of(0);
    fake_break(&story->world, story->stream);
    fake_release(story->stream);
    fake_world_deinit(&story->world);
    sfl_security_destroy(story->world.security);
    unlink(story->tokens);
    unlink(story->access);
    free(story);
    fake_show_token(NULL);
    return 0;
}

static void change(struct story *story, const char *path, const char *text)
{
    char problem[SFL_SECURITY_PROBLEM_MAX];
    write_file(path, text);
    assert_int_equal(sfl_security_reload(story->world.security, problem), SFL_OK);
    sfl_transport_rights_changed(story->world.transport);
}

static void join(struct story *story, uint64_t id, const char *group, Singleflight__V1__Role role)
{
    char key[16];
    Singleflight__V1__Join message = SINGLEFLIGHT__V1__JOIN__INIT;
    Singleflight__V1__CallRequest call = SINGLEFLIGHT__V1__CALL_REQUEST__INIT;
    snprintf(key, sizeof(key), "%d", (int)id);
    message.group = (char *)(uintptr_t)group;
    message.key.data = (uint8_t *)key;
    message.key.len = strlen(key);
    message.role = role;
    call.id = id;
    call.step_case = SINGLEFLIGHT__V1__CALL_REQUEST__STEP_JOIN;
    call.join = &message;
    fake_session_send(&story->world, story->stream, &call);
}

static size_t count_ends(struct story *story, int code)
{
    size_t ends = 0;
    size_t count = fake_frames(story->stream, frames);
    for (size_t i = 0; i < count; i++) {
        if (frames[i].step == SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_END && frames[i].code == code)
            ends++;
    }
    return ends;
}

static void calls_that_lost_their_right_end_in_turns(void **state)
{
    struct story *story = *state;
    story->stream = fake_open(&story->world, SESSION, PEER);
    for (uint64_t id = 1; id <= CALLS; id++)
        join(story, id, id % 2 == 0 ? "kept" : "lost", SINGLEFLIGHT__V1__ROLE__ROLE_ANY);
    fake_turns_of(TURN);
    change(story, story->access, WHO "[group kept]\nall = c\n");
    uint64_t before = sfl_engine_stats(story->world.engine, sfl_span_of_text("lost")).flights_now;
    assert_int_equal(before, CALLS / 2);
    unsigned turns = 0;
    while (sfl_engine_stats(story->world.engine, sfl_span_of_text("lost")).flights_now > 0) {
        assert_true(fake_run_turn());
        uint64_t left = sfl_engine_stats(story->world.engine, sfl_span_of_text("lost")).flights_now;
        assert_true(before - left <= TURN);
        before = left;
        turns++;
    }
    assert_true(turns >= CALLS / 2 / TURN);
    fake_turns_of(0);
    fake_run(&story->world);
    assert_int_equal(count_ends(story, PERMISSION_DENIED), CALLS / 2);
    assert_int_equal(sfl_engine_stats(story->world.engine, sfl_span_of_text("kept")).flights_now,
                     CALLS / 2);
    assert_int_equal(fake_code(story->stream), -1);
}

static void who_follows_only_keeps_what_it_needs(void **state)
{
    struct story *story = *state;
    story->stream = fake_open(&story->world, SESSION, PEER);
    join(story, 1, "g", SINGLEFLIGHT__V1__ROLE__ROLE_LEAD_ONLY);
    change(story, story->access, WHO "[group g]\ndo = c\n");
    fake_run(&story->world);
    assert_int_equal(count_ends(story, PERMISSION_DENIED), 1);
    // What the stream knew of the group is not asked any more.
    join(story, 2, "g", SINGLEFLIGHT__V1__ROLE__ROLE_LEAD_ONLY);
    assert_int_equal(count_ends(story, PERMISSION_DENIED), 2);
    join(story, 3, "g", SINGLEFLIGHT__V1__ROLE__ROLE_ANY);
    assert_int_equal(count_ends(story, 5), 1); // there is nothing to follow
}

static void a_join_before_the_look_goes_by_the_new_rights(void **state)
{
    struct story *story = *state;
    story->stream = fake_open(&story->world, SESSION, PEER);
    join(story, 1, "old", SINGLEFLIGHT__V1__ROLE__ROLE_ANY);
    change(story, story->access, WHO "[group new]\nall = c\n");
    // The world runs with it, so the look comes, too; the join is handled first.
    join(story, 2, "new", SINGLEFLIGHT__V1__ROLE__ROLE_ANY);
    join(story, 3, "old", SINGLEFLIGHT__V1__ROLE__ROLE_ANY);
    fake_run(&story->world);
    assert_int_equal(count_ends(story, PERMISSION_DENIED), 2);
    assert_int_equal(sfl_engine_stats(story->world.engine, sfl_span_of_text("new")).flights_now, 1);
    assert_int_equal(sfl_engine_stats(story->world.engine, sfl_span_of_text("old")).flights_now, 0);
}

static void a_session_of_nobody_ends(void **state)
{
    struct story *story = *state;
    story->stream = fake_open(&story->world, SESSION, PEER);
    for (uint64_t id = 1; id <= CALLS; id++)
        join(story, id, "g", SINGLEFLIGHT__V1__ROLE__ROLE_ANY);
    change(story, story->tokens, "# nobody\n");
    fake_run(&story->world);
    assert_int_equal(fake_code(story->stream), UNAUTHENTICATED);
    assert_int_equal(sfl_engine_stats(story->world.engine, sfl_span_of_text("g")).flights_now, 0);
}

static void a_do_stream_that_has_not_joined_ends_too(void **state)
{
    struct story *story = *state;
    story->stream = fake_open(&story->world, DO, PEER);
    change(story, story->tokens, "# nobody\n");
    fake_run(&story->world);
    assert_int_equal(fake_code(story->stream), UNAUTHENTICATED);
}

static void many_groups_on_one_stream_leave_nothing_behind(void **state)
{
    struct story *story = *state;
    story->stream = fake_open(&story->world, SESSION, PEER);
    for (uint64_t id = 1; id <= CALLS; id++) {
        char group[16];
        snprintf(group, sizeof(group), "g%d", (int)(id % 37));
        join(story, id, group, SINGLEFLIGHT__V1__ROLE__ROLE_FOLLOW_ONLY);
    }
    change(story, story->access, WHO "[group none]\nall = c\n");
    fake_run(&story->world);
    assert_int_equal(count_ends(story, 5), CALLS);
    assert_int_equal(count_ends(story, PERMISSION_DENIED), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_that_lost_their_right_end_in_turns, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_follows_only_keeps_what_it_needs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_join_before_the_look_goes_by_the_new_rights, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_session_of_nobody_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_do_stream_that_has_not_joined_ends_too, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(many_groups_on_one_stream_leave_nothing_behind, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
