// SPDX-License-Identifier: Apache-2.0
// Which of several servers is the home of a key: rendezvous hashing, the same in every language.
#ifndef SFL_CLIENT_RENDEZVOUS_H
#define SFL_CLIENT_RENDEZVOUS_H

#include "base/bytes.h"

// More servers than this are a mistake.
#define SFL_SERVERS_MAX 64

// XXH64, seed 0, of <address> 00 <group> 00 <key>; an empty group counts as "default".
uint64_t sfl_rendezvous_score(struct sfl_span address, struct sfl_span group, struct sfl_span key);

// Writes the places 0 to count-1 of `addresses` to `order_out`, the best first; equal scores stay
// in the order of the addresses. `count` is at most SFL_SERVERS_MAX.
void sfl_rendezvous_order(const struct sfl_span *addresses, size_t count, struct sfl_span group,
                          struct sfl_span key, uint8_t *order_out);

#endif
