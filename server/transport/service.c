// SPDX-License-Identifier: Apache-2.0
#include "transport/service.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "transport/admit.h"
#include "transport/call.h"
#include "transport/crowd.h"
#include "transport/descriptors.h"
#include "transport/transport.h"
#include "transport/unary.h"

#include <assert.h>
#include <stdlib.h>

static const struct sfl_engine_sink sink = {
    .lead = sfl_call_on_lead,
    .follow = sfl_call_on_follow,
    .chunk = sfl_call_on_chunk,
    .restart = sfl_call_on_restart,
    .audience = sfl_call_on_audience,
    .renewed = sfl_call_on_renewed,
    .result = sfl_call_on_result,
    .refuse = sfl_call_on_refuse,
    .ended = sfl_runs_on_ended,
    .dropped = sfl_runs_on_dropped,
    .settled = sfl_crowd_on_settled,
    .may_tell = sfl_crowd_may_tell,
};
const struct sfl_engine_sink *const sfl_transport_sink = &sink;

static const struct sfl_method methods[] = {
    {"/singleflight.v1.SingleFlight/Do", true, sfl_do_on_call, NULL},
    {"/singleflight.v1.SingleFlight/Session", false, sfl_session_on_call, NULL},
    {"/singleflight.v1.SingleFlight/Forget", false, sfl_forget_on_call, NULL},
    {"/singleflight.v1.Admin/ListFlights", false, sfl_list_flights_on_call, NULL},
    {"/singleflight.v1.Admin/ListRuns", false, sfl_list_runs_on_call, NULL},
    {"/singleflight.v1.Admin/GetStats", false, sfl_get_stats_on_call, NULL},
    {"/grpc.health.v1.Health/Check", false, sfl_health_check_on_call, NULL},
    {"/grpc.health.v1.Health/Watch", false, sfl_health_watch_on_call, NULL},
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", false, sfl_reflection_on_call,
     NULL},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", false,
     sfl_reflection_on_call, NULL},
};
static_assert(sizeof(methods) / sizeof(methods[0]) == SFL_TRANSPORT_METHODS, "as the header says");

void sfl_transport_get_methods(struct sfl_transport *transport,
                               struct sfl_method methods_out[static SFL_TRANSPORT_METHODS])
{
    for (size_t i = 0; i < SFL_TRANSPORT_METHODS; i++) {
        methods_out[i] = methods[i];
        methods_out[i].context = transport;
    }
}

enum sfl_status sfl_transport_create(const struct sfl_transport_options *options,
                                     struct sfl_transport **transport_out)
{
    struct sfl_transport *transport =
        aligned_alloc(_Alignof(struct sfl_transport), sizeof(*transport));
    if (transport == NULL)
        return SFL_NO_MEMORY;
    *transport = (struct sfl_transport){0};
    transport->pumps = options->pumps;
    transport->security = options->security;
    if (!sfl_admit_init(transport)) {
        free(transport);
        return SFL_NO_MEMORY;
    }
    transport->deliveries = sfl_deliveries_create(options->engine);
    if (transport->deliveries == NULL) {
        sfl_admit_deinit(transport);
        free(transport);
        return SFL_NO_MEMORY;
    }
    enum sfl_status status = sfl_descriptors_create(&transport->descriptors);
    if (status != SFL_OK) {
        sfl_deliveries_destroy(transport->deliveries);
        sfl_admit_deinit(transport);
        free(transport);
        return status;
    }
    transport->engine = options->engine;
    sfl_engine_set_sink_context(options->engine, transport);
    transport->limits = options->limits;
    transport->connection_callers_max = options->connection_callers_max;
    transport->silence_ms = options->silence_ms;
    transport->runs = options->runs;
    transport->tracing = options->tracing;
    transport->count_network = options->count_network;
    transport->network_context = options->network_context;
    transport->hash_seed = sfl_entropy_u64();
    sfl_kept_waits_init(&transport->kept, options->on_earlier_tick, options->tick_context);
    sfl_connections_init(&transport->connections);
    pthread_mutex_init(&transport->lock, NULL);
    sfl_list_init(&transport->residents);
    *transport_out = transport;
    return SFL_OK;
}

void sfl_transport_destroy(struct sfl_transport *transport)
{
    assert(sfl_list_is_empty(&transport->residents));
    pthread_mutex_destroy(&transport->lock);
    sfl_kept_waits_deinit(&transport->kept);
    sfl_connections_deinit(&transport->connections);
    sfl_descriptors_destroy(transport->descriptors);
    sfl_deliveries_destroy(transport->deliveries);
    sfl_admit_deinit(transport);
    free(transport);
}

uint64_t sfl_transport_tick(struct sfl_transport *transport)
{
    return sfl_kept_waits_tick(&transport->kept, sfl_clock_now_ms(), sfl_call_expire);
}

bool sfl_transport_is_idle(const struct sfl_transport *transport, uint64_t callers)
{
    return sfl_under_way_count(&transport->calls) <= callers;
}

// --- RPCs that cannot be served ---

static void ignore_message(void *context, struct sfl_span message)
{
    (void)context;
    (void)message;
}

static void ignore(void *context)
{
    (void)context;
}

static void release_stream(void *context, int code, const char *text)
{
    (void)code;
    (void)text;
    sfl_stream_unref(context);
}

void sfl_transport_refuse_stream(struct sfl_stream *stream,
                                 const struct sfl_stream_events **events_out,
                                 void **stream_context_out)
{
    static const struct sfl_stream_events refused = {
        .on_message = ignore_message,
        .on_half_close = ignore,
        .on_sent = ignore,
        .on_closed = release_stream,
    };
    *events_out = &refused;
    *stream_context_out = stream;
    sfl_stream_finish(stream, NULL, 0, sfl_status_code(SFL_NO_MEMORY),
                      sfl_status_text(SFL_NO_MEMORY));
}
