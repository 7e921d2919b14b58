// SPDX-License-Identifier: Apache-2.0
// The lead of a flight: between the program, which runs the function on any thread, and the seat,
// which holds the lead on the client's thread.
#ifndef SFL_CLIENT_LEADER_H
#define SFL_CLIENT_LEADER_H

#include "src/client.h"
#include "src/outcome.h"
#include "src/value.h"

struct sfl_seat;

#define SFL_LEADER_WHY_SIZE 256

// The news of a leader.
enum {
    SFL_LEADER_POSTED = 1,   // the command is queued
    SFL_LEADER_FINISHED = 2, // for good
};

// What holds from the beginning.
struct sfl_leader_terms {
    uint64_t token; // 0: failed open
    uint32_t attempt;
    uint64_t lease_ms;
    uint64_t run_limit_ms;
    uint64_t result_limit; // bytes that the server takes of a value; 0: it has not said
    bool keeps_value;      // bytes are kept after they are sent: for the result, or for a resume
};

// A part of its call, which leads once at most, and lives as long: its seat holds the call, and
// there is a reference to the call for the program, until the client's thread knows that it has
// finished.
struct singleflight_leader {
    struct singleflight_call *call;     // whose function it is; NULL: it has never led
    struct singleflight_client *client; // the call's
    struct sfl_leader_terms terms;
    struct sfl_command on_changed; // the program has written or finished
    atomic_uint news;              // what that command has to say: SFL_LEADER_*
    atomic_int lost;               // enum singleflight_status; OK while it leads
    // By sfl_clock_boot_ms(); UINT64_MAX: until the connection is found broken.
    _Atomic(uint64_t) holds_until_ms;

    // The lock is a leaf: nothing is called and no other lock is taken under it. Once it has
    // finished the program is done with the leader, and what it has written belongs to the client's
    // thread.
    pthread_mutex_t lock;
    bool is_awaited;         // `changed` is made: somebody waits, or has waited
    pthread_cond_t changed;  // some bytes were sent, or the lead is lost
    struct sfl_value *value; // NULL: nothing yet
    size_t dropped_bytes;    // of the value, in front: sent and not kept
    size_t sent_bytes;       // of the value, dropped ones included: in a message to the server
    bool was_full;           // unsent bytes were above the bound, and have not fallen to half of it
    bool overflowed;         // a write was refused: it cannot end OK
    bool is_alone;           // nothing of it goes to a server
    struct sfl_failure failure;
    bool has_retain;
    uint64_t retain_ms;
    bool passes_on;
    bool has_audience;
    struct singleflight_audience audience;
    int lost_fd; // an eventfd, made when somebody asks; -1
    enum singleflight_outcome outcome;

    struct sfl_seat *seat; // the client's thread only; NULL once the seat has let go
};

// Makes `call` lead: adds the program's reference to it, and the seat's hold. Client's thread.
struct singleflight_leader *sfl_leader_begin(struct sfl_seat *seat, struct singleflight_call *call,
                                             const struct sfl_leader_terms *terms);
// With its call; also if it has never led.
void sfl_leader_deinit(struct singleflight_leader *leader);

// Makes the loss known, once; client's thread. The callback is the caller's to call.
void sfl_leader_lose(struct singleflight_leader *leader, enum singleflight_status status);

// No server hears of it any more: what waits to be sent never will be. Client's thread. True when
// the program should be told that there is room again.
bool sfl_leader_go_on_alone(struct singleflight_leader *leader);

// New figures from the server; client's thread.
void sfl_leader_set_audience(struct singleflight_leader *leader, uint32_t followers,
                             uint64_t latest_deadline_ms);

// How much of the value is to be sent yet. Client's thread.
size_t sfl_leader_peek(struct singleflight_leader *leader);

// Copies the next `size` unsent bytes, at most sfl_leader_peek(), to `to`; they count as sent. True
// when the program should be told that there is room again.
bool sfl_leader_take(struct singleflight_leader *leader, uint8_t *to, size_t size);

// After a resume: so many bytes of the value have arrived; the rest is unsent again.
void sfl_leader_rewind(struct singleflight_leader *leader, size_t arrived_bytes);

// Takes the outcome out, as the function left it, with all of the value that was kept; to be called
// once, when it is finished. NULL when there is no memory.
struct sfl_outcome *sfl_leader_outcome(struct singleflight_leader *leader);

#endif
