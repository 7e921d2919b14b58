// SPDX-License-Identifier: Apache-2.0
// A small world around one flight table, for stories in virtual time. Callers have names; what each
// is told is kept as a line of text, and a story says line by line what it expects to hear:
//
//     struct world *w = world_open();
//     JOIN(w, "A");
//     HEAR(w, "A", "lead token=1 attempt=1");
//     ...
//     world_close(w);
//
// A line that no story asked for fails the test, and so does anything that is left behind: memory,
// usage, a caller that hangs.
//
// The lines:
//     lead token=1 attempt=1 [lease=5000] [run_limit=9000] [next=2]
//     follow attempt=1 leader=A running=0
//     chunk "bytes that are new"
//     restart attempt=2 leader=B
//     audience 2 latest=500
//     renewed 7
//     result OK "value" callers=2 attempt=1 token=1 [shared] [led] [retained age=5] [retain=1000]
//         [retain_refused] [texts="..."]    (for a live follower, the value's unread rest)
//     ABORTED: fenced: token 1, now 2       (status and text of a refusal)
#ifndef SFL_TESTS_SUPPORT_WORLD_H
#define SFL_TESTS_SUPPORT_WORLD_H

#include "core/flight_table.h"
#include "support/memory.h"

// The header that cmocka asks for before its own.
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct world;

// A world with the contract's limits, at time 0, whose coordinator answers at once.
struct world *world_open(void);

// The same, whose tokens are greater than this one.
struct world *world_open_from(uint64_t first_token);

// The same, with a quota for the group "g" and none for others. It may be changed at any time.
struct world *world_open_with_quota(const struct sfl_quota_limits *quota);
struct sfl_quota *world_quota(struct world *w);

// Lets everybody who is left leave, then checks that nothing is left and nothing was left unheard.
void world_close(struct world *w);

// May be changed before the first join (limits), and at any time (memory).
struct sfl_limits *world_limits(struct world *w);
struct memory *world_memory(struct world *w);
struct sfl_table *world_table(struct world *w);
// The hash under which the world's events name a key.
uint64_t world_hash(const char *group, const char *key);
struct sfl_usage *world_usage(struct world *w);

// Joins `name`. Group "g", the caller's name and "no deadline" are filled in where the join leaves
// them empty; its deadline_ms counts from now.
void world_join(struct world *w, const char *name, const char *key, const struct sfl_join *join);
#define JOIN_KEY(w, name, key, ...)                                                                \
    world_join((w), (name), (key), &(const struct sfl_join){__VA_ARGS__})
#define JOIN(w, name, ...) JOIN_KEY(w, name, "k", __VA_ARGS__)

// What a caller does.
void world_chunk(struct world *w, const char *name, uint64_t sequence, const char *data);
void world_chunk_bytes(struct world *w, const char *name, uint64_t sequence, const void *data,
                       size_t size);
void world_renew(struct world *w, const char *name);
void world_renew_id(struct world *w, const char *name, uint64_t id);
void world_half_close(struct world *w, const char *name);
// `outcome` is "OK value" or "ERROR value ...": the kind, and after a blank the last of the value.
void world_finish(struct world *w, const char *name, const char *outcome);
void world_pass_on(struct world *w, const char *name, const char *outcome);
void world_finish_retain(struct world *w, const char *name, const char *outcome,
                         uint64_t retention_ms);
void world_finish_with(struct world *w, const char *name, const struct sfl_finish *finish);
// Its stream breaks.
void world_leave(struct world *w, const char *name);
// Its transport ends it with an error.
void world_fail(struct world *w, const char *name, enum sfl_reason reason);

// "flight", "retained", "flight retained" or "nothing"; with the flight's end, " ended" after it.
// `end`: who ends it, or NULL; `token`: 0, or that of the flight that is meant.
const char *world_forget_with(struct world *w, const char *key, bool if_unshared, const char *end,
                              uint64_t token);

static inline const char *world_forget(struct world *w, const char *key)
{
    return world_forget_with(w, key, false, NULL, 0);
}

static inline const char *world_forget_if_unshared(struct world *w, const char *key)
{
    return world_forget_with(w, key, true, NULL, 0);
}

static inline const char *world_end(struct world *w, const char *key, const char *name)
{
    return world_forget_with(w, key, false, name, 0);
}

static inline const char *world_end_if_unshared(struct world *w, const char *key, const char *name)
{
    return world_forget_with(w, key, true, name, 0);
}

static inline const char *world_end_token(struct world *w, const char *key, uint64_t token,
                                          const char *name)
{
    return world_forget_with(w, key, false, name, token);
}

// The data file could not take the outcome of this token.
void world_unkeep(struct world *w, const char *key, uint64_t token);

void world_drain(struct world *w);
void world_shut(struct world *w);

// Lets `ms` pass, with a tick for each deadline on the way and one at the end.
void world_pass(struct world *w, uint64_t ms);
// Lets `ms` pass while the thread that ticks is late.
void world_pass_without_tick(struct world *w, uint64_t ms);
uint64_t world_now(const struct world *w);

// What the last step has said to a keeper, in order: "retain " and "unlead ".
const char *world_kept(const struct world *w);

// From now on the coordinator waits for world_home; `late` false: it answers at once again.
void world_homes_late(struct world *w, bool late);
// The coordinator answers the oldest open question.
void world_home(struct world *w, bool found);
unsigned world_homes_open(const struct world *w);

// From now on live followers wait for world_take_live.
void world_live_late(struct world *w, bool late);
void world_take_live(struct world *w);

// From now on settled followers wait for world_take_settled.
void world_settled_late(struct world *w, bool late);
void world_take_settled(struct world *w);

// How often an effect was seen so far.
unsigned world_count(const struct world *w, enum sfl_effect_type type);

// The next line that `name` has heard must be `line`.
void world_hear(struct world *w, const char *name, const char *line, const char *file, int at);
#define HEAR(w, name, line) world_hear((w), (name), (line), __FILE__, __LINE__)
// `name` must have heard nothing more.
void world_silence(struct world *w, const char *name, const char *file, int at);
#define SILENCE(w, name) world_silence((w), (name), __FILE__, __LINE__)
// Forgets the lines that `name` has not been asked about.
void world_skip(struct world *w, const char *name);

// Whether `name` is joined.
bool world_is_joined(struct world *w, const char *name);

// All bytes that `name` has got for the value, live chunks and the result's; NUL-ended.
const char *world_value(struct world *w, const char *name);

// The listing of one key, as "LED attempt=1 token=1 leader=A callers=2 running=0 value=3
// [expires=5] [overdue] [forgotten]", flights divided by "; ", in the order of their tokens; ""
// when there are none.
const char *world_list(struct world *w, const char *key);

struct sfl_stats world_stats(const struct world *w);

#endif
