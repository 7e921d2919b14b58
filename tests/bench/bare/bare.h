// SPDX-License-Identifier: Apache-2.0
// A bare server on the gRPC C core: it answers Do and Session with the messages that singleflightd
// answers with, and does nothing else. No checks, no limits, no locks, no leases, nobody is ever
// lost; the "index" of flights is an array in which the key's number is the place. One thread. It
// is the limit that singleflightd is measured against, so it uses gRPC as the measurements say it
// is fastest:
//
//   - Do is registered so that gRPC reads the first message before it reports the call;
//   - initial metadata leave with the first message, the status with the last, in one batch each;
//   - Session's answers gather while the completion queue is drained, one message per stream;
//   - a value is one reference-counted slice in the messages of all followers.
#ifndef SFL_TESTS_BENCH_BARE_H
#define SFL_TESTS_BENCH_BARE_H

#include "bench/frames.h"

#include <grpc/grpc.h>

// The tag of one batch.
struct bare_tag {
    void (*on_done)(void *owner, bool ok);
    void *owner;
};

// Starts a batch; there is no way on if gRPC refuses it.
void bare_start(grpc_call *call, const grpc_op *ops, size_t count, struct bare_tag *tag);

// ---- slots: the flights, by the number of their key

// Somebody who waits for an outcome: a stream's call (Session), or a call alone (Do).
struct bare_waiter {
    void *owner;
    uint64_t id;
    void (*on_outcome)(struct bare_waiter *waiter, grpc_slice value, uint32_t callers);
};

struct bare_slot {
    bool is_led;
    uint32_t count;
    uint32_t capacity;
    struct bare_waiter *waiters;
};

struct bare_slot *bare_slot_of(uint32_t number);
void bare_slot_wait(struct bare_slot *slot, const struct bare_waiter *waiter);
// Tells every waiter. The slot is free afterwards.
void bare_slot_settle(struct bare_slot *slot, grpc_slice value);

// ---- answers

// Writes the fields of a Result in front of its value: the outcome of kind OK, with `value_bytes`
// bytes that follow, or without a value for the leader. The rest goes before, as protobuf allows.
size_t bare_put_result(uint8_t *at, bool led, uint32_t callers, uint64_t value_bytes);
// Lead: token and attempt; Follow: attempt.
size_t bare_put_lead(uint8_t *at, uint64_t token);
size_t bare_put_follow(uint8_t *at);
uint64_t bare_next_token(void);

// Reads a Finish of `body` bytes up to its value, and makes the value one slice.
grpc_slice bare_read_value(struct bench_reader *reader, uint64_t body);

// ---- the services

struct bare_server {
    grpc_server *server;
    grpc_completion_queue *queue;
    void *do_method;
    void *session_method;
};

void bare_do_listen(struct bare_server *server);
void bare_session_listen(struct bare_server *server);
// Sends what has gathered on the streams of Session.
void bare_session_flush(void);

#endif
