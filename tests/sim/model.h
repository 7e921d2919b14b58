// SPDX-License-Identifier: Apache-2.0
// What the contract says must happen, in the plainest data there is: arrays that are searched from
// end to end. It shares no code and no structure with the core; it is told the same events, writes
// down what everybody must hear, and compares.
#ifndef SFL_TESTS_SIM_MODEL_H
#define SFL_TESTS_SIM_MODEL_H

#include "core/flight_table.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    MODEL_CALLERS = 512,
    MODEL_FLIGHTS = 256,
    MODEL_KEYS = 8,
    MODEL_GROUPS = 2, // key k is in group k % MODEL_GROUPS
    MODEL_EXPECTED = 6,
    NOBODY = -1,
    // What the core says itself has texts of these sizes in a run, so that one is told from
    // another.
    TEXTS_OF_VALUE_LIMIT = 301,
    TEXTS_OF_HELD_LIMIT,
    TEXTS_OF_TEXTS_LIMIT,
    TEXTS_OF_LOSS,
    MODEL_LOST = 8,
};

enum told {
    TOLD_LEAD,
    TOLD_FOLLOW,
    TOLD_CHUNK,
    TOLD_RESTART,
    TOLD_RENEWED,
    TOLD_RESULT,
    TOLD_REFUSE,
};

enum word_flags {
    WORD_LED = 1,
    WORD_SHARED = 2,
    WORD_RETAINED = 4,
    WORD_RETAIN_REFUSED = 8,
};

// One thing that a caller hears. Fields that a kind of word does not have are 0.
struct word {
    uint32_t told;
    uint32_t flags;
    uint32_t attempt;
    uint32_t callers;
    uint32_t reason;
    uint32_t loss;
    uint32_t kind;
    uint32_t name;  // of the leader: its number + 1; 0 = it has none
    uint64_t token; // renewed: the id
    uint64_t a;     // refusal; lead: lease; follow: running
    uint64_t b;     // refusal; lead: run_limit
    uint64_t bytes; // of the value so far; lead: next_sequence
    uint64_t age_ms;
    uint64_t retain_ms;
    uint64_t texts_bytes;
    uint64_t loss_ms;
};
_Static_assert(sizeof(struct word) == 8 * sizeof(uint32_t) + 8 * sizeof(uint64_t),
               "words are compared byte by byte, so nothing stands between the fields");

// What a caller asks for when it joins.
struct wish {
    unsigned key;
    uint32_t fingerprint; // 0 = none
    bool named;
    bool live;
    bool audience;
    bool ends_at_deadline;
    bool detach;
    bool retain_from_lead;
    bool fresh;
    uint64_t within_token; // of a lead of the same key
    enum sfl_role role;
    enum sfl_leader_loss on_leader_loss;
    uint32_t max_attempts;
    uint64_t retain_ms;
    uint64_t retain_error_ms;
    uint64_t max_age_ms;
    uint64_t lease_ms;
    uint64_t run_limit_ms;
    uint64_t resume_token;
    uint64_t deadline_ms;
};

struct model_finish {
    enum sfl_outcome_kind kind;
    uint64_t bytes;
    uint64_t texts_bytes;
    bool has_retention;
    uint64_t retention_ms;
    bool pass_on;
};

struct model_outcome {
    enum sfl_outcome_kind kind;
    uint32_t attempt;
    uint64_t token;
    uint64_t bytes;
    uint64_t texts_bytes;
    uint64_t retain_ms;
    uint64_t led_ms; // when its attempt was led
    uint32_t salt;   // names the bytes: who posted them, in which attempt
};

struct model_caller {
    int flight; // NOBODY: not joined
    bool has_ended;
    bool live;
    bool audience;
    bool half_closed;
    bool admitted;
    bool named;
    bool ends_at_deadline;
    bool detach;
    bool waits; // in a next flight, whose leader it has not been told of
    enum sfl_role role;
    uint64_t deadline_ms;
    bool restarted_at_end; // it has heard `restart` with the last word that is to come
    uint32_t salt;         // of the bytes that it is to read now
    struct word expected[MODEL_EXPECTED];
    unsigned expected_count;
};

enum model_state {
    MODEL_UNUSED,
    MODEL_NEXT,
    MODEL_FINDING,
    MODEL_LED,
    MODEL_ORPHANED,
    MODEL_ENDED, // its followers have yet to hear how
};

struct model_flight {
    enum model_state state;
    unsigned key;
    const void *core; // which object of the core it is, to know it again
    bool forgotten;
    bool home_owed;
    bool overdue;
    bool was_next;
    int next;         // the flight that waits for this one
    int before;       // NEXT: the one that it waits for
    struct wish wish; // the opener's
    int leader;
    int fenced; // lost the lead and will be told with the next token
    int followers[MODEL_CALLERS];
    unsigned follower_count;
    uint32_t leader_name;
    uint32_t attempt;
    uint64_t token;
    uint64_t led_since_ms;
    uint64_t lease_until_ms;
    uint64_t run_until_ms;
    uint64_t next_sequence;
    uint64_t bytes;
    uint32_t salt;
    bool has_kept;
    struct model_outcome kept;
    enum sfl_loss loss;
    unsigned lost_count;
    struct {
        uint64_t token;
        enum sfl_loss loss;
        bool is_uncertain; // there may have been no memory to remember it
    } lost[MODEL_LOST];
    struct word last_word; // ENDED: what the followers hear
    bool void_at_end;      // and before it, live ones that what they read is void
    uint32_t void_name;    // with this name
    uint32_t outcome_salt;
    bool audience_told;
    uint32_t audience_followers;
    uint64_t audience_latest_ms;
    uint64_t audience_differs_ms; // since when what was told is wrong; UINT64_MAX: it is right
    bool seen;
};

struct model_retained {
    bool present;
    const void *core;
    uint32_t fingerprint;
    uint32_t callers;
    uint32_t leader_name;
    struct model_outcome outcome;
    uint64_t ended_at_ms;
    uint64_t until_ms;
    bool seen;
};

// Expected effects that name a flight, by the core's object; counted so that each comes once.
struct model_notice {
    enum sfl_effect_type type;
    const void *core;
};

struct model {
    const struct sfl_limits *limits;
    uint64_t now_ms;
    bool draining;
    uint64_t flights; // what the limits count
    uint64_t callers;
    uint64_t retained;
    uint64_t retained_bytes;
    uint32_t salts;
    uint64_t last_token[MODEL_KEYS];
    struct sfl_stats stats[MODEL_GROUPS];
    struct model_caller caller[MODEL_CALLERS];
    struct model_flight flight[MODEL_FLIGHTS];
    int flights_top; // no flight is used from here on
    struct model_retained kept_for[MODEL_KEYS];
    struct model_notice notices[64];
    unsigned notice_count;
    unsigned expected_total; // words that somebody must still hear
    // Told by the run before an event is played: what the core could not do for want of memory or
    // room, which no model can foresee.
    enum sfl_reason denied;  // NONE, or what the event's caller was refused with
    bool memory_failed;      // a request failed in this step
    bool held_is_full;       // what the event brings does not fit into held_bytes_max
    const void *joined_core; // JOIN: the flight that the caller is in now
    void *run;
};

void model_init(struct model *model, const struct sfl_limits *limits, void *run);

// The run's part: fails the run. Never returns.
__attribute__((noreturn, format(printf, 2, 3))) void model_fail(struct model *model,
                                                                const char *format, ...);

// The events. Each writes down what must be heard.
void model_join(struct model *model, int c, const struct wish *wish);
void model_join_malformed(struct model *model, int c, enum sfl_reason reason, uint64_t a,
                          uint64_t b);
void model_home_found(struct model *model, int f, bool found, uint64_t token);
void model_chunk(struct model *model, int c, uint64_t sequence, uint64_t bytes);
void model_renew(struct model *model, int c, uint64_t id);
void model_finish(struct model *model, int c, const struct model_finish *finish);
void model_finish_malformed(struct model *model, int c, enum sfl_reason reason, uint64_t a,
                            uint64_t b);
void model_half_close(struct model *model, int c);
void model_leave(struct model *model, int c, enum sfl_reason reason, bool broken);
// `end_name`: 0: it does not end the flight; 1: it does, without a name; otherwise name + 1.
struct sfl_forgotten model_forget(struct model *model, unsigned key, bool if_unshared,
                                  uint32_t end_name);
void model_unkept(struct model *model, unsigned key, uint64_t token);
void model_shut_one(struct model *model, int f);
void model_drain(struct model *model);
void model_drain_one(struct model *model, int f);
void model_make_room(struct model *model, int f, enum sfl_room room); // NOBODY: none had any

// Deadlines that are due.
void model_caller_due(struct model *model, int c);
void model_flight_due(struct model *model, int f);
void model_retained_due(struct model *model, unsigned key);
// All that is due and that the core carried out without a word, because nobody was there to hear;
// fails when it should have said something.
void model_check_nothing_due(struct model *model);
// The exact time of the next deadline; UINT64_MAX for none.
uint64_t model_next_due_ms(const struct model *model);

// What was observed.
void model_hear(struct model *model, int c, const struct word *word);
void model_hear_audience(struct model *model, int c, const struct sfl_audience *audience);
// A follower of an ended flight gets its last word.
void model_hear_settled(struct model *model, int c, const struct word *word);
void model_notice(struct model *model, enum sfl_effect_type type, const void *core);
bool model_expects_notice(const struct model *model, enum sfl_effect_type type, const void *core);
// Everything that had to be heard was.
void model_check_heard(struct model *model);
// Audience messages that are late.
void model_check_audience(struct model *model);

// The core's listing, flight by flight: model_view_begin, model_view for each, model_view_end.
void model_view_begin(struct model *model);
void model_view(struct model *model, const struct sfl_flight_view *view);
void model_view_end(struct model *model);

// Lookups.
int model_flight_of_core(const struct model *model, const void *core); // NOBODY: none
int model_running(const struct model *model, unsigned key);            // NOBODY: none
bool model_is_led_by(const struct model *model, int c);
struct sfl_stats model_stats(const struct model *model);

// Within the model.
void model_expect(struct model *model, int c, const struct word *word);
void model_refuse(struct model *model, int c, enum sfl_reason reason, uint64_t a, uint64_t b);
void model_expect_notice(struct model *model, enum sfl_effect_type type, const void *core);
void model_detach(struct model *model, int c);
void model_lose(struct model *model, int f, enum sfl_loss loss);
uint32_t model_name_of(const struct model *model, int c);
void model_tell_follow(struct model *model, int c, int f);
void model_refuse_other_leads(struct model *model, int c, int f);
void model_lose_lease(struct model *model, int f);
void model_expire(struct model *model, int f, enum sfl_loss loss);
void model_refuse_fenced(struct model *model, int c, int f, enum sfl_loss loss, uint64_t token,
                         uint64_t now);
bool model_may_go_on(const struct model_flight *flight);
bool model_has_attempt(const struct model_flight *flight);
void model_abort_word(struct model *model, int f, const struct word *word);
void model_settle(struct model *model, int f, const struct model_outcome *outcome, int leader);
void model_abort(struct model *model, int f, enum sfl_reason reason);
void model_hold(struct model *model, int f);
void model_give_up(struct model *model, int f, enum sfl_reason reason);
void model_free_if_done(struct model *model, int f);
void model_drop(struct model *model, unsigned key);
void model_let_go(struct model *model, unsigned key);
void model_audience_changed(struct model *model, int f);
void model_new_stream(struct model *model, int f);
int model_candidate(const struct model *model, int f);
struct word model_lead_word(const struct model *model, int f);
struct sfl_stats *model_group_stats(struct model *model, unsigned key);

#endif
