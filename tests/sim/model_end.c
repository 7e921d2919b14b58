// SPDX-License-Identifier: Apache-2.0
// The model: how the lead is lost and how flights end.
#include "model.h"

#include <string.h>

static bool may_lead(const struct model_caller *caller)
{
    return caller->role != SFL_ROLE_FOLLOW_ONLY && !caller->half_closed;
}

int model_candidate(const struct model *model, int f)
{
    const struct model_flight *flight = &model->flight[f];
    for (unsigned i = 0; i < flight->follower_count; i++)
        if (may_lead(&model->caller[flight->followers[i]]))
            return flight->followers[i];
    return NOBODY;
}

void model_detach(struct model *model, int c)
{
    struct model_caller *caller = &model->caller[c];
    struct model_flight *flight = &model->flight[caller->flight];
    if (flight->leader == c)
        flight->leader = NOBODY;
    if (flight->fenced == c)
        flight->fenced = NOBODY;
    for (unsigned i = 0; i < flight->follower_count; i++) {
        if (flight->followers[i] != c)
            continue;
        flight->follower_count--;
        memmove(&flight->followers[i], &flight->followers[i + 1],
                (flight->follower_count - i) * sizeof(flight->followers[0]));
        break;
    }
    caller->flight = NOBODY;
    model->callers--;
}

void model_free_if_done(struct model *model, int f)
{
    struct model_flight *flight = &model->flight[f];
    if (flight->state == MODEL_ENDED && flight->follower_count == 0 && !flight->home_owed)
        flight->state = MODEL_UNUSED;
}

static void fence(struct model *model, int f, uint64_t now_token)
{
    struct model_flight *flight = &model->flight[f];
    int c = flight->fenced;
    if (c == NOBODY)
        return;
    model_detach(model, c);
    model_refuse_fenced(model, c, f, flight->loss, flight->token, now_token);
}

bool model_has_attempt(const struct model_flight *flight)
{
    return flight->state == MODEL_LED || flight->state == MODEL_ORPHANED;
}

bool model_may_go_on(const struct model_flight *flight)
{
    return flight->wish.on_leader_loss == SFL_LEADER_LOSS_PROMOTE &&
           (flight->wish.max_attempts == 0 || flight->attempt < flight->wish.max_attempts);
}

static uint64_t loss_ms(const struct model *model, const struct model_flight *flight,
                        enum sfl_loss loss)
{
    if (loss == SFL_LOSS_LEASE)
        return (uint32_t)flight->wish.lease_ms;
    if (loss != SFL_LOSS_RUN_LIMIT)
        return 0;
    uint64_t run_limit_ms = flight->wish.run_limit_ms;
    return (uint32_t)(run_limit_ms == 0 ? model->limits->run_limit_ms_max : run_limit_ms);
}

void model_refuse_fenced(struct model *model, int c, int f, enum sfl_loss loss, uint64_t token,
                         uint64_t now)
{
    const struct model_flight *flight = &model->flight[f];
    model_group_stats(model, flight->key)->fenced++;
    model_expect(model, c,
                 &(struct word){.told = TOLD_REFUSE,
                                .reason = SFL_REASON_FENCED_FOR,
                                .loss = loss,
                                .loss_ms = loss_ms(model, flight, loss),
                                .a = token,
                                .b = now});
}

// The flight before it has ended.
static void begin_next(struct model *model, int f)
{
    if (f == NOBODY)
        return;
    struct model_flight *flight = &model->flight[f];
    if (model->draining) {
        model_abort(model, f, SFL_REASON_DRAINING);
    } else if (model_candidate(model, f) == NOBODY) {
        model_abort(model, f, SFL_REASON_NOBODY_BEGINS);
    } else {
        flight->state = MODEL_FINDING;
        flight->home_owed = true;
        model_expect_notice(model, SFL_EFFECT_FIND_HOME, flight->core);
    }
}

// The flight runs no more. Returns the one that has waited for it.
static int stop(struct model *model, int f)
{
    struct model_flight *flight = &model->flight[f];
    int next = flight->next;
    if (next != NOBODY)
        model->flight[next].before = NOBODY;
    if (flight->before != NOBODY)
        model->flight[flight->before].next = NOBODY;
    flight->next = flight->before = NOBODY;
    flight->overdue = false;
    if (!flight->forgotten && flight->state != MODEL_NEXT)
        model_expect_notice(model, SFL_EFFECT_RELEASE_HOME, flight->core);
    fence(model, f, 0);
    flight->state = MODEL_ENDED;
    flight->has_kept = false;
    model->flights--;
    model_group_stats(model, flight->key)->flights_now--;
    return next;
}

static void wait_for_last_words(struct model *model, int f)
{
    if (model->flight[f].follower_count > 0)
        model_expect_notice(model, SFL_EFFECT_SETTLED, model->flight[f].core);
    model_free_if_done(model, f);
}

void model_drop(struct model *model, unsigned key)
{
    model_expect_notice(model, SFL_EFFECT_DROP, model->kept_for[key].core);
    model_let_go(model, key);
}

void model_let_go(struct model *model, unsigned key)
{
    struct model_retained *retained = &model->kept_for[key];
    model->retained--;
    model->retained_bytes -= retained->outcome.bytes + retained->outcome.texts_bytes;
    model_group_stats(model, key)->retained_now--;
    retained->present = false;
}

// True when the outcome is retained.
static bool retain(struct model *model, const struct model_flight *flight,
                   const struct model_outcome *outcome, uint32_t callers)
{
    struct model_retained *retained = &model->kept_for[flight->key];
    uint64_t bytes = outcome->bytes + outcome->texts_bytes;
    if (retained->present)
        model_drop(model, flight->key);
    bool room = model->retained < model->limits->flights_max &&
                model->retained_bytes + bytes <= model->limits->retained_bytes_max;
    if (!room) {
        model_group_stats(model, flight->key)->retain_refused++;
        return false;
    }
    *retained = (struct model_retained){
        .present = true,
        .core = flight->core,
        .fingerprint = flight->wish.fingerprint,
        .callers = callers,
        .leader_name = flight->leader_name,
        .outcome = *outcome,
        .ended_at_ms = model->now_ms,
        .until_ms = model->now_ms + outcome->retain_ms,
    };
    model->retained++;
    model->retained_bytes += bytes;
    model_group_stats(model, flight->key)->retained_now++;
    model_expect_notice(model, SFL_EFFECT_RETAIN, flight->core);
    return true;
}

void model_settle(struct model *model, int f, const struct model_outcome *given, int leader)
{
    struct model_flight *flight = &model->flight[f];
    struct model_outcome outcome = *given;
    int next = stop(model, f);
    uint64_t run_ms = model->now_ms - outcome.led_ms;
    if (flight->wish.retain_from_lead)
        outcome.retain_ms = outcome.retain_ms > run_ms ? outcome.retain_ms - run_ms : 0;
    uint32_t callers = flight->follower_count + 1;
    struct word word = {
        .told = TOLD_RESULT,
        .flags = callers > 1 ? WORD_SHARED : 0,
        .attempt = outcome.attempt,
        .callers = callers,
        .kind = outcome.kind,
        .token = outcome.token,
        .bytes = outcome.bytes,
        .texts_bytes = outcome.texts_bytes,
    };
    if (outcome.retain_ms > 0 && !flight->forgotten) {
        if (retain(model, flight, &outcome, callers))
            word.retain_ms = outcome.retain_ms;
        else
            word.flags |= WORD_RETAIN_REFUSED;
    }
    model_group_stats(model, flight->key)->executions_saved += flight->follower_count;
    flight->last_word = word;
    flight->outcome_salt = outcome.salt;
    if (leader != NOBODY) {
        word.flags |= WORD_LED;
        model_expect(model, leader, &word);
    }
    wait_for_last_words(model, f);
    begin_next(model, next);
}

void model_abort_word(struct model *model, int f, const struct word *word)
{
    struct model_flight *flight = &model->flight[f];
    if (flight->leader != NOBODY) {
        int leader = flight->leader;
        model_detach(model, leader);
        model_expect(model, leader, word);
    }
    int next = stop(model, f);
    flight->last_word = *word;
    wait_for_last_words(model, f);
    begin_next(model, next);
}

void model_abort(struct model *model, int f, enum sfl_reason reason)
{
    model_abort_word(model, f, &(struct word){.told = TOLD_REFUSE, .reason = reason});
}

// A kept outcome is of an older attempt than the followers were told: they start over.
static void settle_kept(struct model *model, int f)
{
    struct model_flight *flight = &model->flight[f];
    struct model_outcome kept = flight->kept;
    bool void_what_was_read = kept.attempt != flight->attempt;
    flight->void_at_end = void_what_was_read;
    if (void_what_was_read)
        flight->leader_name = 0;
    model_settle(model, f, &kept, NOBODY);
}

void model_give_up(struct model *model, int f, enum sfl_reason reason)
{
    struct model_flight *flight = &model->flight[f];
    if (flight->has_kept) {
        settle_kept(model, f);
        return;
    }
    struct word word = {.told = TOLD_REFUSE,
                        .reason = reason,
                        .loss = flight->loss,
                        .loss_ms = loss_ms(model, flight, flight->loss),
                        .a = flight->wish.max_attempts};
    model_abort_word(model, f, &word);
}

// The loss is the outcome.
void model_hold(struct model *model, int f)
{
    const struct model_flight *flight = &model->flight[f];
    struct model_outcome outcome = {
        .kind = SFL_OUTCOME_ABANDONED,
        .attempt = flight->attempt,
        .token = flight->token,
        .bytes = flight->bytes,
        .texts_bytes = TEXTS_OF_LOSS,
        .retain_ms = flight->wish.retain_error_ms,
        .led_ms = flight->led_since_ms,
        .salt = flight->salt,
    };
    model_settle(model, f, &outcome, NOBODY);
}

static void remember_loss(struct model *model, struct model_flight *flight)
{
    unsigned at = flight->lost_count++ % MODEL_LOST;
    flight->lost[at].token = flight->token;
    flight->lost[at].loss = flight->loss;
    flight->lost[at].is_uncertain = model->memory_failed;
}

void model_lose_lease(struct model *model, int f)
{
    model_expire(model, f, SFL_LOSS_LEASE);
}

void model_expire(struct model *model, int f, enum sfl_loss loss)
{
    struct model_flight *flight = &model->flight[f];
    if (flight->leader != NOBODY) {
        flight->fenced = flight->leader;
        flight->leader = NOBODY;
    }
    model_lose(model, f, loss);
}

void model_lose(struct model *model, int f, enum sfl_loss loss)
{
    struct model_flight *flight = &model->flight[f];
    uint32_t max_attempts = flight->wish.max_attempts;
    flight->loss = loss;
    flight->overdue = false;
    if (loss != SFL_LOSS_PASSED_ON)
        model_group_stats(model, flight->key)->leaders_lost++;
    if (flight->wish.on_leader_loss == SFL_LEADER_LOSS_HOLD) {
        model_hold(model, f);
    } else if (flight->wish.on_leader_loss == SFL_LEADER_LOSS_FAIL) {
        model_give_up(model, f, SFL_REASON_LOSS_IS_FAIL);
    } else if (max_attempts > 0 && flight->attempt == max_attempts) {
        model_give_up(model, f, SFL_REASON_ATTEMPTS_USED);
    } else if (model_candidate(model, f) == NOBODY) {
        model_give_up(model, f, SFL_REASON_NOBODY_LEADS);
    } else {
        remember_loss(model, flight);
        flight->state = MODEL_FINDING;
        flight->home_owed = true;
        flight->bytes = 0;
        model_expect_notice(model, SFL_EFFECT_FIND_HOME, flight->core);
    }
}

void model_caller_due(struct model *model, int c)
{
    const struct model_caller *caller = &model->caller[c];
    if (caller->flight == NOBODY || !caller->ends_at_deadline ||
        caller->deadline_ms > model->now_ms)
        model_fail(model, "caller %d ended by its deadline before that had passed", c);
    model_leave(model, c, SFL_REASON_DEADLINE, true);
}

static uint64_t due_of(const struct model_flight *flight)
{
    if (flight->state != MODEL_LED && flight->state != MODEL_ORPHANED)
        return UINT64_MAX;
    if (flight->overdue)
        return flight->run_until_ms;
    return flight->lease_until_ms < flight->run_until_ms ? flight->lease_until_ms
                                                         : flight->run_until_ms;
}

void model_flight_due(struct model *model, int f)
{
    struct model_flight *flight = &model->flight[f];
    if (due_of(flight) > model->now_ms)
        model_fail(model, "flight %d lost its leader before a lease or run_limit had run out", f);
    bool is_wanted = flight->follower_count > 0 || flight->next != NOBODY || flight->forgotten;
    if (flight->run_until_ms <= model->now_ms)
        model_expire(model, f, SFL_LOSS_RUN_LIMIT);
    else if (is_wanted)
        model_expire(model, f, SFL_LOSS_LEASE);
    else if (model->draining)
        model_abort(model, f, SFL_REASON_DRAINING);
    else
        flight->overdue = true;
}

void model_retained_due(struct model *model, unsigned key)
{
    if (model->kept_for[key].until_ms > model->now_ms)
        model_fail(model, "the retained outcome of key %u was dropped too early", key);
    model_drop(model, key);
}

// When a caller's own deadline ends it; UINT64_MAX: never.
static uint64_t caller_due_ms(const struct model *model, int c)
{
    const struct model_caller *caller = &model->caller[c];
    if (caller->flight == NOBODY || !caller->ends_at_deadline ||
        model->flight[caller->flight].state == MODEL_ENDED ||
        (caller->detach &&
         (model->flight[caller->flight].leader == c || model->flight[caller->flight].fenced == c)))
        return UINT64_MAX;
    return caller->deadline_ms;
}

void model_check_nothing_due(struct model *model)
{
    for (int c = 0; c < MODEL_CALLERS; c++)
        if (caller_due_ms(model, c) <= model->now_ms)
            model_fail(model, "caller %d outlives its deadline", c);
    for (int f = 0; f < model->flights_top; f++)
        if (due_of(&model->flight[f]) <= model->now_ms)
            model_flight_due(model, f); // right if nobody had to hear of it
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        if (model->kept_for[key].present && model->kept_for[key].until_ms <= model->now_ms)
            model_fail(model, "the outcome of key %u is retained for too long", key);
    model_check_heard(model);
}

uint64_t model_next_due_ms(const struct model *model)
{
    uint64_t next = UINT64_MAX;
    for (int c = 0; c < MODEL_CALLERS; c++)
        if (caller_due_ms(model, c) < next)
            next = caller_due_ms(model, c);
    for (int f = 0; f < model->flights_top; f++)
        if (due_of(&model->flight[f]) < next)
            next = due_of(&model->flight[f]);
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        if (model->kept_for[key].present && model->kept_for[key].until_ms < next)
            next = model->kept_for[key].until_ms;
    return next;
}
