// SPDX-License-Identifier: Apache-2.0
#include "store/tokens.h"

// The next block is reserved when half of one is used. That half lasts half a minute at a million
// leads a second, for disks that hang; and a crash, after which tokens begin behind the block, puts
// them ahead of the clock by a minute and no more.
#define BLOCK (UINT64_C(1) << 26)

void sfl_tokens_init(struct sfl_tokens *tokens, uint64_t first, void (*on_wanted)(void *context),
                     void *context)
{
    atomic_init(&tokens->last, first);
    atomic_init(&tokens->reserved, first);
    atomic_init(&tokens->is_wanted, false);
    tokens->on_wanted = on_wanted;
    tokens->context = context;
}

uint64_t sfl_tokens_take(struct sfl_tokens *tokens, uint64_t count)
{
    uint64_t last = atomic_fetch_add(&tokens->last, count) + count;
    uint64_t reserved = atomic_load(&tokens->reserved);
    bool is_short = last > reserved || reserved - last <= BLOCK / 2;
    if (is_short && !atomic_load(&tokens->is_wanted) && !atomic_exchange(&tokens->is_wanted, true))
        tokens->on_wanted(tokens->context);
    return last > reserved ? 0 : last - count + 1;
}

uint64_t sfl_tokens_next_block(const struct sfl_tokens *tokens)
{
    return atomic_load(&tokens->last) + BLOCK;
}

void sfl_tokens_reserve(struct sfl_tokens *tokens, uint64_t reserved)
{
    atomic_store(&tokens->reserved, reserved);
    atomic_store(&tokens->is_wanted, false);
}

bool sfl_tokens_are_wanted(const struct sfl_tokens *tokens)
{
    return atomic_load(&tokens->is_wanted);
}

uint64_t sfl_tokens_last(const struct sfl_tokens *tokens)
{
    uint64_t last = atomic_load(&tokens->last);
    uint64_t reserved = atomic_load(&tokens->reserved);
    return last < reserved ? last : reserved;
}
