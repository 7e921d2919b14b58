// SPDX-License-Identifier: Apache-2.0
#include "src/value.h"

#include <stdlib.h>

struct sfl_value *sfl_value_create(void)
{
    struct sfl_value *value = calloc(1, sizeof(*value));
    if (value != NULL)
        atomic_init(&value->references, 1);
    return value;
}

struct sfl_value *sfl_value_ref(struct sfl_value *value)
{
    atomic_fetch_add_explicit(&value->references, 1, memory_order_relaxed);
    return value;
}

void sfl_value_unref(struct sfl_value *value)
{
    if (value == NULL)
        return;
    if (atomic_fetch_sub_explicit(&value->references, 1, memory_order_acq_rel) != 1)
        return;
    free(value->data);
    free(value);
}

enum sfl_status sfl_value_append(struct sfl_value *value, struct sfl_span bytes)
{
    if (bytes.size == 0)
        return SFL_OK;
    if (bytes.size >= SIZE_MAX / 2 - value->size)
        return SFL_NO_MEMORY;
    size_t needed = value->size + bytes.size + 1;
    if (needed > value->capacity) {
        size_t capacity = value->capacity * 2 > needed ? value->capacity * 2 : needed;
        uint8_t *data = realloc(value->data, capacity);
        if (data == NULL)
            return SFL_NO_MEMORY;
        value->data = data;
        value->capacity = capacity;
    }
    memcpy(value->data + value->size, bytes.data, bytes.size);
    value->size += bytes.size;
    value->data[value->size] = 0;
    return SFL_OK;
}

void sfl_value_drop(struct sfl_value *value, size_t size)
{
    if (size == 0)
        return;
    value->size -= size;
    memmove(value->data, value->data + size, value->size + 1);
}

void sfl_value_clear(struct sfl_value *value)
{
    free(value->data);
    value->data = NULL;
    value->size = 0;
    value->capacity = 0;
}

struct sfl_span sfl_value_span(const struct sfl_value *value)
{
    if (value == NULL || value->size == 0)
        return sfl_span_of("", 0);
    return sfl_span_of(value->data, value->size);
}
