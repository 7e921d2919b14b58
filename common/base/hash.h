// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_BASE_HASH_H
#define SFL_BASE_HASH_H

#include "base/bytes.h"

#include <stdint.h>

// A secret for sfl_hash, so that a stranger cannot choose keys that collide.
struct sfl_hash_secret {
    uint8_t bytes[192];
};

// Hash of (group, key) under a secret; the pair ("a","bc") differs from ("ab","c"). XXH3, 64 bits.
uint64_t sfl_hash(const struct sfl_hash_secret *secret, struct sfl_span group, struct sfl_span key);

// XXH64 with a seed: the same number in every language. For rendezvous hashing.
uint64_t sfl_hash_stable(struct sfl_span bytes, uint64_t seed);

#endif
