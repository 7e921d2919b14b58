// SPDX-License-Identifier: Apache-2.0
// How many callers stand behind each connection, Do streams and Session calls together.
#ifndef SFL_TRANSPORT_CONNECTION_H
#define SFL_TRANSPORT_CONNECTION_H

#include "base/status.h"
#include "core/index.h"

#include <pthread.h>
#include <stdatomic.h>

struct sfl_connection;

// Each Do opens and closes its connection, so there is no lock that all of them take.
enum { SFL_CONNECTIONS_PARTS = 64 };

struct sfl_connections_part {
    _Alignas(64) pthread_mutex_t lock;
    struct sfl_index index; // by peer; under the lock
};

struct sfl_connections {
    struct sfl_connections_part parts[SFL_CONNECTIONS_PARTS];
};

void sfl_connections_init(struct sfl_connections *connections);

// Every connection must have been closed before.
void sfl_connections_deinit(struct sfl_connections *connections);

// The connection of a peer ("ipv4:127.0.0.1:5000"), made if need be, with one more reference. A
// peer on a unix socket cannot be told from another, so each call makes one of its own for those.
// NULL when there is no memory. Any thread.
struct sfl_connection *sfl_connection_open(struct sfl_connections *connections, const char *peer);

// True for a peer on a unix socket.
bool sfl_peer_is_unix(const char *peer);

// Drops a reference; its callers must have been given back before. Any thread. NULL is fine.
void sfl_connection_close(struct sfl_connection *connection);

// Counts one more caller, unless there are `max` already. A NULL connection counts nothing. Any
// thread.
bool sfl_connection_take(struct sfl_connection *connection, uint64_t max);
void sfl_connection_give(struct sfl_connection *connection, uint64_t count);

// What the answers without a call take that wait on all streams of the connection, but for a few of
// each; `bytes` below 0: they wait no more. When the connection is full of them, its streams add no
// more than those few. Any thread.
void sfl_connection_add_strays(struct sfl_connection *connection, int64_t bytes);
bool sfl_connection_is_full_of_strays(const struct sfl_connection *connection);

// Bytes of messages that its streams hold until they can go on: some of the largest messages.
enum { SFL_CONNECTION_HELD_MAX = 16 * 1024 * 1024 };

// Counts more of them. False when that would be too many.
bool sfl_connection_hold(struct sfl_connection *connection, uint64_t bytes) SFL_MUST_USE;
void sfl_connection_release(struct sfl_connection *connection, uint64_t bytes);

#endif
