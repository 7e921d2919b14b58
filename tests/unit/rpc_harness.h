// SPDX-License-Identifier: Apache-2.0
// For the tests of common/rpc: a server with a few methods, and a record of what one end of a
// stream saw, which a test can wait on. Every wait is bounded and fails the test when it is over.
#ifndef SFL_TESTS_RPC_HARNESS_H
#define SFL_TESTS_RPC_HARNESS_H

#include "rpc/channel.h"
#include "rpc/pump.h"
#include "rpc/server.h"
#include "rpc/stream.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#define ECHO_PATH "/test.Rpc/Echo"     // sends every message back; ends OK after the half-close
#define FIRST_PATH "/test.Rpc/First"   // reads first; answers with message and status in one
#define REFUSE_PATH "/test.Rpc/Refuse" // ends NOT_FOUND before it has read anything
#define HOLD_PATH "/test.Rpc/Hold"     // does nothing: the test acts by harness_take

#define LAST_MESSAGE_MAX 4096

// What one end of a stream saw. On a server's end made by harness_take, on a client's by peer_open.
struct peer {
    struct sfl_stream *stream;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t messages;
    size_t message_bytes;
    uint8_t last[LAST_MESSAGE_MAX]; // the beginning of the last message
    size_t last_size;
    uint64_t checksum; // over all bytes of all messages, in order
    unsigned sent;
    bool is_half_closed;
    unsigned closed;
    unsigned late; // events after on_closed
    int code;
    char text[256];
    char tag[32]; // of a server's end: the client's metadata "x-tag"
    struct peer *next;
};

struct harness_options {
    unsigned pumps;             // 0: 2
    uint64_t message_bytes_max; // 0: 4 MiB
    const struct sfl_pump_hooks *hooks;
};

struct harness {
    struct sfl_pumps *pumps;       // NULL once a test has destroyed them
    struct sfl_rpc_server *server; // NULL once it is destroyed
    char address[300];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct peer *held; // streams of HOLD_PATH that nobody has taken yet, the oldest first
};

// A running server on 127.0.0.1, port 0.
struct harness *harness_create(const struct harness_options *options);
// The same on a unix socket.
struct harness *harness_create_unix(const char *path);
// Shuts down what still runs, with no grace, and frees everything.
void harness_destroy(struct harness *harness);

// A channel with a connection of its own, to the server or to another target.
struct sfl_channel *harness_channel(struct harness *harness);
struct sfl_channel *harness_channel_to(struct harness *harness, const char *target);
// Every RPC of which brings the metadata "x-tag".
struct sfl_channel *harness_channel_with_tag(struct harness *harness, const char *tag);

// Shuts the server down and destroys it, before harness_destroy does.
void harness_stop(struct harness *harness, uint64_t grace_ms);

// The same with no grace, and destroys the pumps; every channel must have been destroyed.
void harness_end(struct harness *harness);

// The server's end of the oldest stream of HOLD_PATH not yet taken; waits for it.
struct peer *harness_take(struct harness *harness);

// Opens a stream and records what it sees.
struct peer *peer_open(struct sfl_channel *channel, const char *path, uint64_t deadline_ms);
// The same with a first message.
struct peer *peer_open_with(struct sfl_channel *channel, const char *path,
                            const struct sfl_piece *pieces, size_t count, bool is_last);
// The stream must be closed.
void peer_destroy(struct peer *peer);

// Sends copied bytes; fails the test when the stream is over.
void peer_send(struct peer *peer, const void *data, size_t size);

void peer_wait_messages(struct peer *peer, size_t count);
void peer_wait_sent(struct peer *peer, unsigned count);
void peer_wait_half_close(struct peer *peer);
// Returns the code.
int peer_wait_closed(struct peer *peer);

// Sends and waits until it is sent.
void peer_send_and_wait(struct peer *peer, const void *data, size_t size);

// Bytes that differ from place to place; to be freed.
uint8_t *make_bytes(size_t size);

// What a large shared piece has.
#define SHARED_SIZE (3 << 20)

// For pieces: `owner` is an atomic_int that counts.
void count_release(void *owner);

// gRPC may hold a piece for some moments longer than the stream lives.
void wait_for_releases(atomic_int *released, int count);

// The time up to which a test waits at most.
struct timespec harness_bound(void);

#endif
