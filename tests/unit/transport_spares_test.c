// SPDX-License-Identifier: Apache-2.0
// Memory of calls that have ended: what one stream puts down another one picks up, and only so much
// of it waits.
#include "transport/spares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PIECE_BYTES = 100, MANY = 10000 };

static void give_fresh(struct sfl_spares_hand *hand, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        void *piece = malloc(PIECE_BYTES);
        assert_non_null(piece);
        sfl_spares_give(hand, piece);
    }
}

static void the_latest_piece_is_taken_first(void **state)
{
    struct sfl_spares spares;
    (void)state;
    sfl_spares_init(&spares, PIECE_BYTES);
    struct sfl_spares_hand hand = {.spares = &spares};
    void *first = sfl_spares_take(&hand);
    void *second = sfl_spares_take(&hand);
    sfl_spares_give(&hand, first);
    sfl_spares_give(&hand, second);
    assert_ptr_equal(sfl_spares_take(&hand), second);
    assert_ptr_equal(sfl_spares_take(&hand), first);
    free(first);
    free(second);
    sfl_spares_deinit(&spares);
}

static void what_one_hand_puts_down_another_picks_up(void **state)
{
    struct sfl_spares spares;
    (void)state;
    sfl_spares_init(&spares, PIECE_BYTES);
    struct sfl_spares_hand one = {.spares = &spares};
    struct sfl_spares_hand other = {.spares = &spares};
    give_fresh(&one, 100);
    sfl_spares_put_down(&one);
    assert_int_equal(one.count, 0);
    assert_int_equal(spares.count, 100);
    void *piece = sfl_spares_take(&other);
    assert_true(spares.count < 100);
    // The rest of what it picked up goes back with the piece.
    sfl_spares_give(&other, piece);
    sfl_spares_put_down(&other);
    assert_int_equal(spares.count, 100);
    sfl_spares_deinit(&spares);
}

static void only_so_many_pieces_wait(void **state)
{
    struct sfl_spares spares;
    (void)state;
    sfl_spares_init(&spares, PIECE_BYTES);
    struct sfl_spares_hand hand = {.spares = &spares};
    for (unsigned i = 0; i < MANY / 100; i++) {
        give_fresh(&hand, 100);
        sfl_spares_put_down(&hand);
    }
    size_t kept = spares.count;
    assert_in_range(kept, 100, MANY - 100);
    give_fresh(&hand, 100);
    sfl_spares_put_down(&hand);
    assert_int_equal(spares.count, kept);
    sfl_spares_deinit(&spares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_piece_is_taken_first),
        cmocka_unit_test(what_one_hand_puts_down_another_picks_up),
        cmocka_unit_test(only_so_many_pieces_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
