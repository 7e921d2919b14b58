// SPDX-License-Identifier: Apache-2.0
#include "sockets/addresses_private.h"

#include "base/entropy.h"
#include "base/hash.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define NETWORK_BYTES 8 // of an IPv6 address: a /64

struct sfl_address_count {
    struct sfl_address_count *next; // in its bucket
    uint64_t address;
    uint32_t connections;
    bool is_network; // the first half of an IPv6 address, not an IPv4 one
};

enum sfl_status sfl_addresses_init(struct sfl_addresses *addresses, size_t connections)
{
    size_t count = 64;
    while (count < connections && count < 65536)
        count *= 2;
    addresses->buckets = calloc(count, sizeof(void *));
    if (addresses->buckets == NULL)
        return SFL_NO_MEMORY;
    addresses->bucket_count = count;
    addresses->seed = sfl_entropy_u64();
    return SFL_OK;
}

void sfl_addresses_deinit(struct sfl_addresses *addresses)
{
    for (size_t i = 0; i < addresses->bucket_count; i++) {
        while (addresses->buckets[i] != NULL) {
            struct sfl_address_count *next = addresses->buckets[i]->next;
            free(addresses->buckets[i]);
            addresses->buckets[i] = next;
        }
    }
    free(addresses->buckets);
    *addresses = (struct sfl_addresses){0};
}

// False for a peer without an address.
static bool read_peer(const struct sockaddr_storage *peer, struct sfl_address_count *key_out)
{
    *key_out = (struct sfl_address_count){0};
    if (peer->ss_family == AF_INET) {
        key_out->address = ((const struct sockaddr_in *)peer)->sin_addr.s_addr;
        return true;
    }
    if (peer->ss_family != AF_INET6)
        return false;
    const struct in6_addr *address = &((const struct sockaddr_in6 *)peer)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        uint32_t mapped;
        memcpy(&mapped, &address->s6_addr[12], sizeof(mapped));
        key_out->address = mapped;
        return true;
    }
    memcpy(&key_out->address, address->s6_addr, NETWORK_BYTES);
    key_out->is_network = true;
    return true;
}

static struct sfl_address_count **bucket_of(struct sfl_addresses *addresses, uint64_t address)
{
    uint64_t hash = sfl_hash_stable(sfl_span_of(&address, sizeof(address)), addresses->seed);
    return &addresses->buckets[hash & (addresses->bucket_count - 1)];
}

enum sfl_status sfl_addresses_add(struct sfl_addresses *addresses,
                                  const struct sockaddr_storage *peer, uint32_t connections_max,
                                  struct sfl_address_count **count_out)
{
    struct sfl_address_count key;
    if (!read_peer(peer, &key)) {
        *count_out = NULL;
        return SFL_OK;
    }
    struct sfl_address_count **bucket = bucket_of(addresses, key.address);
    struct sfl_address_count *count = *bucket;
    while (count != NULL && (count->address != key.address || count->is_network != key.is_network))
        count = count->next;
    if (count == NULL) {
        count = malloc(sizeof(*count));
        if (count == NULL)
            return SFL_NO_MEMORY;
        *count = key;
        count->next = *bucket;
        *bucket = count;
    }
    if (count->connections >= connections_max)
        return SFL_RESOURCE_EXHAUSTED;
    count->connections++;
    *count_out = count;
    return SFL_OK;
}

void sfl_addresses_remove(struct sfl_addresses *addresses, struct sfl_address_count *count)
{
    if (count == NULL)
        return;
    assert(count->connections > 0);
    if (--count->connections > 0)
        return;
    struct sfl_address_count **link = bucket_of(addresses, count->address);
    while (*link != count)
        link = &(*link)->next;
    *link = count->next;
    free(count);
}
