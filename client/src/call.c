// SPDX-License-Identifier: Apache-2.0
#include "src/call.h"

#include "base/clock.h"
#include "base/references.h"
#include "src/error.h"
#include "src/leader.h"
#include "src/memory.h"
#include "src/outcome.h"
#include "src/seat.h"
#include "src/within.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

// -------------------------------------------------------------------------------- on their thread

void sfl_call_hold(struct singleflight_call *call)
{
    call->holds++;
}

void sfl_call_let_go(struct singleflight_call *call)
{
    assert(call->holds > 0);
    if (--call->holds == 0)
        sfl_call_unref(call);
}

static void deliver(struct singleflight_call *call, struct singleflight_result *result)
{
    assert(!call->ended);
    call->ended = true;
    sfl_timers_disarm(&call->client->timers, &call->deadline_timer);
    sfl_link_remove(&call->client_link);
    sfl_observe_end(call, result);
    if (call->events.on_done != NULL)
        call->events.on_done(call->context, result);
    else
        singleflight_result_free(result);
    sfl_call_let_go(call);
}

void sfl_call_end(struct singleflight_call *call, struct singleflight_result *result)
{
    sfl_link_remove(&call->seat_link);
    call->seat = NULL;
    if (call->ended || call->pending != NULL)
        singleflight_result_free(result);
    else if (call->leader != NULL)
        call->pending = result;
    else
        deliver(call, result);
}

void sfl_call_abort(struct singleflight_call *call)
{
    sfl_link_remove(&call->seat_link);
    call->seat = NULL;
    struct singleflight_result *result = call->pending;
    call->pending = NULL;
    if (result == NULL)
        result = sfl_result_of_status(SINGLEFLIGHT_CANCELLED, "the client was destroyed");
    deliver(call, result);
}

void sfl_call_lead(struct singleflight_call *call, struct singleflight_leader *leader)
{
    call->leader = leader;
    call->events.on_lead(call->context, leader);
}

void sfl_call_lose(struct singleflight_call *call, struct singleflight_leader *leader,
                   enum singleflight_status status, const char *why)
{
    sfl_leader_lose(leader, status);
    if (call->pending == NULL && !call->ended)
        sfl_observe_loss(call, &leader->terms);
    if (call->leader == leader && !call->ended && call->events.on_lost != NULL)
        call->events.on_lost(call->context, leader, status, why);
}

void sfl_call_on_function_ended(struct singleflight_call *call, struct singleflight_leader *leader)
{
    if (call->leader != leader)
        return;
    call->leader = NULL;
    if (call->pending == NULL || call->ended)
        return;
    struct singleflight_result *result = call->pending;
    call->pending = NULL;
    deliver(call, result);
}

// Its function goes on as long as anybody waits for it.
static void leave(struct singleflight_call *call, enum singleflight_status status, const char *why)
{
    if (call->ended || call->pending != NULL)
        return;
    struct sfl_seat *seat = call->seat;
    struct singleflight_result *result = sfl_result_of_status(status, why);
    bool ends_function = call->join.options.ends_function;
    if (ends_function) {
        sfl_call_end(call, result);
    } else {
        sfl_link_remove(&call->seat_link);
        call->seat = NULL;
        deliver(call, result);
    }
    if (seat != NULL) // the call may be gone
        sfl_seat_on_call_left(seat, ends_function, status, why);
}

bool sfl_call_takes_for_stale(const struct singleflight_call *call, uint64_t age_ms)
{
    bool is_young = call->join.young_ms != 0 && age_ms <= call->join.young_ms;
    return call->join.options.stale_ms != 0 && call->refresh == NULL && !is_young;
}

void sfl_call_serve_stale(struct singleflight_call *call, struct singleflight_result *result)
{
    sfl_link_remove(&call->seat_link);
    call->seat = NULL;
    sfl_timers_disarm(&call->client->timers, &call->deadline_timer);
    call->deadline_ms = UINT64_MAX; // it has been served
    struct sfl_join *refresh = malloc(sizeof(*refresh) + sfl_join_copy_bytes(&call->join));
    call->events.on_stale(call->context, result);
    if (refresh == NULL) {
        deliver(call, sfl_result_of_status(SINGLEFLIGHT_RESOURCE_EXHAUSTED,
                                           "there is no memory left for the refresh"));
        return;
    }
    sfl_join_refresh(refresh, &call->join, (uint8_t *)(refresh + 1));
    call->refresh = refresh;
    sfl_seat_take(call);
}

static void on_deadline(struct sfl_timer *timer)
{
    struct singleflight_call *call =
        SFL_CONTAINER_OF(timer, struct singleflight_call, deadline_timer);
    char why[64];
    snprintf(why, sizeof(why), "the timeout of %llu ms is over",
             (unsigned long long)call->join.options.timeout_ms);
    leave(call, SINGLEFLIGHT_DEADLINE_EXCEEDED, why);
}

static void run_cancel(struct sfl_command *command)
{
    struct singleflight_call *call = SFL_CONTAINER_OF(command, struct singleflight_call, cancel);
    leave(call, SINGLEFLIGHT_CANCELLED, "the call was cancelled by its own program");
    sfl_call_unref(call);
}

static void run_start(struct sfl_command *command)
{
    struct singleflight_call *call = SFL_CONTAINER_OF(command, struct singleflight_call, start);
    struct singleflight_client *client = call->client;
    sfl_call_hold(call); // with the command's reference
    sfl_list_append(&client->calls, &call->client_link);
    if (client->closing) {
        sfl_call_abort(call);
        return;
    }
    if (call->join.options.timeout_ms == 0) {
        leave(call, SINGLEFLIGHT_DEADLINE_EXCEEDED, "the timeout is 0 ms");
        return;
    }
    if (sfl_within_closes_ring(call)) {
        leave(call, SINGLEFLIGHT_FAILED_PRECONDITION,
              "the call would wait for itself: the function that leads its key waits for the one "
              "that it was made inside of");
        return;
    }
    if (call->deadline_ms != UINT64_MAX)
        sfl_timers_arm(&client->timers, &call->deadline_timer, call->deadline_ms);
    sfl_seat_take(call);
}

// ------------------------------------------------------------------------------------- any thread

enum sfl_status sfl_call_create(struct singleflight_client *client,
                                const struct singleflight_do_options *options,
                                const struct singleflight_call_events *events, void *context,
                                bool blocking, bool may_leave, struct singleflight_call **call_out,
                                const char **problem_out)
{
    struct sfl_join join;
    enum sfl_status status = sfl_join_read(&join, options, &client->settings.join, problem_out);
    if (status != SFL_OK)
        return status;
    if (events->on_lead == NULL && join.options.role != SINGLEFLIGHT_ROLE_FOLLOW_ONLY) {
        *problem_out = "the function is missing: only FOLLOW_ONLY calls can do without one";
        return SFL_INVALID_ARGUMENT;
    }
    if (events->on_stale == NULL && join.options.stale_ms != 0) {
        *problem_out = "stale_ms is given, but on_stale is missing";
        return SFL_INVALID_ARGUMENT;
    }
    const struct singleflight_leader *within = join.options.within;
    if (within == NULL)
        within = sfl_do_lead_of_thread();
    if (within != NULL && !sfl_within_allows(&join, client, within->call)) {
        *problem_out = "the call would wait for itself: it was made inside the function that leads "
                       "its key";
        return SFL_FAILED_PRECONDITION;
    }
    size_t bytes = sizeof(struct singleflight_call) + sfl_join_copy_bytes(&join);
    struct singleflight_call *call = sfl_memory_alloc(bytes);
    if (call == NULL) {
        *problem_out = "there is no memory left";
        return SFL_NO_MEMORY;
    }
    memset(call, 0, offsetof(struct singleflight_call, lead));
    call->lead.call = NULL;
    call->bytes = bytes;
    atomic_init(&call->references, 1);
    call->client = sfl_client_ref(client);
    call->join = join;
    sfl_join_copy(&call->join, (uint8_t *)(call + 1));
    call->events = *events;
    call->context = context;
    call->blocking = blocking;
    uint64_t timeout_ms = join.options.timeout_ms;
    bool is_endless = timeout_ms > UINT64_MAX / 4;
    call->deadline_ms = is_endless ? UINT64_MAX : sfl_clock_boot_ms() + timeout_ms;
    call->may_leave = may_leave || !is_endless;
    sfl_observe_begin(call);
    call->deadline_timer.fire = on_deadline;
    call->start.run = run_start;
    call->cancel.run = run_cancel;
    if (within != NULL)
        call->within = sfl_call_ref(within->call);
    status = sfl_within_write(call);
    if (status != SFL_OK) {
        *problem_out = "there is no memory left";
        sfl_call_unref(call);
        return status;
    }
    *call_out = call;
    return SFL_OK;
}

void sfl_call_start(struct singleflight_call *call)
{
    if (!sfl_client_post(call->client, &call->start))
        sfl_call_unref(call);
}

struct singleflight_call *sfl_call_ref(struct singleflight_call *call)
{
    atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
    return call;
}

void sfl_call_unref(struct singleflight_call *call)
{
    if (!sfl_references_drop(&call->references))
        return;
    struct singleflight_client *client = call->client;
    singleflight_result_free(call->pending);
    free((void *)call->within_wire.data);
    free(call->refresh);
    if (call->within != NULL)
        sfl_call_unref(call->within);
    sfl_leader_deinit(&call->lead);
    sfl_memory_free(call, call->bytes);
    sfl_client_unref(client);
}

// ---------------------------------------------------------------------------- what programs call

enum singleflight_status singleflight_do_async(struct singleflight_client *client,
                                               const struct singleflight_do_options *options,
                                               const struct singleflight_call_events *given,
                                               void *context, struct singleflight_call **call_out)
{
    struct singleflight_call_events events = {0};
    size_t known = given->struct_bytes < sizeof(events) ? given->struct_bytes : sizeof(events);
    memcpy(&events, given, known);

    struct singleflight_call *call = NULL;
    const char *problem = NULL;
    enum sfl_status status = sfl_call_create(client, options, &events, context, false,
                                             call_out != NULL, &call, &problem);
    if (status != SFL_OK)
        return sfl_error_set(sfl_error_of(status), problem);
    if (call_out != NULL)
        *call_out = sfl_call_ref(call);
    sfl_call_start(call);
    return SINGLEFLIGHT_OK;
}

void singleflight_call_cancel(struct singleflight_call *call)
{
    if (atomic_exchange(&call->is_cancelled, true))
        return;
    sfl_call_ref(call); // until the command has run
    if (!sfl_client_post(call->client, &call->cancel))
        sfl_call_unref(call);
}

void singleflight_call_release(struct singleflight_call *call)
{
    if (call != NULL)
        sfl_call_unref(call);
}
