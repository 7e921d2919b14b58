// SPDX-License-Identifier: Apache-2.0
// Where a test's decisions come from: a seed (the simulator) or a string of bytes (the fuzzer).
#ifndef SFL_TESTS_SUPPORT_CHOICE_H
#define SFL_TESTS_SUPPORT_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct choice {
    uint64_t state;
    const uint8_t *bytes; // NULL: the seed decides
    size_t size;
    size_t position;
    FILE *record; // NULL, or where the choices of a seed go as the bytes that make the same ones
};

struct choice choice_of_seed(uint64_t seed);

// The bytes are borrowed. When they are used up, every choice is 0.
struct choice choice_of_bytes(const uint8_t *bytes, size_t size);

// A number from 0 to `limit` - 1; `limit` is at least 1.
uint32_t choice_below(struct choice *choice, uint32_t limit);

// True once in `n` times; a string of bytes that is used up says false.
bool choice_one_in(struct choice *choice, uint32_t n);

// True when nothing is left to decide with; a seed never ends.
bool choice_is_used_up(const struct choice *choice);

#endif
