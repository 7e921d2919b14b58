// SPDX-License-Identifier: Apache-2.0
// The timing wheel against a model: an array of times.
#include "core/deadlines.h"
#include "support/choice.h"
#include "support/world.h"

enum { DEADLINES = 60, STEPS = 200000 };

struct model {
    struct sfl_deadlines wheel;
    struct sfl_deadline deadlines[DEADLINES];
    uint64_t at_ms[DEADLINES]; // UINT64_MAX: not armed
    uint64_t now_ms;
    unsigned armed;
};

static void open_model(struct model *model, uint64_t now_ms)
{
    model->now_ms = now_ms;
    model->armed = 0;
    sfl_deadlines_init(&model->wheel, now_ms);
    for (unsigned i = 0; i < DEADLINES; i++) {
        sfl_deadline_init(&model->deadlines[i], SFL_DEADLINE_CALLER);
        model->at_ms[i] = UINT64_MAX;
    }
}

static void arm(struct model *model, unsigned i, uint64_t at_ms)
{
    model->armed += model->at_ms[i] == UINT64_MAX;
    sfl_deadline_arm(&model->wheel, &model->deadlines[i], at_ms);
    model->at_ms[i] = at_ms;
}

static void disarm(struct model *model, unsigned i)
{
    model->armed -= model->at_ms[i] != UINT64_MAX;
    sfl_deadline_disarm(&model->wheel, &model->deadlines[i]);
    model->at_ms[i] = UINT64_MAX;
}

static uint64_t earliest(const struct model *model)
{
    uint64_t at_ms = UINT64_MAX;
    for (unsigned i = 0; i < DEADLINES; i++)
        if (model->at_ms[i] < at_ms)
            at_ms = model->at_ms[i];
    return at_ms;
}

// Takes all that is due at `now_ms`: exactly those that the model says, and none twice.
static void take_all(struct model *model, uint64_t now_ms)
{
    struct sfl_deadline *deadline;
    model->now_ms = now_ms;
    bool more;
    while ((deadline = sfl_deadlines_take(&model->wheel, now_ms, &more)) != NULL || more) {
        if (deadline == NULL)
            continue;
        size_t i = (size_t)(deadline - model->deadlines);
        assert_true(i < DEADLINES);
        assert_true(model->at_ms[i] <= now_ms);
        model->at_ms[i] = UINT64_MAX;
        model->armed--;
    }
    assert_true(earliest(model) > now_ms);
}

// At or before the earliest, exact within 64 ms, and never in the past once that was taken.
static void check_next(const struct model *model)
{
    uint64_t exact = earliest(model);
    uint64_t next = sfl_deadlines_next_ms(&model->wheel);
    if (exact == UINT64_MAX) {
        assert_true(next == UINT64_MAX);
        return;
    }
    assert_true(next <= exact || exact <= model->now_ms);
    if (exact > model->now_ms)
        assert_true(next >= model->now_ms);
    if (exact > model->now_ms && exact / SFL_WHEEL_SLOTS == model->now_ms / SFL_WHEEL_SLOTS)
        assert_true(next == exact);
}

// Near, far and very far times, from the past to beyond the wheel's reach.
static uint64_t some_time(struct choice *choice, uint64_t now_ms)
{
    uint64_t bits = choice_below(choice, 46);
    uint64_t random =
        (uint64_t)choice_below(choice, UINT32_MAX) << 16 | choice_below(choice, 65536);
    uint64_t span = random & ((UINT64_C(1) << bits) - 1);
    if (choice_one_in(choice, 20))
        return now_ms > span ? now_ms - span : 0;
    return now_ms + span;
}

static void random_operations_agree_with_a_model(void **state)
{
    (void)state;
    static struct model model;
    open_model(&model, 123456789);
    struct choice choice = choice_of_seed(2);
    for (unsigned n = 0; n < STEPS; n++) {
        unsigned i = choice_below(&choice, DEADLINES);
        switch (choice_below(&choice, 5)) {
        case 0:
        case 1:
            arm(&model, i, some_time(&choice, model.now_ms));
            break;
        case 2:
            disarm(&model, i);
            break;
        case 3: // as the clock does: to when the wheel asks for it
            if (sfl_deadlines_next_ms(&model.wheel) != UINT64_MAX &&
                sfl_deadlines_next_ms(&model.wheel) < model.now_ms + (UINT64_C(1) << 30))
                take_all(&model, sfl_deadlines_next_ms(&model.wheel) > model.now_ms
                                     ? sfl_deadlines_next_ms(&model.wheel)
                                     : model.now_ms);
            break;
        case 4: // a jump
            take_all(&model,
                     model.now_ms + (UINT64_C(1) << choice_below(&choice, n % 100 == 0 ? 30 : 12)));
            break;
        default:
            fail();
        }
        check_next(&model);
    }
}

static void following_next_reaches_every_deadline_at_its_time(void **state)
{
    (void)state;
    static struct model model;
    open_model(&model, 5);
    struct choice choice = choice_of_seed(3);
    for (unsigned i = 0; i < DEADLINES; i++)
        arm(&model, i, 5 + (UINT64_C(1) << (i * 40 / DEADLINES)) + choice_below(&choice, 50));
    unsigned ticks = 0;
    while (model.armed > 0) {
        uint64_t exact = earliest(&model);
        uint64_t next = sfl_deadlines_next_ms(&model.wheel);
        assert_true(next <= exact);
        unsigned before = model.armed;
        take_all(&model, next);
        assert_true(next == exact || model.armed == before); // never taken early
        ticks++;
        assert_true(ticks < DEADLINES * (SFL_WHEEL_LEVELS + 1)); // early wake-ups are bounded
    }
}

static void a_deadline_in_the_past_is_due_at_once(void **state)
{
    (void)state;
    static struct model model;
    open_model(&model, 1000);
    arm(&model, 0, 0);
    arm(&model, 1, 999);
    arm(&model, 2, 1000);
    arm(&model, 3, 1001);
    take_all(&model, 1000);
    assert_int_equal(model.armed, 1);
    take_all(&model, 1001);
    assert_int_equal(model.armed, 0);
}

static void a_deadline_beyond_the_wheels_reach_is_not_due_before_its_far_end(void **state)
{
    (void)state;
    static struct model model;
    open_model(&model, 1000);
    uint64_t far_end_ms = (UINT64_C(1) << (SFL_WHEEL_BITS * SFL_WHEEL_LEVELS)) - 1;
    arm(&model, 0, UINT64_MAX - 1);
    arm(&model, 1, far_end_ms);
    take_all(&model, UINT64_C(1) << 40);
    assert_int_equal(model.armed, 2);
    assert_true(sfl_deadlines_next_ms(&model.wheel) <= far_end_ms);
    take_all(&model, far_end_ms - 1);
    assert_int_equal(model.armed, 2);
}

static void arming_again_moves_a_deadline(void **state)
{
    (void)state;
    static struct model model;
    open_model(&model, 0);
    arm(&model, 0, 100);
    arm(&model, 0, 5000);
    take_all(&model, 4999);
    assert_int_equal(model.armed, 1);
    arm(&model, 0, 5001);
    take_all(&model, 5000);
    assert_int_equal(model.armed, 1);
    take_all(&model, 5001);
    assert_int_equal(model.armed, 0);
}

static void disarming_twice_does_nothing(void **state)
{
    (void)state;
    static struct model model;
    open_model(&model, 0);
    arm(&model, 0, 100);
    disarm(&model, 0);
    disarm(&model, 0);
    assert_true(sfl_deadlines_next_ms(&model.wheel) == UINT64_MAX);
    take_all(&model, 200);
}

// A hundred thousand callers with one deadline: its slot is spread over several calls.
static void many_deadlines_of_one_slot_go_down_in_steps(void **state)
{
    (void)state;
    enum { MANY = 10000, AT_ONCE = 64, FAR_MS = 1 << 20 };
    struct sfl_deadlines wheel;
    static struct sfl_deadline deadlines[MANY];
    static uint16_t slots[MANY];
    sfl_deadlines_init(&wheel, 0);
    for (unsigned i = 0; i < MANY; i++) {
        sfl_deadline_init(&deadlines[i], SFL_DEADLINE_CALLER);
        sfl_deadline_arm(&wheel, &deadlines[i], FAR_MS + (i % 2 == 0 ? 7 : 9));
    }
    unsigned taken = 0;
    bool more = true;
    while (taken < MANY) {
        for (unsigned i = 0; i < MANY; i++)
            slots[i] = deadlines[i].slot;
        assert_true(more);
        assert_true(sfl_deadlines_next_ms(&wheel) <= FAR_MS + 9);
        struct sfl_deadline *due = sfl_deadlines_take(&wheel, FAR_MS + 10, &more);
        unsigned moved = 0;
        for (unsigned i = 0; i < MANY; i++)
            moved += deadlines[i].slot != slots[i];
        assert_true(moved <= AT_ONCE);
        if (due == NULL)
            continue;
        assert_int_equal(due->at_ms, FAR_MS + (taken < MANY / 2 ? 7 : 9)); // in order all the same
        taken++;
    }
    assert_null(sfl_deadlines_take(&wheel, FAR_MS + 10, &more));
    assert_false(more);
}

// While a slot is spread, what is armed and disarmed keeps its place in time.
static void deadlines_come_and_go_while_a_slot_is_spread(void **state)
{
    (void)state;
    enum { MANY = 1000, FAR_MS = 1 << 20 };
    struct sfl_deadlines wheel;
    static struct sfl_deadline deadlines[MANY];
    struct sfl_deadline late;
    sfl_deadlines_init(&wheel, 0);
    for (unsigned i = 0; i < MANY; i++) {
        sfl_deadline_init(&deadlines[i], SFL_DEADLINE_CALLER);
        sfl_deadline_arm(&wheel, &deadlines[i], FAR_MS + 5);
    }
    bool more;
    assert_null(sfl_deadlines_take(&wheel, FAR_MS + 100, &more));
    assert_true(more);
    sfl_deadline_init(&late, SFL_DEADLINE_CALLER);
    sfl_deadline_arm(&wheel, &late, FAR_MS + 80);
    for (unsigned i = 0; i < MANY; i += 2)
        sfl_deadline_disarm(&wheel, &deadlines[i]);
    unsigned taken = 0;
    struct sfl_deadline *due;
    while ((due = sfl_deadlines_take(&wheel, FAR_MS + 100, &more)) != NULL || more) {
        if (due == NULL)
            continue;
        assert_true((due == &late) == (taken == MANY / 2)); // the latest, so the last
        taken++;
    }
    assert_int_equal(taken, MANY / 2 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_deadlines_of_one_slot_go_down_in_steps),
        cmocka_unit_test(deadlines_come_and_go_while_a_slot_is_spread),
        cmocka_unit_test(random_operations_agree_with_a_model),
        cmocka_unit_test(following_next_reaches_every_deadline_at_its_time),
        cmocka_unit_test(a_deadline_in_the_past_is_due_at_once),
        cmocka_unit_test(a_deadline_beyond_the_wheels_reach_is_not_due_before_its_far_end),
        cmocka_unit_test(arming_again_moves_a_deadline),
        cmocka_unit_test(disarming_twice_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
