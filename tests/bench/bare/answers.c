// SPDX-License-Identifier: Apache-2.0
#include "bench/bare/bare.h"

#include <stdlib.h>

enum { SLOTS = 1 << 20 };

static struct bare_slot slots[SLOTS];

struct bare_slot *bare_slot_of(uint32_t number)
{
    return &slots[number & (SLOTS - 1)];
}

void bare_slot_wait(struct bare_slot *slot, const struct bare_waiter *waiter)
{
    if (slot->count == slot->capacity) {
        slot->capacity = slot->capacity == 0 ? 4 : slot->capacity * 2;
        slot->waiters = realloc(slot->waiters, slot->capacity * sizeof *slot->waiters);
        if (slot->waiters == NULL)
            abort();
    }
    slot->waiters[slot->count++] = *waiter;
}

void bare_slot_settle(struct bare_slot *slot, grpc_slice value)
{
    for (uint32_t i = 0; i < slot->count; i++)
        slot->waiters[i].on_outcome(&slot->waiters[i], value, slot->count + 1);
    slot->count = 0;
    slot->is_led = false;
}

size_t bare_put_result(uint8_t *at, bool led, uint32_t callers, uint64_t value_bytes)
{
    uint8_t *begin = at;
    if (led)
        at = bench_put_number(at, 2, 1);
    if (callers > 1)
        at = bench_put_number(at, 3, 1);
    at = bench_put_number(at, 4, callers);
    at = bench_put_number(at, 5, 1);
    at = bench_put_number(at, 6, bare_next_token());
    if (led) {
        at = bench_put_length(at, 1, 2);
        at = bench_put_number(at, 1, 1);
        return (size_t)(at - begin);
    }
    at = bench_put_number(at, 10, value_bytes);
    at = bench_put_length(at, 1, 2 + 1 + bench_varint_size(value_bytes) + value_bytes);
    at = bench_put_number(at, 1, 1);
    at = bench_put_length(at, 2, value_bytes);
    return (size_t)(at - begin);
}

size_t bare_put_lead(uint8_t *at, uint64_t token)
{
    uint8_t *begin = at;
    at = bench_put_number(at, 1, token);
    at = bench_put_number(at, 2, 1);
    return (size_t)(at - begin);
}

size_t bare_put_follow(uint8_t *at)
{
    return (size_t)(bench_put_number(at, 1, 1) - at);
}

uint64_t bare_next_token(void)
{
    // As large as tokens that start from a wall clock are.
    static uint64_t token = 1700000000000000;
    return ++token;
}

// Fields come in order: Finish{outcome{kind, value}}; the programs here send nothing else.
grpc_slice bare_read_value(struct bench_reader *reader, uint64_t body)
{
    uint64_t end = bench_reader_position(reader) + body;
    bench_read_varint(reader); // outcome
    bench_read_varint(reader);
    bench_read_varint(reader); // kind
    bench_read_varint(reader);
    bench_read_varint(reader); // value
    uint64_t size = bench_read_varint(reader);
    if (reader->failed || bench_reader_position(reader) + size != end)
        abort();
    grpc_slice value = grpc_slice_malloc(size);
    bench_read_bytes(reader, GRPC_SLICE_START_PTR(value), size);
    return value;
}
