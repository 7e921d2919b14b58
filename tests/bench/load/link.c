// SPDX-License-Identifier: Apache-2.0
#include "bench/load/link.h"

#include "bench/library.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DRAIN_MAX = 128, PATIENCE_S = 30 };

void load_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench_load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    // Without exit(): gRPC's threads are in the middle of something.
    _Exit(1);
}

void *load_calloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL)
        load_die("out of memory");
    return memory;
}

uint64_t load_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void load_start(grpc_call *call, const grpc_op *ops, size_t count, struct load_tag *tag)
{
    grpc_call_error error = grpc_call_start_batch(call, ops, count, tag, NULL);
    if (error != GRPC_CALL_OK)
        load_die("%s", grpc_call_error_to_string(error));
}

static gpr_timespec deadline_of(uint64_t until_ns)
{
    if (until_ns == UINT64_MAX)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    uint64_t now_ns = load_now_ns();
    if (until_ns <= now_ns)
        return gpr_inf_past(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_nanos((int64_t)(until_ns - now_ns), GPR_TIMESPAN));
}

bool load_link_poll(struct load_link *link, uint64_t until_ns)
{
    if (link->wire->poll != NULL)
        return link->wire->poll(link, until_ns);
    gpr_timespec deadline = deadline_of(until_ns);
    unsigned count = 0;
    link->wire->flush(link);
    for (; count < DRAIN_MAX; count++) {
        grpc_event event = grpc_completion_queue_next(link->queue, deadline, NULL);
        if (event.type != GRPC_OP_COMPLETE)
            break;
        const struct load_tag *tag = event.tag;
        tag->on_done(tag->owner, event.success != 0);
        deadline = gpr_inf_past(GPR_CLOCK_MONOTONIC);
    }
    link->wire->flush(link);
    return count > 0;
}

void load_link_poll_until(struct load_link *link, const bool *done)
{
    while (!*done) {
        if (!load_link_poll(link, load_now_ns() + PATIENCE_S * 1000000000ULL))
            load_die("nothing has happened for %d s", PATIENCE_S);
    }
}

static void on_nothing(void *owner, bool ok)
{
    (void)owner;
    (void)ok;
}

static void connect_all(struct load_link *link)
{
    static struct load_tag tag = {on_nothing, NULL};
    for (unsigned i = 0; i < link->options.connections; i++) {
        grpc_channel *channel = link->channels[i];
        for (;;) {
            grpc_connectivity_state state = grpc_channel_check_connectivity_state(channel, 1);
            if (state == GRPC_CHANNEL_READY)
                break;
            if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN)
                load_die("cannot connect to %s", link->options.target);
            grpc_channel_watch_connectivity_state(
                channel, state, gpr_inf_future(GPR_CLOCK_MONOTONIC), link->queue, &tag);
            grpc_completion_queue_next(link->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        }
    }
}

static grpc_channel *channel_create(const char *target, const char *tls_ca)
{
    grpc_arg arguments[] = {
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         .value.integer = -1},
        // A connection of its own for each channel.
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
         .value.integer = 1},
    };
    grpc_channel_args list = {sizeof arguments / sizeof arguments[0], arguments};
    grpc_channel_credentials *credentials =
        tls_ca == NULL ? grpc_insecure_credentials_create()
                       : grpc_ssl_credentials_create(tls_ca, NULL, NULL, NULL);
    grpc_channel *channel = grpc_channel_create(target, credentials, &list);
    grpc_channel_credentials_release(credentials);
    return channel;
}

struct load_link *load_link_open(const struct load_options *options)
{
    struct load_link *link = load_calloc(1, sizeof *link);
    link->options = *options;
    size_t value_bytes = options->value_bytes;
    if (value_bytes > LOAD_POST_BYTES)
        value_bytes = LOAD_POST_BYTES;
    uint8_t *value = load_calloc(1, value_bytes + 1);
    memset(value, 'v', value_bytes);
    link->value = value;
    if (options->redis) {
        load_redis_open(link);
        return link;
    }
    link->queue = grpc_completion_queue_create_for_next(NULL);
    link->channels = load_calloc(options->connections, sizeof *link->channels);
    for (unsigned i = 0; i < options->connections; i++)
        link->channels[i] = channel_create(options->target, options->tls_ca);
    connect_all(link);
    if (options->session)
        load_session_open(link);
    else
        load_do_open(link);
    return link;
}
