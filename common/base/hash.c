// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <assert.h>

// In line, because nearly all that is hashed is short.
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t sfl_hash(const struct sfl_hash_secret *secret, struct sfl_span group, struct sfl_span key)
{
    uint64_t of_group =
        XXH3_64bits_withSecret(group.data, group.size, secret->bytes, sizeof(secret->bytes));
    uint64_t of_key =
        XXH3_64bits_withSecret(key.data, key.size, secret->bytes, sizeof(secret->bytes));
    // The multiplier is odd, so no bit of the group's hash is lost.
    return of_key ^ (of_group * UINT64_C(0x9e3779b97f4a7c15) + (of_group >> 29));
}

uint64_t sfl_hash_stable(struct sfl_span bytes, uint64_t seed)
{
    assert(bytes.data != NULL || bytes.size == 0);
    return XXH64(bytes.data, bytes.size, seed);
}
