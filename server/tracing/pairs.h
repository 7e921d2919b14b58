// SPDX-License-Identifier: Apache-2.0
// Lists "key=value,key=value" with percent-encoded values, as OpenTelemetry's variables have them.
// Pure.
#ifndef SFL_TRACING_PAIRS_H
#define SFL_TRACING_PAIRS_H

#include "base/status.h"

#include <stddef.h>

struct sfl_pair {
    char *key;
    char *value;
};

// All zero is an empty list.
struct sfl_pairs {
    struct sfl_pair *items;
    size_t count;
};

// Adds the pairs of a text, blanks around keys and values cut. SFL_INVALID_ARGUMENT, and nothing is
// added, when it is no such list; SFL_NO_MEMORY.
enum sfl_status sfl_pairs_read(struct sfl_pairs *pairs, const char *text) SFL_MUST_USE;

// Adds one, which is copied, or gives the value to the key that is there.
enum sfl_status sfl_pairs_set(struct sfl_pairs *pairs, const char *key,
                              const char *value) SFL_MUST_USE;

void sfl_pairs_deinit(struct sfl_pairs *pairs);

#endif
