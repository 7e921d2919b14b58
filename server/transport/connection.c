// SPDX-License-Identifier: Apache-2.0
#include "transport/connection.h"

#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>

enum {
    STRAY_BYTES_MAX = 4 * 1024 * 1024,
};

struct sfl_connection {
    struct sfl_connections_part *part; // NULL on a unix socket: nobody else has it
    _Atomic uint64_t callers;
    _Atomic uint64_t stray_bytes;
    _Atomic uint64_t held_bytes;
    uint64_t references; // under the lock
    uint64_t hash;
    char peer[];
};

void sfl_connections_init(struct sfl_connections *connections)
{
    for (unsigned i = 0; i < SFL_CONNECTIONS_PARTS; i++) {
        pthread_mutex_init(&connections->parts[i].lock, NULL);
        sfl_index_init(&connections->parts[i].index, &sfl_heap);
    }
}

void sfl_connections_deinit(struct sfl_connections *connections)
{
    for (unsigned i = 0; i < SFL_CONNECTIONS_PARTS; i++) {
        struct sfl_connections_part *part = &connections->parts[i];
        assert(part->index.count == 0);
        sfl_index_deinit(&part->index);
        pthread_mutex_destroy(&part->lock);
    }
}

bool sfl_peer_is_unix(const char *peer)
{
    return strncmp(peer, "unix", 4) == 0;
}

static struct sfl_connection *create(struct sfl_connections_part *part, const char *peer,
                                     uint64_t hash)
{
    size_t size = strlen(peer) + 1;
    struct sfl_connection *connection = malloc(sizeof(*connection) + size);
    if (connection == NULL)
        return NULL;
    connection->part = part;
    connection->references = 1;
    connection->hash = hash;
    atomic_init(&connection->callers, 0);
    atomic_init(&connection->stray_bytes, 0);
    atomic_init(&connection->held_bytes, 0);
    memcpy(connection->peer, peer, size);
    return connection;
}

// Under the lock.
static struct sfl_connection *find(struct sfl_connections_part *part, const char *peer,
                                   uint64_t hash)
{
    struct sfl_index_walk walk = {0};
    struct sfl_connection *connection = NULL;
    while ((connection = sfl_index_next(&part->index, hash, &walk)) != NULL) {
        if (strcmp(connection->peer, peer) == 0)
            return connection;
    }
    return NULL;
}

struct sfl_connection *sfl_connection_open(struct sfl_connections *connections, const char *peer)
{
    uint64_t hash = sfl_hash_stable(sfl_span_of_text(peer), 0);
    if (sfl_peer_is_unix(peer))
        return create(NULL, peer, hash);
    // The index uses the low bits.
    struct sfl_connections_part *part = &connections->parts[(hash >> 40) % SFL_CONNECTIONS_PARTS];
    pthread_mutex_lock(&part->lock);
    struct sfl_connection *connection = find(part, peer, hash);
    if (connection != NULL) {
        connection->references++;
    } else if (sfl_index_reserve(&part->index)) {
        connection = create(part, peer, hash);
        if (connection != NULL)
            sfl_index_insert(&part->index, hash, connection);
    }
    pthread_mutex_unlock(&part->lock);
    return connection;
}

// True when the last reference is gone: nobody finds the connection any more.
static bool drop_reference(struct sfl_connection *connection)
{
    struct sfl_connections_part *part = connection->part;
    if (part == NULL)
        return true;
    pthread_mutex_lock(&part->lock);
    bool is_last = --connection->references == 0;
    if (is_last)
        sfl_index_remove(&part->index, connection->hash, connection);
    pthread_mutex_unlock(&part->lock);
    return is_last;
}

void sfl_connection_close(struct sfl_connection *connection)
{
    if (connection == NULL || !drop_reference(connection))
        return;
    assert(atomic_load(&connection->callers) == 0);
    free(connection);
}

// Adds to a sum unless that passes `max`. Whoever is refused never counts, not even for a moment:
// somebody else might be refused for it.
static bool add_within(_Atomic uint64_t *sum, uint64_t more, uint64_t max)
{
    uint64_t before = atomic_load_explicit(sum, memory_order_relaxed);
    do {
        if (before > max || more > max - before)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(sum, &before, before + more,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool sfl_connection_take(struct sfl_connection *connection, uint64_t max)
{
    return connection == NULL || add_within(&connection->callers, 1, max);
}

void sfl_connection_give(struct sfl_connection *connection, uint64_t count)
{
    if (connection == NULL)
        return;
    uint64_t before = atomic_fetch_sub_explicit(&connection->callers, count, memory_order_relaxed);
    assert(before >= count);
    (void)before;
}

void sfl_connection_add_strays(struct sfl_connection *connection, int64_t bytes)
{
    atomic_fetch_add_explicit(&connection->stray_bytes, (uint64_t)bytes, memory_order_relaxed);
}

bool sfl_connection_is_full_of_strays(const struct sfl_connection *connection)
{
    return atomic_load_explicit(&connection->stray_bytes, memory_order_relaxed) >= STRAY_BYTES_MAX;
}

bool sfl_connection_hold(struct sfl_connection *connection, uint64_t bytes)
{
    return add_within(&connection->held_bytes, bytes, SFL_CONNECTION_HELD_MAX);
}

void sfl_connection_release(struct sfl_connection *connection, uint64_t bytes)
{
    uint64_t before =
        atomic_fetch_sub_explicit(&connection->held_bytes, bytes, memory_order_relaxed);
    assert(before >= bytes);
    (void)before;
}
