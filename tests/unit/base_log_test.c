// SPDX-License-Identifier: Apache-2.0
// Log lines, read back from a pipe, with clocks that the test moves.
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static uint64_t monotonic_ms;

static uint64_t now_ms(void)
{
    return monotonic_ms;
}

// 2026-01-31 12:34:56.789 UTC.
static uint64_t wall_us(void)
{
    return UINT64_C(1769862896789123);
}

#define LOGFMT_HEAD "time=2026-01-31T12:34:56.789Z level=info event="
#define JSON_HEAD "{\"time\":\"2026-01-31T12:34:56.789Z\",\"level\":\"info\",\"event\":"

static int pipe_ends[2];
static char captured[1 << 17];

static void configure(enum sfl_log_level level, enum sfl_log_format format, uint32_t repeats)
{
    struct sfl_log_options options = sfl_log_defaults();
    options.level = level;
    options.format = format;
    options.fd = pipe_ends[1];
    options.repeats_per_second = repeats;
    options.now_ms = now_ms;
    options.wall_us = wall_us;
    sfl_log_configure(&options);
}

static int open_pipe(void **state)
{
    (void)state;
    monotonic_ms = 5000;
    if (pipe(pipe_ends) != 0)
        return -1;
    return fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK) | fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK);
}

static int close_pipe(void **state)
{
    (void)state;
    struct sfl_log_options defaults = sfl_log_defaults();
    sfl_log_configure(&defaults);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return 0;
}

// What was logged since the last call.
static const char *logged(void)
{
    size_t size = 0;
    ssize_t part = 0;
    while ((part = read(pipe_ends[0], captured + size, sizeof(captured) - 1 - size)) > 0)
        size += (size_t)part;
    captured[size] = '\0';
    return captured;
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    while ((text = strstr(text, part)) != NULL) {
        count++;
        text += strlen(part);
    }
    return count;
}

static void a_line_carries_time_level_event_and_fields(void **state)
{
    (void)state;
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 20);
    sfl_log(SFL_LOG_INFO, "listening", SFL_STR("address", "127.0.0.1"), SFL_U64("port", 7433),
            SFL_I64("delta", -5), SFL_BOOL("tls", false), SFL_STATUS("status", SFL_ABORTED));
    assert_string_equal(
        logged(),
        LOGFMT_HEAD "listening address=127.0.0.1 port=7433 delta=-5 tls=false status=aborted\n");
    sfl_log(SFL_LOG_INFO, "plain");
    assert_string_equal(logged(), LOGFMT_HEAD "plain\n");
}

static void json_lines_carry_the_same(void **state)
{
    (void)state;
    configure(SFL_LOG_INFO, SFL_LOG_JSON, 20);
    sfl_log(SFL_LOG_INFO, "listening", SFL_STR("address", "127.0.0.1"),
            SFL_U64("biggest", UINT64_MAX), SFL_I64("delta", -5), SFL_BOOL("tls", true),
            SFL_STR("none", NULL), SFL_STR("empty", ""));
    assert_string_equal(logged(), JSON_HEAD
                        "\"listening\",\"address\":\"127.0.0.1\",\"biggest\":18446744073709551615,"
                        "\"delta\":-5,\"tls\":true,\"none\":null,\"empty\":\"\"}\n");
}

static void logfmt_quotes_what_could_be_misread(void **state)
{
    (void)state;
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 20);
    sfl_log(SFL_LOG_INFO, "odd", SFL_STR("none", NULL), SFL_STR("empty", ""),
            SFL_STR("space", "a b"), SFL_STR("quote", "say \"hi\""), SFL_STR("equals", "a=b"),
            SFL_STR("slash", "a\\b"), SFL_STR("plain", "a/b:c,d"));
    assert_string_equal(logged(),
                        LOGFMT_HEAD "odd none= empty=\"\" space=\"a b\" quote=\"say \\\"hi\\\"\" "
                                    "equals=\"a=b\" slash=\"a\\\\b\" plain=a/b:c,d\n");
}

static void a_value_cannot_forge_a_line_or_drive_a_terminal(void **state)
{
    (void)state;
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 20);
    sfl_log(SFL_LOG_INFO, "key", SFL_STR("key", "a\nlevel=error\r\t\x1b[2J\x7f"));
    assert_string_equal(logged(),
                        LOGFMT_HEAD "key key=\"a\\nlevel=error\\r\\t\\u001b[2J\\u007f\"\n");
    sfl_log(SFL_LOG_INFO, "key", SFL_SPAN("key", sfl_span_of("\0x", 2)), SFL_STR("c1", "\xc2\x9b"));
    assert_string_equal(logged(), LOGFMT_HEAD "key key=\"\\u0000x\" c1=\"\\u009b\"\n");
}

static void valid_utf8_stays_and_other_bytes_are_escaped(void **state)
{
    (void)state;
    // Good; a lone continuation; a sequence cut short; an overlong slash; a surrogate.
    const char *text = "h\xc3\xa9\xf0\x9f\x98\x80|\x80|\xe2\x82|\xc0\xaf|\xed\xa0\x80";
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 20);
    sfl_log(SFL_LOG_INFO, "key", SFL_STR("key", text));
    assert_string_equal(logged(), LOGFMT_HEAD
                        "key key=\"h\xc3\xa9\xf0\x9f\x98\x80|\\x80|\\xe2\\x82|\\xc0\\xaf|"
                        "\\xed\\xa0\\x80\"\n");
    configure(SFL_LOG_INFO, SFL_LOG_JSON, 20);
    sfl_log(SFL_LOG_INFO, "key", SFL_STR("key", "\xc3\xa9\xff\""));
    assert_string_equal(logged(), JSON_HEAD "\"key\",\"key\":\"\xc3\xa9\\ufffd\\\"\"}\n");
}

static void a_long_value_is_cut_and_says_so(void **state)
{
    (void)state;
    char text[3001];
    memset(text, 'k', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 20);
    sfl_log(SFL_LOG_INFO, "key", SFL_STR("key", text), SFL_U64("size", 3000));
    const char *line = logged();
    assert_non_null(strstr(line, "kkk...\" size=3000\n"));
    assert_int_equal(strlen(line), strlen(LOGFMT_HEAD "key key=\"\" size=3000\n") + 1024 + 3);

    // The cut never splits an escape: 1024 is not a multiple of four.
    memset(text, '\xff', sizeof(text) - 1);
    sfl_log(SFL_LOG_INFO, "key", SFL_SPAN("key", sfl_span_of(text, 1023)));
    assert_non_null(strstr(logged(), "\\xff\\xff...\"\n"));
}

static void fields_that_do_not_fit_are_left_out_and_the_line_stays_whole(void **state)
{
    (void)state;
    char text[1021];
    memset(text, 'v', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (int format = SFL_LOG_LOGFMT; format <= SFL_LOG_JSON; format++) {
        configure(SFL_LOG_INFO, (enum sfl_log_format)format, 20);
        sfl_log(SFL_LOG_INFO, "many", SFL_STR("a", text), SFL_STR("b", text), SFL_STR("c", text),
                SFL_STR("d", text), SFL_U64("small", 1), SFL_STR("e", text));
        const char *line = logged();
        assert_true(strlen(line) <= SFL_LOG_LINE_MAX);
        bool json = format == SFL_LOG_JSON;
        const char *end = json ? ",\"small\":1,\"truncated\":true}\n" : " small=1 truncated=true\n";
        assert_string_equal(line + strlen(line) - strlen(end), end);
        assert_non_null(strstr(line, json ? "\"c\":" : " c="));
        assert_null(strstr(line, json ? "\"d\":" : " d="));
    }
}

static int evaluations;

static uint64_t evaluated(void)
{
    evaluations++;
    return 1;
}

static void a_level_that_is_off_writes_nothing_and_computes_nothing(void **state)
{
    (void)state;
    configure(SFL_LOG_WARN, SFL_LOG_LOGFMT, 20);
    evaluations = 0;
    sfl_log(SFL_LOG_INFO, "quiet", SFL_U64("x", evaluated()));
    sfl_log(SFL_LOG_DEBUG, "quiet", SFL_U64("x", evaluated()));
    assert_string_equal(logged(), "");
    assert_int_equal(evaluations, 0);
    sfl_log(SFL_LOG_WARN, "loud", SFL_U64("x", evaluated()));
    sfl_log(SFL_LOG_ERROR, "loud", SFL_U64("x", evaluated()));
    assert_int_equal(count_of(logged(), "event=loud x=1\n"), 2);
    assert_int_equal(evaluations, 2);
}

static void repeats_are_limited_and_their_number_is_told(void **state)
{
    (void)state;
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 3);
    for (int i = 0; i < 10; i++)
        sfl_log(SFL_LOG_WARN, "refused", SFL_I64("i", i));
    const char *lines = logged();
    assert_int_equal(count_of(lines, "event=refused"), 3);
    assert_non_null(strstr(lines, "i=2\n"));
    assert_int_equal(count_of(lines, "log_suppressed"), 0);

    // Another event is not held up by it, nor does it tell the count before the second is over.
    monotonic_ms += 999;
    sfl_log(SFL_LOG_INFO, "other");
    assert_string_equal(logged(), LOGFMT_HEAD "other\n");

    monotonic_ms += 1;
    sfl_log(SFL_LOG_WARN, "refused", SFL_I64("i", 10));
    assert_string_equal(
        logged(),
        "time=2026-01-31T12:34:56.789Z level=warn event=log_suppressed of=refused lines=7\n"
        "time=2026-01-31T12:34:56.789Z level=warn event=refused i=10\n");
    monotonic_ms += 5000;
    sfl_log_flush(true);
    assert_string_equal(logged(), "");
}

static void a_flush_tells_what_a_quiet_program_would_keep(void **state)
{
    (void)state;
    configure(SFL_LOG_INFO, SFL_LOG_JSON, 1);
    sfl_log(SFL_LOG_INFO, "one");
    sfl_log(SFL_LOG_INFO, "one");
    sfl_log(SFL_LOG_INFO, "two");
    sfl_log(SFL_LOG_INFO, "two");
    sfl_log(SFL_LOG_INFO, "two");
    assert_int_equal(count_of(logged(), "\n"), 2);
    sfl_log_flush(false);
    assert_string_equal(logged(), "");
    sfl_log_flush(true);
    assert_string_equal(logged(), JSON_HEAD "\"log_suppressed\",\"of\":\"one\",\"lines\":1}\n" //
                        JSON_HEAD "\"log_suppressed\",\"of\":\"two\",\"lines\":2}\n");
    sfl_log_flush(true);
    assert_string_equal(logged(), "");
}

static void more_events_than_slots_share_the_last_one(void **state)
{
    (void)state;
    static char names[300][16];
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 2);
    for (int i = 0; i < 300; i++) {
        snprintf(names[i], sizeof(names[i]), "event_%d", i);
        const struct sfl_log_field field = {.name = names[i], .kind = SFL_LOG_EVENT};
        sfl_log_write(SFL_LOG_INFO, &field, 1);
    }
    assert_int_equal(count_of(logged(), "\n"), 127 + 2);
    sfl_log_flush(true);
    assert_string_equal(logged(), LOGFMT_HEAD "log_suppressed of=others lines=171\n");
}

#define THREADS 4
#define LINES_EACH 100 // all of them fit a pipe

static void *write_lines(void *argument)
{
    const uint64_t *id = argument;
    for (uint64_t i = 0; i < LINES_EACH; i++)
        sfl_log(SFL_LOG_INFO, "work", SFL_U64("thread", *id), SFL_U64("i", i));
    return NULL;
}

static void lines_of_several_threads_stay_whole_and_in_order(void **state)
{
    (void)state;
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 0);
    pthread_t threads[THREADS];
    uint64_t ids[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        ids[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &ids[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    unsigned next[THREADS] = {0};
    char *rest = NULL;
    (void)logged();
    for (char *line = strtok_r(captured, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned thread = 0;
        unsigned i = 0;
        int end = 0;
        sscanf(line, LOGFMT_HEAD "work thread=%u i=%u%n", &thread, &i, &end);
        assert_int_equal(end, strlen(line));
        assert_true(thread < THREADS);
        assert_int_equal(i, next[thread]++);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES_EACH);
}

static void a_full_pipe_loses_the_line_and_nothing_else(void **state)
{
    (void)state;
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 0);
    for (int i = 0; i < 10000; i++)
        sfl_log(SFL_LOG_INFO, "flood", SFL_STR("text", "the pipe takes no more after a while"));
    const char *lines = logged();
    assert_true(count_of(lines, "event=flood") > 0);
    assert_int_equal(count_of(lines, "event=flood"), count_of(lines, "while\"\n"));
    sfl_log(SFL_LOG_INFO, "after");
    assert_string_equal(logged(), LOGFMT_HEAD "after\n");
}

#define WITH_PIPE(test) cmocka_unit_test_setup_teardown(test, open_pipe, close_pipe)

static void lines_of_a_library_are_bounded_for_each_place(void **state)
{
    (void)state;
    const struct sfl_span text = sfl_span_of_text("bad\n{\"level\":\"error\"}");
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 2);
    for (unsigned i = 0; i < 10; i++)
        sfl_log_foreign(SFL_LOG_INFO, "grpc", "filter.cc", 10, text);
    sfl_log_foreign(SFL_LOG_INFO, "grpc", "filter.cc", 11, sfl_span_of_text("other"));
    sfl_log(SFL_LOG_INFO, "grpc");
    const char *lines = logged();
    assert_int_equal(count_of(lines, "\n"), 4);
    assert_int_equal(count_of(lines, LOGFMT_HEAD "grpc file=filter.cc line=10 text=\"bad\\n{"), 2);
    assert_int_equal(count_of(lines, LOGFMT_HEAD "grpc file=filter.cc line=11 text=other\n"), 1);
    sfl_log_flush(true);
    assert_string_equal(logged(),
                        LOGFMT_HEAD "log_suppressed of=grpc lines=8 file=filter.cc line=10\n");
}

static void one_noisy_caller_hides_no_other(void **state)
{
    (void)state;
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 8);
    for (unsigned i = 0; i < 10; i++)
        sfl_log_of(SFL_LOG_INFO, "refused", "token:noisy", SFL_U64("n", i));
    sfl_log_of(SFL_LOG_INFO, "refused", "token:quiet", SFL_U64("n", 1));
    sfl_log_of(SFL_LOG_INFO, "ended", "token:noisy", SFL_U64("n", 2));
    assert_string_equal(logged(), LOGFMT_HEAD "refused who=token:noisy n=0\n" //
                        LOGFMT_HEAD "refused who=token:noisy n=1\n"           //
                        LOGFMT_HEAD "refused who=token:quiet n=1\n"           //
                        LOGFMT_HEAD "ended who=token:noisy n=2\n");
    sfl_log_flush(true);
    assert_string_equal(logged(),
                        LOGFMT_HEAD "log_suppressed of=refused lines=8 who=token:noisy\n");
}

static void callers_beyond_the_slots_share_a_bound(void **state)
{
    (void)state;
    char who[32];
    configure(SFL_LOG_INFO, SFL_LOG_LOGFMT, 4);
    for (int i = 0; i < 100; i++) {
        snprintf(who, sizeof(who), "token:%d", i);
        sfl_log_of(SFL_LOG_INFO, "refused", who);
    }
    assert_int_equal(count_of(logged(), "\n"), 64 + 4);
    sfl_log_flush(true);
    assert_string_equal(logged(), LOGFMT_HEAD "log_suppressed of=refused lines=32\n");
    monotonic_ms += 1000; // the others' second is over, too, and they make room
    for (int i = 50; i < 100; i++) {
        snprintf(who, sizeof(who), "token:%d", i);
        sfl_log_of(SFL_LOG_INFO, "refused", who);
    }
    assert_int_equal(count_of(logged(), "\n"), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PIPE(a_line_carries_time_level_event_and_fields),
        WITH_PIPE(json_lines_carry_the_same),
        WITH_PIPE(logfmt_quotes_what_could_be_misread),
        WITH_PIPE(a_value_cannot_forge_a_line_or_drive_a_terminal),
        WITH_PIPE(valid_utf8_stays_and_other_bytes_are_escaped),
        WITH_PIPE(a_long_value_is_cut_and_says_so),
        WITH_PIPE(fields_that_do_not_fit_are_left_out_and_the_line_stays_whole),
        WITH_PIPE(a_level_that_is_off_writes_nothing_and_computes_nothing),
        WITH_PIPE(repeats_are_limited_and_their_number_is_told),
        WITH_PIPE(a_flush_tells_what_a_quiet_program_would_keep),
        WITH_PIPE(more_events_than_slots_share_the_last_one),
        WITH_PIPE(lines_of_a_library_are_bounded_for_each_place),
        WITH_PIPE(one_noisy_caller_hides_no_other),
        WITH_PIPE(callers_beyond_the_slots_share_a_bound),
        WITH_PIPE(lines_of_several_threads_stay_whole_and_in_order),
        WITH_PIPE(a_full_pipe_loses_the_line_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
