// SPDX-License-Identifier: Apache-2.0
// Pages of flights against a model: which flights are out, and when each is due.
#include "core/pages.h"
#include "support/choice.h"
#include "support/world.h"

enum { FLIGHTS = 1000, STEPS = 100000, FLIGHT_BYTES_MAX = 300 };

struct fixture {
    struct memory memory;
    struct sfl_deadlines wheel;
    struct sfl_pages pages;
    struct sfl_flight *flights[FLIGHTS]; // NULL: not out
    unsigned out;
};

static void open_fixture(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    memory_init(&f->memory);
    sfl_deadlines_init(&f->wheel, 0);
    sfl_pages_init(&f->pages, &f->memory.allocator, &f->wheel);
}

static void close_fixture(struct fixture *f)
{
    sfl_pages_deinit(&f->pages);
    assert_int_equal(f->memory.blocks, 0);
}

static bool take(struct fixture *f, unsigned i)
{
    struct sfl_flight *flight = sfl_pages_take(&f->pages);
    if (flight == NULL)
        return false;
    // Whoever gets the same flight twice sees another's hash.
    *flight = (struct sfl_flight){.hash = i, .due_ms = UINT64_MAX};
    f->flights[i] = flight;
    f->out++;
    return true;
}

static void give(struct fixture *f, unsigned i)
{
    assert_int_equal(f->flights[i]->hash, i);
    sfl_pages_give(&f->pages, f->flights[i]);
    f->flights[i] = NULL;
    f->out--;
}

static uint64_t earliest(const struct fixture *f)
{
    uint64_t at_ms = UINT64_MAX;
    for (unsigned i = 0; i < FLIGHTS; i++) {
        if (f->flights[i] != NULL && f->flights[i]->due_ms < at_ms)
            at_ms = f->flights[i]->due_ms;
    }
    return at_ms;
}

// Takes every flight that is due, and none that is not.
static void let_pass(struct fixture *f, uint64_t now_ms)
{
    struct sfl_deadline *deadline;
    bool more;
    while ((deadline = sfl_deadlines_take(&f->wheel, now_ms, &more)) != NULL || more) {
        if (deadline == NULL)
            continue;
        struct sfl_page *page = SFL_CONTAINER_OF(deadline, struct sfl_page, deadline);
        uint64_t before_ms = earliest(f);
        struct sfl_flight *due = sfl_page_take_due(&f->pages, page, now_ms);
        if (due == NULL)
            continue;
        assert_true(before_ms <= now_ms);
        assert_ptr_equal(due, f->flights[due->hash]);
        assert_true(due->due_ms == UINT64_MAX);
    }
    assert_true(earliest(f) > now_ms);
}

static void flights_are_due_in_time_and_never_given_out_twice(void **state)
{
    (void)state;
    static struct fixture f;
    open_fixture(&f);
    struct choice choice = choice_of_seed(1);
    uint64_t now_ms = 0;
    for (unsigned n = 0; n < STEPS; n++) {
        // The crowd swells and shrinks in turns.
        bool grows = n / 10000 % 2 == 0;
        unsigned i = choice_below(&choice, FLIGHTS);
        if (f.flights[i] == NULL && (grows || choice_one_in(&choice, 8)))
            assert_true(take(&f, i));
        else if (f.flights[i] != NULL && (!grows || choice_one_in(&choice, 8)))
            give(&f, i);
        if (f.flights[i] != NULL && choice_one_in(&choice, 2))
            sfl_flight_arm(&f.pages, f.flights[i], now_ms + 1 + choice_below(&choice, 300));
        else if (f.flights[i] != NULL && choice_one_in(&choice, 4))
            f.flights[i]->due_ms = UINT64_MAX;
        if (choice_one_in(&choice, 16))
            let_pass(&f, now_ms += choice_below(&choice, 40));
    }
    for (unsigned i = 0; i < FLIGHTS; i++) {
        if (f.flights[i] != NULL)
            give(&f, i);
    }
    close_fixture(&f);
}

static void the_place_of_a_flight_that_ended_is_used_again(void **state)
{
    (void)state;
    static struct fixture f;
    open_fixture(&f);
    for (unsigned i = 0; i < FLIGHTS; i++)
        assert_true(take(&f, i));
    uint64_t bytes = f.memory.bytes;
    assert_true(bytes < 2 * FLIGHTS * FLIGHT_BYTES_MAX);
    for (unsigned n = 0; n < STEPS; n++) {
        unsigned i = n * 7 % FLIGHTS;
        give(&f, i);
        assert_true(take(&f, i));
    }
    assert_int_equal(f.memory.bytes, bytes);
    for (unsigned i = 0; i < FLIGHTS; i++)
        give(&f, i);
    close_fixture(&f);
}

static void memory_goes_back_when_the_flights_have_ended(void **state)
{
    (void)state;
    static struct fixture f;
    open_fixture(&f);
    assert_true(take(&f, 0));
    uint64_t of_one_page = f.memory.bytes;
    for (unsigned i = 1; i < FLIGHTS; i++) {
        assert_true(take(&f, i));
        sfl_flight_arm(&f.pages, f.flights[i], 1000);
    }
    assert_true(f.memory.blocks > 3);
    for (unsigned i = 1; i < FLIGHTS; i++)
        give(&f, i);
    assert_true(f.memory.blocks <= 2);
    give(&f, 0);
    assert_int_equal(f.memory.blocks, 1);
    assert_int_equal(f.memory.bytes, of_one_page);
    // What was armed went with its page.
    let_pass(&f, 2000);
    assert_true(sfl_deadlines_next_ms(&f.wheel) == UINT64_MAX);
    close_fixture(&f);
}

static void without_memory_there_is_no_flight_and_nothing_is_lost(void **state)
{
    (void)state;
    static struct fixture f;
    open_fixture(&f);
    memory_fail(&f.memory, 1, 1);
    assert_false(take(&f, 0));
    assert_true(take(&f, 0));
    memory_fail(&f.memory, 1, UINT32_MAX);
    unsigned taken = 1;
    while (take(&f, taken))
        taken++;
    assert_int_equal(taken, SFL_PAGE_FLIGHTS);
    memory_fail_never(&f.memory);
    assert_true(take(&f, taken));
    for (unsigned i = 0; i <= taken; i++)
        give(&f, i);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flights_are_due_in_time_and_never_given_out_twice),
        cmocka_unit_test(the_place_of_a_flight_that_ended_is_used_again),
        cmocka_unit_test(memory_goes_back_when_the_flights_have_ended),
        cmocka_unit_test(without_memory_there_is_no_flight_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
