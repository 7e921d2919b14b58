// SPDX-License-Identifier: Apache-2.0
// Forget, and the listings: requests that a thread waits for.
#include "base/clock.h"
#include "grpc/health/v1/health.pb-c.h"
#include "singleflight/v1/singleflight.pb-c.h"
#include "src/error.h"
#include "src/rendezvous.h"
#include "src/seat.h"
#include "src/server.h"
#include "src/unary.h"

#include <stdio.h>
#include <stdlib.h>

#define FORGET_PATH "/singleflight.v1.SingleFlight/Forget"
#define LIST_PATH "/singleflight.v1.Admin/ListFlights"
#define RUNS_PATH "/singleflight.v1.Admin/ListRuns"
#define STATS_PATH "/singleflight.v1.Admin/GetStats"
#define HEALTH_PATH "/grpc.health.v1.Health/Check"
#define MESSAGE_SIZE 512

// An answer's message, copied.
struct answer {
    struct sfl_link link;
    size_t size;
    uint8_t data[];
};

// One request to one server, on the stack of the thread that waits for it.
struct request {
    struct sfl_command start;
    struct sfl_unary unary;
    size_t server; // its place; SERVER_OF_KEY: the home of the key
    bool forgets;
    struct sfl_span group;
    struct sfl_span key;
    struct sfl_list answers;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
    int code;
    char message[MESSAGE_SIZE];
};

#define SERVER_OF_KEY SIZE_MAX

// ---- on the client's thread ----

static void on_message(struct sfl_unary *unary, struct sfl_span message)
{
    struct request *request = unary->context;
    struct answer *answer = malloc(sizeof(*answer) + message.size);
    if (answer == NULL) {
        sfl_unary_cancel(unary);
        return;
    }
    answer->size = message.size;
    if (message.size > 0)
        memcpy(answer->data, message.data, message.size);
    sfl_list_append(&request->answers, &answer->link);
}

static void on_done(struct sfl_unary *unary, int code, const char *text)
{
    struct request *request = unary->context;
    if (request->forgets) // calls that come from now on start anew
        sfl_seat_stop_merging(unary->client, request->group, request->key);
    pthread_mutex_lock(&request->lock);
    request->code = code;
    const char *address = unary->server->address;
    if (code != SINGLEFLIGHT_OK)
        snprintf(request->message, sizeof(request->message), "%s: %s%s", address, text,
                 sfl_security_hint(&unary->client->settings.security, address, text));
    request->done = true;
    pthread_cond_signal(&request->changed);
    pthread_mutex_unlock(&request->lock);
}

// The key's home, or what stands in for it.
static struct sfl_server *server_of_key(struct singleflight_client *client,
                                        const struct request *request)
{
    uint8_t order[SFL_SERVERS_MAX];
    sfl_server_order(client, request->group, request->key, order);
    for (size_t i = 0; i < client->server_count; i++)
        if (!client->servers[order[i]].down)
            return &client->servers[order[i]];
    return &client->servers[order[0]];
}

static void run_start(struct sfl_command *command)
{
    struct request *request = SFL_CONTAINER_OF(command, struct request, start);
    struct singleflight_client *client = request->unary.client;
    request->unary.server = request->server == SERVER_OF_KEY ? server_of_key(client, request)
                                                             : &client->servers[request->server];
    sfl_unary_start(&request->unary);
}

// ---- on the thread that waits ----

static void request_init(struct request *request, struct singleflight_client *client,
                         const char *path, uint64_t timeout_ms, struct sfl_span bytes)
{
    *request = (struct request){
        .start.run = run_start,
        .unary =
            {
                .client = client,
                .path = path,
                .request = bytes,
                .retries = true,
                .on_message = on_message,
                .on_done = on_done,
                .context = request,
            },
        .server = SERVER_OF_KEY,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    sfl_list_init(&request->answers);
    uint64_t wait_ms = timeout_ms == 0 ? client->settings.patience_ms : timeout_ms;
    request->unary.deadline_ms =
        wait_ms > UINT64_MAX / 4 ? UINT64_MAX : sfl_clock_now_ms() + wait_ms;
}

static void request_deinit(struct request *request)
{
    struct sfl_link *link;
    while ((link = sfl_list_pop(&request->answers)) != NULL)
        free(SFL_CONTAINER_OF(link, struct answer, link));
    pthread_cond_destroy(&request->changed);
    pthread_mutex_destroy(&request->lock);
}

static enum singleflight_status request_run(struct request *request)
{
    if (!sfl_client_post(request->unary.client, &request->start))
        return sfl_error_set(SINGLEFLIGHT_CANCELLED, "the client was destroyed");
    pthread_mutex_lock(&request->lock);
    while (!request->done)
        pthread_cond_wait(&request->changed, &request->lock);
    pthread_mutex_unlock(&request->lock);
    return sfl_error_set(sfl_error_of_code(request->code), request->message);
}

static enum singleflight_status refuse_in_callback(void)
{
    return sfl_error_set(SINGLEFLIGHT_FAILED_PRECONDITION, "a callback may not block");
}

static enum singleflight_status no_memory(void)
{
    return sfl_error_set(SINGLEFLIGHT_RESOURCE_EXHAUSTED, "there is no memory left");
}

// ---------------------------------------------------------------------------------------- forget

static enum singleflight_status read_forgotten(const struct request *request,
                                               const Singleflight__V1__ForgetRequest *wire,
                                               struct singleflight_forgotten *forgotten_out)
{
    struct sfl_link *first = sfl_list_first(&request->answers);
    struct answer *answer = first == NULL ? NULL : SFL_CONTAINER_OF(first, struct answer, link);
    Singleflight__V1__ForgetResponse *response =
        answer == NULL
            ? NULL
            : singleflight__v1__forget_response__unpack(NULL, answer->size, answer->data);
    if (response == NULL)
        return sfl_error_set(SINGLEFLIGHT_INTERNAL, "the server's answer cannot be read");
    if (forgotten_out != NULL) {
        forgotten_out->flight = response->flight;
        forgotten_out->retained = response->retained;
        if (wire->end) // programs that know no such call have no such field
            forgotten_out->ended = response->ended;
    }
    singleflight__v1__forget_response__free_unpacked(response, NULL);
    return SINGLEFLIGHT_OK;
}

static enum singleflight_status forget(struct singleflight_client *client,
                                       Singleflight__V1__ForgetRequest *wire, uint64_t timeout_ms,
                                       struct singleflight_forgotten *forgotten_out)
{
    if (sfl_pump_is_current())
        return refuse_in_callback();
    if (wire->key.data == NULL || wire->key.len == 0)
        return sfl_error_set(SINGLEFLIGHT_INVALID_ARGUMENT, "key is missing");
    size_t size = singleflight__v1__forget_request__get_packed_size(wire);
    uint8_t *bytes = malloc(size);
    if (bytes == NULL)
        return no_memory();
    singleflight__v1__forget_request__pack(wire, bytes);

    struct request request;
    request_init(&request, client, FORGET_PATH, timeout_ms, sfl_span_of(bytes, size));
    request.forgets = true;
    request.group = sfl_span_of_text(wire->group);
    request.key = sfl_span_of(wire->key.data, wire->key.len);
    enum singleflight_status status = request_run(&request);
    if (status == SINGLEFLIGHT_OK)
        status = read_forgotten(&request, wire, forgotten_out);
    request_deinit(&request);
    free(bytes);
    return status;
}

enum singleflight_status singleflight_forget(struct singleflight_client *client, const char *group,
                                             const void *key, size_t key_bytes, bool if_unshared,
                                             uint64_t timeout_ms,
                                             struct singleflight_forgotten *forgotten_out)
{
    Singleflight__V1__ForgetRequest wire = SINGLEFLIGHT__V1__FORGET_REQUEST__INIT;
    wire.group = (char *)(group == NULL ? "" : group);
    wire.key = (ProtobufCBinaryData){key_bytes, (uint8_t *)key};
    wire.if_unshared = if_unshared;
    return forget(client, &wire, timeout_ms, forgotten_out);
}

enum singleflight_status singleflight_end(struct singleflight_client *client, const char *group,
                                          const void *key, size_t key_bytes, const char *caller,
                                          uint64_t timeout_ms,
                                          struct singleflight_forgotten *forgotten_out)
{
    Singleflight__V1__ForgetRequest wire = SINGLEFLIGHT__V1__FORGET_REQUEST__INIT;
    wire.group = (char *)(group == NULL ? "" : group);
    wire.key = (ProtobufCBinaryData){key_bytes, (uint8_t *)key};
    wire.end = true;
    wire.caller = (char *)(caller == NULL ? client->settings.caller : caller);
    return forget(client, &wire, timeout_ms, forgotten_out);
}

// -------------------------------------------------------------------------------------- listings

// Asks every server in turn, and hands each message of the answers to `on_answer`. The status is
// that of the first failure.
static enum singleflight_status ask_all(struct singleflight_client *client, const char *path,
                                        uint64_t timeout_ms, struct sfl_span bytes,
                                        void (*on_answer)(void *context, const char *address,
                                                          const struct answer *answer),
                                        void *context)
{
    enum singleflight_status first_failure = SINGLEFLIGHT_OK;
    char message[MESSAGE_SIZE] = "";
    for (size_t i = 0; i < client->settings.address_count; i++) {
        struct request request;
        request_init(&request, client, path, timeout_ms, bytes);
        request.server = i;
        enum singleflight_status status = request_run(&request);
        for (struct sfl_link *at = sfl_list_first(&request.answers); at != NULL;
             at = sfl_list_next(&request.answers, at))
            on_answer(context, client->settings.addresses[i],
                      SFL_CONTAINER_OF(at, struct answer, link));
        if (first_failure == SINGLEFLIGHT_OK && status != SINGLEFLIGHT_OK) {
            first_failure = status;
            snprintf(message, sizeof(message), "%s", request.message);
        }
        request_deinit(&request);
    }
    return sfl_error_set(first_failure, message);
}

// ---------------------------------------------------------------------------------------- health

static bool is_serving(const struct request *request)
{
    struct sfl_link *first = sfl_list_first(&request->answers);
    struct answer *answer = first == NULL ? NULL : SFL_CONTAINER_OF(first, struct answer, link);
    Grpc__Health__V1__HealthCheckResponse *response =
        answer == NULL
            ? NULL
            : grpc__health__v1__health_check_response__unpack(NULL, answer->size, answer->data);
    if (response == NULL)
        return false;
    bool serves =
        response->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    return serves;
}

// Fills in `message_out`, of MESSAGE_SIZE bytes.
static enum singleflight_status check_server(struct singleflight_client *client, size_t server,
                                             uint64_t timeout_ms, char *message_out)
{
    struct request request;
    request_init(&request, client, HEALTH_PATH, timeout_ms, sfl_span_of(NULL, 0));
    request.server = server;
    request.unary.retries = false;
    enum singleflight_status status = request_run(&request);
    snprintf(message_out, MESSAGE_SIZE, "%s", request.message);
    if (status == SINGLEFLIGHT_OK && !is_serving(&request)) {
        status = SINGLEFLIGHT_UNAVAILABLE;
        snprintf(message_out, MESSAGE_SIZE, "%s: the server is there, but does not serve",
                 client->settings.addresses[server]);
    }
    request_deinit(&request);
    return status;
}

enum singleflight_status singleflight_check_health(
    struct singleflight_client *client, uint64_t timeout_ms,
    void (*on_health)(void *context, const struct singleflight_health *health), void *context)
{
    if (sfl_pump_is_current())
        return refuse_in_callback();
    enum singleflight_status first_failure = SINGLEFLIGHT_OK;
    char first_message[MESSAGE_SIZE] = "";
    for (size_t i = 0; i < client->settings.address_count; i++) {
        char message[MESSAGE_SIZE];
        enum singleflight_status status = check_server(client, i, timeout_ms, message);
        const struct singleflight_health health = {
            .address = client->settings.addresses[i],
            .serves = status == SINGLEFLIGHT_OK,
            .message = message,
        };
        on_health(context, &health);
        if (first_failure != SINGLEFLIGHT_OK || status == SINGLEFLIGHT_OK)
            continue;
        first_failure = status;
        snprintf(first_message, sizeof(first_message), "%s", message);
    }
    return sfl_error_set(first_failure, first_message);
}

// ------------------------------------------------------------------------------ rows of listings

struct flight_reader {
    void (*on_flight)(void *context, const struct singleflight_flight *flight);
    void *context;
};

static void read_flight(void *context, const char *address, const struct answer *answer)
{
    struct flight_reader *reader = context;
    Singleflight__V1__Flight *wire =
        singleflight__v1__flight__unpack(NULL, answer->size, answer->data);
    if (wire == NULL)
        return;
    const struct singleflight_flight flight = {
        .address = address,
        .group = wire->group,
        .key = wire->key.data,
        .key_bytes = wire->key.len,
        .state = (enum singleflight_flight_state)wire->state,
        .token = wire->token,
        .attempt = wire->attempt,
        .leader = wire->leader,
        .callers = wire->callers,
        .running_ms = wire->running_ms,
        .value_bytes = wire->value_bytes,
        .expires_ms = wire->expires_ms,
        .home = wire->home,
        .forgotten = wire->forgotten,
        .next = wire->next,
        .overdue = wire->overdue,
        .outcome = (enum singleflight_outcome)wire->kind,
        .code = wire->code,
        .ended_unix_ms = wire->ended_unix_ms,
    };
    reader->on_flight(reader->context, &flight);
    singleflight__v1__flight__free_unpacked(wire, NULL);
}

enum singleflight_status singleflight_list_flights(
    struct singleflight_client *client, const char *group, const void *key_prefix,
    size_t key_prefix_bytes, uint32_t limit, uint64_t timeout_ms,
    void (*on_flight)(void *context, const struct singleflight_flight *flight), void *context)
{
    if (sfl_pump_is_current())
        return refuse_in_callback();
    Singleflight__V1__ListFlightsRequest list = SINGLEFLIGHT__V1__LIST_FLIGHTS_REQUEST__INIT;
    list.group = (char *)(group == NULL ? "" : group);
    list.key_prefix = (ProtobufCBinaryData){key_prefix_bytes, (uint8_t *)key_prefix};
    list.limit = limit;
    size_t size = singleflight__v1__list_flights_request__get_packed_size(&list);
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL)
        return no_memory();
    singleflight__v1__list_flights_request__pack(&list, bytes);
    struct flight_reader reader = {on_flight, context};
    enum singleflight_status status =
        ask_all(client, LIST_PATH, timeout_ms, sfl_span_of(bytes, size), read_flight, &reader);
    free(bytes);
    return status;
}

struct run_reader {
    void (*on_run)(void *context, const struct singleflight_run *run);
    void *context;
};

static void read_run(void *context, const char *address, const struct answer *answer)
{
    struct run_reader *reader = context;
    Singleflight__V1__Run *wire = singleflight__v1__run__unpack(NULL, answer->size, answer->data);
    if (wire == NULL)
        return;
    const struct singleflight_run run = {
        .address = address,
        .group = wire->group,
        .key = wire->key.data,
        .key_bytes = wire->key.len,
        .leader = wire->leader,
        .token = wire->token,
        .attempts = wire->attempts,
        .begun_unix_ms = wire->begun_unix_ms,
        .led_unix_ms = wire->led_unix_ms,
        .ended_unix_ms = wire->ended_unix_ms,
        .outcome = (enum singleflight_outcome)wire->kind,
        .code = wire->code,
        .message = wire->message,
        .callers = wire->callers,
        .value_bytes = wire->value_bytes,
        .retained_hits = wire->retained_hits,
    };
    reader->on_run(reader->context, &run);
    singleflight__v1__run__free_unpacked(wire, NULL);
}

enum singleflight_status singleflight_list_runs(
    struct singleflight_client *client, const char *group, const void *key_prefix,
    size_t key_prefix_bytes, uint64_t since_unix_ms, uint32_t limit, uint64_t timeout_ms,
    void (*on_run)(void *context, const struct singleflight_run *run), void *context)
{
    if (sfl_pump_is_current())
        return refuse_in_callback();
    Singleflight__V1__ListRunsRequest list = SINGLEFLIGHT__V1__LIST_RUNS_REQUEST__INIT;
    list.group = (char *)(group == NULL ? "" : group);
    list.key_prefix = (ProtobufCBinaryData){key_prefix_bytes, (uint8_t *)key_prefix};
    list.limit = limit;
    list.since_unix_ms = since_unix_ms;
    size_t size = singleflight__v1__list_runs_request__get_packed_size(&list);
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL)
        return no_memory();
    singleflight__v1__list_runs_request__pack(&list, bytes);
    struct run_reader reader = {on_run, context};
    enum singleflight_status status =
        ask_all(client, RUNS_PATH, timeout_ms, sfl_span_of(bytes, size), read_run, &reader);
    free(bytes);
    return status;
}

struct stats_reader {
    void (*on_stats)(void *context, const struct singleflight_stats *stats);
    void *context;
};

static void read_stats(void *context, const char *address, const struct answer *answer)
{
    struct stats_reader *reader = context;
    Singleflight__V1__Stats *wire =
        singleflight__v1__stats__unpack(NULL, answer->size, answer->data);
    if (wire == NULL)
        return;
    const struct singleflight_stats stats = {
        .address = address,
        .calls = wire->calls,
        .executions = wire->executions,
        .executions_saved = wire->executions_saved,
        .retained_hits = wire->retained_hits,
        .leaders_lost = wire->leaders_lost,
        .fenced = wire->fenced,
        .forgets = wire->forgets,
        .refused = wire->refused,
        .flights_now = wire->flights_now,
        .callers_now = wire->callers_now,
        .retained_now = wire->retained_now,
        .bytes_now = wire->bytes_now,
        .uptime_ms = wire->uptime_ms,
        .connections_now = wire->connections_now,
        .connections_refused = wire->connections_refused,
        .streams_silent_now = wire->streams_silent_now,
        .streams_ended = wire->streams_ended,
        .retain_refused = wire->retain_refused,
        .outcomes_lost = wire->outcomes_lost,
        .store_failing = wire->store_failing,
        .store_bytes_waiting = wire->store_bytes_waiting,
        .leads_unkept = wire->leads_unkept,
    };
    reader->on_stats(reader->context, &stats);
    singleflight__v1__stats__free_unpacked(wire, NULL);
}

enum singleflight_status
singleflight_get_stats(struct singleflight_client *client, const char *group, uint64_t timeout_ms,
                       void (*on_stats)(void *context, const struct singleflight_stats *stats),
                       void *context)
{
    if (sfl_pump_is_current())
        return refuse_in_callback();
    Singleflight__V1__GetStatsRequest get = SINGLEFLIGHT__V1__GET_STATS_REQUEST__INIT;
    get.group = (char *)(group == NULL ? "" : group);
    size_t size = singleflight__v1__get_stats_request__get_packed_size(&get);
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL)
        return no_memory();
    singleflight__v1__get_stats_request__pack(&get, bytes);
    struct stats_reader reader = {on_stats, context};
    enum singleflight_status status =
        ask_all(client, STATS_PATH, timeout_ms, sfl_span_of(bytes, size), read_stats, &reader);
    free(bytes);
    return status;
}
