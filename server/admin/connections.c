// SPDX-License-Identifier: Apache-2.0
#include "admin/connections.h"

#include <limits.h>
#include <netinet/in.h>
#include <string.h>

static struct sfl_admin_connection *of(struct sfl_link *link)
{
    return SFL_CONTAINER_OF(link, struct sfl_admin_connection, link);
}

static struct sfl_peer_address read_address(const struct sockaddr *address)
{
    struct sfl_peer_address read = {{0}};
    if (address == NULL)
        return read;
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
        bool is_one = IN6_IS_ADDR_V4MAPPED(v6) || IN6_IS_ADDR_LOOPBACK(v6);
        memcpy(read.bytes, v6, is_one ? 16 : 8);
    } else if (address->sa_family == AF_INET) {
        const struct in_addr *v4 = &((const struct sockaddr_in *)address)->sin_addr;
        read.bytes[10] = 0xff;
        read.bytes[11] = 0xff;
        memcpy(read.bytes + 12, v4, 4);
    }
    return read;
}

void sfl_admin_connections_init(struct sfl_admin_connections *connections,
                                void (*end)(struct sfl_admin_connection *connection))
{
    *connections = (struct sfl_admin_connections){.end = end};
    sfl_list_init(&connections->asking);
    sfl_list_init(&connections->answered);
    sfl_list_init(&connections->streaming);
}

// --- lists ---

static void take_out(struct sfl_admin_connections *connections,
                     struct sfl_admin_connection *connection)
{
    if (connection->state == SFL_CONNECTION_ENDED)
        return;
    sfl_link_remove(&connection->link);
    if (connection->state == SFL_CONNECTION_STREAM)
        connections->streams--;
    else
        connections->count--;
}

static void put_in(struct sfl_admin_connections *connections,
                   struct sfl_admin_connection *connection, enum sfl_admin_connection_state state)
{
    connection->state = state;
    switch (state) {
    case SFL_CONNECTION_ASKING:
        sfl_list_append(&connections->asking, &connection->link);
        connections->count++;
        return;
    case SFL_CONNECTION_ANSWERED:
        sfl_list_append(&connections->answered, &connection->link);
        connections->count++;
        return;
    case SFL_CONNECTION_STREAM:
        sfl_list_append(&connections->streaming, &connection->link);
        connections->streams++;
        return;
    case SFL_CONNECTION_ENDED:
        return;
    }
}

static void end(struct sfl_admin_connections *connections, struct sfl_admin_connection *connection)
{
    take_out(connections, connection);
    put_in(connections, connection, SFL_CONNECTION_ENDED);
    connections->end(connection);
}

// --- too many ---

static bool is_same(const struct sfl_peer_address *a, const struct sfl_peer_address *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static unsigned count_of(const struct sfl_list *list, const struct sfl_peer_address *address)
{
    unsigned count = 0;
    for (struct sfl_link *link = sfl_list_first(list); link != NULL;
         link = sfl_list_next(list, link))
        count += is_same(&of(link)->address, address);
    return count;
}

static unsigned count_at(const struct sfl_admin_connections *connections,
                         const struct sfl_peer_address *address)
{
    return count_of(&connections->asking, address) + count_of(&connections->answered, address);
}

// Who goes before whom; among equals, whoever is in its state for longest.
static int rank_of(const struct sfl_admin_connection *connection, uint64_t now_ms)
{
    if (connection->state == SFL_CONNECTION_ASKING &&
        now_ms - connection->since_ms >= SFL_NEWCOMER_MS)
        return 0;
    if (connection->has_had_answer)
        return 1;
    return connection->state == SFL_CONNECTION_ANSWERED ? 2 : 3;
}

static void find_worst(const struct sfl_list *list, const struct sfl_peer_address *address,
                       uint64_t now_ms, struct sfl_admin_connection **worst)
{
    for (struct sfl_link *link = sfl_list_first(list); link != NULL;
         link = sfl_list_next(list, link)) {
        struct sfl_admin_connection *seen = of(link);
        if (!is_same(&seen->address, address))
            continue;
        int rank = rank_of(seen, now_ms);
        int worst_rank = *worst == NULL ? INT_MAX : rank_of(*worst, now_ms);
        if (rank < worst_rank || (rank == worst_rank && seen->since_ms < (*worst)->since_ms))
            *worst = seen;
    }
}

static void end_one(struct sfl_admin_connections *connections, struct sfl_peer_address address,
                    uint64_t now_ms)
{
    struct sfl_admin_connection *worst = NULL;
    find_worst(&connections->asking, &address, now_ms, &worst);
    find_worst(&connections->answered, &address, now_ms, &worst);
    if (worst != NULL)
        end(connections, worst);
}

static void find_largest(const struct sfl_admin_connections *connections,
                         const struct sfl_list *list, struct sfl_peer_address *address,
                         unsigned *count)
{
    for (struct sfl_link *link = sfl_list_first(list); link != NULL;
         link = sfl_list_next(list, link)) {
        unsigned seen = count_at(connections, &of(link)->address);
        if (seen <= *count)
            continue;
        *count = seen;
        *address = of(link)->address;
    }
}

// The address that has the most connections.
static struct sfl_peer_address largest(const struct sfl_admin_connections *connections)
{
    struct sfl_peer_address address = {{0}};
    unsigned count = 0;
    find_largest(connections, &connections->answered, &address, &count);
    find_largest(connections, &connections->asking, &address, &count);
    return address;
}

void sfl_admin_connections_add(struct sfl_admin_connections *connections,
                               struct sfl_admin_connection *connection,
                               const struct sockaddr *address, int fd, uint64_t now_ms)
{
    *connection = (struct sfl_admin_connection){.address = read_address(address), .fd = fd};
    connection->since_ms = now_ms;
    if (count_at(connections, &connection->address) >= SFL_CONNECTIONS_PER_ADDRESS_MAX)
        end_one(connections, connection->address, now_ms);
    else if (connections->count >= SFL_CONNECTIONS_MAX)
        end_one(connections, largest(connections), now_ms);
    put_in(connections, connection, SFL_CONNECTION_ASKING);
}

void sfl_admin_connections_remove(struct sfl_admin_connections *connections,
                                  struct sfl_admin_connection *connection)
{
    take_out(connections, connection);
}

void sfl_admin_connections_set(struct sfl_admin_connections *connections,
                               struct sfl_admin_connection *connection,
                               enum sfl_admin_connection_state state, uint64_t now_ms)
{
    if (connection->state == SFL_CONNECTION_ENDED)
        return;
    take_out(connections, connection);
    connection->since_ms = now_ms;
    connection->has_had_answer |= state == SFL_CONNECTION_ASKING;
    put_in(connections, connection, state);
}

bool sfl_admin_connections_may_stream(const struct sfl_admin_connections *connections,
                                      const struct sfl_admin_connection *connection)
{
    static const struct sfl_peer_address loopbacks[] = {
        {{[10] = 0xff, 0xff, 127, 0, 0, 1}},
        {{[15] = 1}},
    };
    const struct sfl_peer_address *address = &connection->address;
    return is_same(address, &loopbacks[0]) || is_same(address, &loopbacks[1]) ||
           count_of(&connections->streaming, address) < SFL_STREAMS_PER_ADDRESS_MAX;
}

// --- too slow ---

static uint64_t end_slow(struct sfl_admin_connections *connections, struct sfl_list *list,
                         uint64_t ms_max, uint64_t now_ms)
{
    struct sfl_link *link;
    while ((link = sfl_list_first(list)) != NULL) {
        uint64_t due_ms = of(link)->since_ms + ms_max;
        if (now_ms < due_ms)
            return due_ms;
        end(connections, of(link));
    }
    return UINT64_MAX;
}

uint64_t sfl_admin_connections_tick(struct sfl_admin_connections *connections, uint64_t now_ms)
{
    uint64_t asking_ms = end_slow(connections, &connections->asking, SFL_REQUEST_MS_MAX, now_ms);
    uint64_t answered_ms = end_slow(connections, &connections->answered, SFL_ANSWER_MS_MAX, now_ms);
    return asking_ms < answered_ms ? asking_ms : answered_ms;
}
