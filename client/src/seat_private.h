// SPDX-License-Identifier: Apache-2.0
// Private to seat*.c: seat.c finds places and ends calls, seat_lead.c is the leader's side,
// seat_frames.c reads what the server says.
#ifndef SFL_CLIENT_SEAT_PRIVATE_H
#define SFL_CLIENT_SEAT_PRIVATE_H

#include "src/call.h"
#include "src/error.h"
#include "src/observe.h"
#include "src/seat.h"
#include "src/server.h"
#include "src/session.h"

#include "base/clock.h"

#define SFL_SEAT_WHY_SIZE 1024

// ---- seat.c ----

// The oldest call; NULL when all have left.
struct singleflight_call *sfl_seat_first_call(const struct sfl_seat *seat);
size_t sfl_seat_call_count(const struct sfl_seat *seat);

// Finds a server and joins (or resumes) there; or gives up, and may be gone after it.
void sfl_seat_place(struct sfl_seat *seat);

// Ends every call with `status`, loses the lead if its function runs, and leaves.
void sfl_seat_end(struct sfl_seat *seat, enum singleflight_status status, const char *why);

// Takes the seat off its server. One that has sent its join, and was not told the end, leaves a
// stand-in behind that tells the server.
void sfl_seat_leave_place(struct sfl_seat *seat);

// Frees the seat, which has no calls any more. The server is told if it is still on a session.
void sfl_seat_leave(struct sfl_seat *seat);

// Moves all calls but `stays` (which may be NULL) to a seat of their own, which joins as follower,
// in front of whatever this seat sends next. Nothing happens when there are no others.
void sfl_seat_split(struct sfl_seat *seat, struct singleflight_call *stays);

// The server has answered the join.
void sfl_seat_set_answered(struct sfl_seat *seat);

// Live calls learn that what they got is void, if it is and they do not know it.
void sfl_seat_tell_restart(struct sfl_seat *seat, uint32_t attempt, const char *leader);

// Throws away what has come of the value.
void sfl_seat_clear_value(struct sfl_seat *seat);

// ---- seat_lead.c ----

// Hands the lead, with seat->terms, to the oldest call. May be gone after it.
void sfl_seat_lead(struct sfl_seat *seat);

// The answer to a resume. May be gone after it.
void sfl_seat_resumed(struct sfl_seat *seat, const struct sfl_answer_lead *lead);

// The lead is lost: its call ends with `status` when its function has ended; the others join anew
// when the status is ABORTED, or end with it as well. Frees the seat.
void sfl_seat_lose(struct sfl_seat *seat, enum singleflight_status status, const char *why);

// The stream broke while leading. May be gone after it.
void sfl_seat_resume(struct sfl_seat *seat);

// The function ended while no server could be reached: ends the calls, frees the seat.
void sfl_seat_finish_alone(struct sfl_seat *seat);

// The lead ran out by the clock. May be gone after it.
void sfl_seat_run_out(struct sfl_seat *seat, const char *why);

// Tells the leader who waits, merged calls included.
void sfl_seat_tell_audience(struct sfl_seat *seat);

// ---- seat_hold.c ----

// A lead has come, or has been resumed. True: it may be taken for one, since it was asked for just
// now (or the server answers no renewals). Otherwise a renewal is on its way that will tell.
bool sfl_seat_hold_begin(struct sfl_seat *seat, uint64_t silence_ms);

// The same once more, for a leader that has been made since.
void sfl_seat_hold_show(struct sfl_seat *seat);

// A renewal was answered.
void sfl_seat_hold_renewed(struct sfl_seat *seat, const struct sfl_answer_renewed *renewed);

// The stream broke: no renewals until the lead is resumed.
void sfl_seat_hold_break(struct sfl_seat *seat);

// The lead ends, or goes on alone.
void sfl_seat_hold_end(struct sfl_seat *seat);

// Adds a renewal to `frames`.
enum sfl_status sfl_seat_add_renew(struct sfl_seat *seat, struct sfl_frames *frames) SFL_MUST_USE;

#endif
