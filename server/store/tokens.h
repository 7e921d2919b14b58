// SPDX-License-Identifier: Apache-2.0
// Tokens are reserved on disk in blocks before they are granted, so that they grow whatever
// happens.
#ifndef SFL_STORE_TOKENS_H
#define SFL_STORE_TOKENS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sfl_tokens {
    _Atomic uint64_t last;     // the greatest that was granted, or asked for in vain
    _Atomic uint64_t reserved; // up to here they may be granted
    atomic_bool is_wanted;     // another block is; set until there is one
    // Called once when another block is wanted. Any thread; must not block.
    void (*on_wanted)(void *context);
    void *context;
};

// Begins after `first`. A block has to be reserved before the first is granted.
void sfl_tokens_init(struct sfl_tokens *tokens, uint64_t first, void (*on_wanted)(void *context),
                     void *context);

// The first of `count` tokens in a row, each greater than every one before. 0 when the disk cannot
// be written and the reserve is used up. Any thread, never waits.
uint64_t sfl_tokens_take(struct sfl_tokens *tokens, uint64_t count);

// The next block: its end is to be on disk before sfl_tokens_reserve says so.
uint64_t sfl_tokens_next_block(const struct sfl_tokens *tokens);
void sfl_tokens_reserve(struct sfl_tokens *tokens, uint64_t reserved);

bool sfl_tokens_are_wanted(const struct sfl_tokens *tokens);

// The greatest token that may have been granted.
uint64_t sfl_tokens_last(const struct sfl_tokens *tokens);

#endif
