// SPDX-License-Identifier: Apache-2.0
// One run: a table of the core, a model beside it, and several hundred callers that do what the
// choices say. Every decision comes from `choice`, so the same choices are the same run.
#ifndef SFL_TESTS_SIM_RUN_H
#define SFL_TESTS_SIM_RUN_H

#include "model.h"
#include "support/choice.h"
#include "support/memory.h"

#include <setjmp.h>
#include <stdio.h>

enum {
    RUN_VALUE_MAX = 200000,
    RUN_HOMES = 512,
    RUN_TRACE_LINES = 300,
    RUN_TRACE_WIDTH = 160,
    RUN_HEARD = 2 * MODEL_CALLERS,
    RUN_KEPT = 1024,
};

// What a caller reads, at its own pace.
struct reader {
    struct sfl_value *value; // a reference, or NULL
    struct sfl_value_cursor cursor;
    uint64_t told_bytes;
    uint32_t salt;
    bool is_slow;
};

struct actor {
    struct sfl_caller caller;
    struct reader reader;
    struct wish wish;
    uint64_t token;    // with which it was last told to lead; 0: never
    uint64_t sequence; // of its next chunk, as it believes
    uint64_t thaws_ms; // frozen until then
};

// Something that was observed in a step.
struct heard {
    enum { HEARD_WORD, HEARD_AUDIENCE, HEARD_NOTICE } what;
    int c;
    struct word word;
    struct sfl_audience audience;
    enum sfl_effect_type type;
    const struct sfl_flight *flight;
    struct sfl_value *value; // a reference: what may be read now
};

// What kind of weather a run has.
struct climate {
    unsigned keys;
    unsigned callers;
    unsigned steps;
    bool homes_late;
    bool homes_fail;
    bool memory_fails;
    bool late_ticks;
    bool clocks_cross; // events come with times that were passed already
    bool settled_late;
    unsigned slow_one_in; // 0: nobody
    unsigned lease_one_in;
    unsigned fresh_one_in; // 0: nobody
    unsigned live_one_in;
    unsigned join_weight;
    bool drains;
    bool shuts;
};

struct run {
    struct choice choice;
    struct climate climate;
    struct memory memory;
    struct sfl_limits limits;
    struct sfl_usage usage;
    struct sfl_table table;
    struct model model;
    struct actor actors[MODEL_CALLERS];
    int actors_used;
    uint64_t now_ms;
    uint64_t last_token;
    struct sfl_flight *homes[RUN_HOMES];
    unsigned home_count;
    uint64_t kept[RUN_KEPT]; // tokens of leads that are kept beyond the process
    unsigned kept_count;
    struct heard heard[RUN_HEARD];
    unsigned heard_count;
    struct sfl_forgotten forgotten;
    unsigned step;
    bool ticks; // some deadlines have been carried out, others not yet
    // Where a failure goes: back to whoever started the run, with `message`.
    jmp_buf on_failure;
    char message[1024];
    bool traces;
    unsigned trace_count;
    char trace[RUN_TRACE_LINES][RUN_TRACE_WIDTH];
};

// Plays a whole run. Returns when nothing was wrong; otherwise jumps to run->on_failure, which must
// be set. `steps` 0 means as many as the climate says.
void run_play(struct run *run, struct choice choice, unsigned steps);

// Gives back what a run that failed still holds is not possible: its memory is lost. Prints the
// trace, oldest first.
void run_print_trace(const struct run *run, FILE *to);

// Within the run.
void run_open(struct run *run);
void run_close(struct run *run);
void run_act(struct run *run);
void run_end(struct run *run);
void run_finish(struct run *run, int c, bool pass_on);
void run_leave(struct run *run, int c, enum sfl_reason reason, bool broken);
void run_pass(struct run *run, uint64_t ms);
int run_flight_heard(const struct run *run); // of what was heard first; NOBODY: nothing was
__attribute__((format(printf, 2, 3))) void run_trace(struct run *run, const char *format, ...);

// Steps the core, observes, and (through the callback) tells the model; then compares.
void run_step(struct run *run, struct sfl_event *event);
void run_observe(struct run *run, const struct sfl_event *event, struct sfl_effects *effects_out);
void run_compare(struct run *run);
void run_drop_heard(struct run *run);
void run_tick(struct run *run);
void run_answer_home(struct run *run, unsigned at, bool found);
void run_take_settled(struct run *run);
void run_check(struct run *run);

// Kept leads. Whether the next lead of this flight, with this token, is kept; and what the effects
// of a step say of those that are.
bool run_keep_lead(struct run *run, int f, uint64_t token);
void run_observe_kept(struct run *run, const struct sfl_effects *effects);
void run_check_kept(struct run *run);

// Readers.
void run_read(struct run *run, int c);
void run_reader_reset(struct reader *reader);

// The bytes that an attempt posts: `size` of them from `position` on.
const uint8_t *run_bytes(uint32_t salt, uint64_t position);

#endif
