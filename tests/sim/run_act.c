// SPDX-License-Identifier: Apache-2.0
// What the callers of a run do, and the faults that befall them.
#include "run.h"

#include <inttypes.h>
#include <string.h>

static uint32_t below(struct run *run, uint32_t limit)
{
    return choice_below(&run->choice, limit);
}

static bool one_in(struct run *run, uint32_t n)
{
    return n > 0 && choice_one_in(&run->choice, n);
}

static uint64_t hash_of(unsigned key)
{
    return key * UINT64_C(0x9e3779b97f4a7c15) >> 60; // some keys collide
}

static struct sfl_span group_of(unsigned key)
{
    return sfl_span_of_text(key % MODEL_GROUPS == 0 ? "g0" : "g1");
}

static struct sfl_span span_of_key(unsigned key)
{
    static const char names[] = "abcdefgh";
    return sfl_span_of(names + key, 1);
}

static struct sfl_span span_of_fingerprint(uint32_t fingerprint)
{
    static const char prints[] = "pqr";
    return sfl_span_of(prints + fingerprint, fingerprint == 0 ? 0 : 1);
}

static uint64_t some_ms(struct run *run)
{
    static const uint32_t spans[] = {3, 30, 300, 3000, 30000};
    return 1 + below(run, spans[below(run, 5)]);
}

// Of the flight that runs for the key; 0: none.
static uint64_t current_token(const struct run *run, unsigned key)
{
    int f = model_running(&run->model, key);
    return f == NOBODY ? 0 : run->model.flight[f].token;
}

static struct wish some_wish(struct run *run)
{
    struct wish wish = {.key = below(run, run->climate.keys), .deadline_ms = UINT64_MAX};
    wish.named = !one_in(run, 4);
    wish.live = one_in(run, run->climate.live_one_in);
    wish.audience = one_in(run, 3);
    if (one_in(run, 8))
        wish.fingerprint = 1 + below(run, 2);
    if (one_in(run, 4))
        wish.role = one_in(run, 3) ? SFL_ROLE_LEAD_ONLY : SFL_ROLE_FOLLOW_ONLY;
    if (one_in(run, 10))
        wish.on_leader_loss = SFL_LEADER_LOSS_FAIL;
    else if (one_in(run, 10) && !run->climate.memory_fails) // nobody can foresee what is lost then
        wish.on_leader_loss = SFL_LEADER_LOSS_HOLD;
    wish.fresh = one_in(run, run->climate.fresh_one_in);
    wish.detach = one_in(run, 4);
    wish.retain_from_lead = one_in(run, 4);
    if (one_in(run, 12))
        wish.within_token = current_token(run, wish.key);
    if (one_in(run, 4))
        wish.max_attempts = 1 + below(run, 4);
    if (one_in(run, 3))
        wish.retain_ms = some_ms(run);
    if (one_in(run, 4))
        wish.retain_error_ms = some_ms(run);
    if (one_in(run, 4))
        wish.max_age_ms = 1 + below(run, 500);
    if (one_in(run, run->climate.lease_one_in))
        wish.lease_ms = 1000 + some_ms(run);
    if (one_in(run, 5))
        wish.run_limit_ms = some_ms(run);
    if (one_in(run, 3)) {
        wish.deadline_ms = run->now_ms + some_ms(run);
        wish.ends_at_deadline = !one_in(run, 4);
    }
    return wish;
}

static struct sfl_join join_of(const struct wish *wish, const uint16_t *name,
                               struct sfl_lead_ref *within)
{
    *within =
        (struct sfl_lead_ref){group_of(wish->key), span_of_key(wish->key), wish->within_token};
    return (struct sfl_join){
        .group = group_of(wish->key),
        .key = span_of_key(wish->key),
        .fingerprint = span_of_fingerprint(wish->fingerprint),
        .name = sfl_span_of(name, wish->named ? sizeof(*name) : 0),
        .role = wish->role,
        .on_leader_loss = wish->on_leader_loss,
        .live = wish->live,
        .audience = wish->audience,
        .detach = wish->detach,
        .retain_from_lead = wish->retain_from_lead,
        .fresh = wish->fresh,
        .within_count = wish->within_token > 0,
        .within = within,
        .max_attempts = wish->max_attempts,
        .retain_ms = wish->retain_ms,
        .retain_error_ms = wish->retain_error_ms,
        .max_age_ms = wish->max_age_ms,
        .lease_ms = wish->lease_ms,
        .run_limit_ms = wish->run_limit_ms,
        .resume_token = wish->resume_token,
        .deadline_ms = wish->deadline_ms,
        .ends_at_deadline = wish->ends_at_deadline,
    };
}

// Breaks one bound of a join. Says which.
static struct sfl_refusal spoil(struct run *run, struct sfl_join *join)
{
    const struct sfl_limits *limits = &run->limits;
    switch (below(run, 6)) {
    case 0:
        join->key.size = 0;
        return (struct sfl_refusal){.reason = SFL_REASON_KEY_SIZE, .b = limits->key_bytes_max};
    case 1:
        join->group = sfl_span_of_text("no blanks");
        return (struct sfl_refusal){.reason = SFL_REASON_GROUP_BYTES};
    case 2:
        join->retain_ms = limits->retain_ms_max + 1;
        return (struct sfl_refusal){
            .reason = SFL_REASON_RETAIN, .a = join->retain_ms, .b = limits->retain_ms_max};
    case 3:
        join->lease_ms = limits->lease_ms_min - 1;
        return (struct sfl_refusal){
            .reason = SFL_REASON_LEASE_SHORT, .a = join->lease_ms, .b = limits->lease_ms_min};
    case 4:
        join->lease_ms = limits->lease_ms_max + 1;
        return (struct sfl_refusal){
            .reason = SFL_REASON_LEASE_LONG, .a = join->lease_ms, .b = limits->lease_ms_max};
    default:
        join->run_limit_ms = limits->run_limit_ms_max + 1;
        return (struct sfl_refusal){.reason = SFL_REASON_RUN_LIMIT_LONG,
                                    .a = join->run_limit_ms,
                                    .b = limits->run_limit_ms_max};
    }
}

static const char *loss_word(const struct wish *wish)
{
    static const char *const words[] = {"", " FAIL", " HOLD"};
    return words[wish->on_leader_loss];
}

static void play_join(struct run *run, struct wish wish, bool is_spoilt)
{
    if (run->actors_used == (int)run->climate.callers)
        return;
    int c = run->actors_used++;
    struct actor *actor = &run->actors[c];
    sfl_caller_init(&actor->caller);
    actor->wish = wish;
    actor->reader.is_slow = one_in(run, run->climate.slow_one_in);
    uint16_t name = (uint16_t)(c + 1);
    struct sfl_lead_ref within;
    struct sfl_join join = join_of(&wish, &name, &within);
    struct sfl_refusal refusal = {.reason = SFL_REASON_NONE};
    if (is_spoilt)
        refusal = spoil(run, &join);
    run_trace(run,
              "caller %d joins key %u role=%d lease=%" PRIu64 " run_limit=%" PRIu64
              " max_attempts=%u resume=%" PRIu64 "%s%s%s%s",
              c, wish.key, (int)wish.role, wish.lease_ms, wish.run_limit_ms, wish.max_attempts,
              wish.resume_token, wish.live ? " live" : "", loss_word(&wish),
              wish.fresh ? " fresh" : "", is_spoilt ? " (malformed)" : "");
    struct sfl_event event = {.type = SFL_EVENT_JOIN,
                              .now_ms = run->now_ms,
                              .caller = &actor->caller,
                              .hash = hash_of(wish.key),
                              .join = &join};
    struct sfl_effects effects;
    run_observe(run, &event, &effects);
    run->model.joined_core = actor->caller.flight;
    if (is_spoilt)
        model_join_malformed(&run->model, c, refusal.reason, refusal.a, refusal.b);
    else
        model_join(&run->model, c, &wish);
    run_compare(run);
}

static void act_join(struct run *run)
{
    play_join(run, some_wish(run), one_in(run, 60));
}

// With a token that somebody was once told, or that nobody was.
static void act_resume(struct run *run)
{
    if (run->actors_used == 0)
        return;
    struct wish wish = some_wish(run);
    const struct actor *actor = &run->actors[below(run, (uint32_t)run->actors_used)];
    for (unsigned tries = 0; tries < 8 && actor->token == 0; tries++)
        actor = &run->actors[below(run, (uint32_t)run->actors_used)];
    wish.key = actor->wish.key;
    wish.resume_token = actor->token;
    if (one_in(run, 20))
        wish.resume_token = 1 + below(run, 1000);
    if (wish.resume_token > 0)
        play_join(run, wish, false);
}

// A caller to act: any, or one that leads now and is awake; NOBODY if the dice find none.
static int some_caller(struct run *run)
{
    return run->actors_used == 0 ? NOBODY : (int)below(run, (uint32_t)run->actors_used);
}

static int some_joined(struct run *run)
{
    for (unsigned tries = 0; tries < 6; tries++) {
        int c = some_caller(run);
        if (c != NOBODY && run->model.caller[c].flight != NOBODY)
            return c;
    }
    return NOBODY;
}

static int some_leader(struct run *run)
{
    if (run->model.flights_top == 0)
        return NOBODY;
    for (unsigned tries = 0; tries < 6; tries++) {
        int f = (int)below(run, (uint32_t)run->model.flights_top);
        int c = run->model.flight[f].state == MODEL_LED ? run->model.flight[f].leader : NOBODY;
        if (c != NOBODY && run->actors[c].thaws_ms <= run->now_ms)
            return c;
    }
    return NOBODY;
}

// Somebody who led once and does not know yet that it is over; or knows, and does not care.
static int some_ghost(struct run *run)
{
    for (unsigned tries = 0; tries < 12; tries++) {
        int c = some_caller(run);
        if (c != NOBODY && run->actors[c].token > 0 && !model_is_led_by(&run->model, c))
            return c;
    }
    return NOBODY;
}

static uint64_t some_size(struct run *run)
{
    if (one_in(run, 10))
        return 0;
    if (one_in(run, 150))
        return below(run, RUN_VALUE_MAX / 2);
    return below(run, 1 + below(run, 400));
}

static uint32_t salt_of(const struct run *run, int c)
{
    int f = run->model.caller[c].flight;
    return f != NOBODY && run->model.flight[f].leader == c ? run->model.flight[f].salt : 54321;
}

static uint64_t bytes_so_far(const struct run *run, int c)
{
    int f = run->model.caller[c].flight;
    return f != NOBODY && run->model.flight[f].leader == c ? run->model.flight[f].bytes : 0;
}

// The next bytes of what `c` posts; a value never grows past what the pattern holds.
static struct sfl_span next_bytes(struct run *run, int c, uint64_t size)
{
    uint64_t position = bytes_so_far(run, c);
    if (size > RUN_VALUE_MAX - position)
        size = RUN_VALUE_MAX - position;
    return sfl_span_of(run_bytes(salt_of(run, c), position), size);
}

static void play_chunk(struct run *run, int c)
{
    struct actor *actor = &run->actors[c];
    struct sfl_chunk chunk = {.data = next_bytes(run, c, some_size(run)),
                              .sequence = actor->sequence};
    if (one_in(run, 40))
        chunk.sequence = below(run, 6);
    run_trace(run, "caller %d posts chunk %" PRIu64 " of %zu bytes", c, chunk.sequence,
              chunk.data.size);
    struct sfl_event event = {
        .type = SFL_EVENT_CHUNK, .now_ms = run->now_ms, .caller = &actor->caller, .chunk = chunk};
    struct sfl_effects effects;
    run_observe(run, &event, &effects);
    model_chunk(&run->model, c, chunk.sequence, chunk.data.size);
    actor->sequence++;
    run_compare(run);
}

static void play_renew(struct run *run, int c)
{
    run_trace(run, "caller %d renews", c);
    uint64_t id = below(run, 3);
    struct sfl_event event = {.type = SFL_EVENT_RENEW,
                              .now_ms = run->now_ms,
                              .caller = &run->actors[c].caller,
                              .renew = {id}};
    struct sfl_effects effects;
    run_observe(run, &event, &effects);
    model_renew(&run->model, c, id);
    run_compare(run);
}

static void play_spoilt_finish(struct run *run, int c)
{
    struct sfl_finish finish = {.kind = SFL_OUTCOME_OK};
    enum sfl_reason reason = SFL_REASON_OUTCOME_KIND;
    uint64_t a = 0;
    uint64_t b = 0;
    if (one_in(run, 2)) {
        finish.kind = one_in(run, 2) ? 0 : 5;
    } else if (one_in(run, 2)) {
        finish.pass_on = true;
        reason = SFL_REASON_PASS_ON_OK;
    } else {
        finish.has_retention = true;
        finish.retention_ms = a = run->limits.retain_ms_max + 1;
        reason = SFL_REASON_RETENTION;
        b = run->limits.retain_ms_max;
    }
    run_trace(run, "caller %d finishes, malformed", c);
    struct sfl_event event = {.type = SFL_EVENT_FINISH,
                              .now_ms = run->now_ms,
                              .caller = &run->actors[c].caller,
                              .finish = finish};
    struct sfl_effects effects;
    run_observe(run, &event, &effects);
    model_finish_malformed(&run->model, c, reason, a, b);
    run_compare(run);
}

static struct model_finish some_finish(struct run *run, bool pass_on)
{
    struct model_finish finish = {.kind = SFL_OUTCOME_OK, .pass_on = pass_on};
    if (pass_on || one_in(run, 3))
        finish.kind = (enum sfl_outcome_kind)(SFL_OUTCOME_ERROR + (int)below(run, 3));
    if (one_in(run, 4))
        finish.texts_bytes = below(run, 300);
    if (one_in(run, 6)) {
        finish.has_retention = true;
        finish.retention_ms = one_in(run, 3) ? 0 : some_ms(run);
    }
    return finish;
}

void run_finish(struct run *run, int c, bool pass_on)
{
    static const struct sfl_allocator *const heap = &sfl_heap;
    struct model_finish finish = some_finish(run, pass_on);
    struct sfl_span value = next_bytes(run, c, some_size(run));
    struct sfl_bytes *texts = NULL;
    finish.bytes = value.size;
    if (finish.texts_bytes > 0)
        texts = sfl_bytes_create(heap, finish.texts_bytes);
    run_trace(run, "caller %d finishes, kind %d, %zu bytes%s", c, (int)finish.kind, value.size,
              pass_on ? ", passes on" : "");
    struct sfl_event event = {.type = SFL_EVENT_FINISH,
                              .now_ms = run->now_ms,
                              .caller = &run->actors[c].caller,
                              .finish = {.kind = finish.kind,
                                         .value = value,
                                         .texts = texts,
                                         .has_retention = finish.has_retention,
                                         .retention_ms = finish.retention_ms,
                                         .pass_on = pass_on}};
    struct sfl_effects effects;
    run_observe(run, &event, &effects);
    sfl_bytes_unref(texts);
    model_finish(&run->model, c, &finish);
    run_compare(run);
}

static void play_half_close(struct run *run, int c)
{
    run_trace(run, "caller %d half-closes", c);
    struct sfl_event event = {
        .type = SFL_EVENT_HALF_CLOSE, .now_ms = run->now_ms, .caller = &run->actors[c].caller};
    struct sfl_effects effects;
    run_observe(run, &event, &effects);
    model_half_close(&run->model, c);
    run_compare(run);
}

void run_leave(struct run *run, int c, enum sfl_reason reason, bool broken)
{
    run_trace(run, "caller %d leaves, %s", c, broken ? "its stream broke" : "with an error");
    struct sfl_event event = {.type = SFL_EVENT_LEAVE,
                              .now_ms = run->now_ms,
                              .caller = &run->actors[c].caller,
                              .leave = {.refusal = {.reason = reason}, .broken = broken}};
    struct sfl_effects effects;
    run_observe(run, &event, &effects);
    model_leave(&run->model, c, reason, broken);
    run_compare(run);
}

static void step_of_leader(struct run *run, int c)
{
    uint32_t dice = below(run, 100);
    if (dice < 52)
        play_chunk(run, c);
    else if (dice < 66)
        run_finish(run, c, false);
    else if (dice < 76)
        run_finish(run, c, true);
    else if (dice < 84)
        play_renew(run, c);
    else if (dice < 86)
        play_spoilt_finish(run, c);
    else if (dice < 89)
        play_half_close(run, c);
    else if (dice < 94)
        run->actors[c].thaws_ms = run->now_ms + some_ms(run);
    else
        run_leave(run, c, one_in(run, 3) ? SFL_REASON_MALFORMED : SFL_REASON_BROKEN,
                  !one_in(run, 3));
}

static void act_lead(struct run *run)
{
    int c = some_leader(run);
    if (c != NOBODY)
        step_of_leader(run, c);
}

// Whoever is not the leader, or is not any more, takes a leader's step.
static void act_out_of_turn(struct run *run)
{
    int c = one_in(run, 4) ? some_joined(run) : some_ghost(run);
    if (c == NOBODY)
        return;
    switch (below(run, 4)) {
    case 0:
        play_chunk(run, c);
        break;
    case 1:
        run_finish(run, c, one_in(run, 2));
        break;
    case 2:
        play_renew(run, c);
        break;
    default:
        play_half_close(run, c);
        break;
    }
}

static void act_leave(struct run *run)
{
    int c = some_joined(run);
    if (c == NOBODY)
        return;
    if (one_in(run, 6))
        play_half_close(run, c);
    else
        run_leave(run, c, one_in(run, 2) ? SFL_REASON_CANCELLED : SFL_REASON_BROKEN,
                  !one_in(run, 5));
}

static void act_forget(struct run *run)
{
    unsigned key = below(run, run->climate.keys);
    bool if_unshared = one_in(run, 3);
    uint32_t end_name = one_in(run, 3) ? 1 + below(run, 3) : 0;
    uint16_t name = (uint16_t)(end_name - 1);
    run_trace(run, "key %u is forgotten%s%s", key, if_unshared ? " if unshared" : "",
              end_name > 0 ? ", and ended" : "");
    struct sfl_event event = {
        .type = SFL_EVENT_FORGET,
        .now_ms = run->now_ms,
        .hash = hash_of(key),
        .forget = {.group = group_of(key),
                   .key = span_of_key(key),
                   .if_unshared = if_unshared,
                   .end = end_name > 0,
                   .name = sfl_span_of(&name, end_name > 1 ? sizeof(name) : 0)}};
    struct sfl_effects effects;
    run_observe(run, &event, &effects);
    struct sfl_forgotten right = model_forget(&run->model, key, if_unshared, end_name);
    if (right.flight != run->forgotten.flight || right.retained != run->forgotten.retained ||
        right.ended != run->forgotten.ended)
        model_fail(&run->model, "forgotten: flight %d retained %d, but the answer is %d, %d",
                   right.flight, right.retained, run->forgotten.flight, run->forgotten.retained);
    run_compare(run);
}

// A data file says of the key's outcome, or of an older one, that it could not be kept.
static void act_unkept(struct run *run)
{
    unsigned key = below(run, run->climate.keys);
    uint64_t token = run->model.kept_for[key].outcome.token;
    if (one_in(run, 4))
        token--;
    if (token == 0 || token == UINT64_MAX)
        return; // the key has had none yet
    run_trace(run, "the outcome of key %u with token %" PRIu64 " is not kept", key, token);
    struct sfl_event event = {
        .type = SFL_EVENT_UNKEPT,
        .now_ms = run->now_ms,
        .hash = hash_of(key),
        .unkept = {.group = group_of(key), .key = span_of_key(key), .token = token}};
    struct sfl_effects effects;
    run_observe(run, &event, &effects);
    model_unkept(&run->model, key, token);
    run_compare(run);
}

int run_flight_heard(const struct run *run)
{
    const struct model *model = &run->model;
    int f = NOBODY;
    for (unsigned i = 0; i < run->heard_count && f == NOBODY; i++) {
        const struct heard *heard = &run->heard[i];
        f = heard->what == HEARD_NOTICE ? model_flight_of_core(model, heard->flight)
                                        : model->caller[heard->c].flight;
    }
    return f;
}

// Somewhere there is too little of something.
static void act_make_room(struct run *run)
{
    struct sfl_event event = {.type = SFL_EVENT_MAKE_ROOM,
                              .now_ms = run->now_ms,
                              .room = one_in(run, 2) ? SFL_ROOM_BYTES : SFL_ROOM_FLIGHT};
    struct sfl_effects effects;
    run_trace(run, "room is made");
    run_observe(run, &event, &effects);
    model_make_room(&run->model, run_flight_heard(run), event.room);
    run_compare(run);
}

void run_pass(struct run *run, uint64_t ms)
{
    run->now_ms += ms;
    run->model.now_ms = run->now_ms;
}

// To the next deadline, a little on, or a jump.
static void act_time(struct run *run)
{
    uint64_t due_ms = model_next_due_ms(&run->model);
    uint64_t next_ms = sfl_table_next_deadline_ms(&run->table);
    if (next_ms > due_ms && next_ms > run->now_ms)
        model_fail(&run->model, "a tick is due at %" PRIu64 ", but wanted only at %" PRIu64, due_ms,
                   next_ms);
    uint32_t dice = below(run, 10);
    if (dice < 4 && next_ms != UINT64_MAX && next_ms > run->now_ms && next_ms < run->now_ms + 60000)
        run_pass(run, next_ms - run->now_ms);
    else if (dice < 9)
        run_pass(run, below(run, 60));
    else
        run_pass(run, some_ms(run));
    if (run->climate.late_ticks && one_in(run, 4))
        return;
    run_trace(run, "a tick");
    run_tick(run);
}

static void act_home(struct run *run)
{
    if (run->home_count > 0)
        run_answer_home(run, below(run, run->home_count),
                        !(run->climate.homes_fail && one_in(run, 10)));
}

static void act_read(struct run *run)
{
    int c = some_caller(run);
    if (c == NOBODY)
        return;
    run_read(run, c);
    if (run->model.caller[c].has_ended)
        run_reader_reset(&run->actors[c].reader);
}

void run_act(struct run *run)
{
    uint32_t dice = below(run, 100);
    if (run->climate.memory_fails && one_in(run, 12))
        memory_fail(&run->memory, 1 + below(run, 6), 1 + below(run, 2));
    if (dice < run->climate.join_weight)
        act_join(run);
    else if (dice < 62)
        act_lead(run);
    else if (dice < 70)
        act_leave(run);
    else if (dice < 75)
        act_out_of_turn(run);
    else if (dice < 77)
        act_forget(run);
    else if (dice < 78 && one_in(run, 2))
        act_make_room(run);
    else if (dice < 78)
        act_unkept(run);
    else if (dice < 82)
        act_resume(run);
    else if (dice < 94)
        act_time(run);
    else if (dice < 97)
        act_home(run);
    else
        act_read(run);
    if (!run->climate.settled_late || one_in(run, 8))
        run_take_settled(run);
}
