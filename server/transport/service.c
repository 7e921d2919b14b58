// SPDX-License-Identifier: Apache-2.0
#include "transport/service.h"

#include "base/entropy.h"
#include "transport/call.h"
#include "transport/descriptors.h"
#include "transport/transport.h"
#include "transport/unary.h"

#include <assert.h>
#include <stdlib.h>

const struct sfl_engine_sink *const sfl_transport_sink = &sfl_call_sink;

// `reads_first` where nothing happens before the first message.
static const struct sfl_method methods[] = {
    {"/singleflight.v1.SingleFlight/Do", true, sfl_do_on_call, NULL},
    {"/singleflight.v1.SingleFlight/Session", false, sfl_session_on_call, NULL},
    {"/singleflight.v1.SingleFlight/Forget", true, sfl_forget_on_call, NULL},
    {"/singleflight.v1.Admin/ListFlights", true, sfl_list_flights_on_call, NULL},
    {"/singleflight.v1.Admin/GetStats", true, sfl_get_stats_on_call, NULL},
    {"/grpc.health.v1.Health/Check", true, sfl_health_check_on_call, NULL},
    {"/grpc.health.v1.Health/Watch", true, sfl_health_watch_on_call, NULL},
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

static void deliver(struct sfl_pump_work *work)
{
    struct sfl_delivery *delivery = SFL_CONTAINER_OF(work, struct sfl_delivery, work);
    sfl_engine_deliver(delivery->engine, delivery->shard);
}

void sfl_transport_deliver_later(struct sfl_transport *transport, unsigned shard)
{
    sfl_pump_defer_crowd(&transport->deliveries[shard].work);
}

// NULL when there is no memory.
static struct sfl_delivery *create_deliveries(struct sfl_engine *engine)
{
    unsigned count = sfl_engine_shards(engine);
    struct sfl_delivery *deliveries = calloc(count, sizeof(deliveries[0]));
    for (unsigned i = 0; deliveries != NULL && i < count; i++) {
        deliveries[i].work.run = deliver;
        deliveries[i].engine = engine;
        deliveries[i].shard = i;
    }
    return deliveries;
}

enum sfl_status sfl_transport_create(const struct sfl_transport_options *options,
                                     struct sfl_transport **transport_out)
{
    struct sfl_transport *transport = calloc(1, sizeof(*transport));
    if (transport == NULL)
        return SFL_NO_MEMORY;
    transport->deliveries = create_deliveries(options->engine);
    if (transport->deliveries == NULL) {
        free(transport);
        return SFL_NO_MEMORY;
    }
    enum sfl_status status = sfl_descriptors_create(&transport->descriptors);
    if (status != SFL_OK) {
        free(transport->deliveries);
        free(transport);
        return status;
    }
    transport->engine = options->engine;
    transport->limits = options->limits;
    transport->connection_callers_max = options->connection_callers_max;
    transport->hash_seed = sfl_entropy_u64();
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
    sfl_connections_deinit(&transport->connections);
    sfl_descriptors_destroy(transport->descriptors);
    free(transport->deliveries);
    free(transport);
}

// --- streams without an end of their own ---

static void end_resident(struct sfl_outbox *outbox)
{
    static const struct sfl_fault stopped = {NULL,
                                             "the server stops; try another replica or again"};
    sfl_outbox_end(outbox, sfl_status_code(SFL_UNAVAILABLE), &stopped, false);
}

void sfl_transport_add_resident(struct sfl_transport *transport, struct sfl_outbox *outbox)
{
    pthread_mutex_lock(&transport->lock);
    sfl_list_append(&transport->residents, &outbox->in_residents);
    bool is_closing = transport->is_closing;
    pthread_mutex_unlock(&transport->lock);
    if (is_closing)
        end_resident(outbox);
}

void sfl_transport_remove_resident(struct sfl_transport *transport, struct sfl_outbox *outbox)
{
    pthread_mutex_lock(&transport->lock);
    sfl_link_remove(&outbox->in_residents);
    pthread_mutex_unlock(&transport->lock);
}

// Calls `act` for every resident, which does not go meanwhile: going takes the transport's lock.
// Lock order: the transport's, then an outbox's.
static void for_each_resident_locked(struct sfl_transport *transport,
                                     void (*act)(struct sfl_outbox *outbox))
{
    struct sfl_link *link = sfl_list_first(&transport->residents);
    for (; link != NULL; link = sfl_list_next(&transport->residents, link))
        act(SFL_CONTAINER_OF(link, struct sfl_outbox, in_residents));
}

void sfl_transport_drain(struct sfl_transport *transport)
{
    pthread_mutex_lock(&transport->lock);
    transport->is_draining = true;
    for_each_resident_locked(transport, sfl_outbox_wake);
    pthread_mutex_unlock(&transport->lock);
    sfl_outbox_flush_gathered();
}

void sfl_transport_close(struct sfl_transport *transport)
{
    pthread_mutex_lock(&transport->lock);
    transport->is_closing = true;
    for_each_resident_locked(transport, end_resident);
    pthread_mutex_unlock(&transport->lock);
    sfl_outbox_flush_gathered();
}

bool sfl_transport_is_draining(struct sfl_transport *transport)
{
    pthread_mutex_lock(&transport->lock);
    bool is_draining = transport->is_draining;
    pthread_mutex_unlock(&transport->lock);
    return is_draining;
}

bool sfl_transport_is_idle(const struct sfl_transport *transport)
{
    return atomic_load(&transport->calls) == 0;
}

void sfl_transport_flush(void)
{
    sfl_outbox_flush_gathered();
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
