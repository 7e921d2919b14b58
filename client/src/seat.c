// SPDX-License-Identifier: Apache-2.0
#include "src/seat_private.h"

#include "src/memory.h"
#include "src/rendezvous.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

// On the wire every deadline is a part of the timeout later than the call's own, so that the call
// is ended here, where a lease is given back, and not by the server, which would keep the flight
// for a leader that may come back. Equal calls that come a little later take up to half of it.
#define WIRE_SLACK_MS_MIN 1000
#define WIRE_SLACK_DIVISOR 4

static void on_look_timer(struct sfl_timer *timer);

// ------------------------------------------------------------------------------------------ life

// A seat that asks for what `founder` asks for, whether it sits there or not.
static struct sfl_seat *create(struct singleflight_client *client,
                               struct singleflight_call *founder)
{
    struct sfl_seat *seat = sfl_memory_alloc(sizeof(*seat));
    if (seat == NULL)
        return NULL;
    memset(seat, 0, sizeof(*seat));
    seat->client = client;
    sfl_call_hold(founder);
    seat->founder = founder;
    seat->join = &founder->join;
    seat->state = SFL_SEAT_JOINING;
    seat->deadline_ms = UINT64_MAX;
    seat->look_timer.fire = on_look_timer;
    sfl_list_init(&seat->calls);
    sfl_list_append(&client->seats, &seat->client_link);
    return seat;
}

void sfl_seat_destroy(struct sfl_seat *seat)
{
    assert(sfl_list_is_empty(&seat->calls));
    struct singleflight_client *client = seat->client;
    sfl_timers_disarm(&client->timers, &seat->look_timer);
    sfl_timers_disarm(&client->timers, &seat->lease_timer);
    sfl_map_remove(&client->merging, &seat->merge_node);
    sfl_link_remove(&seat->client_link);
    sfl_link_remove(&seat->wait_link);
    if (seat->session != NULL)
        sfl_session_remove(seat->session, seat);
    if (seat->leader != NULL) {
        seat->leader->seat = NULL;
        sfl_call_let_go(seat->leader->call);
    }
    sfl_value_free(seat->value);
    free(seat->chunk_ends);
    sfl_call_let_go(seat->founder);
    sfl_memory_free(seat, sizeof(*seat));
    sfl_client_on_something_ended(client);
}

struct singleflight_call *sfl_seat_first_call(const struct sfl_seat *seat)
{
    struct sfl_link *first = sfl_list_first(&seat->calls);
    return first == NULL ? NULL : SFL_CONTAINER_OF(first, struct singleflight_call, seat_link);
}

size_t sfl_seat_call_count(const struct sfl_seat *seat)
{
    size_t count = 0;
    for (struct sfl_link *at = sfl_list_first(&seat->calls); at != NULL;
         at = sfl_list_next(&seat->calls, at))
        count++;
    return count;
}

// --------------------------------------------------------------------------------------- merging

static struct sfl_seat *seat_of_node(struct sfl_map_node *node)
{
    return SFL_CONTAINER_OF(node, struct sfl_seat, merge_node);
}

static uint64_t wire_slack_ms(const struct singleflight_call *call)
{
    uint64_t slack_ms = call->join.options.timeout_ms / WIRE_SLACK_DIVISOR;
    return slack_ms > WIRE_SLACK_MS_MIN ? slack_ms : WIRE_SLACK_MS_MIN;
}

static uint64_t wire_deadline_ms(const struct singleflight_call *call)
{
    return call->deadline_ms == UINT64_MAX ? UINT64_MAX : call->deadline_ms + wire_slack_ms(call);
}

// Whether the server's patience with the seat is enough for one more call.
static bool is_in_time(const struct sfl_seat *seat, const struct singleflight_call *call)
{
    if (call->deadline_ms == UINT64_MAX)
        return seat->deadline_ms == UINT64_MAX;
    return call->deadline_ms + wire_slack_ms(call) / 2 <= seat->deadline_ms;
}

static struct sfl_seat *find_equal(struct singleflight_call *call, uint64_t hash)
{
    struct sfl_map_node *node = sfl_map_find(&call->client->merging, hash);
    for (; node != NULL; node = sfl_map_find_next(node)) {
        struct sfl_seat *seat = seat_of_node(node);
        if (sfl_join_merges(seat->join, &call->join) && is_in_time(seat, call))
            return seat;
    }
    return NULL;
}

static void add_call(struct sfl_seat *seat, struct singleflight_call *call)
{
    call->seat = seat;
    sfl_list_append(&seat->calls, &call->seat_link);
}

void sfl_seat_take(struct singleflight_call *call)
{
    struct singleflight_client *client = call->client;
    bool merges = call->join.mergeable;
    uint64_t hash = merges ? sfl_join_hash(&call->join, client->merging_seed) : 0;
    struct sfl_seat *seat = merges ? find_equal(call, hash) : NULL;
    if (seat != NULL) {
        add_call(seat, call);
        sfl_seat_tell_audience(seat);
        return;
    }
    seat = create(client, call);
    if (seat == NULL) {
        sfl_call_end(call, sfl_result_of_status(SINGLEFLIGHT_RESOURCE_EXHAUSTED,
                                                "there is no memory left for the call"));
        return;
    }
    add_call(seat, call);
    seat->deadline_ms = wire_deadline_ms(call);
    if (merges)
        sfl_map_insert(&client->merging, &seat->merge_node, hash);
    sfl_seat_place(seat);
}

void sfl_seat_stop_merging(struct singleflight_client *client, struct sfl_span group,
                           struct sfl_span key)
{
    struct sfl_link *next = NULL;
    for (struct sfl_link *at = sfl_list_first(&client->seats); at != NULL; at = next) {
        next = sfl_list_next(&client->seats, at);
        struct sfl_seat *seat = SFL_CONTAINER_OF(at, struct sfl_seat, client_link);
        if (sfl_span_equal(sfl_join_key(seat->join), key) &&
            sfl_span_equal(sfl_join_group(seat->join), group))
            sfl_map_remove(&client->merging, &seat->merge_node);
    }
}

void sfl_seat_split(struct sfl_seat *seat, struct singleflight_call *stays)
{
    size_t others = sfl_seat_call_count(seat) - (stays != NULL && stays->seat == seat ? 1 : 0);
    if (others == 0)
        return;
    struct sfl_seat *split = create(seat->client, seat->founder);
    if (split == NULL)
        return; // they share what this seat ends with
    split->deadline_ms = seat->deadline_ms;
    struct sfl_link *next = NULL;
    for (struct sfl_link *at = sfl_list_first(&seat->calls); at != NULL; at = next) {
        next = sfl_list_next(&seat->calls, at);
        struct singleflight_call *call = SFL_CONTAINER_OF(at, struct singleflight_call, seat_link);
        if (call == stays)
            continue;
        sfl_link_remove(at);
        add_call(split, call);
    }
    sfl_seat_place(split);
}

// --------------------------------------------------------------------------- looking for a server

static void fail_open(struct sfl_seat *seat)
{
    static const struct sfl_leader_terms terms = {.attempt = 1, .keeps_value = true};
    seat->state = SFL_SEAT_ALONE;
    sfl_seat_lead(seat, &terms, 0);
}

static void give_up(struct sfl_seat *seat, const struct sfl_server *tried)
{
    sfl_timers_disarm(&seat->client->timers, &seat->look_timer);
    if (seat->join->options.fail_open) {
        fail_open(seat);
        return;
    }
    char others[48] = "";
    if (seat->client->server_count > 1)
        snprintf(others, sizeof(others), " (and %zu other servers)",
                 seat->client->server_count - 1);
    char why[SFL_SEAT_WHY_SIZE];
    snprintf(why, sizeof(why),
             "no server can be reached at %s%s: %s. Start singleflightd there, or name its address "
             "in SINGLEFLIGHT_ADDRESS; or let calls fail open",
             tried->address, others,
             tried->last_error[0] == 0 ? "it does not answer" : tried->last_error);
    sfl_seat_end(seat, SINGLEFLIGHT_UNAVAILABLE, why);
}

static void enter(struct sfl_seat *seat, struct sfl_server *server)
{
    seat->server = server;
    seat->answered = false;
    seat->wants_join = true;
    bool looks = seat->leader == NULL && !seat->look_is_over;
    if (looks && !seat->look_timer.armed)
        sfl_timers_arm(&seat->client->timers, &seat->look_timer,
                       sfl_clock_rough_ms() + seat->join->options.connect_timeout_ms);
    sfl_server_seat(server, seat);
}

void sfl_seat_place(struct sfl_seat *seat)
{
    struct singleflight_client *client = seat->client;
    uint8_t order[SFL_SERVERS_MAX] = {0};
    sfl_server_order(client, sfl_join_group(seat->join), sfl_join_key(seat->join), order);
    for (; seat->rank < client->server_count; seat->rank++) {
        struct sfl_server *server = &client->servers[order[seat->rank]];
        if (!server->down) {
            enter(seat, server);
            return;
        }
    }
    // Every server is down. Leaders wait for as long as their lease lasts, and some calls wait
    // because they were told to.
    bool waits = seat->leader != NULL || (seat->join->waits_when_down && !seat->look_is_over);
    if (waits)
        enter(seat, &client->servers[order[0]]);
    else
        give_up(seat, &client->servers[order[0]]);
}

void sfl_seat_leave_place(struct sfl_seat *seat)
{
    sfl_link_remove(&seat->wait_link);
    struct sfl_session *session = seat->session;
    if (session == NULL)
        return;
    if (seat->wants_join) {
        sfl_session_remove(session, seat);
        return;
    }
    struct sfl_seat *stand_in = create(seat->client, seat->founder);
    if (stand_in == NULL) {
        sfl_session_remove(session, seat);
        sfl_session_cut(session);
        return;
    }
    stand_in->state = SFL_SEAT_LEAVING;
    stand_in->abandons = seat->leader != NULL && seat->answered && seat->leader->terms.lease_ms > 0;
    stand_in->wants_cancel = true;
    sfl_session_replace(session, seat, stand_in);
}

static void on_look_timer(struct sfl_timer *timer)
{
    struct sfl_seat *seat = SFL_CONTAINER_OF(timer, struct sfl_seat, look_timer);
    struct sfl_server *server = seat->server;
    sfl_seat_leave_place(seat);
    sfl_server_on_silence(server, seat->join->options.connect_timeout_ms);
    seat->rank++;
    if (seat->rank >= seat->client->server_count)
        seat->look_is_over = true;
    if (seat->look_is_over)
        give_up(seat, server);
    else
        sfl_seat_place(seat);
}

void sfl_seat_on_server_down(struct sfl_seat *seat)
{
    if (seat->leader == NULL && !seat->join->waits_when_down)
        sfl_timers_disarm(&seat->client->timers, &seat->look_timer);
    sfl_seat_place(seat);
}

void sfl_seat_set_answered(struct sfl_seat *seat)
{
    if (seat->answered)
        return;
    seat->answered = true;
    seat->look_is_over = false;
    seat->rank = 0;
    sfl_timers_disarm(&seat->client->timers, &seat->look_timer);
    sfl_server_on_session_up(seat->server, seat->session);
}

// Statuses of a stream that no second try mends.
static bool is_final(int code)
{
    return code == SINGLEFLIGHT_PERMISSION_DENIED || code == SINGLEFLIGHT_UNIMPLEMENTED ||
           code == SINGLEFLIGHT_UNAUTHENTICATED;
}

void sfl_seat_on_session_over(struct sfl_seat *seat, int code, const char *text)
{
    if (seat->state == SFL_SEAT_LEAVING || seat->client->closing) {
        sfl_seat_destroy(seat);
        return;
    }
    if (is_final(code)) {
        sfl_seat_end(seat, sfl_error_of_code(code), text);
        return;
    }
    if (seat->leader != NULL) {
        sfl_seat_resume(seat);
        return;
    }
    seat->state = SFL_SEAT_JOINING;
    seat->is_void = seat->is_void || seat->has_told;
    sfl_seat_clear_value(seat);
    sfl_seat_place(seat);
}

// ------------------------------------------------------------------------------------------ ends

void sfl_seat_leave(struct sfl_seat *seat)
{
    sfl_seat_leave_place(seat);
    sfl_seat_destroy(seat);
}

void sfl_seat_end(struct sfl_seat *seat, enum singleflight_status status, const char *why)
{
    if (seat->leader != NULL)
        sfl_call_lose(seat->leader->call, seat->leader, status, why);
    struct singleflight_call *call;
    while ((call = sfl_seat_first_call(seat)) != NULL)
        sfl_call_end(call, sfl_result_of_status(status, why));
    sfl_seat_leave(seat);
}

void sfl_seat_on_call_left(struct sfl_seat *seat, enum singleflight_status status, const char *why)
{
    if (!sfl_list_is_empty(&seat->calls)) {
        sfl_seat_tell_audience(seat);
        return;
    }
    if (seat->state == SFL_SEAT_FINISHING)
        return; // the flight's other callers wait for the outcome
    sfl_seat_end(seat, status, why);
}

void sfl_seat_close(struct sfl_seat *seat)
{
    if (seat->state == SFL_SEAT_LEAVING || seat->state == SFL_SEAT_FINISHING)
        return;
    sfl_seat_end(seat, SINGLEFLIGHT_CANCELLED, "the client was destroyed");
}

// ------------------------------------------------------------------------------- small things

void sfl_seat_clear_value(struct sfl_seat *seat)
{
    sfl_value_free(seat->value);
    seat->value = NULL;
    seat->value_bytes = 0;
    seat->next_sequence = 0;
    seat->has_told = false;
}

void sfl_seat_tell_restart(struct sfl_seat *seat, uint32_t attempt, const char *leader)
{
    if (!seat->is_void)
        return;
    seat->is_void = false;
    struct singleflight_call *call = sfl_seat_first_call(seat); // live calls sit alone
    if (call != NULL && call->events.on_restart != NULL)
        call->events.on_restart(call->context, attempt, leader);
}
