// SPDX-License-Identifier: Apache-2.0
#include "base/local_heap.h"

#include "base/poison.h"

#include <pthread.h>
#include <stdbool.h>

enum { GRAIN = 16, SHELVES = SFL_LOCAL_PIECE_MAX / GRAIN };

struct piece {
    struct piece *next;
};

// What a thread keeps. It keeps nothing before it is sure that all will be given back at its end.
struct store {
    enum { STORE_NEW, STORE_OPEN, STORE_CLOSED } state;
    size_t bytes;
    struct piece *shelves[SHELVES]; // one for each size
};

static _Thread_local struct store local;
static pthread_key_t at_end;
static bool has_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool is_small(size_t size)
{
    return size > 0 && size <= SFL_LOCAL_PIECE_MAX;
}

static size_t shelf_of(size_t size)
{
    return (size - 1) / GRAIN;
}

static size_t piece_bytes(size_t shelf)
{
    return (shelf + 1) * GRAIN;
}

// Takes the top piece, which must be there.
static struct piece *take(size_t at)
{
    struct piece *piece = local.shelves[at];
    local.shelves[at] = piece->next;
    local.bytes -= piece_bytes(at);
    ASAN_UNPOISON_MEMORY_REGION(piece, piece_bytes(at));
    return piece;
}

static void close_store(void *store)
{
    (void)store;
    local.state = STORE_CLOSED;
    for (size_t at = 0; at < SHELVES; at++) {
        while (local.shelves[at] != NULL)
            sfl_free(&sfl_heap, take(at), piece_bytes(at));
    }
}

static void make_key(void)
{
    has_key = pthread_key_create(&at_end, close_store) == 0;
}

// False when this thread may keep nothing.
static bool open_store(void)
{
    if (local.state == STORE_NEW) {
        pthread_once(&once, make_key);
        bool is_sure = has_key && pthread_setspecific(at_end, &local) == 0;
        local.state = is_sure ? STORE_OPEN : STORE_CLOSED;
    }
    return local.state == STORE_OPEN;
}

static void *local_alloc(void *context, size_t size)
{
    (void)context;
    if (!is_small(size))
        return sfl_alloc(&sfl_heap, size);
    size_t at = shelf_of(size);
    return local.shelves[at] != NULL ? take(at) : sfl_alloc(&sfl_heap, piece_bytes(at));
}

static void local_free(void *context, void *memory, size_t size)
{
    (void)context;
    if (!is_small(size) || local.bytes > SFL_LOCAL_BYTES_MAX - SFL_LOCAL_PIECE_MAX ||
        !open_store()) {
        sfl_free(&sfl_heap, memory, size);
        return;
    }
    size_t at = shelf_of(size);
    struct piece *piece = memory;
    piece->next = local.shelves[at];
    local.shelves[at] = piece;
    local.bytes += piece_bytes(at);
    // The links stay readable, for the sanitizer's search for leaks.
    ASAN_POISON_MEMORY_REGION(piece + 1, piece_bytes(at) - sizeof(*piece));
}

const struct sfl_allocator sfl_local_heap = {local_alloc, local_free, NULL};
