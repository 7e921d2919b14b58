// SPDX-License-Identifier: Apache-2.0
// Pumps: threads that take completions from gRPC queues and do the work to its end.
#ifndef SFL_RPC_PUMP_H
#define SFL_RPC_PUMP_H

#include "base/list.h"
#include "base/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sfl_pump;
struct sfl_pumps;

// What a pump thread calls between completions. Either function may be NULL.
struct sfl_pump_hooks {
    // When the pump should call on_tick at the latest, in ms of the monotonic clock; UINT64_MAX for
    // never. Asked before each wait.
    uint64_t (*next_tick_ms)(void *context);
    // Called when that time has come, and after each sfl_pump_wake.
    void (*on_tick)(void *context);
    void *context;
};

// Work that waits until the completions at hand are drained, so that what they produce can be
// gathered. Owned by whoever embeds it, who sets `run`, leaves the rest zero, and keeps it until it
// has run.
struct sfl_pump_work {
    struct sfl_link link;
    atomic_bool is_queued;
    void (*run)(struct sfl_pump_work *work);
};

enum { SFL_PUMPS_MAX = 64 };

// field, kind, metric, help. Of one pump.
#define SFL_PUMP_COUNTS_LIST(X)                                                                    \
    X(turns, COUNTER, "pump_turns", "Turns of a pump: completions, then the work they brought.")   \
    X(completions, COUNTER, "pump_completions", "Completions that a pump took from gRPC.")         \
    X(works, COUNTER, "pump_works", "Works that a pump has run between completions.")              \
    X(backlog, GAUGE, "pump_backlog", "Works that wait for later turns of a pump.")

struct sfl_pump_counts {
#define SFL_PUMP_FIELD(field, kind, metric, help) uint64_t field;
    SFL_PUMP_COUNTS_LIST(SFL_PUMP_FIELD)
#undef SFL_PUMP_FIELD
};

// Starts `count` pump threads (1 to SFL_PUMPS_MAX), each with its own queue. The first call of a
// process also starts gRPC. `hooks` is copied, and serves every pump; NULL for none. SFL_NO_MEMORY
// when threads or memory are short.
enum sfl_status sfl_pumps_create(unsigned count, const struct sfl_pump_hooks *hooks,
                                 struct sfl_pumps **pumps_out) SFL_MUST_USE;

// Shuts the queues down, drains them to the end, joins the threads. Every stream on these pumps
// must have been released, every channel and server destroyed before. Not from a pump thread.
void sfl_pumps_destroy(struct sfl_pumps *pumps);

unsigned sfl_pumps_count(const struct sfl_pumps *pumps);
struct sfl_pump *sfl_pumps_get(struct sfl_pumps *pumps, unsigned index);

// Any thread.
struct sfl_pump_counts sfl_pump_counts(const struct sfl_pump *pump);

// Which of its pumps this thread is; SFL_PUMPS_MAX when it is none.
unsigned sfl_pump_index(void);

// Makes the pump leave its wait and call on_tick soon; several wakes may become one. Any thread.
void sfl_pump_wake(struct sfl_pump *pump);

// True on a pump thread, of any pump of this process.
bool sfl_pump_is_current(void);

// On a pump thread: true when what runs now has had its share of the thread, so that the rest
// should be deferred and others have theirs. False on any other thread.
bool sfl_pump_should_yield(void);

// On a pump thread: true when no completion was left, and no socket had any, before the works that
// run now.
bool sfl_pump_is_drained(void);

// On a pump thread: queues `work` to run on this thread once the completions at hand are drained (a
// bounded number of them, so it runs soon even under load). On any other thread: runs it now.
// A work that is queued already, on this pump or another, stays queued once and runs there: its run
// begins after this call did. It is not queued any more when its run begins, so a run on another
// thread may overlap with that.
void sfl_pump_defer(struct sfl_pump_work *work);

// The same for work on what is one of many, such as the next hundred of ten thousand results: it
// runs when everybody else has been served. On a pump thread only.
void sfl_pump_defer_crowd(struct sfl_pump_work *work);

// Has `work` run on one of the pumps, as work of a crowd there. Any thread, also under locks; but
// not once sfl_pumps_destroy has begun. A work that is queued already stays queued once.
void sfl_pumps_post(struct sfl_pumps *pumps, struct sfl_pump_work *work);

// The same, on this one.
void sfl_pump_post(struct sfl_pump *pump, struct sfl_pump_work *work);

// The same as sfl_pump_defer for what nobody waits for, such as giving memory back: it runs when no
// crowd is left, but does not wait for that much longer than 200 ms. On any other thread: runs it
// now. `work` is not queued anywhere, and is queued once only.
void sfl_pump_defer_cleanup(struct sfl_pump_work *work);

// What is to be done on a pump thread when its time has come, such as ending a stream that stays
// silent. Owned by whoever embeds it, who sets `on_due`, leaves the rest zero, and ends it before
// its memory goes.
struct sfl_pump_wait {
    struct sfl_link link;
    uint64_t due_ms;
    void (*on_due)(struct sfl_pump_wait *wait); // it has ended by then, and may begin again
};

// The waits of one kind take equally long, so none is sorted.
enum sfl_pump_wait_kind {
    SFL_PUMP_WAIT_SHORT,
    SFL_PUMP_WAIT_LONG,
    SFL_PUMP_WAIT_KINDS,
};

// On a pump thread, both; a wait ends on the thread on which it began. on_due is called once `ms`
// have passed and the completions at hand then are handled: so nobody is late who was not heard.
void sfl_pump_wait_begin(struct sfl_pump_wait *wait, enum sfl_pump_wait_kind kind, uint64_t ms);
// Nothing happens when it has not begun.
void sfl_pump_wait_end(struct sfl_pump_wait *wait);

#endif
