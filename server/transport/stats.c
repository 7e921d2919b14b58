// SPDX-License-Identifier: Apache-2.0
// Admin.GetStats.
#include "rpc/wire_writer.h"
#include "transport/service.h"
#include "transport/unary.h"

#include <assert.h>

struct request {
    struct sfl_span group;
};

static const struct sfl_field fields[] = {
    {1, SFL_FIELD_TEXT, offsetof(struct request, group), .name = "group"},
};
static const struct sfl_schema schema = {.name = "GetStatsRequest", SFL_SCHEMA_FIELDS(fields)};

enum {
    NUMBERS = 22,          // of the message's fields, from 1
    NUMBER_BYTES_MAX = 12, // two of the field's number, ten of its value
};

static size_t encode(const struct sfl_stats *stats, uint64_t uptime_ms,
                     const struct sfl_network_counts *network,
                     const struct sfl_keeper_state *keeper,
                     uint8_t message[static SFL_ANSWER_BYTES_MAX])
{
    uint64_t numbers[NUMBERS + 1] = {
        [13] = uptime_ms,
        [14] = network->connections_now,
        [15] = network->connections_refused,
        [16] = network->streams_silent_now,
        [17] = network->streams_ended,
        [19] = keeper->lost,
        [20] = keeper->failing,
        [21] = keeper->waiting_bytes,
        [22] = keeper->lost_leads,
    };
    static_assert(NUMBERS * NUMBER_BYTES_MAX <= SFL_ANSWER_BYTES_MAX, "every number has room");
    // What is 0 in the list has no field, and is not looked at below.
#define SFL_STATS_NUMBER(field, kind, metric, role, number, help) numbers[number] = stats->field;
    SFL_STATS_LIST(SFL_STATS_NUMBER)
#undef SFL_STATS_NUMBER
    uint8_t *at = message;
    for (uint32_t i = 1; i <= NUMBERS; i++)
        at = sfl_wire_put_number(at, i, numbers[i]);
    return (size_t)(at - message);
}

static void handle(struct sfl_transport *transport, struct sfl_admit *admit,
                   struct sfl_span message, struct sfl_answer *answer)
{
    struct request request = {.group = {NULL, 0}};
    struct sfl_fault fault = {0};
    if (!sfl_schema_read(&schema, message, &request, &fault) || fault.what != NULL) {
        sfl_answer_fault(answer, &fault);
        return;
    }
    struct sfl_refusal refusal = request.group.size == 0
                                     ? sfl_admit_check_server(admit)
                                     : sfl_admit_check(admit, SFL_RIGHT_LIST, request.group);
    if (refusal.reason == SFL_REASON_NONE)
        refusal = sfl_limits_check_key(transport->limits, request.group, sfl_span_of_text("any"));
    if (refusal.reason != SFL_REASON_NONE) {
        sfl_answer_refusal(answer, &refusal);
        return;
    }
    struct sfl_stats stats = sfl_engine_stats(transport->engine, request.group);
    // Connections and the data directory belong to no group.
    struct sfl_network_counts network = {0};
    struct sfl_keeper_state keeper = {.failing = false};
    if (request.group.size == 0 && transport->count_network != NULL)
        transport->count_network(transport->network_context, &network);
    if (request.group.size == 0)
        keeper = sfl_engine_keeper_state(transport->engine);
    answer->size =
        encode(&stats, sfl_engine_uptime_ms(transport->engine), &network, &keeper, answer->message);
}

void sfl_get_stats_on_call(void *context, struct sfl_stream *stream,
                           const struct sfl_stream_events **events_out, void **stream_context_out)
{
    sfl_unary_serve(context, handle, true, stream, events_out, stream_context_out);
}
