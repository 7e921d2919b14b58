// SPDX-License-Identifier: Apache-2.0
// The engine under many threads: callers join, lead, post, vanish, freeze and come back while the
// clock ticks and keys are forgotten. The sink checks what every member hears: `lead` or `follow`
// first, exactly one last word and nothing after it, tokens that grow, and the bytes of one attempt
// alone.
#include "base/clock.h"
#include "coordinator/coordinator.h"
#include "engine/engine.h"
#include "support/choice.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum {
    WORKERS = 4,
    SEATS = 24, // of each worker
    KEYS = 5,
    ACTS = 12000, // of each worker
    POSTED_MAX = 600,
    WAIT_MS = 60000,
};

// A failed check ends the process: threads other than the first cannot use cmocka's.
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum phase { OUT, JOINING, FOLLOWING, LEADING, ENDED };

struct seat {
    struct sfl_member member;
    unsigned key;
    bool live;
    bool slow; // reads only when its last word comes
    // Written by the sink, one thread at a time; the phase publishes it to the seat's worker.
    _Atomic int phase;
    uint64_t token;
    uint64_t next_sequence;
    struct sfl_value *value; // a reference
    struct sfl_value_cursor cursor;
    uint64_t told_bytes;
    int first_byte; // -1: nothing was read
    // The worker's own.
    uint64_t posted;
    uint64_t sequence;
    uint64_t posts_for; // the token
    bool resumes;
};

struct stage {
    struct sfl_engine *engine;
    struct sfl_limits limits;
    _Atomic uint64_t last_token[KEYS]; // written under the shard's lock
    _Atomic uint64_t counts[ENDED + 1];
    _Atomic uint64_t results;
    _Atomic uint64_t refusals;
    pthread_mutex_t clock_lock;
    pthread_cond_t clock_moved;
    bool earlier;
    bool stops;
    struct seat seats[WORKERS][SEATS];
};

static uint8_t byte_at(uint64_t token, uint64_t offset)
{
    return (uint8_t)(token * 31 + offset);
}

static struct seat *seat_of(struct sfl_member *member)
{
    return SFL_CONTAINER_OF(member, struct seat, member);
}

static void read_on(struct seat *seat)
{
    while (seat->cursor.position < seat->told_bytes) {
        uint64_t at = seat->cursor.position;
        struct sfl_span part = sfl_value_read(seat->value, seat->told_bytes, &seat->cursor, 97);
        CHECK(part.size > 0);
        if (seat->first_byte < 0)
            seat->first_byte = part.data[0];
        for (size_t i = 0; i < part.size; i++)
            CHECK(part.data[i] == (uint8_t)(seat->first_byte + (int)((at + i) & 255)));
    }
}

static void start_over(struct seat *seat)
{
    sfl_value_unref(seat->value);
    seat->value = NULL;
    seat->cursor = (struct sfl_value_cursor){0};
    seat->told_bytes = 0;
    seat->first_byte = -1;
}

static void told_more(struct seat *seat, struct sfl_value *value, uint64_t value_bytes)
{
    CHECK(value_bytes >= seat->told_bytes);
    CHECK(seat->told_bytes == 0 || seat->value == value);
    if (seat->value != value) {
        sfl_value_unref(seat->value);
        seat->value = sfl_value_ref(value);
    }
    seat->told_bytes = value_bytes;
    if (!seat->slow)
        read_on(seat);
}

static void enter(struct stage *stage, struct seat *seat, enum phase phase)
{
    atomic_fetch_add(&stage->counts[phase], 1);
    atomic_store(&seat->phase, phase);
}

static void on_lead(void *context, struct sfl_member *member, const struct sfl_lead *lead)
{
    struct stage *stage = context;
    struct seat *seat = seat_of(member);
    int before = atomic_load(&seat->phase);
    CHECK(before == JOINING || before == FOLLOWING);
    CHECK(lead->token > 0 && lead->attempt > 0);
    uint64_t last = atomic_load(&stage->last_token[seat->key]);
    bool resumes = lead->token == seat->posts_for && before == JOINING;
    CHECK(resumes || lead->token > last);
    if (!resumes)
        atomic_store(&stage->last_token[seat->key], lead->token);
    start_over(seat);
    seat->token = lead->token;
    seat->next_sequence = lead->next_sequence;
    enter(stage, seat, LEADING);
}

static void on_follow(void *context, struct sfl_member *member, const struct sfl_follow *follow)
{
    struct seat *seat = seat_of(member);
    CHECK(atomic_load(&seat->phase) == JOINING);
    CHECK(follow->running_ms < WAIT_MS * UINT64_C(100)); // no difference below zero
    if (follow->value_bytes > 0) {
        CHECK(seat->live);
        told_more(seat, follow->value, follow->value_bytes);
    }
    enter(context, seat, FOLLOWING);
}

static void on_chunk(void *context, struct sfl_member *member, struct sfl_value *value,
                     uint64_t value_bytes)
{
    (void)context;
    struct seat *seat = seat_of(member);
    CHECK(atomic_load(&seat->phase) == FOLLOWING);
    CHECK(seat->live && value_bytes > seat->told_bytes);
    told_more(seat, value, value_bytes);
}

static void on_restart(void *context, struct sfl_member *member, uint32_t attempt,
                       const struct sfl_bytes *leader)
{
    (void)context;
    (void)leader;
    struct seat *seat = seat_of(member);
    CHECK(atomic_load(&seat->phase) == FOLLOWING);
    CHECK(seat->live && attempt > 0);
    start_over(seat);
}

static void on_audience(void *context, struct sfl_member *member,
                        const struct sfl_audience *audience)
{
    (void)context;
    (void)audience;
    CHECK(atomic_load(&seat_of(member)->phase) == LEADING);
}

static void hear_result(void *context, struct sfl_member *member, const struct sfl_result *result)
{
    struct stage *stage = context;
    struct seat *seat = seat_of(member);
    const struct sfl_outcome *outcome = result->outcome;
    int before = atomic_load(&seat->phase);
    CHECK(before != OUT && before != ENDED);
    CHECK(result->led == (before == LEADING) || result->retained);
    CHECK(result->age_ms < WAIT_MS * UINT64_C(100));
    if (before != LEADING) {
        told_more(seat, outcome->value, outcome->value_bytes);
        read_on(seat);
        if (outcome->value_bytes > 0)
            CHECK(seat->first_byte == byte_at(outcome->token, 0));
    }
    start_over(seat);
    atomic_fetch_add(&stage->results, 1);
    enter(stage, seat, ENDED);
}

static void on_result(void *context, struct sfl_member *member, const struct sfl_result *result)
{
    hear_result(context, member, result);
    sfl_outcome_unref(result->outcome);
}

static void on_refuse(void *context, struct sfl_member *member, const struct sfl_refusal *refusal)
{
    struct stage *stage = context;
    struct seat *seat = seat_of(member);
    int before = atomic_load(&seat->phase);
    CHECK(before != OUT && before != ENDED);
    CHECK(refusal->reason != SFL_REASON_NONE);
    read_on(seat);
    start_over(seat);
    atomic_fetch_add(&stage->refusals, 1);
    enter(stage, seat, ENDED);
}

static void on_settled(void *context, const struct sfl_settled *settled)
{
    for (unsigned i = 0; i < settled->count; i++) {
        struct sfl_member *member = sfl_member_of_caller(settled->callers[i]);
        if (settled->restarts & 1U << i)
            on_restart(context, member, settled->result.outcome->attempt, settled->leader);
        if (settled->refused)
            on_refuse(context, member, &settled->refusal);
        else
            hear_result(context, member, &settled->result);
    }
}

static bool may_tell(void *context, unsigned shard, unsigned batches)
{
    (void)context;
    (void)shard;
    (void)batches;
    return true;
}

static const struct sfl_engine_sink sink = {
    .lead = on_lead,
    .follow = on_follow,
    .chunk = on_chunk,
    .restart = on_restart,
    .audience = on_audience,
    .result = on_result,
    .refuse = on_refuse,
    .settled = on_settled,
    .may_tell = may_tell,
};

// What a worker does.

static struct sfl_span name_of_key(unsigned key)
{
    static const char names[] = "abcdefgh";
    return sfl_span_of(names + key, 1);
}

static struct sfl_join some_join(struct choice *choice, struct seat *seat)
{
    struct sfl_join join = {.group = sfl_span_of_text("g"),
                            .name = sfl_span_of_text("somebody"),
                            .deadline_ms = UINT64_MAX};
    seat->key = choice_below(choice, KEYS);
    seat->live = choice_one_in(choice, 2);
    seat->slow = choice_one_in(choice, 3);
    join.key = name_of_key(seat->key);
    join.live = seat->live;
    join.audience = choice_one_in(choice, 2);
    if (choice_one_in(choice, 3))
        join.lease_ms = 1 + choice_below(choice, 4);
    if (choice_one_in(choice, 4))
        join.run_limit_ms = 1 + choice_below(choice, 4);
    if (choice_one_in(choice, 5))
        join.retain_ms = 1 + choice_below(choice, 3);
    if (choice_one_in(choice, 4))
        join.role = choice_one_in(choice, 2) ? SFL_ROLE_LEAD_ONLY : SFL_ROLE_FOLLOW_ONLY;
    if (choice_one_in(choice, 5)) {
        join.deadline_ms = sfl_clock_now_ms() + choice_below(choice, 5);
        join.ends_at_deadline = true;
    }
    return join;
}

static void sit_down(struct stage *stage, struct choice *choice, struct seat *seat)
{
    // Somebody who led comes back with its token, to the same key.
    seat->resumes = seat->posts_for > 0 && choice_one_in(choice, 8);
    unsigned key = seat->key;
    struct sfl_join join = some_join(choice, seat);
    if (seat->resumes) {
        seat->key = key;
        join.key = name_of_key(key);
        join.resume_token = seat->posts_for;
    } else {
        seat->posts_for = 0;
    }
    sfl_caller_init(&seat->member.caller);
    seat->first_byte = -1;
    enter(stage, seat, JOINING);
    sfl_engine_join(stage->engine, &seat->member, &join, sfl_clock_now_ms());
}

// The bytes that go on where the seat's last chunk ended.
static struct sfl_span bytes_for(struct seat *seat, size_t size, uint8_t bytes[POSTED_MAX])
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(seat->posts_for, seat->posted + i);
    seat->posted += size;
    return sfl_span_of(bytes, size);
}

static void post(struct stage *stage, struct choice *choice, struct seat *seat)
{
    uint8_t bytes[POSTED_MAX];
    struct sfl_chunk chunk = {.data = bytes_for(seat, choice_below(choice, POSTED_MAX), bytes),
                              .sequence = seat->sequence++};
    sfl_engine_chunk(stage->engine, &seat->member, &chunk, sfl_clock_now_ms());
}

static void finish(struct stage *stage, struct choice *choice, struct seat *seat)
{
    uint8_t bytes[POSTED_MAX];
    struct sfl_finish end = {.kind = SFL_OUTCOME_OK};
    end.value = bytes_for(seat, choice_below(choice, POSTED_MAX), bytes);
    seat->sequence++; // one that comes too late is noticed as a chunk is
    if (choice_one_in(choice, 3)) {
        end.kind = SFL_OUTCOME_ERROR;
        end.pass_on = choice_one_in(choice, 2);
    }
    sfl_engine_finish(stage->engine, &seat->member, &end, sfl_clock_now_ms());
}

// False when others know how many bytes there are: those of an older seat, or those of this one but
// for a chunk that came too late, after the seat's deadline, say.
static bool knows_its_bytes(struct seat *seat)
{
    bool is_first_turn = seat->resumes || seat->posts_for != seat->token;
    if (seat->posts_for != seat->token) {
        seat->posts_for = seat->token;
        seat->posted = 0;
        seat->sequence = 0;
    }
    seat->resumes = false;
    return !is_first_turn || seat->sequence == seat->next_sequence;
}

static void lead_on(struct stage *stage, struct choice *choice, struct seat *seat)
{
    if (!knows_its_bytes(seat)) {
        seat->posts_for = 0;
        sfl_engine_leave(stage->engine, &seat->member, SFL_REASON_CANCELLED, false,
                         sfl_clock_now_ms());
        return;
    }
    uint32_t dice = choice_below(choice, 20);
    if (dice < 9)
        post(stage, choice, seat);
    else if (dice < 13)
        finish(stage, choice, seat);
    else if (dice < 15)
        sfl_engine_renew(stage->engine, &seat->member, 0, sfl_clock_now_ms());
    else if (dice == 15)
        sfl_engine_half_close(stage->engine, &seat->member, sfl_clock_now_ms());
    else if (dice == 16)
        sfl_engine_leave(stage->engine, &seat->member, SFL_REASON_BROKEN, true, sfl_clock_now_ms());
    // Otherwise it is frozen for this turn.
}

// As a message does that brings steps of some of the worker's seats and joins.
static void announce(struct stage *stage, struct choice *choice, struct seat *seats)
{
    struct sfl_announced steps[8];
    for (unsigned i = 0; i < 8; i++) {
        struct seat *seat = &seats[choice_below(choice, SEATS)];
        if (atomic_load(&seat->phase) != OUT)
            steps[i] = (struct sfl_announced){.member = &seat->member};
        else
            steps[i] = (struct sfl_announced){.group = sfl_span_of_text("g"),
                                              .key = name_of_key(choice_below(choice, KEYS))};
    }
    sfl_engine_announce(stage->engine, steps, 8);
}

static void act(struct stage *stage, struct choice *choice, struct seat *seat)
{
    switch ((enum phase)atomic_load(&seat->phase)) {
    case OUT:
    case ENDED:
        sit_down(stage, choice, seat);
        break;
    case LEADING:
        lead_on(stage, choice, seat);
        break;
    case JOINING:
        sched_yield(); // whoever answers for the home needs its turn
        if (choice_one_in(choice, 40))
            sfl_engine_leave(stage->engine, &seat->member, SFL_REASON_CANCELLED, true,
                             sfl_clock_now_ms());
        break;
    case FOLLOWING:
        sched_yield();
        if (choice_one_in(choice, 12))
            sfl_engine_leave(stage->engine, &seat->member, SFL_REASON_CANCELLED, true,
                             sfl_clock_now_ms());
        else if (choice_one_in(choice, 30))
            sfl_engine_half_close(stage->engine, &seat->member, sfl_clock_now_ms());
        else if (choice_one_in(choice, 200))
            sfl_engine_renew(stage->engine, &seat->member, 0, sfl_clock_now_ms()); // out of order
        break;
    }
    if (choice_one_in(choice, 50)) {
        struct sfl_forget forget = {.group = sfl_span_of_text("g"),
                                    .key = name_of_key(choice_below(choice, KEYS)),
                                    .if_unshared = choice_one_in(choice, 2)};
        (void)sfl_engine_forget(stage->engine, &forget);
    }
}

struct worker {
    struct stage *stage;
    unsigned number;
};

static bool see(void *context, const struct sfl_flight_view *view)
{
    unsigned *seen = context;
    CHECK(view->running_ms < WAIT_MS * UINT64_C(100));
    (*seen)++;
    return true;
}

static void survey(struct stage *stage)
{
    const struct sfl_span group = sfl_span_of_text("g");
    struct sfl_stats stats;
    struct sfl_survey all;
    sfl_engine_survey(stage->engine, &group, 1, &stats, &all);
    CHECK(stats.calls <= all.all.calls); // the same look
    CHECK(all.all.calls == all.all.calls_led + all.all.calls_followed + all.all.retained_hits);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct stage *stage = worker->stage;
    struct choice choice = choice_of_seed(worker->number + 1);
    struct seat *seats = stage->seats[worker->number];
    for (unsigned n = 0; n < ACTS; n++) {
        if (n % 8 == 0)
            announce(stage, &choice, seats);
        act(stage, &choice, &seats[choice_below(&choice, SEATS)]);
        if (n % 500 == 0) {
            unsigned seen = 0;
            struct sfl_engine_cursor cursor = {0};
            while (sfl_engine_visit(stage->engine, &cursor, see, &seen))
                continue;
            survey(stage);
        }
    }
    for (unsigned i = 0; i < SEATS; i++) {
        int phase = atomic_load(&seats[i].phase);
        if (phase != OUT && phase != ENDED)
            sfl_engine_leave(stage->engine, &seats[i].member, SFL_REASON_CANCELLED, false,
                             sfl_clock_now_ms());
    }
    return NULL;
}

// The house's clock.

static void on_earlier_tick(void *context)
{
    struct stage *stage = context;
    pthread_mutex_lock(&stage->clock_lock);
    stage->earlier = true;
    pthread_cond_signal(&stage->clock_moved);
    pthread_mutex_unlock(&stage->clock_lock);
}

// Waits until `due_ms` of the monotonic clock, or until an earlier tick is asked for.
static bool wait_for_tick(struct stage *stage, uint64_t due_ms)
{
    struct timespec until = {.tv_sec = (time_t)(due_ms / 1000),
                             .tv_nsec = (long)(due_ms % 1000) * 1000000};
    pthread_mutex_lock(&stage->clock_lock);
    while (!stage->earlier && !stage->stops)
        if (pthread_cond_timedwait(&stage->clock_moved, &stage->clock_lock, &until) != 0)
            break;
    stage->earlier = false;
    bool stops = stage->stops;
    pthread_mutex_unlock(&stage->clock_lock);
    return !stops;
}

static void *keep_time(void *argument)
{
    struct stage *stage = argument;
    while (wait_for_tick(stage, sfl_engine_tick(stage->engine)))
        continue;
    return NULL;
}

// A coordinator that answers late, from a thread of its own.

struct late {
    struct sfl_coordinator head;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    void *tickets[WORKERS * SEATS * 4];
    unsigned count;
    uint64_t last_token;
    bool stops;
    pthread_t thread;
};

static bool late_find(struct sfl_coordinator *coordinator, const struct sfl_home_question *question,
                      struct sfl_home_answer *answer_out)
{
    struct late *late = (struct late *)coordinator;
    (void)answer_out;
    pthread_mutex_lock(&late->lock);
    CHECK(late->count < sizeof(late->tickets) / sizeof(late->tickets[0]));
    late->tickets[late->count++] = question->ticket;
    pthread_cond_signal(&late->asked);
    pthread_mutex_unlock(&late->lock);
    return false;
}

static void late_release(struct sfl_coordinator *coordinator, struct sfl_span group,
                         struct sfl_span key)
{
    (void)coordinator;
    CHECK(group.size == 1 && key.size == 1);
}

static void *answer_late(void *argument)
{
    struct late *late = argument;
    pthread_mutex_lock(&late->lock);
    for (;;) {
        while (late->count == 0 && !late->stops)
            pthread_cond_wait(&late->asked, &late->lock);
        if (late->count == 0)
            break;
        void *ticket = late->tickets[--late->count];
        struct sfl_home_answer answer = {.found = late->last_token % 50 != 49,
                                         .token = late->last_token + 1};
        late->last_token++;
        pthread_mutex_unlock(&late->lock);
        late->head.on_answer(late->head.context, ticket, &answer);
        pthread_mutex_lock(&late->lock);
    }
    pthread_mutex_unlock(&late->lock);
    return NULL;
}

static void late_destroy(struct sfl_coordinator *coordinator)
{
    struct late *late = (struct late *)coordinator;
    pthread_mutex_lock(&late->lock);
    late->stops = true;
    pthread_cond_signal(&late->asked);
    pthread_mutex_unlock(&late->lock);
    pthread_join(late->thread, NULL);
    free(late);
}

static struct sfl_coordinator *create_late(void)
{
    static const struct sfl_coordinator_ops ops = {late_find, late_release, late_destroy};
    struct late *late = calloc(1, sizeof(*late));
    CHECK(late != NULL);
    late->head.ops = &ops;
    pthread_mutex_init(&late->lock, NULL);
    pthread_cond_init(&late->asked, NULL);
    CHECK(pthread_create(&late->thread, NULL, answer_late, late) == 0);
    return &late->head;
}

// The whole.

static void wait_for_last_words(struct stage *stage)
{
    uint64_t until_ms = sfl_clock_now_ms() + WAIT_MS;
    for (unsigned i = 0; i < WORKERS * SEATS; i++) {
        struct seat *seat = &stage->seats[i / SEATS][i % SEATS];
        for (;;) {
            int phase = atomic_load(&seat->phase);
            if (phase == OUT || phase == ENDED)
                break;
            CHECK(sfl_clock_now_ms() < until_ms); // a caller that hangs
            sched_yield();
        }
    }
}

static void check_books(struct stage *stage)
{
    struct sfl_stats stats = sfl_engine_stats(stage->engine, sfl_span_of_text("g"));
    uint64_t joined = atomic_load(&stage->counts[JOINING]);
    uint64_t ended = atomic_load(&stage->counts[ENDED]);
    CHECK(joined == ended);
    CHECK(ended == atomic_load(&stage->results) + atomic_load(&stage->refusals));
    print_message("%llu callers: %llu leads, %llu saved, %llu leaders lost, %llu fenced\n",
                  (unsigned long long)joined, (unsigned long long)stats.executions,
                  (unsigned long long)stats.executions_saved,
                  (unsigned long long)stats.leaders_lost, (unsigned long long)stats.fenced);
    CHECK(joined > ACTS / 20 && atomic_load(&stage->results) > 50);
    CHECK(stats.executions > 50 && stats.executions_saved > 50 && stats.leaders_lost > 20);
}

static void end_stage(struct stage *stage)
{
    sfl_engine_drain(stage->engine);
    sfl_engine_shut(stage->engine);
    wait_for_last_words(stage);
    for (unsigned key = 0; key < KEYS; key++) {
        struct sfl_forget forget = {.group = sfl_span_of_text("g"), .key = name_of_key(key)};
        (void)sfl_engine_forget(stage->engine, &forget);
    }
    CHECK(sfl_engine_is_idle(stage->engine));
    struct sfl_stats stats = sfl_engine_stats(stage->engine, sfl_span_of(NULL, 0));
    CHECK(stats.flights_now == 0 && stats.callers_now == 0);
    CHECK(stats.retained_now == 0 && stats.bytes_now == 0);
}

static void stress(struct sfl_coordinator *coordinator)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    CHECK(stage != NULL);
    stage->limits = sfl_limits_default;
    stage->limits.lease_ms_min = 1;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&stage->clock_lock, NULL);
    pthread_cond_init(&stage->clock_moved, &monotonic);
    struct sfl_engine_options options = {.shards = 2,
                                         .limits = &stage->limits,
                                         .coordinator = coordinator,
                                         .sink = &sink,
                                         .sink_context = stage,
                                         .on_earlier_tick = on_earlier_tick,
                                         .tick_context = stage};
    CHECK(sfl_engine_create(&options, &stage->engine) == SFL_OK);

    pthread_t clock;
    pthread_t threads[WORKERS];
    struct worker workers[WORKERS];
    CHECK(pthread_create(&clock, NULL, keep_time, stage) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){stage, i};
        CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    end_stage(stage);
    pthread_mutex_lock(&stage->clock_lock);
    stage->stops = true;
    pthread_cond_signal(&stage->clock_moved);
    pthread_mutex_unlock(&stage->clock_lock);
    pthread_join(clock, NULL);
    check_books(stage);
    coordinator->ops->destroy(coordinator); // its last answers come before the engine goes
    sfl_engine_destroy(stage->engine);
    pthread_condattr_destroy(&monotonic);
    free(stage);
}

static void many_threads_with_a_coordinator_that_answers_at_once(void **state)
{
    (void)state;
    struct sfl_coordinator *coordinator;
    const struct sfl_standalone_options options = {.lanes = 2};
    assert_int_equal(sfl_standalone_create(&options, &coordinator), SFL_OK);
    stress(coordinator);
}

static void many_threads_with_a_coordinator_that_answers_late_and_in_any_order(void **state)
{
    (void)state;
    stress(create_late());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_with_a_coordinator_that_answers_at_once),
        cmocka_unit_test(many_threads_with_a_coordinator_that_answers_late_and_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
