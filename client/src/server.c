// SPDX-License-Identifier: Apache-2.0
#include "src/server.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "grpc/health/v1/health.pb-c.h"
#include "src/constants.h"
#include "src/error.h"
#include "src/observe.h"
#include "src/rendezvous.h"
#include "src/seat.h"
#include "src/session.h"

#include <stdio.h>
#include <stdlib.h>

#define HEALTH_PATH "/grpc.health.v1.Health/Check"
#define WAITING_BACKOFF_MAX_MS 500

static void on_retry_timer(struct sfl_timer *timer);
static void on_down_timer(struct sfl_timer *timer);

static enum sfl_status create_channel(struct sfl_server *server, struct sfl_channel **channel_out)
{
    const struct sfl_settings *settings = &server->client->settings;
    const struct sfl_security *security = &settings->security;
    bool has_token = security->authorization != NULL;
    const struct sfl_metadata token = {"authorization",
                                       sfl_span_of_text(has_token ? security->authorization : "")};
    const struct sfl_channel_tls tls = {security->ca_pem, security->cert_pem, security->key_pem,
                                        security->server_name};
    const struct sfl_channel_options options = {
        .pump = server->client->pump,
        .message_bytes_max = SFL_MESSAGE_BYTES_MAX,
        .keepalive_time_ms = settings->keepalive_time_ms,
        .keepalive_timeout_ms = settings->keepalive_timeout_ms,
        .own_connection = true,
        .metadata = &token,
        .metadata_count = has_token ? 1 : 0,
        .tls = sfl_security_encrypts(security, server->address) ? &tls : NULL,
    };
    enum sfl_status status = sfl_channel_create(server->address, &options, channel_out);
    if (status != SFL_OK)
        return status;
    server->certificates = security->edition;
    server->token = security->token_edition;
    return SFL_OK;
}

enum sfl_status sfl_server_init(struct sfl_server *server, struct singleflight_client *client,
                                const char *address)
{
    const struct sfl_settings *settings = &client->settings;
    server->client = client;
    server->address = address;
    sfl_list_init(&server->sessions);
    sfl_list_init(&server->waiting);
    server->backoff.min_ms = settings->backoff_min_ms;
    server->backoff.max_ms = settings->backoff_max_ms;
    server->retry_timer.fire = on_retry_timer;
    server->down_timer.fire = on_down_timer;
    return create_channel(server, &server->channel);
}

void sfl_server_deinit(struct sfl_server *server)
{
    if (server->channel != NULL)
        sfl_channel_destroy(server->channel);
}

// ------------------------------------------------------------------------------ files that change

// A new connection, for what is opened from now on.
static void renew_channel(struct sfl_server *server)
{
    struct sfl_channel *channel = NULL;
    if (create_channel(server, &channel) != SFL_OK)
        return; // the old certificates may do for longer
    sfl_channel_destroy(server->channel);
    server->channel = channel;
}

static void renew_token(struct sfl_server *server)
{
    struct sfl_span value = sfl_span_of_text(server->client->settings.security.authorization);
    const struct sfl_metadata token = {"authorization", value};
    if (sfl_channel_set_metadata(server->channel, &token, 1) != SFL_OK)
        return;
    server->token = server->client->settings.security.token_edition;
    if (server->current != NULL)
        sfl_session_retire(server->current);
}

static void refresh(struct sfl_server *server)
{
    struct singleflight_client *client = server->client;
    struct sfl_security *security = &client->settings.security;
    sfl_security_refresh(security, sfl_clock_boot_ms(), sfl_observe_line, client);
    if (server->token != security->token_edition)
        renew_token(server);
    bool has_old = sfl_security_encrypts(security, server->address) &&
                   server->certificates != security->edition;
    if (has_old && server->current == NULL)
        renew_channel(server);
}

struct sfl_channel *sfl_server_channel(struct sfl_server *server)
{
    if (sfl_security_has_files(&server->client->settings.security))
        refresh(server);
    return server->channel;
}

void sfl_server_order(const struct singleflight_client *client, struct sfl_span group,
                      struct sfl_span key, uint8_t *order_out)
{
    order_out[0] = 0;
    if (client->server_count == 1)
        return;
    struct sfl_span addresses[SFL_SERVERS_MAX];
    for (size_t i = 0; i < client->server_count; i++)
        addresses[i] = sfl_span_of_text(client->servers[i].address);
    sfl_rendezvous_order(addresses, client->server_count, group, key, order_out);
}

// ------------------------------------------------------------------------------ reachable or not

static void set_failing(struct sfl_server *server)
{
    if (server->failing)
        return;
    server->failing = true;
    sfl_timers_arm(&server->client->timers, &server->down_timer,
                   sfl_clock_boot_ms() + server->client->settings.patience_ms);
}

static void set_reachable(struct sfl_server *server)
{
    server->failing = false;
    server->down = false;
    server->refuses = false;
    server->last_error[0] = 0;
    sfl_timers_disarm(&server->client->timers, &server->down_timer);
}

bool sfl_server_one_refuses(const struct singleflight_client *client)
{
    for (size_t i = 0; i < client->server_count; i++) {
        if (client->servers[i].refuses)
            return true;
    }
    return false;
}

// The next try comes after a random while, and a short one while calls wait: gRPC answers a try
// with what it knew before, and connects anew meanwhile, so a server that is back is found by the
// second.
static void back_off(struct sfl_server *server)
{
    if (server->client->closing || server->retry_timer.armed)
        return;
    uint64_t wait_ms = sfl_backoff_next_ms(&server->backoff, sfl_entropy_u64());
    if (!sfl_list_is_empty(&server->waiting) && wait_ms > WAITING_BACKOFF_MAX_MS)
        wait_ms %= WAITING_BACKOFF_MAX_MS;
    sfl_timers_arm(&server->client->timers, &server->retry_timer, sfl_clock_boot_ms() + wait_ms);
}

static void set_error(struct sfl_server *server, const char *text)
{
    const char *hint = sfl_security_hint(&server->client->settings.security, server->address, text);
    snprintf(server->last_error, sizeof(server->last_error), "%s%s", text, hint);
}

// Those that wait there look around anew. Who stays comes back to the end of the list.
static void place_waiting(struct sfl_server *server)
{
    struct sfl_list waiting;
    sfl_list_init(&waiting);
    struct sfl_link *link;
    while ((link = sfl_list_pop(&server->waiting)) != NULL)
        sfl_list_append(&waiting, link);
    while ((link = sfl_list_pop(&waiting)) != NULL)
        sfl_seat_place_anew(SFL_CONTAINER_OF(link, struct sfl_seat, wait_link));
}

// A session that has not answered yet is given up; one that works may be all right but slow, and
// what runs on it goes on.
static void set_down(struct sfl_server *server)
{
    server->down = true;
    server->failing = false;
    sfl_timers_disarm(&server->client->timers, &server->down_timer);
    if (server->current != NULL && !server->current->up)
        sfl_session_cut(server->current); // its seats look elsewhere once it is over
    back_off(server);
    place_waiting(server);
}

static void on_down_timer(struct sfl_timer *timer)
{
    struct sfl_server *server = SFL_CONTAINER_OF(timer, struct sfl_server, down_timer);
    struct sfl_session *current = server->current;
    bool is_wanted = !sfl_list_is_empty(&server->waiting) ||
                     (current != NULL && !sfl_list_is_empty(&current->seats));
    if (is_wanted) {
        set_down(server);
        return;
    }
    server->failing = false; // nobody has asked long enough to know
    if (current != NULL && !sfl_server_is_connected(server))
        sfl_session_cut(current);
}

bool sfl_server_is_connected(const struct sfl_server *server)
{
    bool works = server->current != NULL && server->current->up;
    return works || sfl_channel_is_connected(server->channel);
}

void sfl_server_on_silence(struct sfl_server *server, uint64_t waited_ms)
{
    if (server->down || waited_ms < server->client->settings.patience_ms)
        return;
    set_error(server, "the server does not answer");
    set_down(server);
}

// -------------------------------------------------------------------------------------- sessions

// Opens a session for all that wait.
static void open_session(struct sfl_server *server)
{
    sfl_channel_reset_backoff(sfl_server_channel(server)); // ours counts
    struct sfl_session *session = sfl_session_open(server);
    if (session == NULL) {
        set_error(server, "there is no memory left for a session");
        back_off(server);
        return;
    }
    server->current = session;
    set_failing(server); // until it answers
    struct sfl_link *link;
    while ((link = sfl_list_pop(&server->waiting)) != NULL)
        sfl_session_add(session, SFL_CONTAINER_OF(link, struct sfl_seat, wait_link));
}

void sfl_server_seat(struct sfl_server *server, struct sfl_seat *seat)
{
    (void)sfl_server_channel(server); // a new token takes another session
    struct sfl_session *current = server->current;
    if (current != NULL) {
        bool is_first = !current->up && sfl_list_is_empty(&current->seats);
        if (is_first) { // it could answer nobody so far
            server->failing = false;
            set_failing(server);
        }
        sfl_session_add(current, seat);
        return;
    }
    sfl_list_append(&server->waiting, &seat->wait_link);
    if (!server->down && !server->retry_timer.armed)
        open_session(server);
}

void sfl_server_on_session_up(struct sfl_server *server, struct sfl_session *session)
{
    if (session->up || session->retired)
        return;
    session->up = true;
    set_reachable(server);
    sfl_backoff_reset(&server->backoff);
}

void sfl_server_on_session_refuses(struct sfl_server *server, struct sfl_session *session,
                                   const char *text)
{
    sfl_session_retire(session);
    set_error(server, text);
    server->refuses = true;
    if (!server->down)
        set_down(server);
}

void sfl_server_on_session_over(struct sfl_server *server, struct sfl_session *session, int code,
                                const char *text)
{
    bool was_current = server->current == session;
    if (was_current)
        server->current = NULL;
    if (server->client->closing || (!was_current && session->up))
        return;
    if (!session->up && text[0] != 0)
        set_error(server, text);
    if (sfl_error_is_refusal(code)) { // an answer like any other
        set_reachable(server);
        return;
    }
    bool is_refused =
        !session->up && code == SINGLEFLIGHT_UNAVAILABLE && sfl_channel_is_failing(server->channel);
    if (is_refused && !server->down) {
        set_down(server);
        return;
    }
    if (!session->up)
        set_failing(server);
    back_off(server); // also after a good one: many clients may have lost the same server
}

// ---------------------------------------------------------------------------------------- probes

static void on_probe_message(struct sfl_unary *unary, struct sfl_span message)
{
    Grpc__Health__V1__HealthCheckResponse *response =
        grpc__health__v1__health_check_response__unpack(NULL, message.size, message.data);
    if (response == NULL)
        return;
    bool *serves = unary->context;
    *serves = response->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
}

// Those that wait at others, which are down, may come here.
static void come_back(struct sfl_server *server)
{
    struct singleflight_client *client = server->client;
    set_reachable(server);
    for (size_t i = 0; i < client->server_count; i++)
        place_waiting(&client->servers[i]);
}

static void stay_down(struct sfl_server *server, bool is_there, const char *text)
{
    bool has_gone = server->refuses && !is_there;
    server->refuses = is_there;
    set_error(server, text[0] == 0 ? "the server is there, but not ready to serve" : text);
    back_off(server);
    if (has_gone)
        place_waiting(server); // who fails open need not wait for it any more
}

static void on_probe_done(struct sfl_unary *unary, int code, const char *text)
{
    struct sfl_server *server = unary->server;
    // A server without health checks that says so is there; so is one that refuses this program,
    // and will tell its calls.
    bool serves =
        server->probe_serves || code == SINGLEFLIGHT_UNIMPLEMENTED || sfl_error_is_refusal(code);
    bool is_there = unary->answered;
    server->probe = NULL;
    free(unary);
    if (server->client->closing)
        return;
    if (serves)
        come_back(server);
    else
        stay_down(server, is_there, text);
}

static void probe(struct sfl_server *server)
{
    struct sfl_unary *unary = calloc(1, sizeof(*unary));
    if (unary == NULL) {
        back_off(server);
        return;
    }
    sfl_channel_reset_backoff(sfl_server_channel(server)); // ours counts
    server->probe = unary;
    server->probe_serves = false;
    unary->client = server->client;
    unary->server = server;
    unary->path = HEALTH_PATH;
    unary->deadline_ms = sfl_clock_now_ms() + server->client->settings.patience_ms;
    unary->on_message = on_probe_message;
    unary->on_done = on_probe_done;
    unary->context = &server->probe_serves;
    sfl_unary_start(unary);
}

static void on_retry_timer(struct sfl_timer *timer)
{
    struct sfl_server *server = SFL_CONTAINER_OF(timer, struct sfl_server, retry_timer);
    if (server->down && server->probe == NULL)
        probe(server);
    else if (!server->down && server->current == NULL && !sfl_list_is_empty(&server->waiting))
        open_session(server);
}

// ------------------------------------------------------------------------------------- the end

void sfl_server_close(struct sfl_server *server)
{
    sfl_timers_disarm(&server->client->timers, &server->retry_timer);
    sfl_timers_disarm(&server->client->timers, &server->down_timer);
    if (server->probe != NULL)
        sfl_unary_cancel(server->probe);
    for (struct sfl_link *at = sfl_list_first(&server->sessions); at != NULL;
         at = sfl_list_next(&server->sessions, at))
        sfl_session_retire(SFL_CONTAINER_OF(at, struct sfl_session, link));
}

void sfl_server_cut(struct sfl_server *server)
{
    for (struct sfl_link *at = sfl_list_first(&server->sessions); at != NULL;
         at = sfl_list_next(&server->sessions, at))
        sfl_session_cut(SFL_CONTAINER_OF(at, struct sfl_session, link));
}
