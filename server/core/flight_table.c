// SPDX-License-Identifier: Apache-2.0
#include "core/flight_table.h"

#include "core/step.h"

#include <assert.h>

enum { SHUT_LOOKS = 256 }; // so that a step is short, however many are retained

void sfl_caller_init(struct sfl_caller *caller)
{
    *caller = (struct sfl_caller){0};
    sfl_deadline_init(&caller->deadline, SFL_DEADLINE_CALLER);
}

void sfl_table_init(struct sfl_table *table, const struct sfl_table_options *options)
{
    *table = (struct sfl_table){
        .allocator = options->allocator,
        .limits = options->limits,
        .usage = options->usage,
        .hash_seed = options->hash_seed,
        .now_ms = options->now_ms,
    };
    sfl_index_init(&table->flights, options->allocator);
    sfl_index_init(&table->groups, options->allocator);
    sfl_list_init(&table->settled);
    sfl_list_init(&table->dead);
    sfl_deadlines_init(&table->deadlines, options->now_ms);
    sfl_pages_init(&table->pages, options->allocator, &table->deadlines);
}

static void free_group(struct sfl_table *table, struct sfl_group *group)
{
    sfl_free(table->allocator, group, sizeof(*group) + group->name_size);
}

void sfl_table_deinit(struct sfl_table *table)
{
    assert(table->stats.flights_now == 0 && sfl_list_is_empty(&table->settled));
    for (uint64_t i = 0; i < sfl_index_slots(&table->flights); i++) {
        struct sfl_flight *flight = sfl_index_at(&table->flights, i);
        if (flight == NULL)
            continue;
        sfl_usage_give(&table->usage->retained, 1);
        sfl_usage_give(&table->usage->retained_bytes, sfl_outcome_held_bytes(flight->outcome));
        sfl_list_append(&table->dead, &flight->in_list);
    }
    sfl_table_collect(table);
    sfl_pages_deinit(&table->pages);
    sfl_index_deinit(&table->flights);
    for (uint64_t i = 0; i < sfl_index_slots(&table->groups); i++) {
        struct sfl_group *group = sfl_index_at(&table->groups, i);
        if (group != NULL)
            free_group(table, group);
    }
    sfl_index_deinit(&table->groups);
}

struct sfl_flight *sfl_table_find(const struct sfl_table *table, enum sfl_flight_place place,
                                  uint64_t hash, struct sfl_span group, struct sfl_span key,
                                  uint64_t token)
{
    struct sfl_index_walk walk = {0};
    struct sfl_flight *flight;
    while ((flight = sfl_table_next(table, hash, group, key, &walk)) != NULL) {
        if (flight->place == place && (token == 0 || flight->token == token))
            return flight;
    }
    return NULL;
}

void sfl_flight_unplace(struct sfl_table *table, struct sfl_flight *flight)
{
    sfl_index_remove(&table->flights, flight->hash, flight);
    flight->place = SFL_PLACE_NOWHERE;
}

void sfl_flight_account(struct sfl_table *table, struct sfl_flight *flight)
{
    uint64_t held_bytes = flight->value == NULL ? 0 : flight->value->size;
    if (flight->kept != NULL)
        held_bytes += sfl_outcome_held_bytes(flight->kept);
    if (flight->state == SFL_FLIGHT_RETAINED)
        held_bytes += sfl_outcome_held_bytes(flight->outcome);
    SFL_COUNT(table, flight->group, bytes_now, held_bytes - flight->held_bytes);
    flight->held_bytes = held_bytes;
}

void sfl_flight_drop_value(struct sfl_table *table, struct sfl_flight *flight)
{
    sfl_value_unref(flight->value);
    flight->value = NULL;
    sfl_flight_account(table, flight);
}

void sfl_flight_bury_if_done(struct sfl_table *table, struct sfl_flight *flight)
{
    if (flight->state != SFL_FLIGHT_SETTLED || flight->home_owed || flight->follower_count > 0)
        return;
    // Its bytes go now: nobody can say when this table is stepped again.
    sfl_value_unref(flight->value);
    flight->value = NULL;
    sfl_outcome_unref(flight->outcome);
    flight->outcome = NULL;
    sfl_link_remove(&flight->in_list);
    sfl_list_append(&table->dead, &flight->in_list);
}

void sfl_table_collect(struct sfl_table *table)
{
    struct sfl_link *link;
    while ((link = sfl_list_pop(&table->dead)) != NULL) {
        struct sfl_flight *flight = SFL_CONTAINER_OF(link, struct sfl_flight, in_list);
        size_t names_size = sfl_flight_names_size(flight);
        sfl_bytes_unref(flight->leader_name);
        sfl_value_unref(flight->value);
        sfl_outcome_unref(flight->outcome);
        if (names_size > SFL_NEAR_NAMES)
            sfl_free(table->allocator, flight->far_names, names_size);
        sfl_pages_give(&table->pages, flight);
    }
}

static struct sfl_audience_told *create_told(struct sfl_table *table, struct sfl_caller *caller)
{
    struct sfl_audience_told *told = sfl_alloc(table->allocator, sizeof(*told));
    if (told == NULL)
        return NULL;
    *told = (struct sfl_audience_told){.caller = caller};
    sfl_deadline_init(&told->deadline, SFL_DEADLINE_AUDIENCE);
    return told;
}

// Frees what sfl_caller_attach allocated.
static void free_belongings(struct sfl_table *table, struct sfl_caller *caller)
{
    sfl_bytes_unref(caller->name);
    caller->name = NULL;
    if (caller->audience == NULL)
        return;
    sfl_deadline_disarm(&table->deadlines, &caller->audience->deadline);
    sfl_free(table->allocator, caller->audience, sizeof(*caller->audience));
    caller->audience = NULL;
}

enum sfl_reason sfl_caller_attach(struct sfl_step *step, struct sfl_caller *caller,
                                  struct sfl_flight *flight, const struct sfl_join *join)
{
    struct sfl_table *table = step->table;
    if (!sfl_usage_take(&table->usage->callers, 1, table->limits->callers_max))
        return SFL_REASON_CALLERS_LIMIT;
    if (join->name.size > 0)
        caller->name = sfl_bytes_copy(table->allocator, join->name);
    if (join->audience)
        caller->audience = create_told(table, caller);
    if ((join->name.size > 0 && caller->name == NULL) ||
        (join->audience && caller->audience == NULL)) {
        free_belongings(table, caller);
        sfl_usage_give(&table->usage->callers, 1);
        return SFL_REASON_NO_MEMORY;
    }
    caller->flight = flight;
    caller->role = join->role;
    caller->live = join->live;
    caller->half_closed = false;
    caller->admitted = false;
    caller->deadline.at_ms = join->deadline_ms;
    if (join->ends_at_deadline && join->deadline_ms != UINT64_MAX)
        sfl_deadline_arm(&table->deadlines, &caller->deadline, join->deadline_ms);
    SFL_COUNT(table, flight->group, callers_now, 1);
    return SFL_REASON_NONE;
}

void sfl_caller_detach(struct sfl_table *table, struct sfl_caller *caller)
{
    struct sfl_flight *flight = caller->flight;
    if (flight->leader == caller) {
        flight->leader = NULL;
    } else if (flight->fenced == caller) {
        flight->fenced = NULL;
    } else {
        sfl_link_remove(&caller->in_followers);
        sfl_link_remove(&caller->in_live);
        flight->follower_count--;
    }
    sfl_deadline_disarm(&table->deadlines, &caller->deadline);
    free_belongings(table, caller);
    caller->flight = NULL;
    sfl_usage_give(&table->usage->callers, 1);
    SFL_COUNT(table, flight->group, callers_now, -1);
}

void sfl_step_refuse(struct sfl_step *step, struct sfl_caller *caller,
                     const struct sfl_refusal *refusal)
{
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_REFUSE);
    effect->caller = caller;
    effect->refusal = *refusal;
    sfl_bytes_ref(refusal->name);
}

void sfl_step_count_refusal(struct sfl_step *step, struct sfl_group *group, enum sfl_reason reason)
{
    if (sfl_reason_is_limit(reason))
        SFL_COUNT(step->table, group, refused, 1);
}

static bool has_name(const struct sfl_group *group, struct sfl_span name)
{
    return sfl_span_equal(sfl_span_of(group->name, group->name_size), name);
}

struct sfl_group *sfl_table_find_group(const struct sfl_table *table, struct sfl_span name)
{
    uint64_t hash = sfl_hash_stable(name, table->hash_seed);
    struct sfl_index_walk walk = {0};
    struct sfl_group *group;
    while ((group = sfl_index_next(&table->groups, hash, &walk)) != NULL) {
        if (has_name(group, name))
            return group;
    }
    return NULL;
}

static struct sfl_group *create_group(struct sfl_table *table, struct sfl_span name)
{
    if (table->groups.count >= SFL_GROUPS_MAX || !sfl_index_reserve(&table->groups))
        return NULL;
    struct sfl_group *group = sfl_alloc(table->allocator, sizeof(*group) + name.size);
    if (group == NULL)
        return NULL;
    *group = (struct sfl_group){
        .hash = sfl_hash_stable(name, table->hash_seed),
        .name_size = (uint16_t)name.size,
    };
    memcpy(group->name, name.data, name.size);
    sfl_index_insert(&table->groups, group->hash, group);
    return group;
}

struct sfl_group *sfl_table_group(struct sfl_table *table, struct sfl_span name)
{
    // Callers of one group come in rows, and most tables have only one.
    if (table->last_group != NULL && has_name(table->last_group, name))
        return table->last_group;
    struct sfl_group *group = sfl_table_find_group(table, name);
    if (group == NULL)
        group = create_group(table, name);
    if (group != NULL)
        table->last_group = group;
    return group;
}

static void forget(struct sfl_step *step, const struct sfl_event *event)
{
    struct sfl_table *table = step->table;
    const struct sfl_forget *asked = &event->forget;
    struct sfl_flight *running =
        sfl_table_find(table, SFL_PLACE_RUNNING, event->hash, asked->group, asked->key, 0);
    struct sfl_flight *retained =
        sfl_table_find(table, SFL_PLACE_RETAINED, event->hash, asked->group, asked->key, 0);
    bool flight = running != NULL && !(asked->if_unshared && running->follower_count > 0);
    if (flight) {
        struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_RELEASE_HOME);
        effect->flight = running;
        running->place = SFL_PLACE_FORGOTTEN;
    }
    if (flight || retained != NULL)
        SFL_COUNT(table, sfl_table_find_group(table, asked->group), forgets, 1);
    if (retained != NULL)
        sfl_flight_drop(step, retained);
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_FORGOTTEN);
    effect->forgotten = (struct sfl_forgotten){.flight = flight, .retained = retained != NULL};
}

static void caller_deadline(struct sfl_step *step, struct sfl_caller *caller)
{
    enum sfl_flight_state state = caller->flight->state;
    if (state == SFL_FLIGHT_SETTLED || state == SFL_FLIGHT_RETAINED)
        return; // its result is on the way
    struct sfl_refusal refusal = {.reason = SFL_REASON_DEADLINE};
    sfl_step_leave(step, caller, &refusal, true);
}

// A page's time may come without any of its flights: then nothing happens.
static void page_deadline(struct sfl_step *step, struct sfl_page *page)
{
    struct sfl_flight *flight = sfl_page_take_due(&step->table->pages, page, step->now_ms);
    if (flight == NULL)
        return;
    if (flight->state == SFL_FLIGHT_RETAINED)
        sfl_flight_drop(step, flight);
    else
        sfl_flight_expire(step, flight);
}

// Carries out one deadline, so that the effects stay few.
static void tick(struct sfl_step *step)
{
    struct sfl_deadline *due = sfl_deadlines_take(&step->table->deadlines, step->now_ms);
    if (due == NULL)
        return;
    step->effects->more = true;
    switch (due->kind) {
    case SFL_DEADLINE_CALLER:
        caller_deadline(step, SFL_CONTAINER_OF(due, struct sfl_caller, deadline));
        break;
    case SFL_DEADLINE_PAGE:
        page_deadline(step, SFL_CONTAINER_OF(due, struct sfl_page, deadline));
        break;
    case SFL_DEADLINE_AUDIENCE:
        sfl_flight_audience_changed(
            step, SFL_CONTAINER_OF(due, struct sfl_audience_told, deadline)->caller->flight);
        break;
    }
}

// Looks at some flights for one that has no outcome yet. NULL: there is none among them.
static struct sfl_flight *find_unsettled(struct sfl_table *table)
{
    for (unsigned i = 0; i < SHUT_LOOKS; i++) {
        struct sfl_flight *flight = sfl_index_any(&table->flights, &table->shut_at);
        if (flight->place != SFL_PLACE_RETAINED)
            return flight;
    }
    return NULL;
}

// Ends one flight that still runs, if it finds one.
static void shut(struct sfl_step *step)
{
    if (step->table->stats.flights_now == 0)
        return;
    step->effects->more = true;
    struct sfl_flight *flight = find_unsettled(step->table);
    struct sfl_refusal refusal = {.reason = SFL_REASON_DRAINED};
    if (flight != NULL)
        sfl_flight_abort(step, flight, &refusal);
}

static void step_of_caller(struct sfl_step *step, const struct sfl_event *event)
{
    if (!sfl_caller_is_joined(event->caller))
        return; // its last word has been said
    if (event->type == SFL_EVENT_CHUNK)
        sfl_step_chunk(step, event);
    else if (event->type == SFL_EVENT_RENEW)
        sfl_step_renew(step, event);
    else if (event->type == SFL_EVENT_FINISH)
        sfl_step_finish(step, event);
    else if (event->type == SFL_EVENT_HALF_CLOSE)
        sfl_step_half_close(step, event);
    else
        sfl_step_leave(step, event->caller, &event->leave.refusal, event->leave.broken);
}

void sfl_table_step(struct sfl_table *table, const struct sfl_event *event,
                    struct sfl_effects *effects)
{
    // Threads read the clock before they hold the lock, so an event may be a little late.
    if (event->now_ms > table->now_ms)
        table->now_ms = event->now_ms;
    struct sfl_step step = {.table = table, .now_ms = table->now_ms, .effects = effects};
    effects->count = 0;
    effects->more = false;
    if (!sfl_list_is_empty(&table->dead))
        sfl_table_collect(table);
    switch (event->type) {
    case SFL_EVENT_JOIN:
        sfl_index_prefetch(&table->flights, event->hash);
        sfl_step_join(&step, event);
        break;
    case SFL_EVENT_CHUNK:
    case SFL_EVENT_RENEW:
    case SFL_EVENT_FINISH:
    case SFL_EVENT_HALF_CLOSE:
    case SFL_EVENT_LEAVE:
        step_of_caller(&step, event);
        break;
    case SFL_EVENT_FORGET:
        forget(&step, event);
        break;
    case SFL_EVENT_TICK:
        tick(&step);
        break;
    case SFL_EVENT_HOME_FOUND:
        sfl_step_home_found(&step, event);
        break;
    case SFL_EVENT_DRAIN:
        table->draining = true;
        break;
    case SFL_EVENT_SHUT:
        shut(&step);
        break;
    }
}

uint64_t sfl_table_next_deadline_ms(const struct sfl_table *table)
{
    return sfl_deadlines_next_ms(&table->deadlines);
}
