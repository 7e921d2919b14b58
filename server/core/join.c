// SPDX-License-Identifier: Apache-2.0
// How a caller comes in: it opens a flight, follows one, gets a retained outcome, or takes back
// a lead that it holds.
#include "core/step.h"

#include <assert.h>

// By byte.
static const bool may_be_in_group[256] = {
    ['-'] = true,         ['.'] = true, ['0' ... '9'] = true,
    ['A' ... 'Z'] = true, ['_'] = true, ['a' ... 'z'] = true,
};

static struct sfl_refusal bounds(enum sfl_reason reason, uint64_t value, uint64_t bound)
{
    return (struct sfl_refusal){.reason = reason, .a = value, .b = bound};
}

struct sfl_refusal sfl_limits_check_key(const struct sfl_limits *limits, struct sfl_span group,
                                        struct sfl_span key)
{
    if (key.size == 0 || key.size > limits->key_bytes_max)
        return bounds(SFL_REASON_KEY_SIZE, key.size, limits->key_bytes_max);
    if (group.size > limits->group_bytes_max)
        return bounds(SFL_REASON_GROUP_SIZE, group.size, limits->group_bytes_max);
    for (size_t i = 0; i < group.size; i++) {
        if (!may_be_in_group[group.data[i]])
            return (struct sfl_refusal){.reason = SFL_REASON_GROUP_BYTES};
    }
    return (struct sfl_refusal){.reason = SFL_REASON_NONE};
}

static struct sfl_refusal check_options(const struct sfl_limits *limits,
                                        const struct sfl_join *join)
{
    if (join->fingerprint.size > SFL_FINGERPRINT_MAX)
        return bounds(SFL_REASON_FINGERPRINT_SIZE, join->fingerprint.size, SFL_FINGERPRINT_MAX);
    if (join->name.size > SFL_CALLER_NAME_MAX)
        return bounds(SFL_REASON_CALLER_SIZE, join->name.size, SFL_CALLER_NAME_MAX);
    if (join->retain_ms > limits->retain_ms_max)
        return bounds(SFL_REASON_RETAIN, join->retain_ms, limits->retain_ms_max);
    if (join->retain_error_ms > limits->retain_ms_max)
        return bounds(SFL_REASON_RETAIN_ERROR, join->retain_error_ms, limits->retain_ms_max);
    if (join->lease_ms > 0 && join->lease_ms < limits->lease_ms_min)
        return bounds(SFL_REASON_LEASE_SHORT, join->lease_ms, limits->lease_ms_min);
    if (join->lease_ms > limits->lease_ms_max)
        return bounds(SFL_REASON_LEASE_LONG, join->lease_ms, limits->lease_ms_max);
    if (join->run_limit_ms > limits->run_limit_ms_max)
        return bounds(SFL_REASON_RUN_LIMIT_LONG, join->run_limit_ms, limits->run_limit_ms_max);
    return (struct sfl_refusal){.reason = SFL_REASON_NONE};
}

// `is_known`: there is a flight of this group and key, so they are fine.
static struct sfl_refusal check_join(const struct sfl_limits *limits, const struct sfl_join *join,
                                     bool is_known)
{
    if (!is_known) {
        struct sfl_refusal of_key = sfl_limits_check_key(limits, join->group, join->key);
        if (of_key.reason != SFL_REASON_NONE)
            return of_key;
    }
    return check_options(limits, join);
}

static bool fingerprint_differs(const struct sfl_flight *flight, const struct sfl_join *join)
{
    struct sfl_span openers = sfl_flight_fingerprint(flight);
    return openers.size > 0 && join->fingerprint.size > 0 &&
           !sfl_span_equal(openers, join->fingerprint);
}

static bool is_young_enough(const struct sfl_step *step, const struct sfl_flight *retained,
                            const struct sfl_join *join)
{
    if (step->now_ms >= retained->retained_until_ms)
        return false;
    return join->max_age_ms == 0 || step->now_ms - retained->ended_at_ms <= join->max_age_ms;
}

static void push_follow(struct sfl_step *step, struct sfl_flight *flight, struct sfl_caller *caller)
{
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_FOLLOW);
    effect->caller = caller;
    if (flight->state == SFL_FLIGHT_FINDING_HOME) {
        effect->follow = (struct sfl_follow){.attempt = flight->attempt + 1};
        return;
    }
    effect->follow = (struct sfl_follow){
        .attempt = flight->attempt,
        .running_ms = step->now_ms - flight->led_since_ms,
        .leader = flight->leader_name,
    };
    if (caller->live && flight->value != NULL) {
        effect->follow.value = flight->value;
        effect->follow.value_bytes = flight->value->size;
    }
}

static void append_follower(struct sfl_flight *flight, struct sfl_caller *caller)
{
    sfl_list_append(&flight->followers, &caller->in_followers);
    if (caller->live)
        sfl_list_append(&flight->live, &caller->in_live);
    flight->follower_count++;
}

// Refuses a join for a reason that has a limit's value in it, and counts it.
static void refuse_limit(struct sfl_step *step, struct sfl_caller *caller,
                         const struct sfl_join *join, enum sfl_reason reason)
{
    const struct sfl_limits *limits = step->table->limits;
    struct sfl_refusal refusal = {.reason = reason};
    refusal.a = reason == SFL_REASON_FLIGHTS_LIMIT ? limits->flights_max : limits->callers_max;
    sfl_step_count_refusal(step, sfl_table_group(step->table, join->group), reason);
    sfl_step_refuse(step, caller, &refusal);
}

static void follow(struct sfl_step *step, struct sfl_flight *flight, struct sfl_caller *caller,
                   const struct sfl_join *join)
{
    enum sfl_reason reason = sfl_caller_attach(step, caller, flight, join);
    if (reason != SFL_REASON_NONE) {
        refuse_limit(step, caller, join, reason);
        return;
    }
    append_follower(flight, caller);
    caller->admitted = true;
    SFL_COUNT(step->table, flight->group, calls, 1);
    push_follow(step, flight, caller);
    sfl_flight_audience_changed(step, flight);
}

static void refuse_other_leads(struct sfl_step *step, const struct sfl_flight *flight,
                               struct sfl_caller *caller)
{
    bool led = flight->state != SFL_FLIGHT_FINDING_HOME;
    struct sfl_refusal refusal = {.reason = SFL_REASON_OTHER_LEADS};
    if (led) {
        refusal.a = step->now_ms - flight->led_since_ms;
        refusal.name = flight->leader_name;
    }
    sfl_step_refuse(step, caller, &refusal);
}

void sfl_flight_admit_opener(struct sfl_step *step, struct sfl_flight *flight)
{
    struct sfl_link *first = sfl_list_first(&flight->followers);
    if (first == NULL)
        return;
    struct sfl_caller *opener = SFL_CONTAINER_OF(first, struct sfl_caller, in_followers);
    if (opener->admitted)
        return;
    if (opener->role == SFL_ROLE_LEAD_ONLY) {
        sfl_caller_detach(step->table, opener);
        refuse_other_leads(step, flight, opener);
        return;
    }
    opener->admitted = true;
    SFL_COUNT(step->table, flight->group, calls, 1);
    push_follow(step, flight, opener);
}

static void join_running(struct sfl_step *step, struct sfl_flight *flight,
                         struct sfl_caller *caller, const struct sfl_join *join)
{
    if (fingerprint_differs(flight, join)) {
        struct sfl_refusal refusal = {.reason = SFL_REASON_OTHER_ARGUMENTS};
        sfl_step_refuse(step, caller, &refusal);
    } else if (join->role == SFL_ROLE_LEAD_ONLY) {
        refuse_other_leads(step, flight, caller);
    } else {
        follow(step, flight, caller, join);
    }
}

static void copy_span(uint8_t **at, struct sfl_span span)
{
    if (span.size > 0)
        memcpy(*at, span.data, span.size);
    *at += span.size;
}

// Copies group (unless the flight's group has it already), key and fingerprint. False when there is
// no memory.
static bool copy_names(struct sfl_table *table, struct sfl_flight *flight,
                       const struct sfl_join *join)
{
    flight->group_size = flight->group == NULL ? (uint16_t)join->group.size : 0;
    flight->key_size = (uint16_t)join->key.size;
    flight->fingerprint_size = (uint8_t)join->fingerprint.size;
    uint8_t *at = flight->near_names;
    size_t size = sfl_flight_names_size(flight);
    if (size > SFL_NEAR_NAMES) {
        at = sfl_alloc(table->allocator, size);
        if (at == NULL)
            return false;
        flight->far_names = at;
    }
    copy_span(&at, sfl_span_of(join->group.data, flight->group_size));
    copy_span(&at, join->key);
    copy_span(&at, join->fingerprint);
    return true;
}

struct sfl_flight *sfl_flight_create(struct sfl_table *table, const struct sfl_join *join,
                                     uint64_t hash)
{
    struct sfl_flight *flight = sfl_pages_take(&table->pages);
    if (flight == NULL)
        return NULL;
    *flight = (struct sfl_flight){
        .hash = hash,
        .state = SFL_FLIGHT_FINDING_HOME,
        .place = SFL_PLACE_NOWHERE,
        .group = sfl_table_group(table, join->group),
        .due_ms = UINT64_MAX,
        .on_leader_loss = join->on_leader_loss,
        .max_attempts = join->max_attempts,
        .retain_ms = join->retain_ms,
        .retain_error_ms = join->retain_error_ms,
        .lease_ms = join->lease_ms,
        .run_limit_ms =
            join->run_limit_ms == 0 ? table->limits->run_limit_ms_max : join->run_limit_ms,
        .lease_until_ms = UINT64_MAX,
    };
    sfl_list_init(&flight->followers);
    sfl_list_init(&flight->live);
    if (copy_names(table, flight, join))
        return flight;
    sfl_pages_give(&table->pages, flight);
    return NULL;
}

static void place_running(struct sfl_table *table, struct sfl_flight *flight)
{
    flight->place = SFL_PLACE_RUNNING;
    sfl_index_insert(&table->flights, flight->hash, flight);
    SFL_COUNT(table, flight->group, flights_now, 1);
}

// The flight and its first caller; SFL_REASON_NONE, or why not: then nothing has changed.
static enum sfl_reason open_flight(struct sfl_step *step, struct sfl_caller *caller,
                                   const struct sfl_join *join, uint64_t hash,
                                   struct sfl_flight **flight_out)
{
    struct sfl_table *table = step->table;
    if (!sfl_usage_take(&table->usage->flights, 1, table->limits->flights_max))
        return SFL_REASON_FLIGHTS_LIMIT;
    enum sfl_reason reason = SFL_REASON_NO_MEMORY;
    struct sfl_flight *flight = NULL;
    if (sfl_index_reserve(&table->flights))
        flight = sfl_flight_create(table, join, hash);
    if (flight != NULL)
        reason = sfl_caller_attach(step, caller, flight, join);
    if (reason != SFL_REASON_NONE) {
        if (flight != NULL) {
            flight->state = SFL_FLIGHT_SETTLED;
            sfl_flight_bury_if_done(table, flight);
        }
        sfl_usage_give(&table->usage->flights, 1);
        return reason;
    }
    *flight_out = flight;
    return SFL_REASON_NONE;
}

static void open_or_refuse(struct sfl_step *step, const struct sfl_event *event)
{
    struct sfl_caller *caller = event->caller;
    if (event->join->role == SFL_ROLE_FOLLOW_ONLY) {
        struct sfl_refusal refusal = {.reason = SFL_REASON_NOTHING_TO_FOLLOW};
        sfl_step_refuse(step, caller, &refusal);
        return;
    }
    struct sfl_flight *flight = NULL;
    enum sfl_reason reason = open_flight(step, caller, event->join, event->hash, &flight);
    if (reason != SFL_REASON_NONE) {
        refuse_limit(step, caller, event->join, reason);
        return;
    }
    place_running(step->table, flight);
    append_follower(flight, caller);
    sfl_flight_find_home(step, flight);
}

// The greatest token of any flight of the key, forgotten and retained ones too; 0: none is known.
static uint64_t newest_token(const struct sfl_table *table, const struct sfl_event *event)
{
    uint64_t newest = 0;
    struct sfl_index_walk walk = {0};
    const struct sfl_flight *flight;
    while ((flight = sfl_table_next(table, event->hash, event->join->group, event->join->key,
                                    &walk)) != NULL) {
        if (flight->token > newest)
            newest = flight->token;
    }
    return newest;
}

static void refuse_fenced(struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_join *join = event->join;
    uint64_t newest = newest_token(step->table, event);
    struct sfl_refusal refusal = {.reason = SFL_REASON_FENCED, .a = join->resume_token};
    if (newest > join->resume_token)
        refusal.b = newest;
    struct sfl_group *group = sfl_table_find_group(step->table, join->group);
    SFL_COUNT(step->table, group, fenced, 1);
    sfl_step_refuse(step, event->caller, &refusal);
}

// The leader comes back on a new stream; an older stream of it ends.
static void take_over(struct sfl_step *step, struct sfl_flight *flight, struct sfl_caller *caller,
                      const struct sfl_join *join)
{
    struct sfl_table *table = step->table;
    enum sfl_reason reason = sfl_caller_attach(step, caller, flight, join);
    if (reason != SFL_REASON_NONE) {
        refuse_limit(step, caller, join, reason);
        return;
    }
    struct sfl_caller *older = flight->leader;
    if (older != NULL) {
        // Nobody has a newer token: it is the same lead on another stream.
        struct sfl_refusal refusal = {.reason = SFL_REASON_FENCED, .a = flight->token, .b = 0};
        sfl_caller_detach(table, older);
        SFL_COUNT(table, flight->group, fenced, 1);
        sfl_step_refuse(step, older, &refusal);
    }
    flight->leader = caller;
    flight->state = SFL_FLIGHT_LED;
    caller->admitted = true;
    if (caller->name != NULL) {
        sfl_bytes_unref(flight->leader_name);
        flight->leader_name = sfl_bytes_ref(caller->name);
    }
    sfl_flight_extend_lease(step, flight);
    sfl_flight_tell_lead(step, flight);
    sfl_flight_audience_changed(step, flight);
}

static bool is_led_or_orphaned(const struct sfl_flight *flight)
{
    return flight->state == SFL_FLIGHT_LED || flight->state == SFL_FLIGHT_ORPHANED;
}

static void resume(struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_join *join = event->join;
    const enum sfl_flight_place places[] = {SFL_PLACE_RUNNING, SFL_PLACE_FORGOTTEN};
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct sfl_flight *flight = sfl_table_find(step->table, places[i], event->hash, join->group,
                                                   join->key, join->resume_token);
        if (flight != NULL && is_led_or_orphaned(flight)) {
            take_over(step, flight, event->caller, join);
            return;
        }
    }
    struct sfl_flight *retained = sfl_table_find(step->table, SFL_PLACE_RETAINED, event->hash,
                                                 join->group, join->key, join->resume_token);
    if (retained != NULL && step->now_ms < retained->retained_until_ms)
        sfl_flight_serve(step, retained, event->caller, true);
    else
        refuse_fenced(step, event);
}

// Serves a retained outcome, or refuses it.
static void join_retained(struct sfl_step *step, const struct sfl_flight *retained,
                          struct sfl_caller *caller, const struct sfl_join *join)
{
    if (fingerprint_differs(retained, join)) {
        struct sfl_refusal refusal = {.reason = SFL_REASON_OTHER_ARGUMENTS};
        sfl_step_refuse(step, caller, &refusal);
        return;
    }
    struct sfl_table *table = step->table;
    SFL_COUNT(table, retained->group, calls, 1);
    SFL_COUNT(table, retained->group, retained_hits, 1);
    SFL_COUNT(table, retained->group, executions_saved, 1);
    sfl_flight_serve(step, retained, caller, false);
}

// What there is for a new caller: a retained outcome that is young enough, or else the flight that
// runs. NULL when there is neither.
static struct sfl_flight *find_to_join(const struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_join *join = event->join;
    struct sfl_flight *running = NULL;
    struct sfl_flight *flight;
    struct sfl_index_walk walk = {0};
    while ((flight = sfl_table_next(step->table, event->hash, join->group, join->key, &walk)) !=
           NULL) {
        if (flight->place == SFL_PLACE_RETAINED && is_young_enough(step, flight, join))
            return flight;
        if (flight->place == SFL_PLACE_RUNNING)
            running = flight;
    }
    return running;
}

void sfl_step_join(struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_join *join = event->join;
    assert(!sfl_caller_is_joined(event->caller));
    struct sfl_flight *found = join->resume_token > 0 ? NULL : find_to_join(step, event);
    struct sfl_refusal refusal = check_join(step->table->limits, join, found != NULL);
    if (refusal.reason != SFL_REASON_NONE) {
        sfl_step_refuse(step, event->caller, &refusal);
        return;
    }
    if (join->resume_token > 0) {
        resume(step, event);
        return;
    }
    if (found != NULL && found->place == SFL_PLACE_RETAINED) {
        join_retained(step, found, event->caller, join);
    } else if (step->table->draining) {
        refusal.reason = SFL_REASON_DRAINING;
        sfl_step_refuse(step, event->caller, &refusal);
    } else if (found != NULL) {
        join_running(step, found, event->caller, join);
    } else {
        open_or_refuse(step, event);
    }
}
