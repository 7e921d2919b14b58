// SPDX-License-Identifier: Apache-2.0
#include "base/budget.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SHARES = 16, ADVANCE = 64, MAX = 1000, FAR = 1000000 };

struct fixture {
    struct sfl_budget budget;
    struct sfl_share shares[SHARES];
};

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    sfl_budget_init(&f->budget, ADVANCE);
    for (unsigned i = 0; i < SHARES; i++)
        sfl_share_init(&f->shares[i], &f->budget);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(sfl_budget_used(&f->budget), 0);
    for (unsigned i = 0; i < SHARES; i++)
        sfl_share_deinit(&f->shares[i]);
    sfl_budget_deinit(&f->budget); // asserts that nothing is granted any more
    free(f);
    return 0;
}

static void far_from_the_limit_a_share_goes_to_the_budget_once_for_many(void **state)
{
    struct fixture *f = *state;
    uint64_t granted = 0;
    unsigned visits = 0;
    for (unsigned i = 0; i < 10 * (ADVANCE + 1); i++) {
        assert_true(sfl_share_take(&f->shares[3], 1, FAR));
        visits += sfl_budget_used_about(&f->budget) != granted;
        granted = sfl_budget_used_about(&f->budget);
    }
    assert_int_equal(visits, 10);
    assert_int_equal(sfl_budget_used(&f->budget), 10 * (ADVANCE + 1));
    for (unsigned i = 0; i < 10 * (ADVANCE + 1); i++) {
        sfl_share_give(&f->shares[3], 1);
        visits += sfl_budget_used_about(&f->budget) != granted;
        granted = sfl_budget_used_about(&f->budget);
    }
    assert_true(visits <= 20 + 1);
}

static void taking_and_giving_in_turns_never_goes_to_the_budget(void **state)
{
    struct fixture *f = *state;
    assert_true(sfl_share_take(&f->shares[0], 1, FAR));
    uint64_t granted = sfl_budget_used_about(&f->budget);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(sfl_share_take(&f->shares[0], 1, FAR));
        sfl_share_give(&f->shares[0], 1);
        assert_int_equal(sfl_budget_used_about(&f->budget), granted);
    }
    sfl_share_give(&f->shares[0], 1);
}

// Every share in its turn takes and gives, so all of them have advances on the way.
static void the_limit_is_exact_over_many_shares(void **state)
{
    struct fixture *f = *state;
    unsigned taken[SHARES] = {0};
    for (unsigned round = 0; round < 3; round++) {
        unsigned all = 0;
        for (unsigned i = 0; i < SHARES; i++)
            all += taken[i];
        for (unsigned i = round; all < MAX; i++, all++) {
            assert_true(sfl_share_take(&f->shares[i % SHARES], 1, MAX));
            taken[i % SHARES]++;
        }
        assert_int_equal(sfl_budget_used(&f->budget), MAX);
        for (unsigned i = 0; i < SHARES; i++)
            assert_false(sfl_share_take(&f->shares[i], 1, MAX));
        // Whoever leaves, whoever comes: there is room for exactly one.
        sfl_share_give(&f->shares[round], 1);
        assert_true(sfl_share_take(&f->shares[SHARES - 1 - round], 1, MAX));
        taken[round]--;
        taken[SHARES - 1 - round]++;
        assert_false(sfl_share_take(&f->shares[round], 1, MAX));
        // Most of one share's go, and come back to another's.
        while (taken[round + 4] > 0) {
            sfl_share_give(&f->shares[round + 4], 1);
            taken[round + 4]--;
        }
    }
    for (unsigned i = 0; i < SHARES; i++)
        sfl_share_give(&f->shares[i], taken[i]);
}

static void what_others_hold_in_advance_comes_back_before_anything_is_refused(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < SHARES; i++)
        assert_true(sfl_share_take(&f->shares[i], 1, FAR));
    assert_true(sfl_budget_used_about(&f->budget) > SHARES + 100);
    assert_true(sfl_share_take(&f->shares[0], FAR - SHARES, FAR));
    assert_int_equal(sfl_budget_used_about(&f->budget), FAR);
    assert_false(sfl_share_take(&f->shares[1], 1, FAR));
    sfl_share_give(&f->shares[0], FAR - SHARES);
    for (unsigned i = 0; i < SHARES; i++)
        sfl_share_give(&f->shares[i], 1);
}

static void amounts_beyond_the_limit_are_refused_and_change_nothing(void **state)
{
    struct fixture *f = *state;
    assert_false(sfl_share_take(&f->shares[0], MAX + 1, MAX));
    assert_false(sfl_share_take(&f->shares[0], UINT64_MAX, MAX));
    assert_false(sfl_share_take(&f->shares[0], 1, 0));
    assert_true(sfl_share_take(&f->shares[0], 0, 0));
    assert_int_equal(sfl_budget_used(&f->budget), 0);
    assert_true(sfl_share_take(&f->shares[0], MAX, MAX));
    sfl_share_give(&f->shares[0], MAX);
}

// Another thread took meanwhile what made the share too full.
static void what_comes_back_to_the_budget_stays_within_what_was_granted(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 1 + ADVANCE; i++)
        assert_true(sfl_share_take(&f->shares[0], 1, FAR));
    assert_int_equal(sfl_budget_used_about(&f->budget), 1 + ADVANCE);
    sfl_share_give_to_budget(&f->shares[0], 1);
    assert_int_equal(sfl_budget_used(&f->budget), ADVANCE);
    assert_int_equal(sfl_budget_used_about(&f->budget), 1 + ADVANCE);
    for (unsigned i = 0; i < ADVANCE; i++)
        sfl_share_give(&f->shares[0], 1);
}

// --- many threads at the edge ---

enum { THREADS = 6, ACTS = 60000, EDGE = 1000 };

struct crowd {
    struct fixture *f;
    _Atomic uint64_t used; // by those who have been let in and have not left
    _Atomic uint64_t passed;
    _Atomic uint64_t refused;
};

struct worker {
    struct crowd *crowd;
    unsigned number;
    uint64_t random;
};

static uint64_t below(struct worker *worker, uint64_t bound)
{
    worker->random = worker->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (worker->random >> 33) % bound;
}

static void *jostle(void *argument)
{
    struct worker *worker = argument;
    struct crowd *crowd = worker->crowd;
    unsigned taken[SHARES] = {0};
    for (unsigned i = 0; i < ACTS; i++) {
        unsigned s = (unsigned)below(worker, SHARES);
        struct sfl_share *share = &crowd->f->shares[s];
        uint64_t amount = 1 + below(worker, 3);
        if (below(worker, 16) < 9) {
            if (!sfl_share_take(share, amount, EDGE)) {
                atomic_fetch_add(&crowd->refused, 1);
                continue;
            }
            taken[s] += (unsigned)amount;
            if (atomic_fetch_add(&crowd->used, amount) + amount > EDGE)
                atomic_fetch_add(&crowd->passed, 1);
        } else if (taken[s] >= amount) {
            taken[s] -= (unsigned)amount;
            atomic_fetch_sub(&crowd->used, amount);
            sfl_share_give(share, amount);
        }
    }
    for (unsigned s = 0; s < SHARES; s++) {
        atomic_fetch_sub(&crowd->used, taken[s]);
        sfl_share_give(&crowd->f->shares[s], taken[s]);
    }
    return NULL;
}

static void the_limit_is_never_passed_by_many_threads(void **state)
{
    struct crowd crowd = {.f = *state};
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){&crowd, i, i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, jostle, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.passed, 0);
    assert_true(crowd.refused > 0);
}

// Each thread has a share of its own and takes all that it can get. Together they must get all.
static void *grab(void *argument)
{
    struct worker *worker = argument;
    struct fixture *f = worker->crowd->f;
    for (unsigned i = 0; i < 100; i++) { // advances on the way
        if (!sfl_share_take(&f->shares[worker->number], 1, EDGE))
            break;
        sfl_share_give(&f->shares[worker->number], 1);
    }
    while (sfl_share_take(&f->shares[worker->number], 1, EDGE))
        atomic_fetch_add(&worker->crowd->used, 1);
    return NULL;
}

static void many_threads_together_get_exactly_what_there_is(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 200; round++) {
        struct crowd crowd = {.f = f};
        struct worker workers[THREADS];
        pthread_t threads[THREADS];
        for (unsigned i = 0; i < THREADS; i++) {
            workers[i] = (struct worker){&crowd, i, i + 1};
            assert_int_equal(pthread_create(&threads[i], NULL, grab, &workers[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(crowd.used, EDGE);
        assert_int_equal(sfl_budget_used(&f->budget), EDGE);
        for (unsigned i = 0; i < EDGE; i++)
            sfl_share_give(&f->shares[i % SHARES], 1);
    }
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(far_from_the_limit_a_share_goes_to_the_budget_once_for_many),
        STORY(taking_and_giving_in_turns_never_goes_to_the_budget),
        STORY(the_limit_is_exact_over_many_shares),
        STORY(what_others_hold_in_advance_comes_back_before_anything_is_refused),
        STORY(amounts_beyond_the_limit_are_refused_and_change_nothing),
        STORY(what_comes_back_to_the_budget_stays_within_what_was_granted),
        STORY(the_limit_is_never_passed_by_many_threads),
        STORY(many_threads_together_get_exactly_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
