// SPDX-License-Identifier: Apache-2.0
// A value while it grows, and after that: bytes in one piece, shared by counted references.
#ifndef SFL_CLIENT_VALUE_H
#define SFL_CLIENT_VALUE_H

#include "base/bytes.h"
#include "base/status.h"

// Who appends must be the only one to look at it; once it is shared it does not change any more.
struct sfl_value {
    atomic_uint references;
    uint8_t *data; // with one byte of room after the last, for a NUL
    size_t size;
    size_t capacity;
};

// An empty value with one reference; NULL when there is no memory.
struct sfl_value *sfl_value_create(void);

struct sfl_value *sfl_value_ref(struct sfl_value *value);

// NULL is fine.
void sfl_value_unref(struct sfl_value *value);

// SFL_NO_MEMORY: nothing was appended.
enum sfl_status sfl_value_append(struct sfl_value *value, struct sfl_span bytes) SFL_MUST_USE;

// Takes the first `size` bytes away.
void sfl_value_drop(struct sfl_value *value, size_t size);

// Empties it and gives its memory back.
void sfl_value_clear(struct sfl_value *value);

// The bytes, followed by a NUL that is not counted; never a NULL pointer.
struct sfl_span sfl_value_span(const struct sfl_value *value);

#endif
