// SPDX-License-Identifier: Apache-2.0
// A server that answers each RPC as the test tells it to, for what the daemon does too rarely.
#ifndef SFL_TESTS_CLIENT_FAKE_H
#define SFL_TESTS_CLIENT_FAKE_H

#include "base/bytes.h"
#include "rpc/pump.h"
#include "rpc/server.h"

#include <stdatomic.h>

// What it does once the first message of an RPC has come.
struct fake_answer {
    struct sfl_span message;  // sent; none when it is empty
    struct sfl_span second;   // sent when a second message has come, unless it is empty
    unsigned message_late_ms; // both are so much under way
    unsigned second_late_ms;
    bool ends;        // then the RPC ends with `code`, otherwise it stays open
    bool ends_second; // the same once a second message has come
    int code;
};

struct fake {
    struct sfl_pumps *pumps;
    struct sfl_rpc_server *server;
    char address[300];
    const struct fake_answer *answers; // to the first, the second, ... RPC
    size_t answer_count;               // the last one holds for all after it
    atomic_size_t rpcs;                // how many have come
    char authorization[4][64];         // that the first ones brought; ""
};

// A running server on 127.0.0.1, port 0, for RPCs of `path`. `answers` is borrowed.
void fake_start(struct fake *fake, const char *path, const struct fake_answer *answers,
                size_t answer_count);

// Clients of it have been destroyed.
void fake_stop(struct fake *fake);

#endif
