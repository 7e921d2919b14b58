// SPDX-License-Identifier: Apache-2.0
#include "src/seat_private.h"

#include "src/constants.h"
#include "src/memory.h"
#include "src/rendezvous.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

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
    seat->join = sfl_call_join(founder);
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
    sfl_map_remove(&client->merging, &seat->merge_node);
    sfl_link_remove(&seat->client_link);
    sfl_link_remove(&seat->wait_link);
    sfl_link_remove(&seat->hold.link);
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
    uint64_t slack_ms = call->join.options.timeout_ms / SFL_WIRE_SLACK_DIVISOR;
    return slack_ms > SFL_WIRE_SLACK_MS_MIN ? slack_ms : SFL_WIRE_SLACK_MS_MIN;
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
        if (sfl_join_merges(seat->join, sfl_call_join(call)) && is_in_time(seat, call))
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
    const struct sfl_join *join = sfl_call_join(call);
    bool merges = join->mergeable;
    uint64_t hash = merges ? sfl_join_hash(join, client->merging_seed) : 0;
    struct sfl_seat *seat = merges ? find_equal(call, hash) : NULL;
    if (seat != NULL) {
        add_call(seat, call);
        sfl_observe_follow(call, seat->leader != NULL ? seat->leader->terms.attempt
                                                      : seat->followed_attempt);
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
    seat->terms = (struct sfl_leader_terms){.attempt = 1, .keeps_value = true};
    seat->state = SFL_SEAT_ALONE;
    sfl_seat_lead(seat);
}

// A server that takes no joins is there, so that whoever has joined it before may lead the key.
static bool may_fail_open(const struct sfl_seat *seat)
{
    return seat->join->options.fail_open && !sfl_server_one_refuses(seat->client);
}

static void give_up(struct sfl_seat *seat, const struct sfl_server *tried)
{
    sfl_timers_disarm(&seat->client->timers, &seat->look_timer);
    if (may_fail_open(seat)) {
        fail_open(seat);
        return;
    }
    char others[48] = "";
    if (seat->client->server_count > 1)
        snprintf(others, sizeof(others), " (and %zu other servers)",
                 seat->client->server_count - 1);
    char why[SFL_SEAT_WHY_SIZE];
    if (sfl_server_one_refuses(seat->client))
        snprintf(why, sizeof(why), "%s%s takes no new calls: %s. Try again later", tried->address,
                 others, tried->last_error);
    else
        snprintf(
            why, sizeof(why),
            "no server can be reached at %s%s: %s. Start singleflightd there, or name its address "
            "in SINGLEFLIGHT_ADDRESS; or let calls fail open",
            tried->address, others,
            tried->last_error[0] == 0 ? "it does not answer" : tried->last_error);
    sfl_seat_end(seat, SINGLEFLIGHT_UNAVAILABLE, why);
}

// A server has so long to answer, and the last one what is left of the whole time. Who does not
// wait for a connection waits for the answer all the same, on one that is there.
static uint64_t look_ms(const struct sfl_seat *seat, const struct sfl_server *server,
                        uint64_t now_ms)
{
    uint64_t look_ms = seat->join->options.connect_timeout_ms;
    if (look_ms == 0)
        return sfl_server_is_connected(server) ? seat->client->settings.patience_ms : 0;
    if (look_ms > SFL_ANSWER_TIMEOUT_MS)
        look_ms = SFL_ANSWER_TIMEOUT_MS;
    if (seat->look_until_ms <= now_ms)
        return look_ms; // others have used it up
    uint64_t left_ms = seat->look_until_ms - now_ms;
    return left_ms < look_ms ? left_ms : look_ms;
}

static void arm_look(struct sfl_seat *seat, const struct sfl_server *server)
{
    uint64_t now_ms = sfl_clock_boot_ms();
    if (seat->look_until_ms == 0)
        seat->look_until_ms = now_ms + seat->join->options.connect_timeout_ms;
    seat->look_ms = look_ms(seat, server, now_ms);
    sfl_timers_arm(&seat->client->timers, &seat->look_timer, now_ms + seat->look_ms);
}

static void enter(struct sfl_seat *seat, struct sfl_server *server)
{
    seat->server = server;
    seat->answered = false;
    seat->wants_join = true;
    bool looks = seat->leader == NULL && !seat->look_is_over;
    if (looks && !seat->look_timer.armed)
        arm_look(seat, server);
    sfl_server_seat(server, seat);
}

void sfl_seat_place(struct sfl_seat *seat)
{
    struct singleflight_client *client = seat->client;
    if (seat->leader != NULL) { // only its own server knows of its lead
        enter(seat, seat->server);
        return;
    }
    uint8_t order[SFL_SERVERS_MAX] = {0};
    sfl_server_order(client, sfl_join_group(seat->join), sfl_join_key(seat->join), order);
    for (; seat->rank < client->server_count; seat->rank++) {
        struct sfl_server *server = &client->servers[order[seat->rank]];
        if (!server->down) {
            enter(seat, server);
            return;
        }
    }
    // Every server is down: one may come back in time, but nobody fails open any later.
    if (seat->look_is_over || may_fail_open(seat))
        give_up(seat, &client->servers[order[0]]);
    else
        enter(seat, &client->servers[order[0]]);
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
    bool leads = seat->leader != NULL || seat->state == SFL_SEAT_CONFIRMING;
    stand_in->abandons = leads && seat->answered && seat->terms.lease_ms > 0;
    stand_in->wants_cancel = true;
    sfl_session_replace(session, seat, stand_in);
}

static void on_look_timer(struct sfl_timer *timer)
{
    struct sfl_seat *seat = SFL_CONTAINER_OF(timer, struct sfl_seat, look_timer);
    struct sfl_server *server = seat->server;
    sfl_seat_leave_place(seat);
    sfl_server_on_silence(server, seat->look_ms);
    seat->rank++;
    if (seat->rank >= seat->client->server_count) {
        seat->rank = 0; // one may be back
        seat->look_is_over = sfl_clock_boot_ms() >= seat->look_until_ms || may_fail_open(seat);
    }
    if (seat->look_is_over)
        give_up(seat, server);
    else
        sfl_seat_place(seat);
}

void sfl_seat_place_anew(struct sfl_seat *seat)
{
    seat->rank = 0;
    sfl_seat_place(seat);
}

void sfl_seat_set_answered(struct sfl_seat *seat)
{
    if (seat->answered)
        return;
    seat->answered = true;
    seat->look_is_over = false;
    seat->look_until_ms = 0;
    seat->rank = 0;
    sfl_timers_disarm(&seat->client->timers, &seat->look_timer);
    sfl_server_on_session_up(seat->server, seat->session);
}

// Statuses of a stream that no second try mends.
static bool is_final(int code)
{
    return code == SINGLEFLIGHT_UNIMPLEMENTED || sfl_error_is_refusal(code);
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
    sfl_seat_hold_end(seat);
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

void sfl_seat_on_call_left(struct sfl_seat *seat, bool ends_function,
                           enum singleflight_status status, const char *why)
{
    if (!sfl_list_is_empty(&seat->calls)) {
        sfl_seat_tell_audience(seat);
        return;
    }
    if (seat->state == SFL_SEAT_FINISHING)
        return; // the flight's other callers wait for the outcome
    bool goes_on = seat->state == SFL_SEAT_LEADING && seat->followers > 0 && !ends_function;
    if (!goes_on)
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
