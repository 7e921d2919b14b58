// SPDX-License-Identifier: Apache-2.0
// The one step: which event goes where, and what Forget, the clock and the end of a drain do.
#include "core/step_private.h"

#include <assert.h>

enum { SHUT_LOOKS = 256 }; // so that a step is short, however many are retained

// New callers start another flight; and those that want a fresh one, another next one.
static void forget_running(struct sfl_step *step, struct sfl_flight *running)
{
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_RELEASE_HOME);
    effect->flight = running;
    running->place = SFL_PLACE_FORGOTTEN;
    if (running->beside != NULL)
        running->beside->place = SFL_PLACE_FORGOTTEN;
}

// Leader and followers read the same text.
static void end_running(struct sfl_step *step, struct sfl_flight *running, struct sfl_span name)
{
    struct sfl_bytes *by = NULL;
    if (name.size > 0)
        by = sfl_bytes_copy(step->table->allocator, name);
    struct sfl_refusal refusal = {
        .reason = sfl_flight_has_attempt(running) ? SFL_REASON_FENCED_FOR : SFL_REASON_ENDED,
        .loss = by == NULL ? SFL_LOSS_ENDED : SFL_LOSS_ENDED_BY,
        .a = running->token,
        .name = by,
    };
    if (running->leader != NULL)
        SFL_COUNT(step->table, running->group, fenced, 1);
    sfl_flight_abort(step, running, &refusal);
    sfl_bytes_unref(by);
}

// One that was forgotten before goes on until somebody ends it by its token.
static bool end_forgotten(struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_forget *asked = &event->forget;
    struct sfl_flight *flight = NULL;
    if (asked->end && asked->token != 0)
        flight = sfl_table_find(step->table, SFL_PLACE_FORGOTTEN, event->hash, asked->group,
                                asked->key, asked->token);
    if (flight == NULL)
        return false;
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_FORGOTTEN);
    effect->forgotten = (struct sfl_forgotten){.flight = true, .ended = true};
    end_running(step, flight, asked->name);
    return true;
}

static void forget(struct sfl_step *step, const struct sfl_event *event)
{
    struct sfl_table *table = step->table;
    const struct sfl_forget *asked = &event->forget;
    if (end_forgotten(step, event))
        return;
    struct sfl_flight *running = sfl_table_find(table, SFL_PLACE_RUNNING, event->hash, asked->group,
                                                asked->key, asked->token);
    struct sfl_flight *retained = NULL;
    if (running != NULL || asked->token == 0)
        retained =
            sfl_table_find(table, SFL_PLACE_RETAINED, event->hash, asked->group, asked->key, 0);
    bool is_shared = running != NULL && (running->follower_count > 0 || running->beside != NULL);
    bool flight = running != NULL && !(asked->if_unshared && is_shared);
    if (flight)
        forget_running(step, running);
    if (flight || retained != NULL)
        SFL_COUNT(table, sfl_table_find_group(table, asked->group), forgets, 1);
    if (retained != NULL)
        sfl_flight_drop(step, retained);
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_FORGOTTEN);
    effect->forgotten = (struct sfl_forgotten){
        .flight = flight, .retained = retained != NULL, .ended = flight && asked->end};
    if (!flight)
        return;
    if (asked->end)
        end_running(step, running, asked->name);
    else if (running->overdue)
        sfl_flight_lose_lease(step, running); // nobody comes any more who could take it over
    else
        sfl_flight_keep_forgotten(step, running);
}

static void unkept(struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_unkept *asked = &event->unkept;
    assert(asked->token > 0); // 0 would find any
    struct sfl_flight *flight = sfl_table_find(step->table, SFL_PLACE_RETAINED, event->hash,
                                               asked->group, asked->key, asked->token);
    if (flight != NULL)
        sfl_flight_unkeep(step, flight);
}

static void caller_deadline(struct sfl_step *step, struct sfl_caller *caller)
{
    const struct sfl_flight *flight = caller->flight;
    if (sfl_flight_has_ended(flight))
        return; // its result is on the way
    if (caller->detaches && (flight->leader == caller || flight->fenced == caller))
        return; // and who has lost the lead is about to hear of that
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

// Carries out one deadline at most, so that the effects stay few.
static void tick(struct sfl_step *step)
{
    struct sfl_deadline *due =
        sfl_deadlines_take(&step->table->deadlines, step->now_ms, &step->effects->more);
    if (due == NULL)
        return;
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

// New callers are refused from now on, and what only waits ends, one flight at a time.
static void drain(struct sfl_step *step)
{
    step->table->draining = true;
    step->effects->more = sfl_step_drain_next(step) || sfl_step_drain_overdue(step);
}

// Ends one flight that still runs, if it finds one.
static void shut(struct sfl_step *step)
{
    step->table->draining = true;
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
    effects->needs = SFL_ROOM_NONE;
    effects->needs_of = NULL;
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
    case SFL_EVENT_UNKEPT:
        unkept(&step, event);
        break;
    case SFL_EVENT_TICK:
        tick(&step);
        break;
    case SFL_EVENT_HOME_FOUND:
        sfl_step_home_found(&step, event);
        break;
    case SFL_EVENT_DRAIN:
        drain(&step);
        break;
    case SFL_EVENT_SHUT:
        shut(&step);
        break;
    case SFL_EVENT_MAKE_ROOM:
        sfl_step_make_room(&step, event);
        break;
    }
}
