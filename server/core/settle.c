// SPDX-License-Identifier: Apache-2.0
// How a flight ends: with an outcome, which may be retained, or without one.
#include "core/step_private.h"

#include <assert.h>

static_assert(SFL_SETTLED_BATCH <= 32, "struct sfl_settled has a bit for each");

void sfl_flight_fence(struct sfl_flight *flight)
{
    flight->fenced = flight->leader;
    flight->leader = NULL;
}

void sfl_step_refuse_fenced(struct sfl_step *step, struct sfl_flight *flight,
                            struct sfl_caller *caller, uint64_t now)
{
    struct sfl_refusal refusal = sfl_flight_loss(flight, SFL_REASON_FENCED_FOR, flight->loss);
    refusal.a = flight->token;
    refusal.b = now;
    SFL_COUNT(step->table, flight->group, fenced, 1);
    sfl_step_refuse(step, caller, &refusal);
}

// The flight runs no more: it has no leader, and owes nobody a lead. It still has its place.
// Returns the flight that has waited for its end, or NULL.
static struct sfl_flight *stop_running(struct sfl_step *step, struct sfl_flight *flight)
{
    struct sfl_table *table = step->table;
    assert(flight->leader == NULL);
    struct sfl_flight *next = flight->beside == NULL ? NULL : sfl_flight_part(flight);
    if (flight->overdue)
        sfl_flight_end_overdue(table, flight);
    if (flight->place == SFL_PLACE_RUNNING) {
        struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_RELEASE_HOME);
        effect->flight = flight;
    }
    flight->due_ms = UINT64_MAX;
    sfl_link_remove(&flight->in_list); // of orphans
    sfl_group_give_flight(table, flight->group);
    SFL_COUNT(table, flight->group, flights_now, -1);

    struct sfl_caller *fenced = flight->fenced;
    if (fenced != NULL) {
        sfl_caller_detach(table, fenced);
        sfl_step_refuse_fenced(step, flight, fenced, 0);
    }
    return next;
}

// The followers wait to be taken from now on.
static void queue_followers(struct sfl_step *step, struct sfl_flight *flight)
{
    if (flight->follower_count > 0) {
        sfl_list_append(&step->table->settled, &flight->in_list);
        struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_SETTLED);
        effect->flight = flight;
    } else {
        sfl_flight_bury_if_done(step->table, flight);
    }
}

// Takes what a retained outcome needs. False when there is no room for it.
static bool take_room(struct sfl_table *table, const struct sfl_flight *flight,
                      const struct sfl_outcome *outcome)
{
    struct sfl_shares *shares = &table->shares;
    uint64_t bytes = sfl_outcome_held_bytes(outcome);
    if (!sfl_quota_take_retained(sfl_flight_quota(flight), bytes))
        return false;
    if (!sfl_share_take(&shares->retained, 1, table->limits->flights_max)) {
        sfl_quota_give_retained(sfl_flight_quota(flight), bytes);
        return false;
    }
    if (sfl_share_take(&shares->retained_bytes, bytes, table->limits->retained_bytes_max))
        return true;
    sfl_share_give(&shares->retained, 1);
    sfl_quota_give_retained(sfl_flight_quota(flight), bytes);
    return false;
}

void sfl_flight_give_retained(struct sfl_table *table, const struct sfl_flight *flight)
{
    uint64_t bytes = sfl_outcome_held_bytes(flight->outcome);
    sfl_share_give(&table->shares.retained, 1);
    sfl_share_give(&table->shares.retained_bytes, bytes);
    sfl_quota_give_retained(sfl_flight_quota(flight), bytes);
}

// Makes a flight of the index, whose outcome is set, a retained one. The room has been taken.
static void retain(struct sfl_table *table, struct sfl_flight *flight, uint64_t until_ms)
{
    flight->state = SFL_FLIGHT_RETAINED;
    flight->place = SFL_PLACE_RETAINED;
    flight->retained_until_ms = until_ms;
    sfl_flight_arm(&table->pages, flight, until_ms);
    SFL_COUNT(table, flight->group, retained_now, 1);
}

// A retained outcome of the same key; NULL when there is none.
static struct sfl_flight *find_older(const struct sfl_table *table, const struct sfl_flight *flight)
{
    return sfl_table_find(table, SFL_PLACE_RETAINED, flight->hash, sfl_flight_group(flight),
                          sfl_flight_key(flight), 0);
}

// A window from the start: what is left of it.
static void count_from_lead(struct sfl_outcome *outcome, uint64_t run_ms)
{
    outcome->retain_ms = outcome->retain_ms > run_ms ? outcome->retain_ms - run_ms : 0;
}

static void retain_if_asked(struct sfl_step *step, struct sfl_flight *flight)
{
    struct sfl_outcome *outcome = flight->outcome;
    bool forgotten = flight->place != SFL_PLACE_RUNNING;
    if (outcome->retain_ms == 0 || forgotten)
        return;
    // The older one makes room first: it is replaced in any case.
    struct sfl_flight *older = find_older(step->table, flight);
    if (older != NULL)
        sfl_flight_drop(step, older);
    if (!take_room(step->table, flight, outcome)) {
        flight->retain_refused = true;
        SFL_COUNT(step->table, flight->group, retain_refused, 1);
        return;
    }
    retain(step->table, flight, step->now_ms + outcome->retain_ms);
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_RETAIN);
    effect->flight = flight;
}

static struct sfl_result result_of(const struct sfl_flight *flight)
{
    return (struct sfl_result){
        .outcome = flight->outcome,
        .callers = flight->callers,
        .shared = flight->callers > 1,
        .retain_ms = flight->retained_until_ms > 0 ? flight->outcome->retain_ms : 0,
        .retain_refused = flight->retain_refused,
    };
}

static void push_result(struct sfl_step *step, struct sfl_caller *caller,
                        const struct sfl_result *result)
{
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_RESULT);
    effect->caller = caller;
    effect->result = *result;
    sfl_outcome_ref(result->outcome);
}

// Says how a flight that was led ends, before it changes.
static struct sfl_ended describe_end(const struct sfl_flight *flight,
                                     const struct sfl_caller *leader)
{
    bool has_leader = leader != NULL || flight->leader != NULL || flight->fenced != NULL;
    return (struct sfl_ended){
        .token = flight->token,
        .begun_ms = sfl_flight_first_led_ms(flight),
        .led_ms = flight->led_since_ms,
        .attempts = flight->attempt,
        .callers = flight->follower_count + has_leader,
    };
}

static void remember(struct sfl_step *step, struct sfl_flight *flight,
                     const struct sfl_ended *ended)
{
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_ENDED);
    effect->flight = flight;
    effect->ended = *ended;
}

// True when it is to be remembered. A drain leaves no run.
static bool is_run(const struct sfl_table *table, const struct sfl_flight *flight, bool had_lease)
{
    if (table->runs == SFL_RUNS_JOBS)
        return had_lease || flight->state == SFL_FLIGHT_RETAINED;
    return table->runs == SFL_RUNS_ALL;
}

// Counts the end of a flight that was led, before it forgets when.
static void count_end(struct sfl_step *step, const struct sfl_flight *flight, enum sfl_end end)
{
    struct sfl_tally *tally = &step->table->tally;
    tally->ended[end]++;
    sfl_histogram_add(&tally->flight_ms, &sfl_bounds_ms,
                      step->now_ms - sfl_flight_first_led_ms(flight));
}

static enum sfl_end end_of_kind(enum sfl_outcome_kind kind)
{
    switch (kind) {
    case SFL_OUTCOME_OK:
        return SFL_END_OK;
    case SFL_OUTCOME_ERROR:
        return SFL_END_ERROR;
    case SFL_OUTCOME_PANIC:
        return SFL_END_PANIC;
    case SFL_OUTCOME_ABANDONED:
        break;
    }
    return SFL_END_ABANDONED;
}

static enum sfl_end end_of_refusal(const struct sfl_refusal *refusal, bool is_drain)
{
    if (is_drain)
        return SFL_END_DRAINED;
    bool is_ended = refusal->loss == SFL_LOSS_ENDED || refusal->loss == SFL_LOSS_ENDED_BY;
    return is_ended ? SFL_END_ENDED : SFL_END_LOST;
}

void sfl_flight_settle(struct sfl_step *step, struct sfl_flight *flight,
                       struct sfl_outcome *outcome, struct sfl_caller *leader)
{
    struct sfl_table *table = step->table;
    bool lead_was_kept = flight->lead_kept;
    bool had_lease = flight->lease_ms > 0;
    bool is_kept = flight->past != NULL && flight->past->kept == outcome;
    // Most flights leave no run.
    bool may_be_run = table->runs == SFL_RUNS_ALL || had_lease || outcome->retain_ms > 0;
    struct sfl_ended ended;
    if (may_be_run)
        ended = describe_end(flight, leader);
    count_end(step, flight, end_of_kind(outcome->kind));
    sfl_histogram_add(&table->tally.outcome_bytes, &sfl_bounds_bytes, outcome->value_bytes);
    struct sfl_flight *next = stop_running(step, flight);
    if (flight->value != NULL) // what a limit has stopped
        sfl_value_unref(flight->value);
    flight->value = NULL;
    if (flight->retain_from_lead)
        count_from_lead(outcome, step->now_ms -
                                     (is_kept ? flight->past->kept_led_ms : flight->led_since_ms));
    if (is_kept)
        flight->past->kept = NULL; // its reference goes on
    if (flight->past != NULL)
        sfl_flight_drop_past(table, flight);

    flight->state = SFL_FLIGHT_SETTLED;
    flight->outcome = outcome;
    flight->attempt = outcome->attempt; // a kept error's may be older than the last one tried
    flight->token = outcome->token;
    flight->ended_at_ms = step->now_ms;
    flight->retained_until_ms = 0;
    flight->callers = flight->follower_count + 1;
    flight->hits = 0;
    SFL_COUNT(table, flight->group, executions_saved, flight->follower_count);
    flight->run = 0;
    retain_if_asked(step, flight);
    if (may_be_run && is_run(table, flight, had_lease)) {
        ended.token = outcome->token;
        ended.outcome = outcome;
        remember(step, flight, &ended);
        flight->told_when_dead = leader == NULL && flight->state == SFL_FLIGHT_SETTLED;
    }
    if (lead_was_kept)
        sfl_flight_unlead(step, flight); // second: it is over because of the outcome
    if (flight->state == SFL_FLIGHT_SETTLED)
        sfl_flight_unplace(table, flight);
    sfl_flight_account(table, flight);

    if (leader != NULL) {
        struct sfl_result result = result_of(flight);
        result.led = true;
        result.lead_was_kept = lead_was_kept;
        push_result(step, leader, &result);
    }
    queue_followers(step, flight);
    if (next != NULL)
        sfl_flight_begin_next(step, next);
}

void sfl_flight_abort(struct sfl_step *step, struct sfl_flight *flight,
                      const struct sfl_refusal *refusal)
{
    struct sfl_caller *leader = flight->leader;
    bool had_lease = flight->lease_ms > 0;
    struct sfl_ended ended = describe_end(flight, NULL);
    if (leader != NULL) {
        sfl_caller_detach(step->table, leader);
        sfl_step_refuse(step, leader, refusal);
    }
    struct sfl_flight *next = stop_running(step, flight);
    bool is_drain = refusal->reason == SFL_REASON_DRAINED || refusal->reason == SFL_REASON_DRAINING;
    if (ended.attempts > 0)
        count_end(step, flight, end_of_refusal(refusal, is_drain));
    if (!is_drain) // which the lead outlives
        sfl_flight_unlead(step, flight);
    sfl_flight_unplace(step->table, flight);
    sfl_flight_drop_past(step->table, flight);
    sfl_flight_drop_value(step->table, flight);
    flight->state = SFL_FLIGHT_SETTLED;
    flight->refusal = *refusal;
    flight->refusal_named = refusal->name != NULL;
    sfl_bytes_ref(refusal->name);
    if (!is_drain && ended.attempts > 0 && is_run(step->table, flight, had_lease)) {
        ended.refusal = &flight->refusal;
        remember(step, flight, &ended);
    }
    queue_followers(step, flight);
    if (next != NULL)
        sfl_flight_begin_next(step, next);
}

struct sfl_outcome *sfl_flight_describe(struct sfl_table *table, const struct sfl_flight *flight,
                                        enum sfl_outcome_kind kind,
                                        const struct sfl_refusal *refusal, struct sfl_value *value)
{
    // It is short, and what it takes the place of may be all that there was room for.
    static const struct sfl_limits unlimited = {.held_bytes_max = UINT64_MAX};
    struct sfl_held *held = &table->held; // no quota either
    bool is_limit = sfl_reason_is_limit(refusal->reason);
    char text[SFL_REFUSAL_TEXT_MAX];
    struct sfl_bytes *texts = NULL;
    sfl_refusal_text(refusal, text);
    if (table->describe != NULL)
        texts = table->describe(is_limit ? SFL_LIMIT_CODE : 0, sfl_span_of_text(text),
                                sfl_span_of_text(is_limit ? SFL_LIMIT_TYPE : ""));
    struct sfl_outcome *outcome = NULL;
    enum sfl_reason reason =
        sfl_outcome_create(table->allocator, held, &unlimited, value, texts, &outcome);
    sfl_bytes_unref(texts);
    if (reason != SFL_REASON_NONE)
        return NULL;
    outcome->kind = kind;
    outcome->attempt = flight->attempt;
    outcome->token = flight->token;
    return outcome;
}

void sfl_flight_serve(struct sfl_step *step, const struct sfl_flight *flight,
                      struct sfl_caller *caller, bool led)
{
    uint64_t left_ms = flight->retained_until_ms - step->now_ms;
    struct sfl_result result = result_of(flight);
    result.led = led;
    result.shared = !led || flight->callers > 1;
    result.retained = true;
    result.age_ms = step->now_ms - flight->ended_at_ms;
    result.retain_ms = left_ms;
    push_result(step, caller, &result);
}

// A retained flight is not retained any more.
static void let_go(struct sfl_table *table, struct sfl_flight *flight)
{
    sfl_flight_unplace(table, flight);
    flight->due_ms = UINT64_MAX;
    sfl_flight_give_retained(table, flight);
    SFL_COUNT(table, flight->group, retained_now, -1);
    flight->state = SFL_FLIGHT_SETTLED;
    sfl_flight_account(table, flight);
    sfl_flight_bury_if_done(table, flight);
}

void sfl_flight_drop(struct sfl_step *step, struct sfl_flight *flight)
{
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_DROP);
    effect->flight = flight;
    let_go(step->table, flight);
}

void sfl_flight_unkeep(struct sfl_step *step, struct sfl_flight *flight)
{
    // Followers that have yet to be taken are told so, as the leader is.
    flight->retain_refused = true;
    flight->retained_until_ms = 0;
    SFL_COUNT(step->table, flight->group, retain_refused, 1);
    let_go(step->table, flight);
}

// Before its last word: what it has read is not of this outcome.
static bool must_restart(const struct sfl_flight *flight, const struct sfl_caller *follower)
{
    return sfl_caller_must_restart(follower, flight->attempt) ||
           (flight->voids_chunks && follower->live);
}

bool sfl_table_take_settled(struct sfl_table *table, struct sfl_settled *settled_out)
{
    struct sfl_link *first = sfl_list_first(&table->settled);
    if (first == NULL)
        return false;
    struct sfl_flight *flight = SFL_CONTAINER_OF(first, struct sfl_flight, in_list);
    settled_out->refused = flight->outcome == NULL;
    settled_out->count = 0;
    settled_out->restarts = 0;
    settled_out->follows = 0;
    settled_out->leader = NULL;
    if (settled_out->refused) {
        settled_out->refusal = flight->refusal;
        sfl_bytes_ref(flight->refusal.name);
    } else {
        settled_out->result = result_of(flight);
        sfl_outcome_ref(flight->outcome);
    }
    struct sfl_link *link;
    while (settled_out->count < SFL_SETTLED_BATCH &&
           (link = sfl_list_first(&flight->followers)) != NULL) {
        struct sfl_caller *follower = SFL_CONTAINER_OF(link, struct sfl_caller, in_followers);
        uint32_t bit = 1U << settled_out->count;
        if (!settled_out->refused && follower->told_attempt == 0)
            settled_out->follows |= bit;
        else if (!settled_out->refused && must_restart(flight, follower))
            settled_out->restarts |= bit;
        sfl_histogram_add(&table->tally.wait_ms, &sfl_bounds_ms,
                          (uint32_t)table->now_ms - follower->joined_ms);
        sfl_caller_detach(table, follower);
        settled_out->callers[settled_out->count++] = follower;
    }
    if ((settled_out->restarts | settled_out->follows) != 0)
        settled_out->leader = flight->kept_won ? NULL : sfl_bytes_ref(flight->leader_name);
    sfl_link_remove(&flight->in_list);
    if (flight->follower_count > 0)
        sfl_list_append(&table->settled, &flight->in_list);
    else
        sfl_flight_bury_if_done(table, flight);
    settled_out->more = !sfl_list_is_empty(&table->settled);
    return true;
}

bool sfl_table_restore(struct sfl_table *table, const struct sfl_join *join, uint64_t hash,
                       struct sfl_outcome *outcome, uint32_t callers, uint64_t ended_at_ms,
                       uint64_t retained_until_ms, uint64_t now_ms)
{
    if (retained_until_ms <= now_ms ||
        sfl_table_find(table, SFL_PLACE_RETAINED, hash, join->group, join->key, 0) != NULL)
        return false;
    if (!sfl_index_reserve(&table->flights))
        return false;
    struct sfl_flight *flight = sfl_flight_create(table, join, hash);
    if (flight == NULL)
        return false;
    if (!take_room(table, flight, outcome)) {
        flight->state = SFL_FLIGHT_SETTLED;
        sfl_flight_bury_if_done(table, flight);
        return false;
    }
    flight->outcome = outcome;
    flight->callers = callers;
    flight->ended_at_ms = ended_at_ms;
    flight->attempt = outcome->attempt;
    flight->token = outcome->token;
    sfl_index_insert(&table->flights, hash, flight);
    retain(table, flight, retained_until_ms);
    sfl_flight_account(table, flight);
    return true;
}
