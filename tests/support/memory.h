// SPDX-License-Identifier: Apache-2.0
// An allocator for tests: it counts what is out, checks what comes back, spoils what was freed, and
// fails when it is told to. Not for several threads.
#ifndef SFL_TESTS_SUPPORT_MEMORY_H
#define SFL_TESTS_SUPPORT_MEMORY_H

#include "base/allocator.h"

#include <stdbool.h>
#include <stdint.h>

struct memory {
    struct sfl_allocator allocator; // give &memory.allocator to the code under test
    uint64_t blocks;                // not given back yet
    uint64_t bytes;
    uint64_t failures;       // how many requests have failed so far
    uint32_t fail_countdown; // 1: the next request fails; 0: none does
    uint32_t fail_run;       // how many requests in a row fail then; 0 counts as 1
};

// Makes an allocator that never fails. The memory must not move while it is in use.
void memory_init(struct memory *memory);

// Lets the `nth` request from now on (1 is the next), and `run` - 1 requests after it, fail.
void memory_fail(struct memory *memory, uint32_t nth, uint32_t run);

// No request fails any more.
void memory_fail_never(struct memory *memory);

#endif
