// SPDX-License-Identifier: Apache-2.0
#include "src/value.h"

#include <stdlib.h>

void sfl_value_free(struct sfl_value *value)
{
    free(value);
}

// Room for `needed` bytes, the NUL included.
static enum sfl_status grow(struct sfl_value **value, size_t needed)
{
    struct sfl_value *old = *value;
    size_t capacity = needed;
    if (old != NULL && old->capacity * 2 > needed)
        capacity = old->capacity * 2;
    struct sfl_value *grown = realloc(old, sizeof(*grown) + capacity);
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
