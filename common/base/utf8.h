// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_BASE_UTF8_H
#define SFL_BASE_UTF8_H

#include "base/bytes.h"

#include <stdbool.h>

// True when the bytes are well-formed UTF-8 (RFC 3629); proto3 asks that of every string field.
bool sfl_utf8_is_valid(struct sfl_span text);

// The beginning of a text, of at most `size_max` bytes and without a torn character.
struct sfl_span sfl_utf8_beginning(struct sfl_span text, size_t size_max);

#endif
