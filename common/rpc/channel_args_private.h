// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: writing gRPC's channel arguments.
#ifndef SFL_RPC_CHANNEL_ARGS_PRIVATE_H
#define SFL_RPC_CHANNEL_ARGS_PRIVATE_H

#include <grpc/grpc.h>

#include <limits.h>
#include <stdint.h>

static inline int sfl_arg_clamp(uint64_t value)
{
    return value > INT_MAX ? INT_MAX : (int)value;
}

// A count as gRPC wants it: INT_MAX for no limit, which is 0 with us.
static inline int sfl_arg_count(uint64_t count)
{
    return count == 0 ? INT_MAX : sfl_arg_clamp(count);
}

// A length as gRPC wants it: -1 for no limit, which is 0 with us.
static inline int sfl_arg_length(uint64_t bytes_max)
{
    return bytes_max == 0 ? -1 : sfl_arg_clamp(bytes_max);
}

// A keepalive time as gRPC wants it: INT_MAX for none, which is 0 with us.
static inline int sfl_arg_keepalive(uint64_t time_ms)
{
    return time_ms == 0 ? INT_MAX : sfl_arg_clamp(time_ms);
}

// How long gRPC 1.83 and later wait for the answer to a ping before they give a connection up,
// whatever the keepalive timeout says; older ones do not know it.
#define SFL_ARG_PING_TIMEOUT_MS "grpc.http2.ping_timeout_ms"

// The value of it: INT_MAX where there is no keepalive.
static inline int sfl_arg_ping_timeout(uint64_t keepalive_time_ms, uint64_t keepalive_timeout_ms)
{
    return keepalive_time_ms == 0 ? INT_MAX : sfl_arg_clamp(keepalive_timeout_ms);
}

static inline grpc_arg sfl_arg_int(const char *key, int value)
{
    // gRPC copies the key.
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

static inline grpc_arg sfl_arg_string(const char *key, const char *value)
{
    // gRPC copies both.
    return (grpc_arg){.type = GRPC_ARG_STRING,
                      .key = (char *)(uintptr_t)key,
                      .value.string = (char *)(uintptr_t)value};
}

#endif
