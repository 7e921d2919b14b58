// SPDX-License-Identifier: Apache-2.0
// The heap that keeps small pieces at hand: what a thread freed it gets again, within bounds.
#include "base/local_heap.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void *take(size_t size)
{
    void *memory = sfl_alloc(&sfl_local_heap, size);
    if (memory == NULL)
        abort();
    memset(memory, 0x5a, size);
    return memory;
}

static void give(void *memory, size_t size)
{
    sfl_free(&sfl_local_heap, memory, size);
}

static void the_latest_piece_of_a_size_comes_first(void **state)
{
    (void)state;
    void *first = take(100);
    void *second = take(100);
    void *other = take(200);
    give(first, 100);
    give(second, 100);
    give(other, 200);
    assert_ptr_equal(take(100), second);
    assert_ptr_equal(take(100), first);
    assert_ptr_equal(take(200), other);
    give(first, 100);
    give(second, 100);
    give(other, 200);
}

static void sizes_of_one_grain_share_their_pieces(void **state)
{
    (void)state;
    void *piece = take(33);
    give(piece, 33);
    assert_ptr_equal(take(48), piece);
    give(piece, 48);
}

static void every_size_is_served(void **state)
{
    (void)state;
    void *pieces[2 * SFL_LOCAL_PIECE_MAX];
    for (unsigned round = 0; round < 2; round++) {
        for (size_t size = 1; size < sizeof(pieces) / sizeof(pieces[0]); size++) {
            pieces[size] = take(size);
            assert_int_equal((uintptr_t)pieces[size] % 16, 0);
        }
        for (size_t size = 1; size < sizeof(pieces) / sizeof(pieces[0]); size++)
            give(pieces[size], size);
    }
}

// What is more goes back to the heap, not on top.
static void a_thread_keeps_so_much_and_no_more(void **state)
{
    (void)state;
    enum { SIZE = 512, MANY = 2 * SFL_LOCAL_BYTES_MAX / SIZE };
    void **pieces = calloc(MANY, sizeof(*pieces));
    assert_non_null(pieces);
    for (unsigned i = 0; i < MANY; i++)
        pieces[i] = take(SIZE);
    for (unsigned i = 0; i < MANY; i++)
        give(pieces[i], SIZE);
    void *top = take(SIZE);
    unsigned kept = 0;
    while (kept < MANY && pieces[kept] != top)
        kept++;
    assert_in_range(kept, MANY / 4, MANY / 2);
    give(top, SIZE);
    free(pieces);
}

static void *free_here(void *memory)
{
    give(memory, 64);
    bool is_same = take(64) == memory;
    give(memory, 64);
    return is_same ? memory : NULL;
}

static void a_piece_belongs_to_the_thread_that_freed_it(void **state)
{
    (void)state;
    void *memory = take(64);
    void *back = NULL;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_here, memory), 0);
    assert_int_equal(pthread_join(thread, &back), 0);
    assert_ptr_equal(back, memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_piece_of_a_size_comes_first),
        cmocka_unit_test(sizes_of_one_grain_share_their_pieces),
        cmocka_unit_test(every_size_is_served),
        cmocka_unit_test(a_thread_keeps_so_much_and_no_more),
        cmocka_unit_test(a_piece_belongs_to_the_thread_that_freed_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
