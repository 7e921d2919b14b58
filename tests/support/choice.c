// SPDX-License-Identifier: Apache-2.0
#include "support/choice.h"

struct choice choice_of_seed(uint64_t seed)
{
    return (struct choice){.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
}

struct choice choice_of_bytes(const uint8_t *bytes, size_t size)
{
    return (struct choice){.bytes = bytes, .size = size};
}

// SplitMix64 (Steele, Lea and Flood, 2014).
static uint64_t next_number(struct choice *choice)
{
    uint64_t z = choice->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t next_byte(struct choice *choice)
{
    return choice->position < choice->size ? choice->bytes[choice->position++] : 0;
}

static unsigned bytes_for(uint32_t limit)
{
    return limit > 65536 ? 3 : limit > 256 ? 2 : 1;
}

static uint32_t below_by_seed(struct choice *choice, uint32_t limit)
{
    uint32_t number = (uint32_t)(((next_number(choice) >> 32) * limit) >> 32);
    for (unsigned i = 0; choice->record != NULL && i < bytes_for(limit); i++)
        putc((int)(number >> (8 * i) & 255), choice->record);
    return number;
}

uint32_t choice_below(struct choice *choice, uint32_t limit)
{
    if (limit <= 1)
        return 0;
    if (choice->bytes == NULL)
        return below_by_seed(choice, limit);
    uint32_t number = 0;
    for (unsigned i = 0; i < bytes_for(limit); i++)
        number |= next_byte(choice) << (8 * i);
    return number % limit;
}

bool choice_one_in(struct choice *choice, uint32_t n)
{
    return choice_below(choice, n) == n - 1;
}

bool choice_is_used_up(const struct choice *choice)
{
    return choice->bytes != NULL && choice->position >= choice->size;
}
