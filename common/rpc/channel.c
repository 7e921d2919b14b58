// SPDX-License-Identifier: Apache-2.0
#include "rpc/channel.h"

#include "base/version.h"
#include "rpc/channel_args_private.h"
#include "rpc/credentials_private.h"
#include "rpc/operation_private.h"
#include "rpc/stream_private.h"

#include <grpc/grpc.h>
#include <grpc/slice.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

// How long one attempt to connect may take. gRPC calls it "min reconnect backoff", but the pauses
// between attempts are bounded by the two values after it.
#define CONNECT_TIMEOUT_MS 5000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 5000
#define DNS_INTERVAL_MIN_MS 1000

struct sfl_channel {
    atomic_uint references; // the owner's, and one per stream
    grpc_channel *channel;
    struct sfl_pump *pump;
    uint64_t message_bytes_max;
    grpc_metadata *metadata; // that every RPC brings
    size_t metadata_count;
};

static grpc_channel *create_grpc_channel(const char *target,
                                         const struct sfl_channel_options *options)
{
    char user_agent[64];
    snprintf(user_agent, sizeof(user_agent), "singleflight-c/%s", sfl_version());
    grpc_arg args[] = {
        sfl_arg_string(GRPC_ARG_PRIMARY_USER_AGENT_STRING, user_agent),
        sfl_arg_int(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
                    sfl_arg_length(options->message_bytes_max)),
        sfl_arg_int(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        sfl_arg_int(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0), // see inflate_private.h
        sfl_arg_int(GRPC_ARG_KEEPALIVE_TIME_MS, sfl_arg_keepalive(options->keepalive_time_ms)),
        sfl_arg_int(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, sfl_arg_clamp(options->keepalive_timeout_ms)),
        sfl_arg_int(SFL_ARG_PING_TIMEOUT_MS, sfl_arg_ping_timeout(options->keepalive_time_ms,
                                                                  options->keepalive_timeout_ms)),
        sfl_arg_int(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        sfl_arg_int(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        sfl_arg_int(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_TIMEOUT_MS),
        sfl_arg_int(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, BACKOFF_FIRST_MS),
        sfl_arg_int(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, BACKOFF_MAX_MS),
        sfl_arg_int(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, DNS_INTERVAL_MIN_MS),
        sfl_arg_int(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        // Whoever uses this channel tries again by itself; gRPC would keep copies of messages.
        sfl_arg_int(GRPC_ARG_ENABLE_RETRIES, 0),
        sfl_arg_int(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, options->own_connection ? 1 : 0),
        // The last one: only if there is such a name.
        sfl_arg_string(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
                       options->tls == NULL ? NULL : options->tls->server_name),
    };
    bool has_name = options->tls != NULL && options->tls->server_name != NULL;
    size_t count = sizeof(args) / sizeof(args[0]);
    grpc_channel_args all = {.num_args = has_name ? count : count - 1, .args = args};
    grpc_channel_credentials *credentials = sfl_channel_credentials_create(options->tls);
    grpc_channel *channel = grpc_channel_create(target, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return channel;
}

static bool is_legal(const grpc_metadata *entry)
{
    return grpc_header_key_is_legal(entry->key) &&
           (grpc_is_binary_header(entry->key) || grpc_header_nonbin_value_is_legal(entry->value));
}

static void free_metadata(grpc_metadata *metadata, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        grpc_slice_unref(metadata[i].key);
        grpc_slice_unref(metadata[i].value);
    }
    free(metadata);
}

static enum sfl_status copy_metadata(const struct sfl_metadata *from, size_t count,
                                     grpc_metadata **metadata_out)
{
    grpc_metadata *metadata = calloc(count + 1, sizeof(*metadata));
    if (metadata == NULL)
        return SFL_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        metadata[i].key = grpc_slice_from_copied_string(from[i].key);
        metadata[i].value =
            grpc_slice_from_copied_buffer((const char *)from[i].value.data, from[i].value.size);
        if (is_legal(&metadata[i]))
            continue;
        free_metadata(metadata, i + 1);
        return SFL_INVALID_ARGUMENT;
    }
    *metadata_out = metadata;
    return SFL_OK;
}

enum sfl_status sfl_channel_set_metadata(struct sfl_channel *channel,
                                         const struct sfl_metadata *metadata, size_t count)
{
    grpc_metadata *copies = NULL;
    enum sfl_status status = copy_metadata(metadata, count, &copies);
    if (status != SFL_OK)
        return status;
    free_metadata(channel->metadata, channel->metadata_count);
    channel->metadata = copies;
    channel->metadata_count = count;
    return SFL_OK;
}

static void free_channel(struct sfl_channel *channel)
{
    free_metadata(channel->metadata, channel->metadata_count);
    free(channel);
}

enum sfl_status sfl_channel_create(const char *target, const struct sfl_channel_options *options,
                                   struct sfl_channel **channel_out)
{
    struct sfl_channel *channel = calloc(1, sizeof(*channel));
    if (channel == NULL)
        return SFL_NO_MEMORY;
    enum sfl_status status =
        sfl_channel_set_metadata(channel, options->metadata, options->metadata_count);
    if (status != SFL_OK) {
        free_channel(channel);
        return status;
    }
    atomic_init(&channel->references, 1);
    channel->pump = options->pump;
    channel->message_bytes_max = options->message_bytes_max;
    channel->channel = create_grpc_channel(target, options);
    // For a target that it cannot read gRPC gives a channel that has failed already; a proper one
    // is idle before its first call.
    if (grpc_channel_check_connectivity_state(channel->channel, 0) != GRPC_CHANNEL_IDLE) {
        sfl_channel_destroy(channel);
        return SFL_INVALID_ARGUMENT;
    }
    *channel_out = channel;
    return SFL_OK;
}

static void channel_unref(void *owner)
{
    struct sfl_channel *channel = owner;
    if (atomic_fetch_sub_explicit(&channel->references, 1, memory_order_acq_rel) > 1)
        return;
    grpc_channel_destroy(channel->channel);
    free_channel(channel);
}

void sfl_channel_destroy(struct sfl_channel *channel)
{
    channel_unref(channel);
}

void sfl_channel_reset_backoff(struct sfl_channel *channel)
{
    grpc_channel_reset_connect_backoff(channel->channel);
}

bool sfl_channel_is_failing(struct sfl_channel *channel)
{
    return grpc_channel_check_connectivity_state(channel->channel, 0) ==
           GRPC_CHANNEL_TRANSIENT_FAILURE;
}

bool sfl_channel_is_connected(struct sfl_channel *channel)
{
    return grpc_channel_check_connectivity_state(channel->channel, 0) == GRPC_CHANNEL_READY;
}

static const struct sfl_stream_owner owner_calls = {.on_free = channel_unref};

static struct sfl_stream *begin(struct sfl_channel *channel, const char *path, uint64_t deadline_ms,
                                struct sfl_stream_opening *opening,
                                const struct sfl_stream_events *events, void *context)
{
    opening->metadata = channel->metadata;
    opening->metadata_count = channel->metadata_count;
    grpc_call *call = grpc_channel_create_call(
        channel->channel, NULL, GRPC_PROPAGATE_DEFAULTS, sfl_pump_queue(channel->pump),
        grpc_slice_from_static_string(path), NULL, sfl_operation_deadline(deadline_ms), NULL);
    atomic_fetch_add_explicit(&channel->references, 1, memory_order_relaxed);
    struct sfl_stream *stream = sfl_stream_begin(call, deadline_ms, channel->message_bytes_max,
                                                 opening, events, context, &owner_calls, channel);
    if (stream == NULL)
        channel_unref(channel);
    return stream;
}

struct sfl_stream *sfl_channel_open(struct sfl_channel *channel, const char *path,
                                    uint64_t deadline_ms, const struct sfl_stream_events *events,
                                    void *context)
{
    struct sfl_stream_opening opening = {.has_message = false};
    return begin(channel, path, deadline_ms, &opening, events, context);
}

struct sfl_stream *sfl_channel_open_with(struct sfl_channel *channel, const char *path,
                                         uint64_t deadline_ms, const struct sfl_piece *pieces,
                                         size_t count, bool is_last,
                                         const struct sfl_stream_events *events, void *context)
{
    struct sfl_stream_opening opening = {
        .pieces = pieces, .count = count, .has_message = true, .is_last = is_last};
    return begin(channel, path, deadline_ms, &opening, events, context);
}
