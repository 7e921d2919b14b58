// SPDX-License-Identifier: Apache-2.0
// One Do of the program. It takes a place on a seat, perhaps beside others, until its end.
#ifndef SFL_CLIENT_CALL_H
#define SFL_CLIENT_CALL_H

#include "src/client.h"
#include "src/join.h"
#include "src/leader.h"
#include "src/observe.h"

struct singleflight_call {
    size_t bytes; // of its memory
    // The program's handle, one for all that the client's thread holds, one until its function has
    // ended, one for a queued cancel.
    atomic_uint references;
    struct singleflight_client *client; // a reference
    struct sfl_join join;
    struct singleflight_call_events events;
    void *context;
    bool blocking;
    bool may_leave;                   // it has a timeout, or somebody may cancel it
    struct singleflight_call *within; // in whose function it was made, a reference; NULL
    struct sfl_span within_wire;      // Join.within; owned
    uint64_t deadline_ms;             // of sfl_clock_boot_ms(); UINT64_MAX: none
    struct sfl_observed observed;
    struct sfl_command start;
    struct sfl_command cancel;
    atomic_bool is_cancelled; // `cancel` is posted, once for all

    // The client's thread only.
    unsigned holds; // one until it has ended, one per seat that it founded or leads for
    struct sfl_link client_link; // in the client's calls, until it has ended
    struct sfl_link seat_link;   // in its seat's calls
    struct sfl_seat *seat;       // NULL: has left, or is not started yet
    struct sfl_timer deadline_timer;
    struct singleflight_leader *leader;  // while its function runs; not a reference
    struct singleflight_result *pending; // the end, that waits for the function's end; owned
    struct sfl_join *refresh; // not NULL: it was served a stale outcome, and asks for that
    bool ended;               // on_done has been called

    struct singleflight_leader lead; // all but its `call` is uninitialized until then
};

// Makes a call with one reference, the program's. Any thread. `may_leave`: somebody may cancel it.
// SFL_INVALID_ARGUMENT, SFL_FAILED_PRECONDITION (it would wait for itself), SFL_NO_MEMORY:
// *problem_out (static) says what is wrong.
enum sfl_status sfl_call_create(struct singleflight_client *client,
                                const struct singleflight_do_options *options,
                                const struct singleflight_call_events *events, void *context,
                                bool blocking, bool may_leave, struct singleflight_call **call_out,
                                const char **problem_out) SFL_MUST_USE;

// The lead of the blocking Do whose function runs on this thread; NULL: none.
struct singleflight_leader *sfl_do_lead_of_thread(void);

// Has it begin, soon; takes the reference. Any thread.
void sfl_call_start(struct singleflight_call *call);

struct singleflight_call *sfl_call_ref(struct singleflight_call *call);
void sfl_call_unref(struct singleflight_call *call);

// All below: the client's thread only.

// What the client's thread holds of it is one reference in all: counted here without atomics.
void sfl_call_hold(struct singleflight_call *call);
void sfl_call_let_go(struct singleflight_call *call);

// What it asks for now.
static inline const struct sfl_join *sfl_call_join(const struct singleflight_call *call)
{
    return call->refresh == NULL ? &call->join : call->refresh;
}

// Whether a retained outcome of that age is too old for it, but may be served.
bool sfl_call_takes_for_stale(const struct singleflight_call *call, uint64_t age_ms);

// Takes it off its seat, serves it a stale outcome (taken), and has it ask for another one.
void sfl_call_serve_stale(struct singleflight_call *call, struct singleflight_result *result);

// Its function is to run.
void sfl_call_lead(struct singleflight_call *call, struct singleflight_leader *leader);

// The lead is lost; the program is not told when the function or the call has ended already.
void sfl_call_lose(struct singleflight_call *call, struct singleflight_leader *leader,
                   enum singleflight_status status, const char *why);

// The program has finished `leader`.
void sfl_call_on_function_ended(struct singleflight_call *call, struct singleflight_leader *leader);

// Takes it off its seat, and ends it with `result` (taken): at once, or, if it still leads, when
// its function has ended. Of several ends the first one counts.
void sfl_call_end(struct singleflight_call *call, struct singleflight_result *result);

// Ends it at once, whatever runs.
void sfl_call_abort(struct singleflight_call *call);

#endif
