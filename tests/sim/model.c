// SPDX-License-Identifier: Apache-2.0
// The model: what must be heard, what was heard, and lookups.
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AUDIENCE_LATE_MS = 100 }; // how long changes may be gathered before the leader is told

void model_init(struct model *model, const struct sfl_limits *limits, void *run)
{
    memset(model, 0, sizeof(*model));
    model->limits = limits;
    model->run = run;
    model->denied = SFL_REASON_NONE;
    for (int c = 0; c < MODEL_CALLERS; c++)
        model->caller[c].flight = NOBODY;
}

struct sfl_stats *model_group_stats(struct model *model, unsigned key)
{
    return &model->stats[key % MODEL_GROUPS];
}

struct sfl_stats model_stats(const struct model *model)
{
    struct sfl_stats sum = {0};
    for (unsigned g = 0; g < MODEL_GROUPS; g++) {
        const struct sfl_stats *stats = &model->stats[g];
        sum.calls += stats->calls;
        sum.executions += stats->executions;
        sum.executions_saved += stats->executions_saved;
        sum.retained_hits += stats->retained_hits;
        sum.leaders_lost += stats->leaders_lost;
        sum.fenced += stats->fenced;
        sum.forgets += stats->forgets;
        sum.refused += stats->refused;
        sum.retain_refused += stats->retain_refused;
        sum.flights_now += stats->flights_now;
        sum.retained_now += stats->retained_now;
    }
    sum.callers_now = model->callers;
    return sum;
}

// Words as text.

static const char *told_names[] = {"lead",    "follow", "chunk", "restart",
                                   "renewed", "result", "refuse"};

static const char *reason_name(uint32_t reason)
{
    static const char *const names[] = {
#define NAME(name, status, text) #name,
        SFL_REASON_LIST(NAME)
#undef NAME
    };
    return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "NONE";
}

static const char *word_text(const struct word *word, char text[256])
{
    if (word->told == TOLD_REFUSE)
        snprintf(
            text, 256, "refuse %s a=%" PRIu64 " b=%" PRIu64 " loss=%u (%" PRIu64 " ms) name=%u",
            reason_name(word->reason), word->a, word->b, word->loss, word->loss_ms, word->name);
    else
        snprintf(text, 256,
                 "%s attempt=%u token=%" PRIu64 " bytes=%" PRIu64 " a=%" PRIu64 " b=%" PRIu64
                 " name=%u kind=%u callers=%u flags=%x age=%" PRIu64 " retain=%" PRIu64
                 " texts=%" PRIu64,
                 told_names[word->told], word->attempt, word->token, word->bytes, word->a, word->b,
                 word->name, word->kind, word->callers, word->flags, word->age_ms, word->retain_ms,
                 word->texts_bytes);
    return text;
}

// What must be heard.

void model_expect(struct model *model, int c, const struct word *word)
{
    struct model_caller *caller = &model->caller[c];
    if (caller->expected_count == MODEL_EXPECTED)
        model_fail(model, "caller %d should hear too much at once", c);
    caller->expected[caller->expected_count++] = *word;
    model->expected_total++;
}

void model_refuse(struct model *model, int c, enum sfl_reason reason, uint64_t a, uint64_t b)
{
    model_expect(model, c, &(struct word){.told = TOLD_REFUSE, .reason = reason, .a = a, .b = b});
}

static void check_last_word(struct model *model, int c, const struct word *word)
{
    struct model_caller *caller = &model->caller[c];
    if (caller->has_ended)
        model_fail(model, "caller %d hears something after its last word", c);
    if (word->told == TOLD_RESULT || word->told == TOLD_REFUSE)
        caller->has_ended = true;
}

static void compare(struct model *model, int c, const struct word *expected,
                    const struct word *heard)
{
    char a[256];
    char b[256];
    if (memcmp(expected, heard, sizeof(*heard)) != 0)
        model_fail(model, "caller %d should hear: %s\n  but heard: %s", c, word_text(expected, a),
                   word_text(heard, b));
}

void model_hear(struct model *model, int c, const struct word *word)
{
    char text[256];
    struct model_caller *caller = &model->caller[c];
    check_last_word(model, c, word);
    if (caller->expected_count == 0)
        model_fail(model, "caller %d heard, and should not: %s", c, word_text(word, text));
    compare(model, c, &caller->expected[0], word);
    caller->expected_count--;
    model->expected_total--;
    memmove(&caller->expected[0], &caller->expected[1],
            caller->expected_count * sizeof(caller->expected[0]));
}

// It comes right before the last word.
static void hear_restart_at_end(struct model *model, int c, const struct word *word)
{
    struct model_caller *caller = &model->caller[c];
    if (caller->flight == NOBODY || !model->flight[caller->flight].void_at_end || !caller->live)
        model_fail(model, "caller %d starts over at the end for no reason", c);
    struct word expected = {.told = TOLD_RESTART,
                            .attempt = model->flight[caller->flight].last_word.attempt,
                            .name = model->flight[caller->flight].void_name};
    compare(model, c, &expected, word);
    caller->restarted_at_end = true;
}

// One that has waited in a next flight, and was not told of its leader before.
static void hear_follow_at_end(struct model *model, int c, const struct word *word)
{
    struct model_caller *caller = &model->caller[c];
    if (caller->flight == NOBODY || !caller->waits)
        model_fail(model, "caller %d follows at the end for no reason", c);
    caller->waits = false;
    (void)word;
}

void model_hear_settled(struct model *model, int c, const struct word *word)
{
    struct model_caller *caller = &model->caller[c];
    if (word->told == TOLD_RESTART) {
        hear_restart_at_end(model, c, word);
        return;
    }
    if (word->told == TOLD_FOLLOW) {
        hear_follow_at_end(model, c, word);
        return;
    }
    check_last_word(model, c, word);
    if (caller->flight == NOBODY || model->flight[caller->flight].state != MODEL_ENDED)
        model_fail(model, "caller %d gets the last word of a flight that has not ended for it", c);
    int f = caller->flight;
    struct model_flight *flight = &model->flight[f];
    if (flight->followers[0] != c)
        model_fail(model, "caller %d is taken before older followers", c);
    compare(model, c, &flight->last_word, word);
    if (caller->restarted_at_end != (flight->void_at_end && caller->live))
        model_fail(model, "caller %d reads on after an older error has won", c);
    caller->restarted_at_end = false;
    if (word->told == TOLD_RESULT)
        caller->salt = flight->outcome_salt;
    model_detach(model, c);
    model_free_if_done(model, f);
}

void model_expect_notice(struct model *model, enum sfl_effect_type type, const void *core)
{
    if (model->notice_count == sizeof(model->notices) / sizeof(model->notices[0]))
        model_fail(model, "too many notices at once");
    model->notices[model->notice_count++] = (struct model_notice){type, core};
}

static int find_notice(const struct model *model, enum sfl_effect_type type, const void *core)
{
    for (unsigned i = 0; i < model->notice_count; i++)
        if (model->notices[i].type == type &&
            (model->notices[i].core == core || model->notices[i].core == NULL))
            return (int)i;
    return -1;
}

bool model_expects_notice(const struct model *model, enum sfl_effect_type type, const void *core)
{
    return find_notice(model, type, core) >= 0;
}

// A flight that has just begun learns which object of the core it is.
static void learn_core(struct model *model, const void *core)
{
    if (model_flight_of_core(model, core) != NOBODY)
        model_fail(model, "a flight was freed while it was in use");
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        if (model->kept_for[key].present && model->kept_for[key].core == core)
            model_fail(model, "a flight was freed while its outcome was retained");
    for (int f = 0; f < model->flights_top; f++)
        if (model->flight[f].state == MODEL_FINDING && model->flight[f].core == NULL)
            model->flight[f].core = core;
}

void model_notice(struct model *model, enum sfl_effect_type type, const void *core)
{
    int i = find_notice(model, type, core);
    if (i < 0)
        model_fail(model, "effect %d of flight %p, which nobody expects", (int)type, core);
    if (model->notices[i].core == NULL)
        learn_core(model, core);
    model->notice_count--;
    memmove(&model->notices[i], &model->notices[i + 1],
            (model->notice_count - (unsigned)i) * sizeof(model->notices[0]));
}

void model_check_heard(struct model *model)
{
    char text[256];
    if (model->notice_count > 0)
        model_fail(model, "effect %d of flight %p is missing", (int)model->notices[0].type,
                   model->notices[0].core);
    if (model->expected_total == 0)
        return;
    for (int c = 0; c < MODEL_CALLERS; c++)
        if (model->caller[c].expected_count > 0)
            model_fail(model, "caller %d should have heard: %s", c,
                       word_text(&model->caller[c].expected[0], text));
}

// The audience.

static uint64_t latest_deadline(const struct model *model, const struct model_flight *flight)
{
    uint64_t latest_ms = 0;
    for (unsigned i = 0; i < flight->follower_count; i++) {
        uint64_t deadline_ms = model->caller[flight->followers[i]].deadline_ms;
        if (deadline_ms > latest_ms)
            latest_ms = deadline_ms;
    }
    return latest_ms;
}

void model_audience_changed(struct model *model, int f)
{
    struct model_flight *flight = &model->flight[f];
    if (flight->state != MODEL_LED || !model->caller[flight->leader].audience)
        return;
    bool is_right = flight->audience_told
                        ? flight->audience_followers == flight->follower_count &&
                              flight->audience_latest_ms == latest_deadline(model, flight)
                        : flight->follower_count == 0;
    if (is_right)
        flight->audience_differs_ms = UINT64_MAX;
    else if (flight->audience_differs_ms == UINT64_MAX)
        flight->audience_differs_ms = model->now_ms;
}

void model_new_stream(struct model *model, int f)
{
    model->flight[f].audience_told = false;
    model->flight[f].audience_differs_ms = UINT64_MAX;
    model_audience_changed(model, f);
}

void model_hear_audience(struct model *model, int c, const struct sfl_audience *audience)
{
    int f = model->caller[c].flight;
    if (f == NOBODY || model->flight[f].leader != c || !model->caller[c].audience)
        model_fail(model, "caller %d hears of an audience that is not its own", c);
    struct model_flight *flight = &model->flight[f];
    uint64_t latest_ms = latest_deadline(model, flight);
    uint64_t from_now_ms = latest_ms > model->now_ms ? latest_ms - model->now_ms : 1;
    if (latest_ms == UINT64_MAX)
        from_now_ms = 0;
    if (audience->followers != flight->follower_count)
        model_fail(model, "caller %d is told of %u followers, and has %u", c, audience->followers,
                   flight->follower_count);
    if (audience->followers > 0 && audience->latest_deadline_ms != from_now_ms)
        model_fail(model, "caller %d is told of a deadline in %" PRIu64 " ms, and it is %" PRIu64,
                   c, audience->latest_deadline_ms, from_now_ms);
    if (!flight->audience_told && flight->follower_count == 0)
        model_fail(model, "caller %d is told of an audience before anybody waited", c);
    flight->audience_told = true;
    flight->audience_followers = flight->follower_count;
    flight->audience_latest_ms = latest_ms;
    flight->audience_differs_ms = UINT64_MAX;
}

void model_check_audience(struct model *model)
{
    for (int f = 0; f < model->flights_top; f++) {
        const struct model_flight *flight = &model->flight[f];
        if (flight->state == MODEL_LED && flight->audience_differs_ms != UINT64_MAX &&
            model->now_ms - flight->audience_differs_ms > AUDIENCE_LATE_MS)
            model_fail(model, "the leader of flight %d does not learn of its audience", f);
    }
}

// The listing.

static enum sfl_flight_state state_of(const struct model_flight *flight)
{
    switch (flight->state) {
    case MODEL_NEXT:
        return SFL_FLIGHT_NEXT;
    case MODEL_FINDING:
        return SFL_FLIGHT_FINDING_HOME;
    case MODEL_LED:
        return SFL_FLIGHT_LED;
    case MODEL_ORPHANED:
        return SFL_FLIGHT_ORPHANED;
    case MODEL_UNUSED:
    case MODEL_ENDED:
        break;
    }
    return SFL_FLIGHT_SETTLED;
}

void model_view_begin(struct model *model)
{
    for (int f = 0; f < model->flights_top; f++)
        model->flight[f].seen = false;
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        model->kept_for[key].seen = false;
}

static uint64_t until(const struct model *model, uint64_t at_ms)
{
    return at_ms > model->now_ms ? at_ms - model->now_ms : 0;
}

static bool fits(const struct model *model, const struct model_flight *flight, unsigned key,
                 const struct sfl_flight_view *view)
{
    if (flight->seen || flight->key != key || state_of(flight) != view->state ||
        flight->forgotten != view->forgotten || flight->token != view->token ||
        flight->overdue != view->overdue || flight->attempt != view->attempt ||
        flight->bytes != view->value_bytes)
        return false;
    if (view->callers != flight->follower_count + (flight->leader != NOBODY))
        return false;
    if (!model_has_attempt(flight))
        return true;
    uint64_t expires_ms =
        flight->wish.lease_ms == 0 || flight->overdue ? 0 : until(model, flight->lease_until_ms);
    return view->running_ms == model->now_ms - flight->led_since_ms &&
           view->expires_ms == expires_ms;
}

static void view_retained(struct model *model, unsigned key, const struct sfl_flight_view *view)
{
    struct model_retained *retained = &model->kept_for[key];
    if (!retained->present || retained->seen || view->token != retained->outcome.token ||
        view->attempt != retained->outcome.attempt || view->callers != retained->callers ||
        view->value_bytes != retained->outcome.bytes ||
        view->expires_ms != until(model, retained->until_ms))
        model_fail(model, "a retained outcome of key %u is listed, and should not be so", key);
    retained->seen = true;
}

void model_view(struct model *model, const struct sfl_flight_view *view)
{
    unsigned key = view->key.data[0] - (unsigned)'a';
    if (view->state == SFL_FLIGHT_RETAINED) {
        view_retained(model, key, view);
        return;
    }
    for (int f = 0; f < model->flights_top; f++) {
        struct model_flight *flight = &model->flight[f];
        if (fits(model, flight, key, view)) {
            flight->seen = true;
            return;
        }
    }
    model_fail(model,
               "a flight of key %u is listed that should not be, or not so: state %d token %" PRIu64
               " attempt %u callers %u value %" PRIu64 "%s",
               key, (int)view->state, view->token, view->attempt, view->callers, view->value_bytes,
               view->forgotten ? " forgotten" : "");
}

void model_view_end(struct model *model)
{
    unsigned indexed[MODEL_KEYS] = {0};
    for (int f = 0; f < model->flights_top; f++) {
        const struct model_flight *flight = &model->flight[f];
        bool runs = flight->state != MODEL_UNUSED && flight->state != MODEL_ENDED;
        if (runs && !flight->seen)
            model_fail(model, "flight %d of key %u is not listed", f, flight->key);
        bool may_be_joined = runs && !flight->forgotten && flight->state != MODEL_NEXT;
        if (may_be_joined && ++indexed[flight->key] > 1)
            model_fail(model, "two flights of key %u may be joined", flight->key);
    }
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        if (model->kept_for[key].present && !model->kept_for[key].seen)
            model_fail(model, "the retained outcome of key %u is not listed", key);
}

// Lookups.

int model_flight_of_core(const struct model *model, const void *core)
{
    for (int f = 0; f < model->flights_top; f++)
        if (model->flight[f].state != MODEL_UNUSED && model->flight[f].core == core)
            return f;
    return NOBODY;
}

int model_running(const struct model *model, unsigned key)
{
    for (int f = 0; f < model->flights_top; f++) {
        const struct model_flight *flight = &model->flight[f];
        if (flight->state != MODEL_UNUSED && flight->state != MODEL_ENDED &&
            flight->state != MODEL_NEXT && !flight->forgotten && flight->key == key)
            return f;
    }
    return NOBODY;
}

bool model_is_led_by(const struct model *model, int c)
{
    int f = model->caller[c].flight;
    return f != NOBODY && model->flight[f].leader == c;
}
