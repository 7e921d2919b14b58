// SPDX-License-Identifier: Apache-2.0
// The run's machine room: a step of the core, what was observed in it, and the comparison.
#include "run.h"

#include "support/carry.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SALTS = 65536 };

// Of a size that says what it is about.
static struct sfl_bytes *describe(int32_t code, struct sfl_span message, struct sfl_span type)
{
    static const uint8_t text[TEXTS_OF_LOSS];
    size_t size = TEXTS_OF_LOSS;
    (void)type;
    if (code == SFL_LIMIT_CODE && sfl_span_starts_with(message, sfl_span_of_text("result")))
        size = TEXTS_OF_VALUE_LIMIT;
    else if (code == SFL_LIMIT_CODE && sfl_span_starts_with(message, sfl_span_of_text("bytes")))
        size = TEXTS_OF_HELD_LIMIT;
    else if (code == SFL_LIMIT_CODE)
        size = TEXTS_OF_TEXTS_LIMIT;
    return sfl_bytes_copy(&sfl_heap, sfl_span_of(text, size));
}

static uint8_t pattern[SALTS + RUN_VALUE_MAX];

static void make_pattern(void)
{
    struct choice choice = choice_of_seed(77);
    if (pattern[0] == 0)
        for (size_t i = 0; i < sizeof(pattern); i++)
            pattern[i] = (uint8_t)(choice_below(&choice, 255) + 1);
}

const uint8_t *run_bytes(uint32_t salt, uint64_t position)
{
    return pattern + ((salt * UINT32_C(2654435761)) >> 16) + position;
}

void model_fail(struct model *model, const char *format, ...)
{
    struct run *run = model->run;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(run->message, sizeof(run->message), format, arguments);
    va_end(arguments);
    longjmp(run->on_failure, 1);
}

void run_trace(struct run *run, const char *format, ...)
{
    if (!run->traces)
        return;
    char *line = run->trace[run->trace_count++ % RUN_TRACE_LINES];
    int used = snprintf(line, RUN_TRACE_WIDTH, "%5u %8" PRIu64 "ms  ", run->step, run->now_ms);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, RUN_TRACE_WIDTH - (size_t)used, format, arguments);
    va_end(arguments);
}

void run_print_trace(const struct run *run, FILE *to)
{
    unsigned from = run->trace_count > RUN_TRACE_LINES ? run->trace_count - RUN_TRACE_LINES : 0;
    if (from > 0)
        fprintf(to, "  (%u earlier lines are left out)\n", from);
    for (unsigned i = from; i < run->trace_count; i++)
        fprintf(to, "%s\n", run->trace[i % RUN_TRACE_LINES]);
}

void run_open(struct run *run)
{
    make_pattern();
    memory_init(&run->memory);
    run->limits = sfl_limits_default;
    run->limits.value_bytes_max = RUN_VALUE_MAX;
    sfl_usage_init(&run->usage);
    run->now_ms = 1000;
    run->last_token = 0;
    run->actors_used = 0;
    run->home_count = 0;
    run->kept_count = 0;
    run->heard_count = 0;
    run->step = 0;
    run->trace_count = 0;
    run->ticks = false;
    model_init(&run->model, &run->limits, run);
    run->model.now_ms = run->now_ms;
    memset(run->actors, 0, sizeof(run->actors));
    sfl_table_init(&run->table, &(struct sfl_table_options){.allocator = &run->memory.allocator,
                                                            .limits = &run->limits,
                                                            .usage = &run->usage,
                                                            .now_ms = run->now_ms,
                                                            .describe = describe,
                                                            .hash_seed = 11});
}

// Observing.

static int number_of(const struct run *run, const struct sfl_caller *caller)
{
    const struct actor *actor = SFL_CONTAINER_OF(caller, struct actor, caller);
    return (int)(actor - run->actors);
}

static struct heard *hear(struct run *run)
{
    if (run->heard_count == RUN_HEARD)
        model_fail(&run->model, "too much is heard in one step");
    struct heard *heard = &run->heard[run->heard_count++];
    memset(heard, 0, sizeof(*heard));
    return heard;
}

static struct word *hear_word(struct run *run, struct sfl_caller *caller, enum told told)
{
    struct heard *heard = hear(run);
    heard->what = HEARD_WORD;
    heard->c = number_of(run, caller);
    heard->word.told = told;
    return &heard->word;
}

static uint32_t number_in_name(struct sfl_span name)
{
    uint16_t number = 0;
    if (name.size == sizeof(number))
        memcpy(&number, name.data, sizeof(number));
    return number;
}

static void on_lead(void *context, struct sfl_caller *caller, const struct sfl_lead *lead)
{
    struct word *word = hear_word(context, caller, TOLD_LEAD);
    word->token = lead->token;
    word->attempt = lead->attempt;
    word->a = lead->lease_ms;
    word->b = lead->run_limit_ms;
    word->bytes = lead->next_sequence;
}

static void hear_value(struct run *run, struct sfl_value *value)
{
    run->heard[run->heard_count - 1].value = sfl_value_ref(value);
}

static void on_follow(void *context, struct sfl_caller *caller, const struct sfl_follow *follow)
{
    struct word *word = hear_word(context, caller, TOLD_FOLLOW);
    word->attempt = follow->attempt;
    word->a = follow->running_ms;
    word->name = number_in_name(sfl_bytes_span(follow->leader));
    word->bytes = follow->value_bytes;
    if (follow->value_bytes > 0)
        hear_value(context, follow->value);
}

static void on_chunk(void *context, struct sfl_caller *caller, struct sfl_value *value,
                     uint64_t value_bytes)
{
    hear_word(context, caller, TOLD_CHUNK)->bytes = value_bytes;
    hear_value(context, value);
}

static void on_restart(void *context, struct sfl_caller *caller, uint32_t attempt,
                       struct sfl_span leader)
{
    struct word *word = hear_word(context, caller, TOLD_RESTART);
    word->attempt = attempt;
    word->name = number_in_name(leader);
}

static void on_audience(void *context, struct sfl_caller *caller,
                        const struct sfl_audience *audience)
{
    struct heard *heard = hear(context);
    heard->what = HEARD_AUDIENCE;
    heard->c = number_of(context, caller);
    heard->audience = *audience;
}

static void on_renewed(void *context, struct sfl_caller *caller, uint64_t id)
{
    hear_word(context, caller, TOLD_RENEWED)->token = id;
}

static void on_result(void *context, struct sfl_caller *caller, const struct sfl_result *result)
{
    const struct sfl_outcome *outcome = result->outcome;
    struct word *word = hear_word(context, caller, TOLD_RESULT);
    word->flags = (result->led ? WORD_LED : 0) | (result->shared ? WORD_SHARED : 0) |
                  (result->retained ? WORD_RETAINED : 0) |
                  (result->retain_refused ? WORD_RETAIN_REFUSED : 0);
    word->attempt = outcome->attempt;
    word->token = outcome->token;
    word->kind = outcome->kind;
    word->bytes = outcome->value_bytes;
    word->texts_bytes = sfl_bytes_span(outcome->texts).size;
    word->callers = result->callers;
    word->age_ms = result->age_ms;
    word->retain_ms = result->retain_ms;
    hear_value(context, outcome->value);
}

static void on_refuse(void *context, struct sfl_caller *caller, const struct sfl_refusal *refusal)
{
    struct word *word = hear_word(context, caller, TOLD_REFUSE);
    word->reason = refusal->reason;
    word->loss = refusal->loss;
    word->loss_ms = refusal->loss_ms;
    word->a = refusal->reason == SFL_REASON_NO_MEMORY ? 0 : refusal->a; // it names no limit
    word->b = refusal->b;
    word->name = number_in_name(sfl_bytes_span(refusal->name));
    if (sfl_caller_is_joined(caller))
        model_fail(&((struct run *)context)->model, "a caller that was refused is still joined");
}

static void on_forgotten(void *context, const struct sfl_forgotten *forgotten)
{
    ((struct run *)context)->forgotten = *forgotten;
}

static void on_flight(void *context, enum sfl_effect_type type, struct sfl_flight *flight)
{
    struct run *run = context;
    if (type == SFL_EFFECT_CHUNK || type == SFL_EFFECT_RESTART)
        return; // heard caller by caller
    struct heard *heard = hear(run);
    heard->what = HEARD_NOTICE;
    heard->type = type;
    heard->flight = flight;
    if (type == SFL_EFFECT_FIND_HOME) {
        if (run->home_count == RUN_HOMES)
            model_fail(&run->model, "too many homes are asked for");
        run->homes[run->home_count++] = flight;
    }
}

static struct carry_sink sink_of(struct run *run)
{
    return (struct carry_sink){run,        on_lead,      on_follow,  on_chunk,
                               on_restart, on_audience,  on_renewed, on_result,
                               on_refuse,  on_forgotten, on_flight};
}

// Nothing may come of it.
static void announce(const struct sfl_table *table, const struct sfl_event *event)
{
    static const enum sfl_ahead all[] = {SFL_AHEAD_FAR, SFL_AHEAD_NEAR, SFL_AHEAD_NEXT};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (event->type == SFL_EVENT_JOIN || event->type == SFL_EVENT_FORGET)
            sfl_table_prefetch_key(table, event->hash, all[i]);
        else if (event->caller != NULL)
            sfl_table_prefetch_caller(table, event->caller, all[i]);
    }
}

static void check_table(struct run *run)
{
    const char *broken = sfl_table_check(&run->table);
    if (broken != NULL)
        model_fail(&run->model, "the table after a step: %s", broken);
}

void run_observe(struct run *run, const struct sfl_event *event, struct sfl_effects *effects_out)
{
    uint64_t failures = run->memory.failures;
    uint64_t brought = 0;
    if (event->type == SFL_EVENT_CHUNK)
        brought = event->chunk.data.size;
    else if (event->type == SFL_EVENT_FINISH)
        brought = event->finish.value.size + sfl_bytes_span(event->finish.texts).size;
    run->model.held_is_full =
        sfl_budget_used(&run->usage.held_bytes) + brought > run->limits.held_bytes_max;
    struct carry_sink sink = sink_of(run);
    run->heard_count = 0;
    // Some thread read the clock, and had to wait for its turn.
    struct sfl_event played = *event;
    bool may_cross = run->climate.clocks_cross && run->table.now_ms == run->now_ms;
    if (may_cross && choice_one_in(&run->choice, 3))
        played.now_ms -= choice_below(&run->choice, 40);
    announce(&run->table, &played);
    sfl_table_step(&run->table, &played, effects_out);
    check_table(run);
    run_observe_kept(run, effects_out);
    carry_out(effects_out, &sink);
    while (carry_live(&run->table, &sink))
        continue;

    struct model *model = &run->model;
    model->memory_failed = run->memory.failures > failures;
    model->denied = SFL_REASON_NONE;
    for (unsigned i = 0; i < run->heard_count; i++) {
        const struct heard *heard = &run->heard[i];
        if (heard->what == HEARD_WORD && event->caller != NULL &&
            heard->c == number_of(run, event->caller) && heard->word.told == TOLD_REFUSE)
            model->denied = heard->word.reason;
        if (heard->what == HEARD_WORD && heard->word.told == TOLD_RESULT &&
            heard->word.texts_bytes == TEXTS_OF_HELD_LIMIT)
            model->denied = SFL_REASON_HELD_LIMIT;
    }
}

// Comparing.

void run_reader_reset(struct reader *reader)
{
    sfl_value_unref(reader->value);
    reader->value = NULL;
    reader->cursor = (struct sfl_value_cursor){0};
    reader->told_bytes = 0;
}

void run_read(struct run *run, int c)
{
    struct reader *reader = &run->actors[c].reader;
    while (reader->cursor.position < reader->told_bytes) {
        uint64_t position = reader->cursor.position;
        struct sfl_span part =
            sfl_value_read(reader->value, reader->told_bytes, &reader->cursor, 1 << 16);
        if (part.size == 0 || memcmp(part.data, run_bytes(reader->salt, position), part.size) != 0)
            model_fail(&run->model,
                       "caller %d reads bytes at %" PRIu64 " that the attempt that"
                       " it was told of did not post",
                       c, position);
    }
}

// Follows a value that may have grown.
static void read_on(struct run *run, int c, struct sfl_value *value, uint64_t told_bytes)
{
    struct reader *reader = &run->actors[c].reader;
    if (told_bytes < reader->told_bytes || (reader->told_bytes > 0 && reader->value != value))
        model_fail(&run->model, "caller %d gets another value without a restart", c);
    if (reader->value != value) {
        sfl_value_unref(reader->value);
        reader->value = sfl_value_ref(value);
    }
    reader->told_bytes = told_bytes;
    reader->salt = run->model.caller[c].salt;
    if (!reader->is_slow)
        run_read(run, c);
}

static void take_in(struct run *run, const struct heard *heard)
{
    struct actor *actor = &run->actors[heard->c];
    const struct word *word = &heard->word;
    switch ((enum told)word->told) {
    case TOLD_LEAD:
        run_reader_reset(&actor->reader);
        actor->token = word->token;
        actor->sequence = word->bytes;
        break;
    case TOLD_RESTART:
        run_reader_reset(&actor->reader);
        break;
    case TOLD_FOLLOW:
    case TOLD_CHUNK:
        read_on(run, heard->c, heard->value, word->bytes);
        break;
    case TOLD_RESULT: {
        // A leader hears of its result without the value, unless it comes for it later.
        bool has_value = !(word->flags & WORD_LED) || (word->flags & WORD_RETAINED);
        if (has_value)
            read_on(run, heard->c, heard->value, word->bytes);
        break;
    }
    case TOLD_RENEWED:
    case TOLD_REFUSE:
        break;
    }
}

void run_drop_heard(struct run *run)
{
    for (unsigned i = 0; i < run->heard_count; i++)
        sfl_value_unref(run->heard[i].value);
    run->heard_count = 0;
}

static void compare_one(struct run *run, const struct heard *heard)
{
    struct model *model = &run->model;
    switch (heard->what) {
    case HEARD_WORD:
        model_hear(model, heard->c, &heard->word);
        take_in(run, heard);
        break;
    case HEARD_AUDIENCE:
        model_hear_audience(model, heard->c, &heard->audience);
        break;
    case HEARD_NOTICE:
        model_notice(model, heard->type, heard->flight);
        break;
    }
}

void run_compare(struct run *run)
{
    for (unsigned i = 0; i < run->heard_count; i++)
        compare_one(run, &run->heard[i]);
    run_drop_heard(run);
    model_check_heard(&run->model);
    if (!run->climate.homes_late)
        while (run->home_count > 0)
            run_answer_home(run, 0, true);
    if (!run->ticks)
        run_check(run);
}

static bool view_one(void *context, const struct sfl_flight_view *view)
{
    model_view(context, view);
    return true;
}

static void check_usage(struct run *run)
{
    struct model *model = &run->model;
    const struct sfl_stats *stats = &run->table.stats;
    if (sfl_budget_used(&run->usage.flights) != model->flights ||
        stats->flights_now != model->flights)
        model_fail(model, "%" PRIu64 " flights are in use, %" PRIu64 " run",
                   sfl_budget_used(&run->usage.flights), model->flights);
    if (sfl_budget_used(&run->usage.callers) != model->callers ||
        stats->callers_now != model->callers)
        model_fail(model, "%" PRIu64 " callers are in use, %" PRIu64 " are joined",
                   sfl_budget_used(&run->usage.callers), model->callers);
    if (sfl_budget_used(&run->usage.retained) != model->retained ||
        stats->retained_now != model->retained)
        model_fail(model, "%" PRIu64 " retained outcomes are in use, there are %" PRIu64,
                   sfl_budget_used(&run->usage.retained), model->retained);
    if (sfl_budget_used(&run->usage.retained_bytes) != model->retained_bytes)
        model_fail(model, "%" PRIu64 " retained bytes are in use, there are %" PRIu64,
                   sfl_budget_used(&run->usage.retained_bytes), model->retained_bytes);
}

void run_check(struct run *run)
{
    struct sfl_table_cursor cursor = {0};
    model_view_begin(&run->model);
    while (sfl_table_visit(&run->table, run->now_ms, &cursor, 64, view_one, &run->model))
        continue;
    model_view_end(&run->model);
    check_usage(run);
    run_check_kept(run);
}

// Time.

// Which deadline explains what was heard first? Everybody must hear what the model then says.
static void explain(struct run *run, const struct heard *heard)
{
    struct model *model = &run->model;
    if (heard->what == HEARD_NOTICE && heard->type == SFL_EFFECT_DROP) {
        for (unsigned key = 0; key < MODEL_KEYS; key++)
            if (model->kept_for[key].present && model->kept_for[key].core == heard->flight)
                model_retained_due(model, key);
        return;
    }
    int f = NOBODY;
    if (heard->what == HEARD_NOTICE)
        f = model_flight_of_core(model, heard->flight);
    else if (heard->word.told == TOLD_REFUSE && heard->word.reason == SFL_REASON_DEADLINE)
        model_caller_due(model, heard->c);
    else if (heard->word.told == TOLD_REFUSE || heard->word.told == TOLD_RESTART ||
             heard->word.told == TOLD_RESULT)
        f = model->caller[heard->c].flight;
    if (f != NOBODY && model->flight[f].before != NOBODY)
        f = model->flight[f].before; // nobody heard that this one ended, but the next one begins
    if (f != NOBODY)
        model_flight_due(model, f);
}

static bool is_expected(const struct model *model, const struct heard *heard)
{
    if (heard->what == HEARD_AUDIENCE)
        return true;
    if (heard->what == HEARD_NOTICE)
        return model_expects_notice(model, heard->type, heard->flight);
    return model->caller[heard->c].expected_count > 0;
}

void run_tick(struct run *run)
{
    struct sfl_event event = {.type = SFL_EVENT_TICK, .now_ms = run->now_ms};
    struct sfl_effects effects;
    run->ticks = true;
    do {
        run_observe(run, &event, &effects);
        for (unsigned i = 0; i < run->heard_count; i++) {
            if (!is_expected(&run->model, &run->heard[i]))
                explain(run, &run->heard[i]);
            compare_one(run, &run->heard[i]);
        }
        run_drop_heard(run);
        model_check_heard(&run->model);
        if (!run->climate.homes_late)
            while (run->home_count > 0)
                run_answer_home(run, 0, true);
    } while (effects.more);
    run->ticks = false;
    model_check_nothing_due(&run->model);
    model_check_audience(&run->model);
    run_check(run);
}

void run_answer_home(struct run *run, unsigned at, bool found)
{
    struct sfl_flight *flight = run->homes[at];
    struct sfl_event event = {.type = SFL_EVENT_HOME_FOUND,
                              .now_ms = run->now_ms,
                              .home = {.flight = flight, .found = found}};
    struct sfl_effects effects;
    int f = model_flight_of_core(&run->model, flight);
    run->homes[at] = run->homes[--run->home_count];
    if (found) {
        run->last_token += 1 + run->step % 3;
        event.home.token = run->last_token;
        event.home.is_kept = run_keep_lead(run, f, run->last_token);
    }
    run_trace(run, "home of flight %d %s, token %" PRIu64, f, found ? "found" : "not found",
              event.home.token);
    run_observe(run, &event, &effects);
    model_home_found(&run->model, f, found, event.home.token);
    run_compare(run);
}

void run_take_settled(struct run *run)
{
    struct carry_sink sink = sink_of(run);
    run->heard_count = 0;
    if (!carry_settled(&run->table, &sink))
        return;
    check_table(run);
    run_trace(run, "%u followers of a settled flight hear so", run->heard_count);
    for (unsigned i = 0; i < run->heard_count; i++) {
        model_hear_settled(&run->model, run->heard[i].c, &run->heard[i].word);
        take_in(run, &run->heard[i]);
    }
    run_drop_heard(run);
}
