// SPDX-License-Identifier: Apache-2.0
// What the services share. Private to this folder; others use service.h.
#ifndef SFL_TRANSPORT_TRANSPORT_H
#define SFL_TRANSPORT_TRANSPORT_H

#include "engine/engine.h"
#include "rpc/server.h"
#include "runs/runs.h"
#include "transport/connection.h"
#include "transport/kept.h"
#include "transport/outbox.h"
#include "transport/under_way.h"

struct sfl_network_counts; // service.h
struct sfl_tracing;

struct sfl_transport {
    // Every call reads these, and nobody writes them.
    struct sfl_engine *engine;
    struct sfl_pumps *pumps;
    struct sfl_delivery *deliveries; // one for each shard
    const struct sfl_limits *limits;
    uint64_t connection_callers_max;
    struct sfl_runs *runs;            // NULL: none is remembered
    struct sfl_security *security;    // NULL: everybody may do everything
    atomic_uint reloading;            // pumps that are still to look at their streams
    struct sfl_admit_reload *reloads; // with `security`: one for each pump
    struct sfl_tracing *tracing;      // NULL: no call is traced
    uint64_t silence_ms;              // a connection that is silent for so long is given up
    void (*count_network)(void *context, struct sfl_network_counts *counts_out);
    void *network_context;
    uint64_t hash_seed;
    struct sfl_kept_waits kept;
    struct sfl_descriptors *descriptors;

    struct sfl_connections connections;
    struct sfl_under_way calls; // whose last word has not been sent

    _Atomic uint64_t breaks; // see losses.h
    pthread_mutex_t lock;
    // Streams without an end of their own (Session, Watch, reflection); under the lock.
    struct sfl_list residents;
    bool is_draining;
    bool is_closing;

    struct sfl_outbox_tally tallies[SFL_PUMPS_MAX + 1]; // by pump; the last one is nobody's
};

// Adds a stream to those that sfl_transport_close ends. If that has happened already, it is ended.
void sfl_transport_add_resident(struct sfl_transport *transport, struct sfl_outbox *outbox);
void sfl_transport_remove_resident(struct sfl_transport *transport, struct sfl_outbox *outbox);

// Whether a stream that closed with this code (sfl_stream_events) broke, which a lease outlives.
// Otherwise we ended it over a message, and then its leaders are lost.
static inline bool sfl_transport_is_broken(int code)
{
    return code <= sfl_status_code(SFL_CANCELLED);
}

// The functions of the engine's sink that are about flights that have ended.
uint64_t sfl_runs_on_ended(void *context, const struct sfl_flight *flight,
                           const struct sfl_ended *ended, uint64_t now_ms);
void sfl_runs_on_dropped(void *context, uint64_t run, uint64_t hits);

// For an RPC that cannot be served for want of memory: fills in what on_call has to, and ends it.
void sfl_transport_refuse_stream(struct sfl_stream *stream,
                                 const struct sfl_stream_events **events_out,
                                 void **stream_context_out);

// The services, as on_call of their methods; context is the transport.
void sfl_do_on_call(void *context, struct sfl_stream *stream,
                    const struct sfl_stream_events **events_out, void **stream_context_out);
void sfl_session_on_call(void *context, struct sfl_stream *stream,
                         const struct sfl_stream_events **events_out, void **stream_context_out);
void sfl_list_flights_on_call(void *context, struct sfl_stream *stream,
                              const struct sfl_stream_events **events_out,
                              void **stream_context_out);
void sfl_list_runs_on_call(void *context, struct sfl_stream *stream,
                           const struct sfl_stream_events **events_out, void **stream_context_out);
void sfl_health_watch_on_call(void *context, struct sfl_stream *stream,
                              const struct sfl_stream_events **events_out,
                              void **stream_context_out);
void sfl_reflection_on_call(void *context, struct sfl_stream *stream,
                            const struct sfl_stream_events **events_out, void **stream_context_out);

#endif
