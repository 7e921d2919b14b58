// SPDX-License-Identifier: Apache-2.0
// The model: what each event means.
#include "model.h"

#include <assert.h>
#include <string.h>

static void begin_attempt(struct model *model, int f, int leader, uint64_t token)
{
    struct model_flight *flight = &model->flight[f];
    uint64_t run_limit_ms = flight->wish.run_limit_ms;
    if (token <= model->last_token[flight->key])
        model_fail(model, "the token %llu of key %u does not grow", (unsigned long long)token,
                   flight->key);
    model->last_token[flight->key] = token;
    // A leader is no follower: taken out of their order, it stays a participant.
    model_detach(model, leader);
    model->caller[leader].flight = f;
    model->caller[leader].waits = false;
    model->callers++;
    flight->leader = leader;
    flight->leader_name = model_name_of(model, leader);
    flight->state = MODEL_LED;
    flight->attempt++;
    flight->token = token;
    flight->salt = ++model->salts;
    flight->bytes = 0;
    flight->next_sequence = 0;
    flight->led_since_ms = model->now_ms;
    flight->run_until_ms =
        model->now_ms + (run_limit_ms == 0 ? model->limits->run_limit_ms_max : run_limit_ms);
    if (flight->wish.lease_ms > 0)
        flight->lease_until_ms = model->now_ms + flight->wish.lease_ms;
    struct sfl_stats *stats = model_group_stats(model, flight->key);
    stats->executions++;
    if (!model->caller[leader].admitted)
        stats->calls++;
    model->caller[leader].admitted = true;
}

// An opener, or who was to take a lead over, does not lead after all, and hears so now. NOBODY:
// there is none.
static int admit_opener(struct model *model, int f)
{
    struct model_flight *flight = &model->flight[f];
    for (unsigned i = 0; i < flight->follower_count; i++) {
        int c = flight->followers[i];
        if (model->caller[c].admitted)
            continue;
        if (model->caller[c].role == SFL_ROLE_LEAD_ONLY) {
            model_detach(model, c);
            model_refuse_other_leads(model, c, f);
        } else {
            model_tell_follow(model, c, f);
        }
        return c;
    }
    return NOBODY;
}

// To those who have waited in a next flight.
static void tell_who_leads(struct model *model, int f)
{
    struct model_flight *flight = &model->flight[f];
    for (unsigned i = 0; flight->was_next && i < flight->follower_count; i++) {
        int c = flight->followers[i];
        if (!model->caller[c].waits)
            continue;
        model->caller[c].waits = false;
        model->caller[c].salt = flight->salt;
        model_expect(model, c,
                     &(struct word){.told = TOLD_FOLLOW,
                                    .attempt = flight->attempt,
                                    .name = flight->leader_name});
    }
}

void model_home_found(struct model *model, int f, bool found, uint64_t token)
{
    struct model_flight *flight = &model->flight[f];
    flight->home_owed = false;
    if (flight->state == MODEL_ENDED) {
        model_free_if_done(model, f);
        return;
    }
    if (flight->state != MODEL_FINDING)
        model_fail(model, "flight %d asked for a home while it was led", f);
    if (!found) {
        model_abort(model, f, SFL_REASON_HOME_UNREACHABLE);
        return;
    }
    int leader = model_candidate(model, f);
    if (leader == NOBODY) {
        bool begins = flight->was_next && flight->attempt == 0;
        model_give_up(model, f, begins ? SFL_REASON_NOBODY_BEGINS : SFL_REASON_NOBODY_LEADS);
        return;
    }
    if (flight->fenced != NOBODY) {
        int fenced = flight->fenced;
        model_detach(model, fenced);
        model_refuse_fenced(model, fenced, f, flight->loss, flight->token, token);
    }
    begin_attempt(model, f, leader, token);
    struct word word = model_lead_word(model, f);
    model_expect(model, leader, &word);
    int admitted = admit_opener(model, f);
    for (unsigned i = 0; flight->attempt > 1 && i < flight->follower_count; i++) {
        int c = flight->followers[i];
        if (!model->caller[c].live || model->caller[c].waits || c == admitted)
            continue;
        model->caller[c].salt = flight->salt;
        model_expect(model, c,
                     &(struct word){.told = TOLD_RESTART,
                                    .attempt = flight->attempt,
                                    .name = flight->leader_name});
    }
    tell_who_leads(model, f);
    model_new_stream(model, f);
}

// A caller that does not lead takes a leader's step. True: that is dealt with.
static bool is_out_of_order(struct model *model, int c)
{
    int f = model->caller[c].flight;
    if (f == NOBODY || model->flight[f].state == MODEL_ENDED)
        return true; // its last word has been said, or is on its way
    if (model->flight[f].leader == c)
        return false;
    if (model->flight[f].fenced == c) {
        model_detach(model, c);
        model_refuse_fenced(model, c, f, model->flight[f].loss, model->flight[f].token, 0);
    } else {
        model_leave(model, c, SFL_REASON_NOT_LEADING, false);
    }
    return true;
}

// The leader's own stream ends with an error: lost, with or without a lease.
static void fail_leader(struct model *model, int c, enum sfl_reason reason, uint64_t a, uint64_t b)
{
    int f = model->caller[c].flight;
    model_detach(model, c);
    model_refuse(model, c, reason, a, b);
    model_lose(model, f, SFL_LOSS_FAILED);
}

// A value that meets a limit is the outcome.
static void end_over_limit(struct model *model, int c, uint64_t texts_bytes,
                           const struct model_finish *finish)
{
    int f = model->caller[c].flight;
    struct model_flight *flight = &model->flight[f];
    struct model_outcome outcome = {
        .kind = SFL_OUTCOME_ERROR,
        .attempt = flight->attempt,
        .token = flight->token,
        .texts_bytes = texts_bytes,
        .retain_ms = flight->wish.retain_error_ms,
        .led_ms = flight->led_since_ms,
    };
    if (finish != NULL && finish->has_retention)
        outcome.retain_ms = finish->retention_ms;
    flight->void_at_end = flight->bytes > 0;
    flight->void_name = flight->leader_name;
    model_group_stats(model, flight->key)->refused++;
    model_detach(model, c);
    model_settle(model, f, &outcome, c);
}

// Bytes that do not fit. True: the flight has ended with them, or the leader has failed.
static bool is_too_much(struct model *model, int c, uint64_t bytes,
                        const struct model_finish *finish)
{
    const struct model_flight *flight = &model->flight[model->caller[c].flight];
    uint64_t max = model->limits->value_bytes_max;
    if (model->denied == SFL_REASON_NO_MEMORY && model->memory_failed)
        fail_leader(model, c, SFL_REASON_NO_MEMORY, 0, 0);
    else if (bytes > 0 && flight->bytes + bytes > max)
        end_over_limit(model, c, TEXTS_OF_VALUE_LIMIT, finish);
    else if (model->denied == SFL_REASON_HELD_LIMIT && model->held_is_full)
        end_over_limit(model, c, TEXTS_OF_HELD_LIMIT, finish);
    else if (finish != NULL && finish->texts_bytes > model->limits->texts_bytes_max)
        end_over_limit(model, c, TEXTS_OF_TEXTS_LIMIT, finish);
    else
        return false;
    return true;
}

void model_chunk(struct model *model, int c, uint64_t sequence, uint64_t bytes)
{
    if (is_out_of_order(model, c))
        return;
    struct model_flight *flight = &model->flight[model->caller[c].flight];
    if (sequence != flight->next_sequence) {
        fail_leader(model, c, SFL_REASON_SEQUENCE, sequence, flight->next_sequence);
        return;
    }
    if (is_too_much(model, c, bytes, NULL))
        return;
    flight->next_sequence++;
    flight->bytes += bytes;
    for (unsigned i = 0; bytes > 0 && i < flight->follower_count; i++) {
        int follower = flight->followers[i];
        if (!model->caller[follower].live)
            continue;
        model->caller[follower].salt = flight->salt;
        model_expect(model, follower, &(struct word){.told = TOLD_CHUNK, .bytes = flight->bytes});
    }
}

void model_renew(struct model *model, int c, uint64_t id)
{
    if (is_out_of_order(model, c))
        return;
    struct model_flight *flight = &model->flight[model->caller[c].flight];
    if (flight->wish.lease_ms > 0)
        flight->lease_until_ms = model->now_ms + flight->wish.lease_ms;
    flight->overdue = false;
    if (id > 0)
        model_expect(model, c, &(struct word){.told = TOLD_RENEWED, .token = id});
}

void model_finish_malformed(struct model *model, int c, enum sfl_reason reason, uint64_t a,
                            uint64_t b)
{
    if (!is_out_of_order(model, c))
        fail_leader(model, c, reason, a, b);
}

static void tell_own_error(struct model *model, int c, const struct model_outcome *outcome)
{
    model_expect(model, c,
                 &(struct word){.told = TOLD_RESULT,
                                .flags = WORD_LED,
                                .attempt = outcome->attempt,
                                .callers = 1,
                                .kind = outcome->kind,
                                .token = outcome->token,
                                .bytes = outcome->bytes,
                                .texts_bytes = outcome->texts_bytes});
}

void model_finish(struct model *model, int c, const struct model_finish *finish)
{
    if (is_out_of_order(model, c))
        return;
    int f = model->caller[c].flight;
    struct model_flight *flight = &model->flight[f];
    if (is_too_much(model, c, finish->bytes, finish))
        return;
    struct model_outcome outcome = {
        .kind = finish->kind,
        .attempt = flight->attempt,
        .token = flight->token,
        .bytes = flight->bytes + finish->bytes,
        .texts_bytes = finish->texts_bytes,
        .retain_ms =
            finish->kind == SFL_OUTCOME_OK ? flight->wish.retain_ms : flight->wish.retain_error_ms,
        .led_ms = flight->led_since_ms,
        .salt = flight->salt,
    };
    if (finish->has_retention)
        outcome.retain_ms = finish->retention_ms;
    model_detach(model, c);
    // Without memory for it, an error is for everybody.
    if (finish->pass_on && model_may_go_on(flight) && model_candidate(model, f) != NOBODY &&
        !model->memory_failed) {
        flight->has_kept = true;
        flight->kept = outcome;
        tell_own_error(model, c, &outcome);
        model_lose(model, f, SFL_LOSS_PASSED_ON);
    } else {
        model_settle(model, f, &outcome, c);
    }
}

static void orphan(struct model *model, int c)
{
    struct model_flight *flight = &model->flight[model->caller[c].flight];
    model_detach(model, c);
    flight->state = MODEL_ORPHANED;
    flight->audience_differs_ms = UINT64_MAX;
}

void model_half_close(struct model *model, int c)
{
    int f = model->caller[c].flight;
    if (f == NOBODY)
        return;
    struct model_flight *flight = &model->flight[f];
    model->caller[c].half_closed = true;
    if (flight->leader != c)
        return;
    if (flight->wish.lease_ms == 0) {
        flight->fenced = c;
        flight->leader = NOBODY;
        model_lose(model, f, SFL_LOSS_LEFT);
        return;
    }
    uint64_t left_ms =
        flight->lease_until_ms > model->now_ms ? flight->lease_until_ms - model->now_ms : 0;
    orphan(model, c);
    model_refuse(model, c, SFL_REASON_LEASE_BROKEN, flight->token, left_ms);
}

void model_leave(struct model *model, int c, enum sfl_reason reason, bool broken)
{
    int f = model->caller[c].flight;
    if (f == NOBODY)
        return;
    struct model_flight *flight = &model->flight[f];
    bool led = flight->leader == c;
    if (led && broken && flight->wish.lease_ms > 0) {
        orphan(model, c);
        model_refuse(model, c, reason, 0, 0);
        return;
    }
    model_detach(model, c);
    model_refuse(model, c, reason, 0, 0);
    if (flight->state == MODEL_NEXT && flight->follower_count == 0)
        model_abort(model, f, reason);
    if (led)
        model_lose(model, f, broken ? SFL_LOSS_LEFT : SFL_LOSS_FAILED);
    else if (flight->state == MODEL_LED)
        model_audience_changed(model, f);
    model_free_if_done(model, f);
}

static void end_flight(struct model *model, int f, uint32_t end_name)
{
    const struct model_flight *flight = &model->flight[f];
    bool has_attempt = model_has_attempt(flight);
    bool is_named = end_name > 1 && !model->memory_failed;
    struct word word = {
        .told = TOLD_REFUSE,
        .reason = has_attempt ? SFL_REASON_FENCED_FOR : SFL_REASON_ENDED,
        .loss = is_named ? SFL_LOSS_ENDED_BY : SFL_LOSS_ENDED,
        .a = flight->token,
        .name = is_named ? end_name - 1 : 0,
    };
    if (flight->leader != NOBODY)
        model_group_stats(model, flight->key)->fenced++;
    model_abort_word(model, f, &word);
}

struct sfl_forgotten model_forget(struct model *model, unsigned key, bool if_unshared,
                                  uint32_t end_name)
{
    struct sfl_forgotten forgotten = {0};
    int f = model_running(model, key);
    bool is_shared =
        f != NOBODY && (model->flight[f].follower_count > 0 || model->flight[f].next != NOBODY);
    if (f != NOBODY && !(if_unshared && is_shared)) {
        struct model_flight *flight = &model->flight[f];
        flight->forgotten = true;
        if (flight->next != NOBODY)
            model->flight[flight->next].forgotten = true;
        model_expect_notice(model, SFL_EFFECT_RELEASE_HOME, flight->core);
        forgotten.flight = true;
    }
    if (model->kept_for[key].present) {
        model_drop(model, key);
        forgotten.retained = true;
    }
    if (forgotten.flight || forgotten.retained)
        model_group_stats(model, key)->forgets++;
    if (forgotten.flight && end_name > 0) {
        forgotten.ended = true;
        end_flight(model, f, end_name);
    } else if (forgotten.flight && model->flight[f].overdue) {
        model_lose_lease(model, f);
    }
    return forgotten;
}

void model_unkept(struct model *model, unsigned key, uint64_t token)
{
    struct model_retained *retained = &model->kept_for[key];
    if (!retained->present || retained->outcome.token != token)
        return;
    for (int f = 0; f < MODEL_FLIGHTS; f++) {
        struct model_flight *flight = &model->flight[f];
        if (flight->state != MODEL_ENDED || flight->core != retained->core)
            continue;
        flight->last_word.retain_ms = 0;
        flight->last_word.flags |= WORD_RETAIN_REFUSED;
    }
    model_group_stats(model, key)->retain_refused++;
    model_let_go(model, key);
}

void model_drain_one(struct model *model, int f)
{
    const struct model_flight *flight = &model->flight[f];
    if (flight->state != MODEL_NEXT && !flight->overdue)
        model_fail(model, "the drain ends flight %d, which may end in time", f);
    model_abort(model, f, SFL_REASON_DRAINING);
}

void model_drain(struct model *model)
{
    for (int f = 0; f < model->flights_top; f++) {
        const struct model_flight *flight = &model->flight[f];
        if (flight->state == MODEL_NEXT || flight->overdue)
            model_fail(model, "the drain leaves flight %d", f);
    }
}

void model_make_room(struct model *model, int f, enum sfl_room room)
{
    for (int g = 0; f == NOBODY && g < model->flights_top; g++) {
        const struct model_flight *other = &model->flight[g];
        uint64_t kept_bytes = other->has_kept ? other->kept.bytes + other->kept.texts_bytes : 0;
        bool has_room = room == SFL_ROOM_FLIGHT || other->bytes + kept_bytes > 0;
        if (other->overdue && has_room)
            model_fail(model, "flight %d is overdue, and gives no room", g);
    }
    if (f == NOBODY)
        return;
    struct model_flight *flight = &model->flight[f];
    if (!flight->overdue)
        model_fail(model, "flight %d gives its room, and is not overdue", f);
    model_group_stats(model, flight->key)->leaders_lost++;
    flight->loss = SFL_LOSS_ROOM;
    flight->fenced = flight->leader;
    flight->leader = NOBODY;
    if (flight->wish.on_leader_loss == SFL_LEADER_LOSS_HOLD) {
        flight->void_at_end = flight->bytes > 0;
        flight->void_name = flight->leader_name;
        flight->bytes = 0;
        model_hold(model, f);
    } else {
        model_give_up(model, f, SFL_REASON_LOST);
    }
}

void model_shut_one(struct model *model, int f)
{
    model->draining = true;
    model_abort(model, f, SFL_REASON_DRAINED);
}
