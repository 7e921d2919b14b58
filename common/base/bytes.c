// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"

#include "base/references.h"

struct sfl_bytes *sfl_bytes_create(const struct sfl_allocator *allocator, size_t size)
{
    if (size > SIZE_MAX - sizeof(struct sfl_bytes))
        return NULL;
    struct sfl_bytes *bytes = sfl_alloc(allocator, sizeof(*bytes) + size);
    if (bytes == NULL)
        return NULL;
    atomic_init(&bytes->references, 1);
    bytes->allocator = allocator;
    bytes->size = size;
    return bytes;
}

struct sfl_bytes *sfl_bytes_copy(const struct sfl_allocator *allocator, struct sfl_span span)
{
    struct sfl_bytes *bytes = sfl_bytes_create(allocator, span.size);
    if (bytes != NULL && span.size > 0)
        memcpy(bytes->data, span.data, span.size);
    return bytes;
}

struct sfl_bytes *sfl_bytes_ref(struct sfl_bytes *bytes)
{
    if (bytes != NULL)
        atomic_fetch_add_explicit(&bytes->references, 1, memory_order_relaxed);
    return bytes;
}

void sfl_bytes_unref(struct sfl_bytes *bytes)
{
    if (bytes != NULL && sfl_references_drop(&bytes->references))
        sfl_free(bytes->allocator, bytes, sizeof(*bytes) + bytes->size);
}
