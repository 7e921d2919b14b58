// SPDX-License-Identifier: Apache-2.0
#include "core/value.h"

#include "base/references.h"

#include <assert.h>

// Small chunks are gathered in blocks that grow with the value, up to this size.
enum { BLOCK_MAX = 64 * 1024 };

enum sfl_reason sfl_held_take(struct sfl_held *held, const struct sfl_limits *limits,
                              uint64_t bytes)
{
    if (!sfl_quota_take_held(held->quota, bytes))
        return SFL_REASON_HELD_QUOTA;
    if (sfl_share_take(held->all, bytes, limits->held_bytes_max))
        return SFL_REASON_NONE;
    sfl_quota_give_held(held->quota, bytes);
    return SFL_REASON_HELD_LIMIT;
}

void sfl_held_give(struct sfl_held *held, uint64_t bytes)
{
    if (bytes == 0) // it holds nothing of the group, which may be gone
        return;
    sfl_share_give(held->all, bytes);
    sfl_quota_give_held(held->quota, bytes); // and with the last byte it may go
}

// Charges what a value of `size` bytes is to grow by.
static enum sfl_reason take_room(struct sfl_held *held, const struct sfl_limits *limits,
                                 uint64_t size, uint64_t more)
{
    if (more > limits->value_bytes_max || size > limits->value_bytes_max - more)
        return SFL_REASON_VALUE_LIMIT;
    return sfl_held_take(held, limits, more);
}

enum sfl_reason sfl_value_create(const struct sfl_allocator *allocator, struct sfl_held *held,
                                 const struct sfl_limits *limits, struct sfl_span bytes,
                                 struct sfl_value **value_out)
{
    assert(bytes.size > 0);
    enum sfl_reason reason = take_room(held, limits, 0, bytes.size);
    if (reason != SFL_REASON_NONE)
        return reason;
    struct sfl_value *value = sfl_alloc(allocator, sizeof(*value) + bytes.size);
    if (value == NULL) {
        sfl_held_give(held, bytes.size);
        return SFL_REASON_NO_MEMORY;
    }
    value->allocator = allocator;
    value->held = held;
    value->size = bytes.size;
    value->last = &value->first;
    value->first.next = NULL;
    value->first.start = 0;
    value->first.capacity = bytes.size;
    memcpy(value->first.data, bytes.data, bytes.size);
    atomic_init(&value->references, 1);
    *value_out = value;
    return SFL_REASON_NONE;
}

struct sfl_value *sfl_value_ref(struct sfl_value *value)
{
    if (value != NULL)
        atomic_fetch_add_explicit(&value->references, 1, memory_order_relaxed);
    return value;
}

void sfl_value_unref(struct sfl_value *value)
{
    if (value == NULL)
        return;
    if (!sfl_references_drop(&value->references))
        return;
    struct sfl_block *block = value->first.next;
    while (block != NULL) {
        struct sfl_block *next = block->next;
        sfl_free(value->allocator, block, sizeof(*block) + block->capacity);
        block = next;
    }
    sfl_held_give(value->held, value->size);
    sfl_free(value->allocator, value, sizeof(*value) + value->first.capacity);
}

// A block for `size` bytes that do not fit into the last one; not linked yet.
static struct sfl_block *create_block(struct sfl_value *value, size_t size)
{
    size_t capacity = value->size < BLOCK_MAX ? (size_t)value->size : BLOCK_MAX;
    if (capacity < size)
        capacity = size;
    struct sfl_block *block = sfl_alloc(value->allocator, sizeof(*block) + capacity);
    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->capacity = capacity;
    return block;
}

enum sfl_reason sfl_value_append(struct sfl_value *value, const struct sfl_limits *limits,
                                 struct sfl_span bytes)
{
    if (bytes.size == 0)
        return SFL_REASON_NONE;
    enum sfl_reason reason = take_room(value->held, limits, value->size, bytes.size);
    if (reason != SFL_REASON_NONE)
        return reason;

    size_t room = (size_t)(value->last->start + value->last->capacity - value->size);
    size_t head = bytes.size < room ? bytes.size : room;
    struct sfl_block *block = NULL;
    if (head < bytes.size) {
        block = create_block(value, bytes.size - head);
        if (block == NULL) {
            sfl_held_give(value->held, bytes.size);
            return SFL_REASON_NO_MEMORY;
        }
    }
    if (head > 0)
        memcpy(value->last->data + (value->size - value->last->start), bytes.data, head);
    if (block != NULL) {
        memcpy(block->data, bytes.data + head, bytes.size - head);
        block->start = value->size + head;
        value->last->next = block;
        value->last = block;
    }
    value->size += bytes.size;
    return SFL_REASON_NONE;
}

struct sfl_span sfl_value_read(const struct sfl_value *value, uint64_t size,
                               struct sfl_value_cursor *cursor, size_t max)
{
    if (cursor->position >= size || max == 0)
        return sfl_span_of(NULL, 0);
    if (cursor->block == NULL)
        cursor->block = &value->first;
    else if (cursor->position == cursor->block->start + cursor->block->capacity)
        cursor->block = cursor->block->next;

    const struct sfl_block *block = cursor->block;
    uint64_t block_end = block->start + block->capacity;
    uint64_t end = size < block_end ? size : block_end;
    size_t count = (size_t)(end - cursor->position);
    if (count > max)
        count = max;
    struct sfl_span bytes = sfl_span_of(block->data + (cursor->position - block->start), count);
    cursor->position += count;
    return bytes;
}

enum sfl_reason sfl_outcome_create(const struct sfl_allocator *allocator, struct sfl_held *held,
                                   const struct sfl_limits *limits, struct sfl_value *value,
                                   struct sfl_bytes *texts, struct sfl_outcome **outcome_out)
{
    uint64_t texts_bytes = texts == NULL ? 0 : texts->size;
    enum sfl_reason reason = sfl_held_take(held, limits, texts_bytes);
    if (reason != SFL_REASON_NONE)
        return reason;
    struct sfl_outcome *outcome =
        value != NULL ? &value->outcome : sfl_alloc(allocator, sizeof(*outcome));
    if (outcome == NULL) {
        sfl_held_give(held, texts_bytes);
        return SFL_REASON_NO_MEMORY;
    }
    *outcome = (struct sfl_outcome){
        .allocator = allocator,
        .held = held,
        .value_bytes = value == NULL ? 0 : value->size,
        .value = value,
        .texts = sfl_bytes_ref(texts),
    };
    atomic_init(&outcome->references, 1);
    *outcome_out = outcome;
    return SFL_REASON_NONE;
}

// The value of `bytes`, NULL for none.
static enum sfl_reason restore_value(const struct sfl_allocator *allocator, struct sfl_held *held,
                                     const struct sfl_limits *limits, struct sfl_span bytes,
                                     struct sfl_value **value_out)
{
    *value_out = NULL;
    if (bytes.size == 0)
        return SFL_REASON_NONE;
    return sfl_value_create(allocator, held, limits, bytes, value_out);
}

enum sfl_reason sfl_outcome_restore(const struct sfl_allocator *allocator, struct sfl_held *held,
                                    const struct sfl_limits *limits,
                                    const struct sfl_outcome_parts *parts,
                                    struct sfl_outcome **outcome_out)
{
    struct sfl_value *value;
    enum sfl_reason reason = restore_value(allocator, held, limits, parts->value, &value);
    if (reason != SFL_REASON_NONE)
        return reason;
    struct sfl_bytes *texts = NULL;
    if (parts->texts.size > 0) {
        texts = sfl_bytes_copy(allocator, parts->texts);
        reason = texts == NULL ? SFL_REASON_NO_MEMORY : SFL_REASON_NONE;
    }
    struct sfl_outcome *outcome = NULL;
    if (reason == SFL_REASON_NONE)
        reason = sfl_outcome_create(allocator, held, limits, value, texts, &outcome);
    sfl_bytes_unref(texts);
    if (reason != SFL_REASON_NONE) {
        sfl_value_unref(value);
        return reason;
    }
    outcome->kind = parts->kind;
    outcome->attempt = parts->attempt;
    outcome->token = parts->token;
    *outcome_out = outcome;
    return SFL_REASON_NONE;
}

struct sfl_outcome *sfl_outcome_ref(struct sfl_outcome *outcome)
{
    if (outcome != NULL)
        atomic_fetch_add_explicit(&outcome->references, 1, memory_order_relaxed);
    return outcome;
}

static uint64_t texts_size(const struct sfl_outcome *outcome)
{
    return outcome->texts == NULL ? 0 : outcome->texts->size;
}

void sfl_outcome_unref(struct sfl_outcome *outcome)
{
    if (outcome == NULL)
        return;
    if (!sfl_references_drop(&outcome->references))
        return;
    sfl_held_give(outcome->held, texts_size(outcome));
    sfl_bytes_unref(outcome->texts);
    if (outcome->value != NULL)
        sfl_value_unref(outcome->value);
    else
        sfl_free(outcome->allocator, outcome, sizeof(*outcome));
}

uint64_t sfl_outcome_held_bytes(const struct sfl_outcome *outcome)
{
    return texts_size(outcome) + outcome->value_bytes;
}
