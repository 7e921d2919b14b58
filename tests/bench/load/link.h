// SPDX-License-Identifier: Apache-2.0
// Callers on their way to a server, each on a Do of its own or many on Session streams, or to
// Redis. What is measured (flow.c, fanout.c, waiters.c) does not care which.
//
// One thread, one completion queue. Nothing here can fail and go on: whatever goes wrong ends the
// program with a message, because a figure from a run that went wrong is no figure.
#ifndef SFL_TESTS_BENCH_LOAD_LINK_H
#define SFL_TESTS_BENCH_LOAD_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <grpc/grpc.h>

enum {
    LOAD_INLINE_MAX = 64 * 1024,  // a value up to this comes inside `result`
    LOAD_POST_BYTES = 1024 * 1024 // a larger value is posted in pieces of this size
};

// What a caller hears. It may join again from on_result on.
struct load_events {
    void (*on_lead)(void *context, uint32_t caller);
    void (*on_follow)(void *context, uint32_t caller);
    // `bytes`: of the messages or frames that carried the value and the result.
    void (*on_result)(void *context, uint32_t caller, uint64_t bytes);
    void *context;
};

struct load_options {
    const char *target;
    char *tls_ca; // PEM of whoever signed the server's certificate; NULL: plain
    bool session;
    bool redis; // not gRPC at all
    unsigned connections;
    unsigned streams;   // Session: in all, spread over the connections
    uint32_t callers;   // caller numbers are 0 to callers - 1
    size_t value_bytes; // of the values that leaders post
    uint64_t retain_ms; // how long outcomes are to be kept; 0: not at all
    struct load_events events;
};

struct load_link;

// The part that differs between Do, Session and Redis.
struct load_wire {
    void (*join)(struct load_link *link, uint32_t caller, uint32_t key);
    void (*finish)(struct load_link *link, uint32_t caller);
    void (*flush)(struct load_link *link);
    // What load_link_poll() does where there is no gRPC; NULL where there is.
    bool (*poll)(struct load_link *link, uint64_t until_ns);
};

// The tag of one batch.
struct load_tag {
    void (*on_done)(void *owner, bool ok);
    void *owner;
};

struct load_link {
    struct load_options options;
    const struct load_wire *wire;
    grpc_completion_queue *queue;
    grpc_channel **channels;
    const uint8_t *value; // options.value_bytes bytes, but at most LOAD_POST_BYTES
    void *state;          // the wire's own
};

// Connects, and waits until all connections stand.
struct load_link *load_link_open(const struct load_options *options);

// Handles completions: waits for the first one until `until_ns` of the monotonic clock, takes those
// that are at hand after it, up to a bound, then sends what has gathered. False when none came.
bool load_link_poll(struct load_link *link, uint64_t until_ns);

// The same until `*done` is true; ends the program when nothing happens for half a minute.
void load_link_poll_until(struct load_link *link, const bool *done);

static inline void load_join(struct load_link *link, uint32_t caller, uint32_t key)
{
    link->wire->join(link, caller, key);
}

// Posts the value; only after on_lead.
static inline void load_finish(struct load_link *link, uint32_t caller)
{
    link->wire->finish(link, caller);
}

// For link.c.
void load_do_open(struct load_link *link);
void load_session_open(struct load_link *link);
void load_redis_open(struct load_link *link);

// For the wires.
void load_start(grpc_call *call, const grpc_op *ops, size_t count, struct load_tag *tag);
void *load_calloc(size_t count, size_t size);
_Noreturn void load_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t load_now_ns(void);

#endif
