// SPDX-License-Identifier: Apache-2.0
// What outlives the process: what is handed to the keeper, and what comes back at start.
#include "base/clock.h"
#include "base/local_heap.h"
#include "engine/engine_private.h"
#include "engine/left.h"

#include <assert.h>
#include <stdlib.h>

// --- leads ---

// A lead that is on its way to the keeper; its flight lives until it is told so.
struct waiting_lead {
    struct sfl_link link; // of its shard, under whose lock it is
    struct sfl_shard *shard;
    struct sfl_flight *flight;
    uint64_t token;
    bool is_replaced; // the keeper has been told meanwhile that it is forgotten
};

static void on_lead_kept(void *argument, bool is_kept)
{
    struct waiting_lead *waiting = argument;
    struct sfl_shard *shard = waiting->shard;
    const struct sfl_engine *engine = shard->engine;
    const struct sfl_home_answer answer = {.found = true, .token = waiting->token};
    struct sfl_event event;
    sfl_shard_set_home_found(&event, waiting->flight, sfl_clock_now_ms(), &answer, is_kept);
    // In one go, so that nobody meets a flight whose lead is neither on its way nor there.
    pthread_mutex_lock(&shard->lock);
    sfl_link_remove(&waiting->link);
    if (!is_kept && waiting->is_replaced)
        engine->keeper->unlead(engine->keeper_context, waiting->token);
    (void)sfl_shard_run_and_unlock(shard, &event, NULL);
    free(waiting);
}

static void count_unkept(struct sfl_engine *engine)
{
    atomic_fetch_add_explicit(&engine->leads_unkept, 1, memory_order_relaxed);
}

bool sfl_shard_keep_lead(struct sfl_shard *shard, struct sfl_flight *flight,
                         const struct sfl_home_answer *answer)
{
    const struct sfl_engine *engine = shard->engine;
    if (flight->lease_ms == 0 || engine->keeper == NULL || engine->keeper->lead == NULL ||
        !answer->found || flight->state != SFL_FLIGHT_FINDING_HOME)
        return false;
    struct waiting_lead *waiting = malloc(sizeof(*waiting));
    if (waiting == NULL) {
        count_unkept(shard->engine);
        return false;
    }
    *waiting = (struct waiting_lead){.shard = shard, .flight = flight, .token = answer->token};
    struct sfl_kept_lead lead = sfl_left_describe(flight, answer->token, shard->table.now_ms);
    // Before it may be answered, on another thread, which waits for the shard's lock.
    sfl_list_append(&shard->waiting_leads, &waiting->link);
    if (engine->keeper->lead(engine->keeper_context, &lead, on_lead_kept, waiting))
        return true;
    sfl_link_remove(&waiting->link);
    free(waiting);
    return false;
}

// NULL: none of this flight waits.
static struct waiting_lead *find_waiting(const struct sfl_shard *shard,
                                         const struct sfl_flight *flight)
{
    struct sfl_link *link = sfl_list_first(&shard->waiting_leads);
    for (; link != NULL; link = sfl_list_next(&shard->waiting_leads, link)) {
        struct waiting_lead *waiting = SFL_CONTAINER_OF(link, struct waiting_lead, link);
        if (waiting->flight == flight)
            return waiting;
    }
    return NULL;
}

void sfl_shard_keep_forgotten(struct sfl_shard *shard, const struct sfl_flight *flight)
{
    const struct sfl_engine *engine = shard->engine;
    uint64_t next_token = 0;
    if (flight->state == SFL_FLIGHT_FINDING_HOME) {
        struct waiting_lead *waiting = find_waiting(shard, flight);
        if (waiting == NULL)
            return; // it is described as it is when its time comes
        waiting->is_replaced = true;
        next_token = waiting->token;
    }
    struct sfl_kept_lead lead = sfl_left_describe(flight, next_token, shard->table.now_ms);
    bool is_taken = engine->keeper->lead(engine->keeper_context, &lead, NULL, NULL);
    assert(is_taken); // it takes something back
    (void)is_taken;
}

// --- outcomes ---

bool sfl_shard_keep_outcome(const struct sfl_shard *shard, const struct sfl_flight *flight)
{
    const struct sfl_engine *engine = shard->engine;
    const struct sfl_kept kept = {
        .group = sfl_flight_group(flight),
        .key = sfl_flight_key(flight),
        .fingerprint = sfl_flight_fingerprint(flight),
        .callers = flight->callers,
        .outcome = flight->outcome,
    };
    return engine->keeper == NULL || engine->keeper->retain(engine->keeper_context, &kept);
}

bool sfl_engine_keeps(const struct sfl_engine *engine)
{
    return engine->keeper != NULL;
}

bool sfl_engine_await_kept(struct sfl_engine *engine, uint64_t token,
                           void (*on_kept)(void *argument, bool is_kept), void *argument)
{
    return engine->keeper->await(engine->keeper_context, token, on_kept, argument);
}

void sfl_engine_unkeep(struct sfl_engine *engine, const struct sfl_unkept *unkept)
{
    struct sfl_event event = {
        .type = SFL_EVENT_UNKEPT,
        .now_ms = sfl_clock_now_ms(),
        .hash = sfl_hash(&engine->secret, unkept->group, unkept->key),
        .unkept = *unkept,
    };
    struct sfl_shard *shard = sfl_engine_shard_of(engine, event.hash);
    (void)sfl_shard_run(shard, &event, NULL);
}

struct sfl_keeper_state sfl_engine_keeper_state(const struct sfl_engine *engine)
{
    if (engine->keeper == NULL)
        return (struct sfl_keeper_state){0};
    struct sfl_keeper_state state = engine->keeper->state(engine->keeper_context);
    state.lost_leads += atomic_load_explicit(&engine->leads_unkept, memory_order_relaxed);
    return state;
}

// --- what comes back ---

static enum sfl_reason restore_outcome(struct sfl_shard *shard, struct sfl_span group,
                                       const struct sfl_outcome_parts *parts,
                                       struct sfl_outcome **outcome_out)
{
    pthread_mutex_lock(&shard->lock);
    struct sfl_held *held = sfl_table_held(&shard->table, group);
    pthread_mutex_unlock(&shard->lock);
    return sfl_outcome_restore(&sfl_local_heap, held, shard->engine->limits, parts, outcome_out);
}

bool sfl_engine_restore(struct sfl_engine *engine, const struct sfl_join *join,
                        const struct sfl_outcome_parts *parts, uint32_t callers, uint64_t age_ms,
                        uint64_t left_ms)
{
    struct sfl_outcome *outcome;
    if (sfl_limits_check_key(engine->limits, join->group, join->key).reason != SFL_REASON_NONE)
        return false;
    uint64_t hash = sfl_hash(&engine->secret, join->group, join->key);
    struct sfl_shard *shard = sfl_engine_shard_of(engine, hash);
    if (restore_outcome(shard, join->group, parts, &outcome) != SFL_REASON_NONE)
        return false;
    outcome->retain_ms = left_ms;
    uint64_t now_ms = sfl_clock_now_ms();
    pthread_mutex_lock(&shard->lock);
    // The difference is what counts, so it does no harm when the machine has not been up that long.
    bool restored = sfl_table_restore(&shard->table, join, hash, outcome, callers, now_ms - age_ms,
                                      now_ms + left_ms, now_ms);
    pthread_mutex_unlock(&shard->lock);
    if (!restored)
        sfl_outcome_unref(outcome);
    return restored;
}

bool sfl_engine_restore_lead(struct sfl_engine *engine, const struct sfl_kept_lead *lead,
                             const struct sfl_outcome_parts *error, uint64_t error_retain_ms)
{
    if (sfl_limits_check_key(engine->limits, lead->group, lead->key).reason != SFL_REASON_NONE)
        return false;
    uint64_t hash = sfl_hash(&engine->secret, lead->group, lead->key);
    struct sfl_shard *shard = sfl_engine_shard_of(engine, hash);
    struct sfl_outcome *passed_on = NULL;
    // An error that finds no room is no reason to fence who leads.
    if (error != NULL && restore_outcome(shard, lead->group, error, &passed_on) != SFL_REASON_NONE)
        passed_on = NULL;
    if (passed_on != NULL)
        passed_on->retain_ms = error_retain_ms;
    const struct sfl_join join = sfl_left_join(lead);
    const struct sfl_left_lead left = {
        .join = &join,
        .token = lead->token,
        .attempt = lead->attempt,
        .forgotten = lead->forgotten,
        .led_for_ms = sfl_left_ms_since(lead->led_unix_ms),
        .begun_for_ms = sfl_left_ms_since(lead->begun_unix_ms),
        .error_led_for_ms = sfl_left_ms_since(lead->error_led_unix_ms),
        .error = passed_on,
    };
    pthread_mutex_lock(&shard->lock);
    bool restored = sfl_table_restore_lead(&shard->table, &left, hash, sfl_clock_now_ms());
    pthread_mutex_unlock(&shard->lock);
    if (!restored)
        sfl_outcome_unref(passed_on);
    return restored;
}
