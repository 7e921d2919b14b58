// SPDX-License-Identifier: Apache-2.0
// The model: how a caller comes in.
#include "model.h"

#include <assert.h>
#include <string.h>

static int new_flight(struct model *model, int opener, const struct wish *wish)
{
    int f = 0;
    while (f < MODEL_FLIGHTS && model->flight[f].state != MODEL_UNUSED)
        f++;
    assert(f < MODEL_FLIGHTS);
    if (f >= model->flights_top)
        model->flights_top = f + 1;
    struct model_flight *flight = &model->flight[f];
    memset(flight, 0, sizeof(*flight));
    flight->state = MODEL_FINDING;
    flight->key = wish->key;
    flight->wish = *wish;
    flight->home_owed = true;
    flight->leader = flight->fenced = NOBODY;
    flight->next = flight->before = NOBODY;
    flight->lease_until_ms = flight->run_until_ms = UINT64_MAX;
    flight->audience_differs_ms = UINT64_MAX;
    flight->followers[0] = opener;
    flight->follower_count = 1;
    model->flights++;
    model_group_stats(model, wish->key)->flights_now++;
    return f;
}

static void attach(struct model *model, int c, int f, const struct wish *wish)
{
    struct model_caller *caller = &model->caller[c];
    caller->flight = f;
    caller->live = wish->live;
    caller->detach = wish->detach;
    caller->waits = false;
    caller->audience = wish->audience;
    caller->half_closed = false;
    caller->admitted = false;
    caller->named = wish->named;
    caller->role = wish->role;
    caller->deadline_ms = wish->deadline_ms;
    caller->ends_at_deadline = wish->ends_at_deadline && wish->deadline_ms != UINT64_MAX;
    model->callers++;
}

static bool fingerprints_differ(uint32_t a, uint32_t b)
{
    return a != 0 && b != 0 && a != b;
}

uint32_t model_name_of(const struct model *model, int c)
{
    return model->caller[c].named ? (uint32_t)c + 1 : 0;
}

// The limits that a join runs into. True: the caller is refused.
static bool denied_by_limits(struct model *model, int c, const struct wish *wish, bool opens)
{
    if (model->denied == SFL_REASON_NO_MEMORY && model->memory_failed) {
        model_refuse(model, c, SFL_REASON_NO_MEMORY, 0, 0);
        return true;
    }
    bool too_many_flights = opens && model->flights >= model->limits->flights_max;
    bool too_many_callers = model->callers >= model->limits->callers_max;
    if (too_many_flights)
        model_refuse(model, c, SFL_REASON_FLIGHTS_LIMIT, model->limits->flights_max, 0);
    else if (too_many_callers)
        model_refuse(model, c, SFL_REASON_CALLERS_LIMIT, model->limits->callers_max, 0);
    if (too_many_flights || too_many_callers)
        model_group_stats(model, wish->key)->refused++;
    return too_many_flights || too_many_callers;
}

void model_tell_follow(struct model *model, int c, int f)
{
    const struct model_flight *flight = &model->flight[f];
    struct word word = {.told = TOLD_FOLLOW, .attempt = flight->attempt};
    if (flight->state == MODEL_FINDING) {
        word.attempt++;
    } else {
        word.name = flight->leader_name;
        word.a = model->now_ms - flight->led_since_ms;
        if (model->caller[c].live) {
            word.bytes = flight->bytes;
            model->caller[c].salt = flight->salt;
        }
    }
    model->caller[c].admitted = true;
    model_group_stats(model, flight->key)->calls++;
    model_expect(model, c, &word);
}

void model_refuse_other_leads(struct model *model, int c, int f)
{
    const struct model_flight *flight = &model->flight[f];
    struct word word = {.told = TOLD_REFUSE, .reason = SFL_REASON_OTHER_LEADS};
    if (flight->state != MODEL_FINDING) {
        word.a = model->now_ms - flight->led_since_ms;
        word.name = flight->leader_name;
    }
    model_expect(model, c, &word);
}

static bool waits_for_itself(struct model *model, int c, int f, const struct wish *wish)
{
    const struct model_flight *flight = &model->flight[f];
    if (!model_has_attempt(flight) || wish->within_token != flight->token)
        return false;
    model_refuse(model, c, SFL_REASON_WITHIN_ITSELF, flight->token, 0);
    return true;
}

static void follow(struct model *model, int c, int f, const struct wish *wish)
{
    struct model_flight *flight = &model->flight[f];
    attach(model, c, f, wish);
    flight->followers[flight->follower_count++] = c;
    model_tell_follow(model, c, f);
    model_audience_changed(model, f);
}

// The leader is overdue, and here is somebody who may lead.
static void take_lead(struct model *model, int c, int f, const struct wish *wish)
{
    struct model_flight *flight = &model->flight[f];
    if (flight->wish.on_leader_loss == SFL_LEADER_LOSS_HOLD) {
        if (denied_by_limits(model, c, wish, false))
            return;
        follow(model, c, f, wish);
        model_lose_lease(model, f);
        return;
    }
    if (!model_may_go_on(flight)) {
        model_lose_lease(model, f);
        model_join(model, c, wish);
        return;
    }
    if (denied_by_limits(model, c, wish, false))
        return;
    attach(model, c, f, wish);
    memmove(&flight->followers[1], &flight->followers[0],
            flight->follower_count * sizeof(flight->followers[0]));
    flight->followers[0] = c;
    flight->follower_count++;
    model_lose_lease(model, f);
}

static void join_running(struct model *model, int c, int f, const struct wish *wish)
{
    struct model_flight *flight = &model->flight[f];
    if (fingerprints_differ(flight->wish.fingerprint, wish->fingerprint)) {
        model_refuse(model, c, SFL_REASON_OTHER_ARGUMENTS, 0, 0);
        return;
    }
    if (waits_for_itself(model, c, f, wish))
        return;
    if (flight->overdue && wish->role != SFL_ROLE_FOLLOW_ONLY) {
        take_lead(model, c, f, wish);
        return;
    }
    if (wish->role == SFL_ROLE_LEAD_ONLY) {
        model_refuse_other_leads(model, c, f);
        return;
    }
    if (!denied_by_limits(model, c, wish, false))
        follow(model, c, f, wish);
}

// A fresh caller waits for the end of flight `f` in the next one.
static void join_next(struct model *model, int c, int f, const struct wish *wish)
{
    int next = model->flight[f].next;
    if (next != NOBODY &&
        fingerprints_differ(model->flight[next].wish.fingerprint, wish->fingerprint)) {
        model_refuse(model, c, SFL_REASON_OTHER_ARGUMENTS, 0, 0);
        return;
    }
    if (waits_for_itself(model, c, f, wish))
        return;
    if (wish->role == SFL_ROLE_LEAD_ONLY) {
        model_refuse_other_leads(model, c, f);
        return;
    }
    if (next == NOBODY && wish->role == SFL_ROLE_FOLLOW_ONLY) {
        model_refuse(model, c, SFL_REASON_NOTHING_TO_FOLLOW, 0, 0);
        return;
    }
    if (denied_by_limits(model, c, wish, next == NOBODY))
        return;
    if (next == NOBODY) {
        next = new_flight(model, c, wish);
        struct model_flight *made = &model->flight[next];
        made->state = MODEL_NEXT;
        made->home_owed = false;
        made->was_next = true;
        made->core = model->joined_core;
        made->before = f;
        model->flight[f].next = next;
    } else {
        model->flight[next].followers[model->flight[next].follower_count++] = c;
    }
    attach(model, c, next, wish);
    model->caller[c].admitted = true;
    model->caller[c].waits = true;
    model_group_stats(model, wish->key)->calls++;
    model_expect(model, c, &(struct word){.told = TOLD_FOLLOW});
}

static void open_flight(struct model *model, int c, const struct wish *wish)
{
    if (wish->role == SFL_ROLE_FOLLOW_ONLY) {
        model_refuse(model, c, SFL_REASON_NOTHING_TO_FOLLOW, 0, 0);
        return;
    }
    if (denied_by_limits(model, c, wish, true))
        return;
    int f = new_flight(model, c, wish);
    attach(model, c, f, wish);
    model_expect_notice(model, SFL_EFFECT_FIND_HOME, NULL); // whose object is known then
}

static void serve_retained(struct model *model, int c, unsigned key, bool led)
{
    const struct model_retained *retained = &model->kept_for[key];
    struct word word = {
        .told = TOLD_RESULT,
        .flags = WORD_RETAINED,
        .attempt = retained->outcome.attempt,
        .callers = retained->callers,
        .kind = retained->outcome.kind,
        .token = retained->outcome.token,
        .bytes = retained->outcome.bytes,
        .texts_bytes = retained->outcome.texts_bytes,
        .age_ms = model->now_ms - retained->ended_at_ms,
        .retain_ms = retained->until_ms - model->now_ms,
    };
    if (led)
        word.flags |= WORD_LED;
    if (!led || retained->callers > 1)
        word.flags |= WORD_SHARED;
    model->caller[c].salt = retained->outcome.salt;
    model_expect(model, c, &word);
}

struct word model_lead_word(const struct model *model, int f)
{
    const struct model_flight *flight = &model->flight[f];
    uint64_t run_limit_ms = flight->wish.run_limit_ms;
    return (struct word){
        .told = TOLD_LEAD,
        .attempt = flight->attempt,
        .token = flight->token,
        .a = flight->wish.lease_ms,
        .b = run_limit_ms == 0 ? model->limits->run_limit_ms_max : run_limit_ms,
        .bytes = flight->next_sequence,
    };
}

static void take_over(struct model *model, int c, int f, const struct wish *wish)
{
    struct model_flight *flight = &model->flight[f];
    if (denied_by_limits(model, c, wish, false))
        return;
    attach(model, c, f, wish);
    int older = flight->leader;
    if (older != NOBODY) {
        model_detach(model, older);
        flight->loss = SFL_LOSS_RESUMED;
        model_refuse_fenced(model, older, f, SFL_LOSS_RESUMED, flight->token, 0);
    }
    flight->leader = c;
    flight->overdue = false;
    flight->state = MODEL_LED;
    model->caller[c].admitted = true;
    if (wish->named)
        flight->leader_name = model_name_of(model, c);
    if (flight->wish.lease_ms > 0)
        flight->lease_until_ms = model->now_ms + flight->wish.lease_ms;
    struct word word = model_lead_word(model, f);
    model_expect(model, c, &word);
    model_new_stream(model, f);
}

// How the flight lost this token; false when it does not remember.
static bool recalls(const struct model *model, const struct model_flight *flight, uint64_t token,
                    enum sfl_loss *loss_out)
{
    for (unsigned i = 0; i < flight->lost_count && i < MODEL_LOST; i++) {
        bool is_forgotten = flight->lost[i].is_uncertain && model->denied == SFL_REASON_FENCED;
        if (flight->lost[i].token != token || is_forgotten)
            continue;
        *loss_out = flight->lost[i].loss;
        return true;
    }
    return false;
}

static void resume(struct model *model, int c, const struct wish *wish)
{
    uint64_t token = wish->resume_token;
    for (int f = 0; f < model->flights_top; f++) {
        struct model_flight *flight = &model->flight[f];
        bool is_led = flight->state == MODEL_LED || flight->state == MODEL_ORPHANED;
        if (is_led && flight->key == wish->key && flight->token == token) {
            take_over(model, c, f, wish);
            return;
        }
    }
    const struct model_retained *retained = &model->kept_for[wish->key];
    if (retained->present && retained->outcome.token == token &&
        model->now_ms < retained->until_ms) {
        serve_retained(model, c, wish->key, true);
        return;
    }
    uint64_t newer = retained->present ? retained->outcome.token : 0;
    int losing = NOBODY;
    enum sfl_loss loss = SFL_LOSS_LEFT;
    for (int f = 0; f < model->flights_top; f++) {
        const struct model_flight *flight = &model->flight[f];
        bool runs = flight->state != MODEL_UNUSED && flight->state != MODEL_ENDED;
        if (runs && flight->key == wish->key && flight->token > newer)
            newer = flight->token;
        if (runs && flight->key == wish->key && recalls(model, flight, token, &loss))
            losing = f;
    }
    newer = newer > token ? newer : 0;
    if (losing != NOBODY) {
        model_refuse_fenced(model, c, losing, loss, token, newer);
        return;
    }
    model_group_stats(model, wish->key)->fenced++;
    model_refuse(model, c, SFL_REASON_FENCED, token, newer);
}

void model_join(struct model *model, int c, const struct wish *wish)
{
    if (wish->resume_token > 0) {
        resume(model, c, wish);
        return;
    }
    const struct model_retained *retained = &model->kept_for[wish->key];
    bool is_young =
        !wish->fresh && retained->present && model->now_ms < retained->until_ms &&
        (wish->max_age_ms == 0 || model->now_ms - retained->ended_at_ms <= wish->max_age_ms);
    if (is_young && fingerprints_differ(retained->fingerprint, wish->fingerprint)) {
        model_refuse(model, c, SFL_REASON_OTHER_ARGUMENTS, 0, 0);
        return;
    }
    if (is_young) {
        struct sfl_stats *stats = model_group_stats(model, wish->key);
        stats->calls++;
        stats->retained_hits++;
        stats->executions_saved++;
        serve_retained(model, c, wish->key, false);
        return;
    }
    if (model->draining) {
        model_refuse(model, c, SFL_REASON_DRAINING, 0, 0);
        return;
    }
    int f = model_running(model, wish->key);
    bool takes_lead = f != NOBODY && model->flight[f].overdue && wish->role != SFL_ROLE_FOLLOW_ONLY;
    if (f != NOBODY && wish->fresh && model->flight[f].attempt > 0 && !takes_lead)
        join_next(model, c, f, wish);
    else if (f != NOBODY)
        join_running(model, c, f, wish);
    else
        open_flight(model, c, wish);
}

void model_join_malformed(struct model *model, int c, enum sfl_reason reason, uint64_t a,
                          uint64_t b)
{
    model_refuse(model, c, reason, a, b);
}
