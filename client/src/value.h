// SPDX-License-Identifier: Apache-2.0
// A value while it grows, and after that: bytes in one piece.
#ifndef SFL_CLIENT_VALUE_H
#define SFL_CLIENT_VALUE_H

#include "base/bytes.h"
#include "base/status.h"

// It has one owner, and moves from one to the next. NULL is an empty value.
struct sfl_value {
    size_t size;
    size_t capacity; // one byte more than `size` can be, for a NUL
    uint8_t data[];
};

// NULL is fine.
void sfl_value_free(struct sfl_value *value);

// Appends to *value, which moves when it grows; the first bytes make it.
// SFL_NO_MEMORY: nothing was appended.
enum sfl_status sfl_value_append(struct sfl_value **value, struct sfl_span bytes) SFL_MUST_USE;

// Takes the first `size` bytes away.
void sfl_value_drop(struct sfl_value *value, size_t size);

// The bytes, followed by a NUL that is not counted; never a NULL pointer.
struct sfl_span sfl_value_span(const struct sfl_value *value);

#endif
