// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_private.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "base/local_heap.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    LARGE = 16384, // flights and outcomes, which are more than a processor's own cache holds
    // A tick comes at least so often, so that far deadlines, such as every flight's run_limit, need
    // not ask for one.
    TICK_MS_MAX = 10000,
};

static void on_answer(void *context, void *ticket, const struct sfl_home_answer *answer);

// A shard's lock is held for less than it takes to go to sleep and be woken, so who finds it taken
// looks again for a moment first.
static void init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

enum sfl_status sfl_engine_create(const struct sfl_engine_options *options,
                                  struct sfl_engine **engine_out)
{
    assert((options->shards & (options->shards - 1)) == 0 && options->shards > 0);
    struct sfl_engine *engine = aligned_alloc(SFL_CACHE_LINE, sizeof(*engine));
    if (engine == NULL)
        return SFL_NO_MEMORY;
    *engine = (struct sfl_engine){0};
    engine->shards = aligned_alloc(SFL_CACHE_LINE, options->shards * sizeof(engine->shards[0]));
    if (engine->shards == NULL) {
        free(engine);
        return SFL_NO_MEMORY;
    }
    engine->sink = options->sink;
    engine->sink_context = options->sink_context;
    engine->on_earlier_tick = options->on_earlier_tick;
    engine->tick_context = options->tick_context;
    engine->coordinator = options->coordinator;
    engine->keeper = options->keeper;
    engine->keeper_context = options->keeper_context;
    engine->limits = options->limits;
    engine->shard_count = options->shards;
    engine->started_at_ms = sfl_clock_now_ms();
    sfl_usage_init(&engine->usage);
    sfl_entropy_fill(&engine->secret, sizeof(engine->secret));
    for (unsigned i = 0; i < engine->shard_count; i++) {
        struct sfl_shard *shard = &engine->shards[i];
        struct sfl_table_options table = {
            .allocator = &sfl_local_heap,
            .limits = options->limits,
            .usage = &engine->usage,
            .now_ms = engine->started_at_ms,
            .hash_seed = sfl_entropy_u64(),
            .runs = options->runs,
            .describe = options->describe,
            .first_token = options->first_token,
            .keeps = options->keeper != NULL,
            .quota_of = options->quotas == NULL ? NULL : sfl_quotas_find,
            .quota_done = sfl_quotas_release,
            .quota_context = options->quotas,
        };
        init_lock(&shard->lock);
        shard->engine = engine;
        sfl_list_init(&shard->waiting_leads);
        shard->delivers = false;
        shard->tick_ms = engine->started_at_ms + TICK_MS_MAX;
        sfl_table_init(&shard->table, &table);
    }
    engine->coordinator->on_answer = on_answer;
    engine->coordinator->context = engine;
    *engine_out = engine;
    return SFL_OK;
}

void sfl_engine_set_sink_context(struct sfl_engine *engine, void *sink_context)
{
    engine->sink_context = sink_context;
}

void sfl_engine_destroy(struct sfl_engine *engine)
{
    for (unsigned i = 0; i < engine->shard_count; i++) {
        sfl_table_deinit(&engine->shards[i].table);
        pthread_mutex_destroy(&engine->shards[i].lock);
    }
    sfl_usage_deinit(&engine->usage);
    free(engine->shards);
    free(engine);
}

// To one who has waited in a next flight.
static void tell_who_leads(const struct sfl_engine *engine, const struct sfl_flight *flight,
                           struct sfl_member *member, uint64_t now_ms)
{
    struct sfl_follow follow = {.attempt = flight->attempt, .leader = flight->leader_name};
    if (sfl_flight_has_attempt(flight))
        follow.running_ms = now_ms - flight->led_since_ms;
    engine->sink->follow(engine->sink_context, member, &follow);
}

// Tells a batch of live followers what is new. Under the shard's lock, which is why they are few.
static void tell_live(struct sfl_shard *shard)
{
    const struct sfl_engine *engine = shard->engine;
    struct sfl_live live;
    if (!sfl_table_take_live(&shard->table, &live))
        return;
    for (unsigned i = 0; i < live.count; i++) {
        const struct sfl_flight *flight = live.items[i].caller->flight;
        struct sfl_member *member = sfl_member_of_caller(live.items[i].caller);
        if (live.items[i].follows)
            tell_who_leads(engine, flight, member, shard->table.now_ms);
        if (live.items[i].restarts)
            engine->sink->restart(engine->sink_context, member, flight->attempt,
                                  flight->leader_name);
        if (flight->value != NULL && member->caller.live)
            engine->sink->chunk(engine->sink_context, member, flight->value, flight->value->size);
    }
}

static bool has_crowd(const struct sfl_shard *shard)
{
    return !sfl_list_is_empty(&shard->table.settled) || !sfl_list_is_empty(&shard->table.behind);
}

void sfl_shard_set_home_found(struct sfl_event *event_out, struct sfl_flight *flight,
                              uint64_t now_ms, const struct sfl_home_answer *answer, bool is_kept)
{
    // Field by field, as in sfl_engine_join.
    event_out->type = SFL_EVENT_HOME_FOUND;
    event_out->now_ms = now_ms;
    event_out->home.flight = flight;
    event_out->home.found = answer->found;
    event_out->home.token = answer->token;
    event_out->home.is_kept = is_kept;
}

// Asks the coordinator. True when the answer is there at once: the event to be stepped next.
static bool find_home(struct sfl_shard *shard, struct sfl_flight *flight,
                      struct sfl_event *answered_out)
{
    struct sfl_coordinator *coordinator = shard->engine->coordinator;
    struct sfl_home_question question = {
        .group = sfl_flight_group(flight),
        .key = sfl_flight_key(flight),
        .ticket = flight,
        .lane = (unsigned)(shard - shard->engine->shards),
    };
    struct sfl_home_answer answer;
    if (!coordinator->ops->find_home(coordinator, &question, &answer) ||
        sfl_shard_keep_lead(shard, flight, &answer))
        return false;
    sfl_shard_set_home_found(answered_out, flight, shard->table.now_ms, &answer, false);
    return true;
}

static void set_unkept(struct sfl_event *event_out, const struct sfl_flight *flight,
                       uint64_t now_ms)
{
    event_out->type = SFL_EVENT_UNKEPT;
    event_out->now_ms = now_ms;
    event_out->hash = flight->hash;
    event_out->unkept =
        (struct sfl_unkept){sfl_flight_group(flight), sfl_flight_key(flight), flight->token};
}

// A flight whose outcome is not retained has no place for a number: nobody counts its hits.
static void remember(const struct sfl_engine *engine, struct sfl_flight *flight,
                     const struct sfl_ended *ended, uint64_t now_ms)
{
    if (engine->sink->ended == NULL)
        return;
    uint64_t run = engine->sink->ended(engine->sink_context, flight, ended, now_ms);
    if (flight->state == SFL_FLIGHT_RETAINED)
        flight->run = run;
}

static void carry_out(struct sfl_shard *shard, const struct sfl_effect *effect,
                      struct sfl_forgotten *forgotten_out)
{
    const struct sfl_engine *engine = shard->engine;
    const struct sfl_engine_sink *sink = engine->sink;
    void *context = engine->sink_context;
    struct sfl_member *member =
        effect->caller == NULL ? NULL : sfl_member_of_caller(effect->caller);
    switch (effect->type) {
    case SFL_EFFECT_LEAD:
        sink->lead(context, member, &effect->lead);
        break;
    case SFL_EFFECT_FOLLOW:
        sink->follow(context, member, &effect->follow);
        break;
    case SFL_EFFECT_AUDIENCE:
        sink->audience(context, member, &effect->audience);
        break;
    case SFL_EFFECT_RENEWED:
        sink->renewed(context, member, effect->renewed_id);
        break;
    case SFL_EFFECT_RESULT:
        sink->result(context, member, &effect->result);
        break;
    case SFL_EFFECT_REFUSE:
        sink->refuse(context, member, &effect->refusal);
        sfl_bytes_unref(effect->refusal.name);
        break;
    case SFL_EFFECT_FORGOTTEN:
        assert(forgotten_out != NULL); // only Forget has this effect, and it asks
        *forgotten_out = effect->forgotten;
        break;
    case SFL_EFFECT_RELEASE_HOME:
        engine->coordinator->ops->release_home(
            engine->coordinator, sfl_flight_group(effect->flight), sfl_flight_key(effect->flight));
        break;
    case SFL_EFFECT_KEEP_LEAD:
        sfl_shard_keep_forgotten(shard, effect->flight);
        break;
    case SFL_EFFECT_UNLEAD:
        engine->keeper->unlead(engine->keeper_context, effect->token);
        break;
    case SFL_EFFECT_ENDED:
        remember(engine, effect->flight, &effect->ended, shard->table.now_ms);
        break;
    case SFL_EFFECT_DROP:
        if (engine->keeper != NULL)
            engine->keeper->drop(engine->keeper_context, effect->flight->token);
        if (effect->flight->run > 0 && effect->flight->hits > 0)
            sink->dropped(context, effect->flight->run, effect->flight->hits);
        break;
    case SFL_EFFECT_CHUNK: // see tell_live
    case SFL_EFFECT_RESTART:
    case SFL_EFFECT_SETTLED:   // fetched once the lock is released
    case SFL_EFFECT_FIND_HOME: // see carry_out_all, here and below
    case SFL_EFFECT_RETAIN:
        break;
    }
}

// What the effects after it say of an outcome that the keeper did not take.
static void refuse_to_retain(struct sfl_effects *effects, unsigned from)
{
    for (unsigned i = from; i < effects->count; i++) {
        struct sfl_effect *effect = &effects->items[i];
        if (effect->type != SFL_EFFECT_RESULT)
            continue;
        effect->result.retain_ms = 0;
        effect->result.retain_refused = true;
    }
}

// What keeper and coordinator have answered at once: the events to be stepped next, in order.
struct answers {
    unsigned count;
    struct sfl_event events[2];
};

static void carry_out_all(struct sfl_shard *shard, struct sfl_effects *effects,
                          struct sfl_forgotten *forgotten_out, struct answers *answers)
{
    answers->count = 0;
    for (unsigned i = 0; i < effects->count; i++) {
        const struct sfl_effect *effect = &effects->items[i];
        struct sfl_event *answer = &answers->events[answers->count];
        if (effect->type == SFL_EFFECT_FIND_HOME) { // it is the last one
            answers->count += find_home(shard, effect->flight, answer);
            return;
        }
        if (effect->type == SFL_EFFECT_RETAIN && !sfl_shard_keep_outcome(shard, effect->flight)) {
            set_unkept(answer, effect->flight, shard->table.now_ms);
            refuse_to_retain(effects, i + 1);
            answers->count++;
        }
        carry_out(shard, effect, forgotten_out);
    }
}

static void note_needs(const struct sfl_effects *effects, struct sfl_needs *needs_out)
{
    const struct sfl_group *group = effects->needs_of;
    needs_out->room = effects->needs;
    needs_out->group_size = 0;
    if (group == NULL)
        return;
    assert(group->name_size <= sizeof(needs_out->group));
    needs_out->group_size = group->name_size;
    memcpy(needs_out->group, group->name, group->name_size);
}

// Steps the table and tells the sink, under the shard's lock. `needs_out`: the room that is to be
// made before the event is stepped again. True when it is to be stepped again in any case.
static bool step(struct sfl_shard *shard, const struct sfl_event *event,
                 struct sfl_forgotten *forgotten_out, struct sfl_needs *needs_out)
{
    struct sfl_effects effects;
    struct answers answers;
    bool more = false;
    needs_out->room = SFL_ROOM_NONE;
    for (;;) {
        sfl_table_step(&shard->table, event, &effects);
        if (effects.needs != SFL_ROOM_NONE)
            note_needs(&effects, needs_out);
        more = more || effects.more;
        carry_out_all(shard, &effects, forgotten_out, &answers);
        if (answers.count == 0)
            return more;
        if (answers.count == 2) // that an outcome is not kept; nothing else comes of it
            sfl_table_step(&shard->table, &answers.events[0], &effects);
        event = &answers.events[answers.count - 1];
    }
}

static void release(struct sfl_settled *settled)
{
    sfl_bytes_unref(settled->leader);
    if (settled->refused)
        sfl_bytes_unref(settled->refusal.name);
    else
        sfl_outcome_unref(settled->result.outcome);
}

// Tells a batch of live followers what is new, under the lock, and takes a batch of followers of
// settled flights, which hears its last word outside of it. Returns whether others wait.
static bool deliver_batch(struct sfl_shard *shard)
{
    const struct sfl_engine *engine = shard->engine;
    struct sfl_settled settled;
    pthread_mutex_lock(&shard->lock);
    if (!sfl_list_is_empty(&shard->table.behind))
        tell_live(shard);
    bool any = sfl_table_take_settled(&shard->table, &settled);
    bool more = has_crowd(shard);
    shard->delivers = more;
    pthread_mutex_unlock(&shard->lock);
    if (!any)
        return more;
    if (settled.count > 0)
        engine->sink->settled(engine->sink_context, &settled);
    release(&settled);
    return more;
}

// Tells the shard's crowd, for as long as the sink lets this thread do so.
static void deliver(struct sfl_shard *shard)
{
    const struct sfl_engine *engine = shard->engine;
    unsigned index = (unsigned)(shard - engine->shards);
    bool more = true;
    for (unsigned batches = 0; more; batches++)
        more = engine->sink->may_tell(engine->sink_context, index, batches) && deliver_batch(shard);
}

void sfl_engine_deliver(struct sfl_engine *engine, unsigned shard)
{
    assert(shard < engine->shard_count);
    deliver(&engine->shards[shard]);
}

bool sfl_shard_run_once_and_unlock(struct sfl_shard *shard, const struct sfl_event *event,
                                   struct sfl_forgotten *forgotten_out, struct sfl_needs *needs_out)
{
    bool more = step(shard, event, forgotten_out, needs_out);
    if (!sfl_list_is_empty(&shard->table.behind))
        tell_live(shard); // most audiences are small
    bool delivers = !shard->delivers && has_crowd(shard);
    if (delivers)
        shard->delivers = true;
    uint64_t next_ms = sfl_table_next_deadline_ms(&shard->table);
    bool earlier = next_ms < shard->tick_ms;
    if (earlier)
        shard->tick_ms = next_ms;
    pthread_mutex_unlock(&shard->lock);
    if (delivers)
        deliver(shard);
    if (earlier && event->type != SFL_EVENT_TICK)
        shard->engine->on_earlier_tick(shard->engine->tick_context);
    return more;
}

bool sfl_shard_run_and_unlock(struct sfl_shard *shard, const struct sfl_event *event,
                              struct sfl_forgotten *forgotten_out)
{
    struct sfl_needs needs;
    bool more = sfl_shard_run_once_and_unlock(shard, event, forgotten_out, &needs);
    if (needs.room != SFL_ROOM_NONE)
        sfl_shard_run_with_room(shard, event, &needs);
    return more;
}

static void on_answer(void *context, void *ticket, const struct sfl_home_answer *answer)
{
    struct sfl_flight *flight = ticket; // it lives until this answer, and its hash never changes
    struct sfl_shard *shard = sfl_engine_shard_of(context, flight->hash);
    struct sfl_event event;
    pthread_mutex_lock(&shard->lock);
    bool is_to_wait = sfl_shard_keep_lead(shard, flight, answer);
    pthread_mutex_unlock(&shard->lock);
    if (is_to_wait)
        return;
    sfl_shard_set_home_found(&event, flight, sfl_clock_now_ms(), answer, false);
    (void)sfl_shard_run(shard, &event, NULL);
}

bool sfl_engine_is_large(struct sfl_engine *engine)
{
    const struct sfl_usage *usage = &engine->usage;
    return sfl_budget_used_about(&usage->flights) + sfl_budget_used_about(&usage->retained) > LARGE;
}

void sfl_engine_announce(struct sfl_engine *engine, const struct sfl_announced *steps,
                         unsigned count)
{
    static const enum sfl_ahead all[] = {SFL_AHEAD_FAR, SFL_AHEAD_NEAR, SFL_AHEAD_NEXT};
    uint64_t hashes[SFL_ANNOUNCED_MAX];
    assert(count <= SFL_ANNOUNCED_MAX);
    for (unsigned i = 0; i < count; i++) {
        if (steps[i].member == NULL)
            hashes[i] = sfl_hash(&engine->secret, steps[i].group, steps[i].key);
    }
    for (unsigned n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
        for (unsigned i = 0; i < count; i++) {
            const struct sfl_member *member = steps[i].member;
            struct sfl_shard *shard =
                member == NULL ? sfl_engine_shard_of(engine, hashes[i]) : member->shard;
            if (pthread_mutex_trylock(&shard->lock) != 0)
                continue; // a hint is not worth waiting for
            if (member == NULL)
                sfl_table_prefetch_key(&shard->table, hashes[i], all[n]);
            else
                sfl_table_prefetch_caller(&shard->table, &member->caller, all[n]);
            pthread_mutex_unlock(&shard->lock);
        }
    }
}

void sfl_engine_join(struct sfl_engine *engine, struct sfl_member *member,
                     const struct sfl_join *join, uint64_t now_ms)
{
    // Written field by field: the rest is nobody's, and clearing it costs more than the fields.
    struct sfl_event event;
    event.type = SFL_EVENT_JOIN;
    event.now_ms = now_ms;
    event.hash = sfl_hash(&engine->secret, join->group, join->key);
    event.may_ask_for_room = true;
    event.is_again = false;
    event.caller = &member->caller;
    event.join = join;
    member->shard = sfl_engine_shard_of(engine, event.hash);
    (void)sfl_shard_run(member->shard, &event, NULL);
}

static void run_for_member(struct sfl_member *member, struct sfl_event *event, uint64_t now_ms)
{
    event->now_ms = now_ms;
    event->may_ask_for_room = true;
    event->caller = &member->caller;
    (void)sfl_shard_run(member->shard, event, NULL);
}

void sfl_engine_chunk(struct sfl_engine *engine, struct sfl_member *member,
                      const struct sfl_chunk *chunk, uint64_t now_ms)
{
    (void)engine;
    struct sfl_event event = {.type = SFL_EVENT_CHUNK, .chunk = *chunk};
    run_for_member(member, &event, now_ms);
}

void sfl_engine_renew(struct sfl_engine *engine, struct sfl_member *member, uint64_t id,
                      uint64_t now_ms)
{
    (void)engine;
    struct sfl_event event = {.type = SFL_EVENT_RENEW, .renew = {id}};
    run_for_member(member, &event, now_ms);
}

void sfl_engine_finish(struct sfl_engine *engine, struct sfl_member *member,
                       const struct sfl_finish *finish, uint64_t now_ms)
{
    (void)engine;
    struct sfl_event event = {.type = SFL_EVENT_FINISH, .finish = *finish};
    run_for_member(member, &event, now_ms);
}

void sfl_engine_half_close(struct sfl_engine *engine, struct sfl_member *member, uint64_t now_ms)
{
    (void)engine;
    struct sfl_event event = {.type = SFL_EVENT_HALF_CLOSE};
    run_for_member(member, &event, now_ms);
}

void sfl_engine_leave(struct sfl_engine *engine, struct sfl_member *member, enum sfl_reason reason,
                      bool broken, uint64_t now_ms)
{
    (void)engine;
    struct sfl_event event = {
        .type = SFL_EVENT_LEAVE,
        .leave = {.refusal = {.reason = reason}, .broken = broken},
    };
    run_for_member(member, &event, now_ms);
}

bool sfl_engine_leads(struct sfl_engine *engine, const struct sfl_member *member)
{
    (void)engine;
    const struct sfl_caller *caller = &member->caller;
    pthread_mutex_lock(&member->shard->lock);
    bool leads = sfl_caller_is_joined(caller) && caller->flight->leader == caller;
    pthread_mutex_unlock(&member->shard->lock);
    return leads;
}

struct sfl_forgotten sfl_engine_forget(struct sfl_engine *engine, const struct sfl_forget *forget)
{
    struct sfl_event event = {
        .type = SFL_EVENT_FORGET,
        .now_ms = sfl_clock_now_ms(),
        .hash = sfl_hash(&engine->secret, forget->group, forget->key),
        .forget = *forget,
    };
    struct sfl_forgotten forgotten = {.flight = false};
    (void)sfl_shard_run(sfl_engine_shard_of(engine, event.hash), &event, &forgotten);
    return forgotten;
}

uint64_t sfl_engine_tick(struct sfl_engine *engine)
{
    uint64_t next_ms = sfl_clock_now_ms() + TICK_MS_MAX;
    for (unsigned i = 0; i < engine->shard_count; i++) {
        struct sfl_shard *shard = &engine->shards[i];
        struct sfl_event event = {.type = SFL_EVENT_TICK, .now_ms = sfl_clock_now_ms()};
        while (sfl_shard_run(shard, &event, NULL))
            ;
        pthread_mutex_lock(&shard->lock);
        uint64_t deadline_ms = sfl_table_next_deadline_ms(&shard->table);
        if (deadline_ms < next_ms)
            next_ms = deadline_ms;
        shard->tick_ms = next_ms;
        pthread_mutex_unlock(&shard->lock);
    }
    return next_ms;
}

static void run_everywhere(struct sfl_engine *engine, enum sfl_event_type type)
{
    for (unsigned i = 0; i < engine->shard_count; i++) {
        struct sfl_event event = {.type = type, .now_ms = sfl_clock_now_ms()};
        while (sfl_shard_run(&engine->shards[i], &event, NULL))
            ;
    }
}

void sfl_engine_drain(struct sfl_engine *engine)
{
    run_everywhere(engine, SFL_EVENT_DRAIN);
}

void sfl_engine_shut(struct sfl_engine *engine)
{
    run_everywhere(engine, SFL_EVENT_SHUT);
}

unsigned sfl_engine_shards(const struct sfl_engine *engine)
{
    return engine->shard_count;
}

bool sfl_engine_is_idle(struct sfl_engine *engine)
{
    return sfl_budget_used(&engine->usage.flights) == 0 &&
           sfl_budget_used(&engine->usage.callers) == 0;
}

bool sfl_engine_is_at_rest(struct sfl_engine *engine, uint64_t *callers_out)
{
    bool is_at_rest = true;
    uint64_t sum = 0;
    for (unsigned i = 0; i < engine->shard_count && is_at_rest; i++) {
        struct sfl_shard *shard = &engine->shards[i];
        uint64_t callers;
        pthread_mutex_lock(&shard->lock);
        is_at_rest = sfl_table_is_at_rest(&shard->table, &callers);
        pthread_mutex_unlock(&shard->lock);
        sum += callers;
    }
    *callers_out = sum;
    return is_at_rest;
}

uint64_t sfl_engine_hits(struct sfl_engine *engine, struct sfl_span group, struct sfl_span key,
                         uint64_t token)
{
    uint64_t hash = sfl_hash(&engine->secret, group, key);
    struct sfl_shard *shard = sfl_engine_shard_of(engine, hash);
    pthread_mutex_lock(&shard->lock);
    uint64_t hits = sfl_table_hits(&shard->table, hash, group, key, token);
    pthread_mutex_unlock(&shard->lock);
    return hits;
}

uint64_t sfl_engine_uptime_ms(const struct sfl_engine *engine)
{
    return sfl_clock_now_ms() - engine->started_at_ms;
}
