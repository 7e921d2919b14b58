// SPDX-License-Identifier: Apache-2.0
// How long a lead holds that nobody speaks of any more: by a wire script, for servers of the first
// edition, which answer no renewal, and of the second.
#include "asker.h"
#include "fake.h"

#include "singleflight/v1/singleflight.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define SESSION_PATH "/singleflight.v1.SingleFlight/Session"
#define LEASE_MS 400
#define HAS_NOT_RUN ((enum singleflight_status)1000)

// What is said to the first call, packed; to be freed.
static struct sfl_span pack(Singleflight__V1__CallResponse *frame)
{
    frame->id = 1;
    Singleflight__V1__SessionResponse response = SINGLEFLIGHT__V1__SESSION_RESPONSE__INIT;
    response.n_calls = 1;
    response.calls = &frame;
    size_t size = singleflight__v1__session_response__get_packed_size(&response);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    singleflight__v1__session_response__pack(&response, bytes);
    return sfl_span_of(bytes, size);
}

static struct sfl_span pack_renewed(uint64_t renew_id, uint64_t silence_ms)
{
    Singleflight__V1__Renewed renewed = SINGLEFLIGHT__V1__RENEWED__INIT;
    renewed.id = renew_id;
    renewed.silence_ms = silence_ms;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_RENEWED;
    frame.renewed = &renewed;
    return pack(&frame);
}

static struct sfl_span pack_lead(uint64_t lease_ms, uint64_t silence_ms)
{
    Singleflight__V1__Lead lead = SINGLEFLIGHT__V1__LEAD__INIT;
    lead.token = 17;
    lead.attempt = 1;
    lead.lease_ms = lease_ms;
    lead.silence_ms = silence_ms;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_LEAD;
    frame.lead = &lead;
    return pack(&frame);
}

struct watch {
    uint64_t patience_ms;
    enum singleflight_status lost;
};

static enum singleflight_outcome wait_for_loss(struct singleflight_leader *leader, void *context)
{
    struct watch *watch = context;
    watch->lost = singleflight_leader_wait_lost(leader, watch->patience_ms);
    return SINGLEFLIGHT_OUTCOME_ABANDONED;
}

// What a leader has heard of its lead after so long, from a server that says no more than `lead`
// and the answer to one renewal, which may be empty.
static enum singleflight_status heard(const struct fake_answer *answer, uint64_t patience_ms)
{
    struct fake fake;
    fake_start(&fake, SESSION_PATH, answer, 1);
    struct singleflight_client *client = client_of(fake.address);
    struct singleflight_do_options options = options_of("k");
    struct watch watch = {.patience_ms = patience_ms, .lost = HAS_NOT_RUN};
    struct asker asker;
    options.timeout_ms = patience_ms + LEASE_MS;
    options.lease_ms = LEASE_MS;
    asker_start(&asker, client, &options, wait_for_loss, &watch);
    singleflight_result_free(asker_join(&asker));
    singleflight_client_destroy(client);
    fake_stop(&fake);
    free((void *)answer->message.data);
    free((void *)answer->second.data);
    return watch.lost;
}

static enum singleflight_status heard_from(struct sfl_span lead, struct sfl_span renewed,
                                           uint64_t patience_ms)
{
    const struct fake_answer answer = {.message = lead, .second = renewed};
    return heard(&answer, patience_ms);
}

static enum singleflight_status heard_after(struct sfl_span lead, uint64_t patience_ms)
{
    return heard_from(lead, sfl_span_of(NULL, 0), patience_ms);
}

static void an_older_server_answers_no_renewal_and_the_lease_holds(void **state)
{
    (void)state;
    assert_int_equal(heard_after(pack_lead(LEASE_MS, 0), 4 * LEASE_MS), SINGLEFLIGHT_OK);
}

static void without_a_lease_an_older_servers_lead_holds_for_ever(void **state)
{
    (void)state;
    assert_int_equal(heard_after(pack_lead(0, 0), 4 * LEASE_MS), SINGLEFLIGHT_OK);
}

static void a_server_that_stops_answering_lets_the_lead_run_out(void **state)
{
    (void)state;
    assert_int_equal(heard_after(pack_lead(LEASE_MS, LEASE_MS), 30000), SINGLEFLIGHT_ABORTED);
}

static void so_does_one_without_a_lease(void **state)
{
    (void)state;
    assert_int_equal(heard_after(pack_lead(0, LEASE_MS), 30000), SINGLEFLIGHT_ABORTED);
}

// From a third of the first time on it holds as the answer says.
static void an_answer_may_say_a_shorter_time(void **state)
{
    (void)state;
    uint64_t long_ms = 15 * LEASE_MS;
    enum singleflight_status lost = heard_from(
        pack_lead(long_ms, long_ms), pack_renewed(1, LEASE_MS / 2), long_ms / 3 + 5 * LEASE_MS);
    assert_int_equal(lost, SINGLEFLIGHT_ABORTED);
}

static void an_answer_extends_the_lead(void **state)
{
    (void)state;
    enum singleflight_status lost =
        heard_from(pack_lead(LEASE_MS, LEASE_MS), pack_renewed(1, 60 * LEASE_MS), 5 * LEASE_MS);
    assert_int_equal(lost, SINGLEFLIGHT_OK);
}

// The lead comes late, and so does the answer to the question whether it holds: by then it may not.
static void no_function_begins_on_an_answer_that_is_too_old(void **state)
{
    (void)state;
    const struct fake_answer answer = {
        .message = pack_lead(LEASE_MS, LEASE_MS),
        .message_late_ms = LEASE_MS / 2,
        .second = pack_renewed(1, 0),
        .second_late_ms = LEASE_MS + LEASE_MS / 2,
    };
    assert_int_equal(heard(&answer, 4 * LEASE_MS), HAS_NOT_RUN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_server_answers_no_renewal_and_the_lease_holds),
        cmocka_unit_test(without_a_lease_an_older_servers_lead_holds_for_ever),
        cmocka_unit_test(a_server_that_stops_answering_lets_the_lead_run_out),
        cmocka_unit_test(so_does_one_without_a_lease),
        cmocka_unit_test(an_answer_may_say_a_shorter_time),
        cmocka_unit_test(an_answer_extends_the_lead),
        cmocka_unit_test(no_function_begins_on_an_answer_that_is_too_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
