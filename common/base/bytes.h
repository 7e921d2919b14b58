// SPDX-License-Identifier: Apache-2.0
// Borrowed bytes (a span) and shared bytes (a counted buffer).
#ifndef SFL_BASE_BYTES_H
#define SFL_BASE_BYTES_H

#include "base/allocator.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Bytes that somebody else owns. `data` may be NULL when `size` is 0.
struct sfl_span {
    const uint8_t *data;
    size_t size;
};

static inline struct sfl_span sfl_span_of(const void *data, size_t size)
{
    return (struct sfl_span){data, size};
}

static inline struct sfl_span sfl_span_of_text(const char *text)
{
    return (struct sfl_span){(const uint8_t *)text, strlen(text)};
}

static inline bool sfl_span_equal(struct sfl_span a, struct sfl_span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool sfl_span_starts_with(struct sfl_span bytes, struct sfl_span prefix)
{
    return prefix.size <= bytes.size &&
           (prefix.size == 0 || memcmp(bytes.data, prefix.data, prefix.size) == 0);
}

// Bytes that are never changed once they are made, and freed with the last reference.
// References may be taken and dropped from any thread.
struct sfl_bytes {
    atomic_uint references;
    const struct sfl_allocator *allocator;
    size_t size;
    uint8_t data[];
};

// A buffer of `size` bytes with one reference, to be filled by the caller before it is shared.
// NULL when there is no memory.
struct sfl_bytes *sfl_bytes_create(const struct sfl_allocator *allocator, size_t size);

// A copy of `span` with one reference; NULL when there is no memory.
struct sfl_bytes *sfl_bytes_copy(const struct sfl_allocator *allocator, struct sfl_span span);

// Takes one more reference and returns `bytes`. NULL stays NULL.
struct sfl_bytes *sfl_bytes_ref(struct sfl_bytes *bytes);

// Drops a reference; the last one frees. NULL is fine.
void sfl_bytes_unref(struct sfl_bytes *bytes);

// The span of a buffer; empty for NULL. Borrowed: valid while a reference is held.
static inline struct sfl_span sfl_bytes_span(const struct sfl_bytes *bytes)
{
    return bytes == NULL ? sfl_span_of(NULL, 0) : sfl_span_of(bytes->data, bytes->size);
}

#endif
