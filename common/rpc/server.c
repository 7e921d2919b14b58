// SPDX-License-Identifier: Apache-2.0
#include "rpc/server.h"

#include "base/clock.h"
#include "base/counter.h"
#include "base/list.h"
#include "rpc/channel_args_private.h"
#include "rpc/claim_private.h"
#include "rpc/credentials_private.h"
#include "rpc/operation_private.h"
#include "rpc/stream_private.h"

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// So many new RPCs of one method can be taken from gRPC by one pump before the first of them is
// handled; more wait inside gRPC. Each costs: Debian's libgrpc looks for every completion's tag
// among all that are outstanding on its queue, so there are many only where RPCs come in crowds.
#define REQUESTS_OF_CROWDED 24
#define REQUESTS_OF_OTHERS 2

// How long the connections get to be closed once no RPC is open: first in good order, then not.
#define FAREWELL_MS 1000

// How long cancelled RPCs get to end. A hundred thousand take Debian's libgrpc a minute.
#define CANCEL_MS 500

// One method and gRPC's handle of it; the row after the last stands for all other methods.
struct method_row {
    struct sfl_method method;
    void *handle;
};

// What one pump counts of one method.
struct method_tally {
    _Alignas(SFL_CACHE_LINE) sfl_counter started;
    sfl_counter handled[SFL_CODES];
};

// A standing order to gRPC: "give me the next RPC of this method on this pump". Taken up again as
// soon as it is met, until gRPC hands it back at shutdown.
struct request {
    struct sfl_operation operation;
    struct sfl_rpc_server *server;
    struct sfl_pump *pump;
    const struct method_row *row;
    struct method_tally *tally;
    grpc_call *call;
    grpc_metadata_array metadata;
    gpr_timespec deadline;     // of a known method
    grpc_call_details details; // of an unknown method
};

struct sfl_rpc_server {
    grpc_server *server;
    struct sfl_pumps *pumps;
    uint64_t message_bytes_max;
    struct sfl_certificates *certificates; // NULL: not encrypted
    struct sfl_silence silence;
    struct sfl_operation shutdown;
    bool is_shutting_down; // whoever owns the server

    struct method_tally *tallies; // by pump, and by row for each
    struct request *requests;
    size_t request_count;

    // Open RPCs and standing requests. The latter stand until the shutdown, so it falls to zero
    // once, and the lock is not taken before that.
    atomic_size_t open;

    // Guards what follows; never held while anything is called.
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_open;     // `open` has not fallen to zero
    bool is_shutdown; // as gRPC tells it: the connections are closed

    size_t method_count;
    struct method_row rows[]; // method_count and one more
};

// --- the end of one RPC ---

// One RPC or standing request less. After the last one the server may be gone.
static void drop_open(struct sfl_rpc_server *server)
{
    if (atomic_fetch_sub_explicit(&server->open, 1, memory_order_acq_rel) > 1)
        return;
    pthread_mutex_lock(&server->lock);
    server->is_open = false;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void on_stream_over(void *owner)
{
    drop_open(owner);
}

static const struct sfl_stream_owner owner_calls = {.on_over = on_stream_over};

// --- RPCs of unknown methods ---

static void on_unknown_closed(void *context, int code, const char *text)
{
    (void)code;
    (void)text;
    sfl_stream_unref(context);
}

static const struct sfl_stream_events unknown_events = {.on_closed = on_unknown_closed};

static void refuse_unknown(struct sfl_stream *stream, grpc_slice method)
{
    char text[300];
    char *path = grpc_slice_to_c_string(method);
    snprintf(text, sizeof(text), "this server has no method %.200s", path);
    gpr_free(path);
    sfl_stream_finish(stream, NULL, 0, GRPC_STATUS_UNIMPLEMENTED, text);
    sfl_stream_serve(stream, &unknown_events, stream);
}

// --- new RPCs ---

static bool is_known(const struct request *request)
{
    return request->row->handle != NULL;
}

static void take_up(struct request *request)
{
    struct sfl_rpc_server *server = request->server;
    grpc_completion_queue *queue = sfl_pump_queue(request->pump);
    request->call = NULL;
    grpc_metadata_array_init(&request->metadata);
    grpc_call_details_init(&request->details);
    sfl_operation_start(&request->operation);
    grpc_call_error error;
    if (is_known(request)) {
        error = grpc_server_request_registered_call(
            server->server, request->row->handle, &request->call, &request->deadline,
            &request->metadata, NULL, queue, queue, &request->operation);
    } else {
        error = grpc_server_request_call(server->server, &request->call, &request->details,
                                         &request->metadata, queue, queue, &request->operation);
    }
    assert(error == GRPC_CALL_OK);
    (void)error;
}

static void leave(struct request *request)
{
    struct sfl_rpc_server *server = request->server;
    grpc_metadata_array_destroy(&request->metadata);
    if (!is_known(request))
        grpc_call_details_destroy(&request->details);
    drop_open(server);
}

static void serve(const struct request *request, grpc_call *call, gpr_timespec deadline,
                  grpc_slice method, const grpc_metadata_array *metadata)
{
    struct sfl_rpc_server *server = request->server;
    const struct method_row *row = request->row;
    struct method_tally *tally = request->tally;
    sfl_counter_add(&tally->started, 1);
    struct sfl_stream *stream =
        sfl_stream_accept(call, deadline, server->message_bytes_max, &owner_calls, server);
    if (stream == NULL) {
        grpc_call_cancel_with_status(call, GRPC_STATUS_RESOURCE_EXHAUSTED,
                                     "no memory for another call", NULL);
        sfl_counter_add(&tally->handled[GRPC_STATUS_RESOURCE_EXHAUSTED], 1);
        grpc_call_unref(call);
        on_stream_over(server);
        return;
    }
    stream->handled = tally->handled;
    if (row->handle == NULL) {
        refuse_unknown(stream, method);
        return;
    }
    const struct sfl_stream_events *events = NULL;
    void *context = NULL;
    stream->asked = metadata;
    row->method.on_call(row->method.context, stream, &events, &context);
    stream->asked = NULL;
    assert(events != NULL);
    sfl_silence_opened(&server->silence, stream, row->method.is_crowded);
    sfl_stream_serve(stream, events, context);
}

static void on_request(struct sfl_operation *operation, bool ok)
{
    struct request *request = SFL_CONTAINER_OF(operation, struct request, operation);
    struct sfl_rpc_server *server = request->server;
    if (!ok) {
        leave(request);
        return;
    }
    atomic_fetch_add_explicit(&server->open, 1, memory_order_relaxed);
    grpc_call *call = request->call;
    gpr_timespec deadline = is_known(request) ? request->deadline : request->details.deadline;
    grpc_slice method = grpc_empty_slice();
    grpc_metadata_array metadata = request->metadata; // its slices are the call's
    if (!is_known(request)) {
        method = grpc_slice_ref(request->details.method);
        grpc_call_details_destroy(&request->details);
    }
    take_up(request);
    serve(request, call, deadline, method, &metadata);
    grpc_metadata_array_destroy(&metadata);
    grpc_slice_unref(method);
}

// --- making it ---

// Which length of a message gRPC is to refuse by itself.
static int receive_length_max(const struct sfl_rpc_server_options *options)
{
#ifdef SFL_GRPC_IS_BUNDLED
    // It does so as soon as it has the five bytes that announce the message; but then the callee
    // does not learn why the RPC ended. So what is not far above the limit is left to us.
    uint64_t bytes_max = options->message_bytes_max;
    return sfl_arg_length(bytes_max > INT_MAX / 2 ? INT_MAX : 2 * bytes_max);
#else
    // Older gRPC looks no sooner than we do, when it has the whole message.
    (void)options;
    return sfl_arg_length(0);
#endif
}

static int handshake_timeout(const struct sfl_rpc_server_options *options)
{
    return options->first_message_ms == 0 ? INT_MAX : sfl_arg_clamp(options->first_message_ms);
}

static grpc_server *create_grpc_server(const struct sfl_rpc_server_options *options)
{
    grpc_arg args[] = {
        sfl_arg_int(GRPC_ARG_ALLOW_REUSEPORT,
                    0), // or a second server takes the same port in silence
        sfl_arg_int(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, receive_length_max(options)),
        sfl_arg_int(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        sfl_arg_int(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                    sfl_arg_count(options->connection_streams_max)),
        sfl_arg_int(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0), // see inflate_private.h
        sfl_arg_int(GRPC_ARG_KEEPALIVE_TIME_MS, sfl_arg_keepalive(options->keepalive_time_ms)),
        sfl_arg_int(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, sfl_arg_clamp(options->keepalive_timeout_ms)),
        sfl_arg_int(SFL_ARG_PING_TIMEOUT_MS, sfl_arg_ping_timeout(options->keepalive_time_ms,
                                                                  options->keepalive_timeout_ms)),
        // gRPC 1.83 and later refuse RPCs by chance when more than so many wait to be taken up; how
        // many may come is for our own limits to say. Older ones do not know these two.
        sfl_arg_int("grpc.server.max_pending_requests", INT_MAX),
        sfl_arg_int("grpc.server.max_pending_requests_hard_limit", INT_MAX),
        sfl_arg_int(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, handshake_timeout(options)),
        sfl_arg_int(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        sfl_arg_int(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        // Clients that wait for long must ping; none is to be thrown out for it.
        sfl_arg_int(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000),
        sfl_arg_int(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0),
    };
    grpc_channel_args all = {.num_args = sizeof(args) / sizeof(args[0]), .args = args};
    return grpc_server_create(&all, NULL);
}

static bool register_methods(struct sfl_rpc_server *server)
{
    for (size_t i = 0; i < server->method_count; i++) {
        struct method_row *row = &server->rows[i];
        row->handle = grpc_server_register_method(server->server, row->method.path, NULL,
                                                  GRPC_SRM_PAYLOAD_NONE, 0);
        if (row->handle == NULL)
            return false;
    }
    return true;
}

static size_t requests_of(const struct method_row *row)
{
    return row->method.is_crowded ? REQUESTS_OF_CROWDED : REQUESTS_OF_OTHERS;
}

static void init_requests(struct sfl_rpc_server *server, unsigned pump_index,
                          struct request *requests)
{
    struct sfl_pump *pump = sfl_pumps_get(server->pumps, pump_index);
    struct method_tally *tallies = &server->tallies[pump_index * (server->method_count + 1)];
    for (size_t i = 0; i <= server->method_count; i++) {
        const struct method_row *row = &server->rows[i];
        for (size_t left = requests_of(row); left > 0; left--) {
            *requests++ = (struct request){.operation.on_done = on_request,
                                           .server = server,
                                           .pump = pump,
                                           .row = row,
                                           .tally = &tallies[i]};
        }
    }
}

static bool create_requests(struct sfl_rpc_server *server)
{
    unsigned pump_count = sfl_pumps_count(server->pumps);
    size_t per_pump = 0;
    for (size_t i = 0; i <= server->method_count; i++)
        per_pump += requests_of(&server->rows[i]);
    server->request_count = per_pump * pump_count;
    server->requests = calloc(server->request_count, sizeof(server->requests[0]));
    size_t tally_bytes = pump_count * (server->method_count + 1) * sizeof(server->tallies[0]);
    server->tallies = aligned_alloc(_Alignof(struct method_tally), tally_bytes);
    if (server->requests == NULL || server->tallies == NULL)
        return false;
    memset(server->tallies, 0, tally_bytes);
    for (unsigned i = 0; i < pump_count; i++)
        init_requests(server, i, &server->requests[i * per_pump]);
    return true;
}

static void on_shutdown(struct sfl_operation *operation, bool ok)
{
    struct sfl_rpc_server *server = SFL_CONTAINER_OF(operation, struct sfl_rpc_server, shutdown);
    (void)ok;
    pthread_mutex_lock(&server->lock);
    server->is_shutdown = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void init_lock(struct sfl_rpc_server *server)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&server->lock, NULL);
}

enum sfl_status sfl_rpc_server_create(const struct sfl_rpc_server_options *options,
                                      const struct sfl_method *methods, size_t method_count,
                                      struct sfl_rpc_server **server_out)
{
    struct sfl_rpc_server *server =
        calloc(1, sizeof(*server) + (method_count + 1) * sizeof(server->rows[0]));
    if (server == NULL)
        return SFL_NO_MEMORY;
    server->pumps = options->pumps;
    server->message_bytes_max = options->message_bytes_max;
    server->certificates = options->certificates;
    server->shutdown.on_done = on_shutdown;
    sfl_silence_init(&server->silence, options->first_message_ms, options->connection_streams_max);
    server->method_count = method_count;
    for (size_t i = 0; i < method_count; i++)
        server->rows[i].method = methods[i];
    init_lock(server);

    server->server = create_grpc_server(options);
    for (unsigned i = 0; i < sfl_pumps_count(options->pumps); i++) {
        grpc_completion_queue *queue = sfl_pump_queue(sfl_pumps_get(options->pumps, i));
        grpc_server_register_completion_queue(server->server, queue, NULL);
    }
    enum sfl_status status = SFL_OK;
    if (!register_methods(server))
        status = SFL_INVALID_ARGUMENT;
    else if (!create_requests(server))
        status = SFL_NO_MEMORY;
    if (status != SFL_OK) {
        sfl_rpc_server_destroy(server);
        return status;
    }
    *server_out = server;
    return SFL_OK;
}

// --- listening ---

static bool add_port(struct sfl_rpc_server *server, const char *address,
                     struct sfl_certificates *certificates, int *port_out)
{
    grpc_server_credentials *credentials = sfl_server_credentials_create(certificates);
    if (credentials == NULL)
        return false;
    *port_out = grpc_server_add_http2_port(server->server, address, credentials);
    grpc_server_credentials_release(credentials);
    return *port_out > 0;
}

enum sfl_status sfl_rpc_server_listen(struct sfl_rpc_server *server, const char *address,
                                      char bound_out[static 300])
{
    struct sfl_address parts;
    enum sfl_status status = sfl_address_check(address, &parts, bound_out);
    if (status != SFL_OK)
        return status;
    int port;
    if (!add_port(server, address, server->certificates, &port)) {
        snprintf(bound_out, 300, "gRPC cannot listen there");
        return SFL_UNAVAILABLE;
    }
    snprintf(bound_out, 300, "%s:%d", parts.host_as_written, port);
    return SFL_OK;
}

enum sfl_status sfl_rpc_server_listen_unix(struct sfl_rpc_server *server, const char *path,
                                           char bound_out[static 300])
{
    int claim;
    enum sfl_status status = sfl_unix_socket_claim(path, &claim, bound_out);
    if (status != SFL_OK)
        return status;
    char address[300];
    int port;
    snprintf(address, sizeof(address), "unix:%s", path);
    bool is_added = add_port(server, address, NULL, &port);
    sfl_unix_socket_settle(claim);
    if (!is_added) {
        snprintf(bound_out, 300, "gRPC cannot listen there");
        return SFL_UNAVAILABLE;
    }
    snprintf(bound_out, 300, "%s", address);
    return SFL_OK;
}

// --- serving, and its end ---

void sfl_rpc_server_start(struct sfl_rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->is_open = true;
    pthread_mutex_unlock(&server->lock);
    atomic_store(&server->open, server->request_count);
    grpc_server_start(server->server);
    for (size_t i = 0; i < server->request_count; i++)
        take_up(&server->requests[i]);
}

// No RPC is open and none can come: every standing request was handed back.
static bool has_no_rpc(const struct sfl_rpc_server *server)
{
    return !server->is_open;
}

// The connections are closed, too.
static bool has_ended(const struct sfl_rpc_server *server)
{
    return server->is_shutdown && has_no_rpc(server);
}

// Returns whether it was met in time.
static bool wait_until(struct sfl_rpc_server *server,
                       bool (*is_met)(const struct sfl_rpc_server *server), uint64_t end_ms)
{
    struct timespec end = {.tv_sec = (time_t)(end_ms / 1000),
                           .tv_nsec = (long)(end_ms % 1000 * 1000000)};
    int waited = 0;
    pthread_mutex_lock(&server->lock);
    while (!is_met(server) && waited == 0) {
        if (end_ms == UINT64_MAX)
            waited = pthread_cond_wait(&server->changed, &server->lock);
        else
            waited = pthread_cond_timedwait(&server->changed, &server->lock, &end);
    }
    bool was_met = is_met(server);
    pthread_mutex_unlock(&server->lock);
    return was_met;
}

static uint64_t ms_after(uint64_t now_ms, uint64_t ms)
{
    return ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ms;
}

bool sfl_rpc_server_shutdown(struct sfl_rpc_server *server, uint64_t grace_ms)
{
    assert(!sfl_pump_is_current());
    uint64_t grace_end_ms = ms_after(sfl_clock_now_ms(), grace_ms);
    grpc_completion_queue *queue = sfl_pump_queue(sfl_pumps_get(server->pumps, 0));
    server->is_shutting_down = true;
    sfl_operation_start(&server->shutdown);
    grpc_server_shutdown_and_notify(server->server, queue, &server->shutdown);

    wait_until(server, has_no_rpc, grace_end_ms);
    // Now gRPC says good-bye to each connection and waits for the answer, so that the last statuses
    // arrive; a client that is frozen or silent does not answer (gRPC would wait for 20 s).
    uint64_t farewell_end_ms = ms_after(sfl_clock_now_ms(), FAREWELL_MS);
    if (wait_until(server, has_ended,
                   farewell_end_ms < grace_end_ms ? farewell_end_ms : grace_end_ms))
        return true;
    // Ends the calls at once, and closes the connections; but gRPC closes none to which a write is
    // under way, and it is to a client that does not read.
    grpc_server_cancel_all_calls(server->server);
    return wait_until(server, has_ended, ms_after(sfl_clock_now_ms(), CANCEL_MS));
}

void sfl_rpc_server_destroy(struct sfl_rpc_server *server)
{
    if (!server->is_shutting_down)
        sfl_rpc_server_shutdown(server, 0);
    wait_until(server, has_ended, UINT64_MAX);
    grpc_server_destroy(server->server);
    sfl_silence_deinit(&server->silence);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server->requests);
    free(server->tallies);
    free(server);
}

size_t sfl_rpc_server_method_count(const struct sfl_rpc_server *server)
{
    return server->method_count + 1;
}

struct sfl_method_counts sfl_rpc_server_count_method(const struct sfl_rpc_server *server,
                                                     size_t index)
{
    struct sfl_method_counts counts = {.path = server->rows[index].method.path};
    for (unsigned pump = 0; pump < sfl_pumps_count(server->pumps); pump++) {
        const struct method_tally *tally =
            &server->tallies[pump * (server->method_count + 1) + index];
        counts.started += sfl_counter_get(&tally->started);
        for (unsigned code = 0; code < SFL_CODES; code++)
            counts.handled[code] += sfl_counter_get(&tally->handled[code]);
    }
    return counts;
}

struct sfl_rpc_server_counts sfl_rpc_server_counts(const struct sfl_rpc_server *server)
{
    uint64_t open = atomic_load_explicit(&server->open, memory_order_relaxed);
    return (struct sfl_rpc_server_counts){
        .streams_now = open > server->request_count ? open - server->request_count : 0,
        .silent_now = atomic_load_explicit(&server->silence.now, memory_order_relaxed),
        .ended = atomic_load_explicit(&server->silence.ended, memory_order_relaxed),
    };
}
