// SPDX-License-Identifier: Apache-2.0
#include "support/memory.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRESH = 0xA5, // what memory holds before it is written
    FREED = 0xDD, // what it holds once it was given back
    SPOILED_MAX = 2048,
};

#define STAMP UINT64_C(0x5f1e57a7e0fb10c5)

struct header {
    alignas(max_align_t) uint64_t size;
    uint64_t stamp;
};

static bool must_fail(struct memory *memory)
{
    if (memory->fail_countdown == 0)
        return false;
    memory->fail_countdown--;
    if (memory->fail_countdown > 0)
        return false;
    memory->failures++;
    if (memory->fail_run > 1) {
        memory->fail_run--;
        memory->fail_countdown = 1;
    }
    return true;
}

static void *memory_alloc(void *context, size_t size)
{
    struct memory *memory = context;
    if (must_fail(memory))
        return NULL;
    struct header *header = malloc(sizeof(*header) + size);
    assert(header != NULL);
    header->size = size;
    header->stamp = STAMP;
    memset(header + 1, FRESH, size < SPOILED_MAX ? size : SPOILED_MAX);
    memory->blocks++;
    memory->bytes += size;
    return header + 1;
}

static void memory_free(void *context, void *pointer, size_t size)
{
    struct memory *memory = context;
    struct header *header = (struct header *)pointer - 1;
    assert(header->stamp == STAMP && "freed twice, or never allocated");
    assert(header->size == size && "freed with another size than it was asked for");
    assert(memory->blocks > 0 && memory->bytes >= size);
    memory->blocks--;
    memory->bytes -= size;
    memset(header, FREED, sizeof(*header) + (size < SPOILED_MAX ? size : SPOILED_MAX));
    free(header);
}

void memory_init(struct memory *memory)
{
    *memory = (struct memory){.allocator = {memory_alloc, memory_free, memory}};
}

void memory_fail(struct memory *memory, uint32_t nth, uint32_t run)
{
    memory->fail_countdown = nth;
    memory->fail_run = run;
}

void memory_fail_never(struct memory *memory)
{
    memory->fail_countdown = 0;
    memory->fail_run = 0;
}
