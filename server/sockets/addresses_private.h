// SPDX-License-Identifier: Apache-2.0
// Private to server/sockets: how many connections each peer address has. Pure bookkeeping; whoever
// calls it holds a lock of its own.
//
// An IPv6 address counts as its /64, which is what one customer is given; an IPv4 address inside an
// IPv6 one counts as itself. A unix socket has no address, and is not counted here.
#ifndef SFL_SOCKETS_ADDRESSES_PRIVATE_H
#define SFL_SOCKETS_ADDRESSES_PRIVATE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct sfl_address_count; // one address that has connections

struct sfl_addresses {
    struct sfl_address_count **buckets;
    size_t bucket_count;
    uint64_t seed; // a secret, so that a stranger cannot choose addresses that collide
};

// Room for the addresses of about `connections` connections; more only make it slower.
enum sfl_status sfl_addresses_init(struct sfl_addresses *addresses,
                                   size_t connections) SFL_MUST_USE;
void sfl_addresses_deinit(struct sfl_addresses *addresses);

// Counts one more connection of `peer`, unless it has `connections_max` of them. On success
// *count_out is what is to be given to sfl_addresses_remove; NULL for a unix socket.
// SFL_RESOURCE_EXHAUSTED, SFL_NO_MEMORY.
enum sfl_status sfl_addresses_add(struct sfl_addresses *addresses,
                                  const struct sockaddr_storage *peer, uint32_t connections_max,
                                  struct sfl_address_count **count_out) SFL_MUST_USE;

// One connection less. `count` may be NULL.
void sfl_addresses_remove(struct sfl_addresses *addresses, struct sfl_address_count *count);

#endif
