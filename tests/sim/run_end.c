// SPDX-License-Identifier: Apache-2.0
// How a run ends: everybody goes, and nothing may be left.
#include "run.h"

#include <inttypes.h>

// The model ends the flight that the core has ended; which one comes first is its own affair.
static void shut(struct run *run)
{
    struct sfl_event event = {.type = SFL_EVENT_SHUT, .now_ms = run->now_ms};
    struct sfl_effects effects;
    run_trace(run, "the drain time is over");
    do {
        uint64_t before = sfl_budget_used(&run->usage.flights);
        run_observe(run, &event, &effects);
        run->kept_count = 0; // they outlive this, and are nobody's concern any more
        uint64_t ended = before - sfl_budget_used(&run->usage.flights);
        if (ended == 0)
            break;
        int f = run_flight_heard(run);
        // Nobody heard of the one before, with which the next one has ended.
        if (f != NOBODY && ended > 1 && run->model.flight[f].before != NOBODY)
            f = run->model.flight[f].before;
        for (int g = 0; f == NOBODY && g < run->model.flights_top; g++) {
            // Nobody heard of it: a forgotten flight without callers.
            const struct model_flight *flight = &run->model.flight[g];
            bool runs = flight->state != MODEL_UNUSED && flight->state != MODEL_ENDED;
            if (runs && flight->forgotten && flight->leader == NOBODY && flight->fenced == NOBODY &&
                flight->follower_count == 0)
                f = g;
        }
        if (f == NOBODY)
            model_fail(&run->model, "a flight was shut that does not run");
        model_shut_one(&run->model, f);
        for (unsigned i = 0; i < run->heard_count; i++) {
            if (run->heard[i].what == HEARD_NOTICE)
                model_notice(&run->model, run->heard[i].type, run->heard[i].flight);
            else
                model_hear(&run->model, run->heard[i].c, &run->heard[i].word);
        }
        run_drop_heard(run);
        model_check_heard(&run->model);
    } while (effects.more);
    if (run->model.flights != 0)
        model_fail(&run->model, "%" PRIu64 " flights were not shut", run->model.flights);
    run_check(run);
}

static void let_all_end(struct run *run)
{
    memory_fail_never(&run->memory);
    if (run->climate.shuts && choice_one_in(&run->choice, 2))
        shut(run); // while homes are still looked for
    for (int c = 0; c < run->actors_used; c++) {
        if (choice_one_in(&run->choice, 4) && model_is_led_by(&run->model, c))
            run_finish(run, c, choice_one_in(&run->choice, 2));
        while (run->home_count > 0)
            run_answer_home(run, 0, true);
    }
    if (run->climate.shuts)
        shut(run);
    for (int c = 0; c < run->actors_used; c++)
        if (run->model.caller[c].flight != NOBODY && !choice_one_in(&run->choice, 3))
            run_leave(run, c, SFL_REASON_CANCELLED, true);
    for (int c = 0; c < run->actors_used; c++)
        if (run->model.caller[c].flight != NOBODY &&
            run->model.flight[run->model.caller[c].flight].state != MODEL_ENDED)
            run_leave(run, c, SFL_REASON_CANCELLED, false);
    while (run->home_count > 0)
        run_answer_home(run, 0, true);
    // What is orphaned ends with its lease.
    for (unsigned n = 0; run->model.flights > 0 && n < MODEL_FLIGHTS; n++) {
        uint64_t due_ms = model_next_due_ms(&run->model);
        if (due_ms > run->now_ms)
            run_pass(run, due_ms - run->now_ms);
        run_tick(run);
        while (run->home_count > 0)
            run_answer_home(run, 0, true);
    }
    for (unsigned n = 0; n < MODEL_FLIGHTS; n++)
        run_take_settled(run);
    run_tick(run); // the dead are freed with the next step
}

static bool same_counters(const struct sfl_stats *a, const struct sfl_stats *b)
{
    return a->calls == b->calls && a->executions == b->executions &&
           a->executions_saved == b->executions_saved && a->retained_hits == b->retained_hits &&
           a->leaders_lost == b->leaders_lost && a->fenced == b->fenced &&
           a->forgets == b->forgets && a->refused == b->refused &&
           a->retain_refused == b->retain_refused && a->retained_now == b->retained_now &&
           a->flights_now == b->flights_now;
}

static void check_stats(struct run *run)
{
    struct sfl_stats all = model_stats(&run->model);
    struct sfl_stats core = sfl_table_stats(&run->table, sfl_span_of(NULL, 0));
    if (!same_counters(&all, &core))
        model_fail(&run->model,
                   "the statistics are wrong: calls %" PRIu64 "/%" PRIu64 " executions %" PRIu64
                   "/%" PRIu64 " saved %" PRIu64 "/%" PRIu64 " hits %" PRIu64 "/%" PRIu64
                   " lost %" PRIu64 "/%" PRIu64 " fenced %" PRIu64 "/%" PRIu64 " forgets %" PRIu64
                   "/%" PRIu64 " refused %" PRIu64 "/%" PRIu64 " not retained %" PRIu64 "/%" PRIu64,
                   all.calls, core.calls, all.executions, core.executions, all.executions_saved,
                   core.executions_saved, all.retained_hits, core.retained_hits, all.leaders_lost,
                   core.leaders_lost, all.fenced, core.fenced, all.forgets, core.forgets,
                   all.refused, core.refused, all.retain_refused, core.retain_refused);
    uint64_t held = 0;
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        const struct model_retained *retained = &run->model.kept_for[key];
        if (retained->present)
            held += retained->outcome.bytes + retained->outcome.texts_bytes;
    }
    if (core.bytes_now != held)
        model_fail(&run->model, "the statistics count %" PRIu64 " bytes, and %" PRIu64 " are held",
                   core.bytes_now, held);
}

static void check_nobody_hangs(struct run *run)
{
    for (int c = 0; c < run->actors_used; c++) {
        if (!run->model.caller[c].has_ended)
            model_fail(&run->model, "caller %d never hears a last word", c);
        if (sfl_caller_is_joined(&run->actors[c].caller))
            model_fail(&run->model, "caller %d is joined after its last word", c);
        run_read(run, c);
        run_reader_reset(&run->actors[c].reader);
    }
    if (run->model.flights != 0)
        model_fail(&run->model, "%" PRIu64 " flights never end", run->model.flights);
}

void run_end(struct run *run)
{
    let_all_end(run);
    check_nobody_hangs(run);
    check_stats(run);
    if (sfl_budget_used(&run->usage.held_bytes) != run->table.stats.bytes_now)
        model_fail(&run->model, "%" PRIu64 " bytes stay charged that nobody holds",
                   sfl_budget_used(&run->usage.held_bytes) - run->table.stats.bytes_now);
}

void run_close(struct run *run)
{
    sfl_table_deinit(&run->table);
    if (run->memory.blocks != 0)
        model_fail(&run->model, "%" PRIu64 " blocks of memory are left", run->memory.blocks);
    if (sfl_budget_used(&run->usage.flights) + sfl_budget_used(&run->usage.callers) +
            sfl_budget_used(&run->usage.retained) + sfl_budget_used(&run->usage.held_bytes) +
            sfl_budget_used(&run->usage.retained_bytes) !=
        0)
        model_fail(&run->model,
                   "usage is left: flights %" PRIu64 " callers %" PRIu64 " retained %" PRIu64
                   " bytes %" PRIu64 " retained bytes %" PRIu64,
                   sfl_budget_used(&run->usage.flights), sfl_budget_used(&run->usage.callers),
                   sfl_budget_used(&run->usage.retained), sfl_budget_used(&run->usage.held_bytes),
                   sfl_budget_used(&run->usage.retained_bytes));
}
