// SPDX-License-Identifier: Apache-2.0
// The gRPC services of the daemon: SingleFlight, Admin, Health and ServerReflection. They turn
// messages into events of the engine, and what the engine tells into messages.
#ifndef SFL_TRANSPORT_SERVICE_H
#define SFL_TRANSPORT_SERVICE_H

#include "engine/engine.h"
#include "rpc/server.h"
#include "runs/runs.h"
#include "security/security.h"

struct sfl_tracing;
struct sfl_transport;

// field, kind, metric, help. Since the start, but for what is so now.
#define SFL_NETWORK_COUNTS_LIST(X)                                                                 \
    X(connections_now, GAUGE, "connections", "Connections to the server.")                         \
    X(connections_refused, COUNTER, "connections_refused",                                         \
      "Connections that were closed at once for a limit, or ended because of a flood.")            \
    X(streams_now, GAUGE, "streams", "RPCs that are open.")                                        \
    X(streams_silent_now, GAUGE, "streams_silent", "RPCs whose first message has not come.")       \
    X(streams_ended, COUNTER, "streams_ended",                                                     \
      "RPCs that were ended for their silence, or for want of room on their connection.")

struct sfl_network_counts {
#define SFL_NETWORK_FIELD(field, kind, metric, help) uint64_t field;
    SFL_NETWORK_COUNTS_LIST(SFL_NETWORK_FIELD)
#undef SFL_NETWORK_FIELD
};

// field, kind, metric, help. Of all outboxes of one pump.
#define SFL_OUTBOX_COUNTS_LIST(X)                                                                  \
    X(messages, COUNTER, "outbox_messages", "Messages that were handed to gRPC, last ones too.")   \
    X(bytes, COUNTER, "outbox_bytes", "Bytes of these messages.")                                  \
    X(put_off, COUNTER, "outbox_put_off", "Messages that took more than a turn to build.")

struct sfl_outbox_counts {
#define SFL_OUTBOX_FIELD(field, kind, metric, help) uint64_t field;
    SFL_OUTBOX_COUNTS_LIST(SFL_OUTBOX_FIELD)
#undef SFL_OUTBOX_FIELD
};

struct sfl_transport_options {
    struct sfl_engine *engine;       // borrowed; made with sfl_transport_sink
    struct sfl_pumps *pumps;         // borrowed; those that serve its methods
    const struct sfl_limits *limits; // borrowed
    uint64_t connection_callers_max;
    uint64_t silence_ms;           // after which the server gives up a silent connection
    struct sfl_runs *runs;         // borrowed; where flights that end are put down; NULL: nowhere
    struct sfl_security *security; // borrowed; who may do what; NULL: everybody everything
    struct sfl_tracing *tracing;   // borrowed; NULL: no call is traced
    // An earlier tick is wanted than sfl_transport_tick last said. Any thread, under locks.
    void (*on_earlier_tick)(void *context);
    void *tick_context;
    // What GetStats says of the network. Any thread. NULL: nothing is known.
    void (*count_network)(void *context, struct sfl_network_counts *counts_out);
    void *network_context;
};

// What the engine has to be made with. The transport sets its context.
extern const struct sfl_engine_sink *const sfl_transport_sink;
struct sfl_bytes *sfl_transport_describe(int32_t code, struct sfl_span message,
                                         struct sfl_span type);

enum sfl_status sfl_transport_create(const struct sfl_transport_options *options,
                                     struct sfl_transport **transport_out) SFL_MUST_USE;

// After the server that serves its methods has been destroyed.
void sfl_transport_destroy(struct sfl_transport *transport);

// Carries out what is due now. Returns when to call it next at the latest, in ms of the monotonic
// clock; UINT64_MAX for never. Any thread.
uint64_t sfl_transport_tick(struct sfl_transport *transport);

// The methods to serve; the server copies them. They refer to the transport.
enum { SFL_TRANSPORT_METHODS = 10 };
void sfl_transport_get_methods(struct sfl_transport *transport,
                               struct sfl_method methods_out[static SFL_TRANSPORT_METHODS]);

// Of the pump with this index. Any thread.
struct sfl_outbox_counts sfl_transport_count_outboxes(const struct sfl_transport *transport,
                                                      unsigned pump);

// Tells watchers how the server's parts fare when that has changed.
void sfl_transport_health_changed(struct sfl_transport *transport);

// The rights of `security` have been exchanged: ends, in turns of the pumps, what has lost its
// right. Any thread but a pump's.
void sfl_transport_rights_changed(struct sfl_transport *transport);

// From now on health says NOT_SERVING, to watchers at once. (The engine is drained on its own.)
void sfl_transport_drain(struct sfl_transport *transport);

// True from sfl_transport_drain on. Any thread.
bool sfl_transport_is_draining(struct sfl_transport *transport);

// True when every caller has been told its last word, but for so many that wait for what is not to
// be waited for.
bool sfl_transport_is_idle(const struct sfl_transport *transport, uint64_t callers);

// Ends the streams that have no end of their own with UNAVAILABLE, once they have nothing left to
// say.
void sfl_transport_close(struct sfl_transport *transport);

#endif
