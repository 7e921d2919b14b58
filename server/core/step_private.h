// SPDX-License-Identifier: Apache-2.0
// What the parts of the table share while one event is carried out. Not for anybody outside core.
//
//   dispatch.c      which event goes where; forget, ticks, drain
//   join.c          join, open, resume
//   lead.c          who leads, how the lead is lost; chunk, renew, finish
//   follow.c        how a caller follows a flight
//   restore.c       what outlives the process, and how it comes back
//   settle.c        how a flight ends, retention
//   next.c          the flight that begins then
//   overdue.c       leases that are over while nobody wants the key
//   audience.c      what a leader knows of its followers
//   live.c          what followers are told before the end
//   past.c          what a flight remembers of earlier attempts
//   flight.c        a flight as an object
//   caller.c        a caller as a participant
//   groups.c        the counters of groups, and their quotas
//   flight_table.c  the table's beginning and end, and who is looked up in it
//
// Each calls only those below it, but that the end of a flight (settle.c) begins the next one, and
// an overdue leader's end is a flight's. Beside them stand listing.c (views and statistics),
// stats.c (sums of these) and prefetch.c (what a step will touch); check.c asks whether all of it
// is true.
#ifndef SFL_CORE_STEP_PRIVATE_H
#define SFL_CORE_STEP_PRIVATE_H

#include "core/flight_table.h"

#include <assert.h>

struct sfl_step {
    struct sfl_table *table;
    uint64_t now_ms;
    struct sfl_effects *effects;
};

// Adds to a counter of the table and of the group (which may be NULL).
#define SFL_COUNT(table, counted_group, counter, amount)                                           \
    do {                                                                                           \
        (table)->stats.counter += (uint64_t)(amount);                                              \
        if ((counted_group) != NULL)                                                               \
            (counted_group)->stats.counter += (uint64_t)(amount);                                  \
    } while (0)

static inline struct sfl_effect *sfl_step_push(struct sfl_step *step, enum sfl_effect_type type)
{
    assert(step->effects->count < SFL_EFFECTS_MAX);
    struct sfl_effect *effect = &step->effects->items[step->effects->count++];
    effect->type = type;
    effect->caller = NULL;
    effect->flight = NULL;
    return effect;
}

// Walks the flights of a key, whatever their place, as sfl_index_next does.
static inline struct sfl_flight *sfl_table_next(const struct sfl_table *table, uint64_t hash,
                                                struct sfl_span group, struct sfl_span key,
                                                struct sfl_index_walk *walk)
{
    struct sfl_flight *flight;
    while ((flight = sfl_index_next(&table->flights, hash, walk)) != NULL) {
        if (sfl_span_equal(sfl_flight_key(flight), key) &&
            sfl_span_equal(sfl_flight_group(flight), group))
            return flight;
    }
    return NULL;
}

// flight_table.c

// The first flight of this place and key; with `token` above 0, the first that has this token.
struct sfl_flight *sfl_table_find(const struct sfl_table *table, enum sfl_flight_place place,
                                  uint64_t hash, struct sfl_span group, struct sfl_span key,
                                  uint64_t token);

// flight.c

// What an open flight takes beside its memory. SFL_REASON_NONE, or FLIGHTS_LIMIT, FLIGHTS_QUOTA:
// then nothing is taken.
enum sfl_reason sfl_group_take_flight(struct sfl_table *table, const struct sfl_group *group);
void sfl_group_give_flight(struct sfl_table *table, const struct sfl_group *group);

// Makes a flight object that stands nowhere; NULL when there is no memory.
struct sfl_flight *sfl_flight_create(struct sfl_table *table, const struct sfl_join *join,
                                     uint64_t hash);

// Takes a flight out of the index.
void sfl_flight_unplace(struct sfl_table *table, struct sfl_flight *flight);

// What the group's statistics are to count for the flight.
uint64_t sfl_flight_held_bytes(const struct sfl_flight *flight);

// Brings the group's bytes_now up to date after the flight's values changed.
void sfl_flight_account(struct sfl_table *table, struct sfl_flight *flight);

// Gives a flight's value back: its bytes are void.
void sfl_flight_drop_value(struct sfl_table *table, struct sfl_flight *flight);

// Puts a settled flight among the dead if nothing needs it any more.
void sfl_flight_bury_if_done(struct sfl_table *table, struct sfl_flight *flight);

// Frees the dead, or some of them when they are many.
void sfl_table_collect(struct sfl_table *table);

// caller.c

// Makes a caller a participant of the flight, neither leader nor follower yet. SFL_REASON_NONE, or
// CALLERS_LIMIT, CALLERS_QUOTA, NO_MEMORY: then nothing has changed.
enum sfl_reason sfl_caller_attach(struct sfl_step *step, struct sfl_caller *caller,
                                  struct sfl_flight *flight, const struct sfl_join *join);

// The opposite, from whatever part it plays in its flight.
void sfl_caller_detach(struct sfl_table *table, struct sfl_caller *caller);

// Tells a caller that is not joined (any more) why.
void sfl_step_refuse(struct sfl_step *step, struct sfl_caller *caller,
                     const struct sfl_refusal *refusal);

// Counts a refusal over a limit in the statistics.
void sfl_step_count_refusal(struct sfl_step *step, struct sfl_group *group, enum sfl_reason reason);

// past.c

// What the flight remembers, made if need be; NULL when there is no memory.
struct sfl_past *sfl_flight_make_past(struct sfl_table *table, struct sfl_flight *flight);
void sfl_flight_drop_past(struct sfl_table *table, struct sfl_flight *flight);

// The current attempt is lost, for flight->loss.
void sfl_flight_remember_loss(struct sfl_table *table, struct sfl_flight *flight);

// How the attempt with this token was lost. False when that is not known.
bool sfl_flight_recall_loss(const struct sfl_flight *flight, uint64_t token,
                            enum sfl_loss *loss_out);

// When its first attempt was led.
uint64_t sfl_flight_first_led_ms(const struct sfl_flight *flight);

// A refusal that says how a leader of the flight, which still runs, was lost, with the figure.
struct sfl_refusal sfl_flight_loss(const struct sfl_flight *flight, enum sfl_reason reason,
                                   enum sfl_loss loss);

// groups.c

// The counters of a group, made if need be; NULL when there are too many groups or no memory.
struct sfl_group *sfl_table_group(struct sfl_table *table, struct sfl_span name);
struct sfl_group *sfl_table_find_group(const struct sfl_table *table, struct sfl_span name);

// The value of a limit or quota, for the text of a refusal. `group` may be NULL.
uint64_t sfl_limit_of(const struct sfl_table *table, const struct sfl_group *group,
                      enum sfl_reason reason);

// Their quotas; NULL: none.
static inline struct sfl_quota_shares *sfl_group_quota(const struct sfl_group *group)
{
    return group == NULL ? NULL : group->quota;
}

static inline struct sfl_quota_shares *sfl_flight_quota(const struct sfl_flight *flight)
{
    return sfl_group_quota(flight->group);
}

static inline struct sfl_held *sfl_flight_held(struct sfl_table *table,
                                               const struct sfl_flight *flight)
{
    return flight->group == NULL || flight->group->quota == NULL ? &table->held
                                                                 : &flight->group->held;
}

// Only when the table ends.
void sfl_table_free_groups(struct sfl_table *table);

// join.c

void sfl_step_join(struct sfl_step *step, const struct sfl_event *event);

// follow.c

// Lets a caller follow the flight, whose audience has changed then; or refuses it, and returns
// false.
bool sfl_flight_follow(struct sfl_step *step, struct sfl_flight *flight, struct sfl_caller *caller,
                       const struct sfl_join *join);

// Makes a caller that has been attached to the flight the youngest of its followers.
void sfl_flight_append_follower(struct sfl_flight *flight, struct sfl_caller *caller);

// The same, and the oldest.
void sfl_flight_prepend_follower(struct sfl_flight *flight, struct sfl_caller *caller);

// Tells the opener of a flight that somebody else leads after all: it half-closed before the home
// was found. It is the oldest follower then.
void sfl_flight_admit_opener(struct sfl_step *step, struct sfl_flight *flight);

// Refuses a caller that would only lead.
void sfl_flight_refuse_other_leads(struct sfl_step *step, const struct sfl_flight *flight,
                                   struct sfl_caller *caller);

// Refuses a join for a reason that has a limit's value in it, and counts it.
void sfl_step_refuse_limit(struct sfl_step *step, struct sfl_caller *caller,
                           const struct sfl_join *join, enum sfl_reason reason);

// lead.c

void sfl_step_home_found(struct sfl_step *step, const struct sfl_event *event);
void sfl_step_chunk(struct sfl_step *step, const struct sfl_event *event);
void sfl_step_renew(struct sfl_step *step, const struct sfl_event *event);
void sfl_step_finish(struct sfl_step *step, const struct sfl_event *event);
void sfl_step_half_close(struct sfl_step *step, const struct sfl_event *event);

// A caller that is joined goes, and is told `refusal`.
void sfl_step_leave(struct sfl_step *step, struct sfl_caller *caller,
                    const struct sfl_refusal *refusal, bool broken);

// True when the lead may be handed on, if somebody is there.
bool sfl_flight_may_go_on(const struct sfl_flight *flight);

// An overdue leader loses the lead, since somebody wants the key.
void sfl_flight_lose_lease(struct sfl_step *step, struct sfl_flight *flight);

// An overdue leader loses the lead, and its flight ends, since its room is needed.
void sfl_flight_give_room(struct sfl_step *step, struct sfl_flight *flight);

// The lease or the run_limit of a flight that is led or orphaned ran out.
void sfl_flight_expire(struct sfl_step *step, struct sfl_flight *flight);

// Lets the lease, if there is one, run from now on, and arms the earlier one of its end and that of
// the run_limit.
void sfl_flight_extend_lease(struct sfl_step *step, struct sfl_flight *flight);

// Asks the coordinator for the next attempt's token. The last effect of a step.
void sfl_flight_find_home(struct sfl_step *step, struct sfl_flight *flight);

// Tells flight->leader that it leads, and where the current attempt stands.
void sfl_flight_tell_lead(struct sfl_step *step, const struct sfl_flight *flight);

// overdue.c

// True when somebody wants the key of a flight whose lease is over.
bool sfl_flight_is_wanted(const struct sfl_flight *flight);

void sfl_flight_begin_overdue(struct sfl_table *table, struct sfl_flight *flight);

// An overdue flight that held no bytes holds some now.
void sfl_flight_overdue_holds(struct sfl_table *table, struct sfl_flight *flight);

// Nothing happens when it is not overdue.
void sfl_flight_end_overdue(struct sfl_table *table, struct sfl_flight *flight);

void sfl_step_make_room(struct sfl_step *step, const struct sfl_event *event);

// Ends one overdue flight. False when there is none.
bool sfl_step_drain_overdue(struct sfl_step *step);

// next.c

// Makes a flight the one that waits for the end of `before`, which has none.
void sfl_flight_place_next(struct sfl_table *table, struct sfl_flight *flight,
                           struct sfl_flight *before);

// Lets a caller that has been attached to a next flight wait in it, and tells it so.
void sfl_flight_append_waiting(struct sfl_step *step, struct sfl_flight *flight,
                               struct sfl_caller *caller);

// A flight that ends leaves the one beside it. Returns the one that has waited for it, or NULL.
struct sfl_flight *sfl_flight_part(struct sfl_flight *flight);

// The flight before it has ended: it begins, or ends. The last effect of a step.
void sfl_flight_begin_next(struct sfl_step *step, struct sfl_flight *flight);

// Ends one next flight. False when there is none.
bool sfl_step_drain_next(struct sfl_step *step);

// settle.c

// The leader, if one is there, loses the lead, and is told so in the end.
void sfl_flight_fence(struct sfl_flight *flight);

// Tells a caller, who led the current attempt, that it was lost for flight->loss, and which token
// counts now.
void sfl_step_refuse_fenced(struct sfl_step *step, struct sfl_flight *flight,
                            struct sfl_caller *caller, uint64_t now);

// Makes the outcome of the current attempt that says `refusal`; takes over the reference to `value`
// (NULL: none) on success. NULL when there is no memory.
struct sfl_outcome *sfl_flight_describe(struct sfl_table *table, const struct sfl_flight *flight,
                                        enum sfl_outcome_kind kind,
                                        const struct sfl_refusal *refusal, struct sfl_value *value);

// Ends a flight with an outcome, whose reference it takes. `leader` has been detached and gets its
// result; NULL when it is gone or has had it.
void sfl_flight_settle(struct sfl_step *step, struct sfl_flight *flight,
                       struct sfl_outcome *outcome, struct sfl_caller *leader);

// Ends a flight without an outcome: everybody in it gets `refusal`.
void sfl_flight_abort(struct sfl_step *step, struct sfl_flight *flight,
                      const struct sfl_refusal *refusal);

// Gives back what a retained flight has taken beside its bytes.
void sfl_flight_give_retained(struct sfl_table *table, const struct sfl_flight *flight);

// Tells one caller a retained outcome.
void sfl_flight_serve(struct sfl_step *step, const struct sfl_flight *flight,
                      struct sfl_caller *caller, bool led);

// The retention ends.
void sfl_flight_drop(struct sfl_step *step, struct sfl_flight *flight);

// It turns out that a retained outcome could not be kept: it is as if there had been no room.
void sfl_flight_unkeep(struct sfl_step *step, struct sfl_flight *flight);

// restore.c

// Whether the lead with this token was restored, whatever came of it.
bool sfl_table_has_restored(const struct sfl_table *table, uint64_t token);
void sfl_table_forget_restored(struct sfl_table *table);

// The lead of this flight, with its current token, is over: it need not be kept any more.
void sfl_flight_unlead(struct sfl_step *step, struct sfl_flight *flight);

// The same for a token that did not come to lead.
void sfl_step_unlead(struct sfl_step *step, struct sfl_flight *flight, uint64_t token);

// A flight whose lead is kept has been forgotten.
void sfl_flight_keep_forgotten(struct sfl_step *step, struct sfl_flight *flight);

// The flight, whose leader is gone, is orphaned from now on.
void sfl_flight_orphan(struct sfl_table *table, struct sfl_flight *flight);

// Makes a flight of the index one that new callers join.
void sfl_flight_place_running(struct sfl_table *table, struct sfl_flight *flight);

// live.c

// Live followers are to be told of a CHUNK or RESTART.
void sfl_flight_tell_live(struct sfl_step *step, struct sfl_flight *flight,
                          enum sfl_effect_type type);

// True when a follower reads another attempt's chunks than this one's.
bool sfl_caller_must_restart(const struct sfl_caller *caller, uint32_t attempt);

// audience.c

// The followers or their deadlines have changed.
void sfl_flight_audience_changed(struct sfl_step *step, struct sfl_flight *flight);

// A follower is about to leave.
void sfl_flight_uncount(struct sfl_table *table, struct sfl_flight *flight,
                        struct sfl_caller *caller);

// prefetch.c

// What the end of a flight touches beside it comes from memory while its outcome is made.
void sfl_flight_prefetch_end(const struct sfl_table *table, struct sfl_flight *flight);

#endif
