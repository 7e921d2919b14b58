// SPDX-License-Identifier: Apache-2.0
#include "src/value.h"

#include "src/memory.h"

#include <stdlib.h>

static size_t bytes_of(const struct sfl_value *value)
{
    return sizeof(*value) + value->capacity;
}

void sfl_value_free(struct sfl_value *value)
{
    if (value != NULL)
        sfl_memory_free(value, bytes_of(value));
}

// With other memory of `bytes`, for a value that may be NULL. NULL: it is as it was.
static struct sfl_value *move(struct sfl_value *value, size_t bytes)
{
    // What the heap gave may grow where it is.
    if (value != NULL && bytes_of(value) > SFL_LOCAL_PIECE_MAX)
        return realloc(value, bytes);
    struct sfl_value *moved = sfl_memory_alloc(bytes);
    if (moved == NULL || value == NULL)
        return moved;
    memcpy(moved, value, sizeof(*value) + value->size);
    sfl_value_free(value);
    return moved;
}

// Room for `needed` bytes, the NUL included.
static enum sfl_status grow(struct sfl_value **value, size_t needed)
{
    struct sfl_value *old = *value;
    size_t capacity = needed;
    if (old != NULL && old->capacity * 2 > needed)
        capacity = old->capacity * 2;
    struct sfl_value *grown = move(old, sizeof(*grown) + capacity);
    if (grown == NULL)
        return SFL_NO_MEMORY;
    if (old == NULL)
        grown->size = 0;
    grown->capacity = capacity;
    *value = grown;
    return SFL_OK;
}

enum sfl_status sfl_value_append(struct sfl_value **value, struct sfl_span bytes)
{
    if (bytes.size == 0)
        return SFL_OK;
    size_t size = *value == NULL ? 0 : (*value)->size;
    if (bytes.size >= SIZE_MAX / 4 - size)
        return SFL_NO_MEMORY;
    size_t needed = size + bytes.size + 1;
    if (*value == NULL || needed > (*value)->capacity) {
        enum sfl_status status = grow(value, needed);
        if (status != SFL_OK)
            return status;
    }
    uint8_t *data = (*value)->data;
    memcpy(data + size, bytes.data, bytes.size);
    data[size + bytes.size] = 0;
    (*value)->size = size + bytes.size;
    return SFL_OK;
}

void sfl_value_drop(struct sfl_value *value, size_t size)
{
    if (size == 0)
        return;
    value->size -= size;
    memmove(value->data, value->data + size, value->size + 1);
}

struct sfl_span sfl_value_span(const struct sfl_value *value)
{
    if (value == NULL)
        return sfl_span_of("", 0);
    return sfl_span_of(value->data, value->size);
}
