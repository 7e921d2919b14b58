// SPDX-License-Identifier: Apache-2.0
// Traced calls: what is noted of them, how they wait to be exported, and as which bytes they are.
// That those bytes are what OpenTelemetry means, tests/integration/test_traces.py asks its own
// code.
#include "rpc/wire_reader.h"
#include "tracing/encode.h"
#include "tracing/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct sfl_traced *traced_in(const char *group)
{
    const struct sfl_trace_context parent = {
        .trace_id = {1}, .span_id = {2}, .is_sampled = true, .is_set = true};
    struct sfl_traced *traced = sfl_traced_create(&parent, sfl_span_of_text(group));
    assert_non_null(traced);
    return traced;
}

static void settle(struct sfl_traced *traced, enum sfl_outcome_kind kind)
{
    struct sfl_outcome outcome = {.kind = kind, .attempt = 1, .token = 7};
    const struct sfl_result result = {.outcome = &outcome, .callers = 2};
    sfl_traced_set_result(traced, &result);
    sfl_traced_finish(traced);
}

// How many fields with this number a message has; the last one goes to `found`.
static unsigned count_fields(struct sfl_span message, uint32_t number, struct sfl_span *found)
{
    struct sfl_wire_field field = {0};
    unsigned count = 0;
    while (message.size > 0) {
        assert_true(sfl_wire_next(&message, &field));
        if (field.number != number)
            continue;
        count++;
        *found = field.bytes;
    }
    return count;
}

enum { SPANS = 2, LINKS = 13, EVENTS = 11, STATUS = 15, PARENT = 4 };

static void check_spans(const struct sfl_traced *traced, unsigned spans, unsigned events,
                        unsigned links, unsigned statuses)
{
    struct sfl_buffer buffer = {0};
    struct sfl_span span = {NULL, 0};
    struct sfl_span ignored = {NULL, 0};
    assert_true(sfl_encode_spans(&buffer, traced));
    assert_int_equal(count_fields(sfl_span_of(buffer.data, buffer.size), SPANS, &span), spans);
    assert_int_equal(sfl_traced_spans(traced), spans);
    assert_int_equal(count_fields(span, EVENTS, &ignored), events);
    assert_int_equal(count_fields(span, LINKS, &ignored), links);
    assert_int_equal(count_fields(span, STATUS, &ignored), statuses);
    assert_int_equal(count_fields(span, PARENT, &ignored), traced->parent.is_set);
    sfl_buffer_deinit(&buffer);
}

static void who_leads_at_once_has_one_span(void **state)
{
    (void)state;
    struct sfl_traced *traced = traced_in("g");
    sfl_trace_lead(traced, 1, 7);
    settle(traced, SFL_OUTCOME_OK);
    check_spans(traced, 1, 2, 0, 0);
    sfl_traced_destroy(traced);
}

static void who_is_promoted_has_two(void **state)
{
    (void)state;
    struct sfl_traced *traced = traced_in("g");
    sfl_trace_follow(traced, 1);
    sfl_trace_lead(traced, 2, 8);
    settle(traced, SFL_OUTCOME_PANIC);
    check_spans(traced, 2, 2, 0, 1); // of the lead, which comes last
    sfl_traced_destroy(traced);
}

static void a_mark_on_the_outcome_makes_the_link(void **state)
{
    (void)state;
    struct sfl_traced *leader = traced_in("g");
    struct sfl_traced *follower = traced_in("g");
    struct sfl_outcome outcome = {.kind = SFL_OUTCOME_OK, .attempt = 1};
    const struct sfl_result result = {.outcome = &outcome};
    sfl_trace_mark(leader, &outcome);
    assert_memory_equal(outcome.origin.bytes, leader->parent.trace_id, SFL_TRACE_ID_BYTES);
    assert_memory_equal(outcome.origin.bytes + SFL_TRACE_ID_BYTES, leader->lead_id,
                        SFL_TRACE_SPAN_BYTES);
    sfl_trace_follow(follower, 1);
    sfl_trace_result(follower, &result);
    sfl_trace_told(follower);
    check_spans(follower, 1, 2, 1, 0);
    sfl_traced_destroy(leader);
    sfl_traced_destroy(follower);
}

static void a_call_that_is_not_traced_is_none(void **state)
{
    (void)state;
    struct sfl_outcome outcome = {.kind = SFL_OUTCOME_OK};
    const struct sfl_result result = {.outcome = &outcome};
    sfl_trace_follow(NULL, 1);
    sfl_trace_restart(NULL, 1);
    sfl_trace_lead(NULL, 1, 1);
    sfl_trace_result(NULL, &result);
    sfl_trace_told(NULL);
    sfl_trace_mark(NULL, &outcome);
    for (size_t i = 0; i < SFL_ORIGIN_BYTES; i++)
        assert_int_equal(outcome.origin.bytes[i], 0);
}

static void who_waits_may_leave_and_who_leads_may_not(void **state)
{
    (void)state;
    struct sfl_traced *follower = traced_in("g");
    struct sfl_traced *leader = traced_in("g");
    sfl_trace_follow(follower, 1);
    sfl_traced_finish(follower);
    sfl_trace_lead(leader, 1, 7);
    sfl_traced_finish(leader);
    assert_int_equal(follower->code, sfl_status_code(SFL_CANCELLED));
    check_spans(follower, 1, 1, 0, 0);
    check_spans(leader, 1, 1, 0, 1);
    sfl_traced_destroy(follower);
    sfl_traced_destroy(leader);
}

// The most that a span can be: its bytes are written to a place that is large enough.
static void events_and_texts_have_bounds(void **state)
{
    (void)state;
    char group[1000];
    char text[1000];
    memset(group, 'g', sizeof(group) - 1);
    group[sizeof(group) - 1] = '\0';
    for (size_t i = 0; i + 1 < sizeof(text); i++)
        text[i] = i % 2 == 0 ? '\xc3' : '\xa4';
    text[sizeof(text) - 1] = '\0';
    struct sfl_traced *traced = traced_in(group);
    sfl_trace_follow(traced, UINT32_MAX);
    for (unsigned i = 0; i < 100; i++)
        sfl_trace_restart(traced, UINT32_MAX);
    traced->token = UINT64_MAX;
    memset(&traced->origin, 0xff, sizeof(traced->origin));
    sfl_traced_set_refusal(traced, 14, text);
    sfl_traced_finish(traced);
    assert_int_equal(traced->group_size, SFL_TRACED_GROUP_MAX);
    assert_int_equal(traced->text->size, 256);
    check_spans(traced, 1, SFL_TRACED_EVENTS_MAX, 1, 1);
    sfl_traced_destroy(traced);
}

static void a_queue_takes_no_more_than_its_number(void **state)
{
    (void)state;
    struct sfl_trace_queue queue;
    sfl_trace_queue_init(&queue, 2, 1 << 20);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(sfl_trace_queue_add(&queue, traced_in("g")), i < 2 ? i + 1 : 0);
    struct sfl_trace_queue_look look = sfl_trace_queue_look(&queue);
    assert_int_equal(look.count, 2);
    assert_int_equal(look.dropped, 3);

    struct sfl_list calls;
    sfl_list_init(&calls);
    assert_int_equal(sfl_trace_queue_take(&queue, 1, &calls), 1);
    struct sfl_link *link = sfl_list_pop(&calls);
    sfl_traced_destroy(SFL_CONTAINER_OF(link, struct sfl_traced, link));
    assert_int_equal(sfl_trace_queue_add(&queue, traced_in("g")), 2);
    sfl_trace_queue_deinit(&queue);
}

static void a_queue_takes_no_more_than_its_bytes(void **state)
{
    (void)state;
    struct sfl_traced *promoted = traced_in("g");
    struct sfl_trace_queue queue;
    sfl_trace_follow(promoted, 1);
    sfl_trace_lead(promoted, 2, 8);
    sfl_trace_queue_init(&queue, 100, sfl_traced_bytes(promoted) * 2 - 1);
    assert_int_equal(sfl_trace_queue_add(&queue, traced_in("g")), 1);
    assert_int_equal(sfl_trace_queue_add(&queue, promoted), 0);
    assert_int_equal(sfl_trace_queue_look(&queue).dropped, 2);
    sfl_trace_queue_deinit(&queue);
}

static void an_answer_says_how_many_were_not_wanted(void **state)
{
    (void)state;
    const uint8_t some[] = {0x0a, 0x05, 0x08, 0x03, 0x12, 0x01, 'x'};
    const uint8_t broken[] = {0x0a, 0x7f, 0x08};
    assert_int_equal(sfl_decode_rejected(sfl_span_of(some, sizeof(some))), 3);
    assert_int_equal(sfl_decode_rejected(sfl_span_of(broken, sizeof(broken))), 0);
    assert_int_equal(sfl_decode_rejected(sfl_span_of(NULL, 0)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_leads_at_once_has_one_span),
        cmocka_unit_test(who_is_promoted_has_two),
        cmocka_unit_test(a_mark_on_the_outcome_makes_the_link),
        cmocka_unit_test(a_call_that_is_not_traced_is_none),
        cmocka_unit_test(who_waits_may_leave_and_who_leads_may_not),
        cmocka_unit_test(events_and_texts_have_bounds),
        cmocka_unit_test(a_queue_takes_no_more_than_its_number),
        cmocka_unit_test(a_queue_takes_no_more_than_its_bytes),
        cmocka_unit_test(an_answer_says_how_many_were_not_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
