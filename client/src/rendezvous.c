// SPDX-License-Identifier: Apache-2.0
#include "src/rendezvous.h"

#include "base/hash.h"

#include <stdlib.h>

#define SCORED_ON_STACK_MAX 2048

static uint8_t *put(uint8_t *at, struct sfl_span bytes)
{
    if (bytes.size > 0)
        memcpy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

uint64_t sfl_rendezvous_score(struct sfl_span address, struct sfl_span group, struct sfl_span key)
{
    if (group.size == 0)
        group = sfl_span_of_text("default");
    uint8_t on_stack[SCORED_ON_STACK_MAX];
    size_t size = address.size + 1 + group.size + 1 + key.size;
    uint8_t *scored = size <= sizeof(on_stack) ? on_stack : malloc(size);
    if (scored == NULL)
        return 0; // the order of the addresses decides then
    uint8_t *at = put(scored, address);
    *at++ = 0;
    at = put(at, group);
    *at++ = 0;
    put(at, key);
    uint64_t score = sfl_hash_stable(sfl_span_of(scored, size), 0);
    if (scored != on_stack)
        free(scored);
    return score;
}

void sfl_rendezvous_order(const struct sfl_span *addresses, size_t count, struct sfl_span group,
                          struct sfl_span key, uint8_t *order_out)
{
    // Insertion: there are few servers, and each score is worked out once.
    uint64_t scores[SFL_SERVERS_MAX];
    for (size_t i = 0; i < count; i++) {
        uint64_t score = sfl_rendezvous_score(addresses[i], group, key);
        size_t at = i;
        for (; at > 0 && scores[at - 1] < score; at--) {
            scores[at] = scores[at - 1];
            order_out[at] = order_out[at - 1];
        }
        scores[at] = score;
        order_out[at] = (uint8_t)i;
    }
}
