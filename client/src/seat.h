// SPDX-License-Identifier: Apache-2.0
// A seat: one call on a session, for one or more equal calls of this program. It finds a server,
// joins there, follows or leads, and survives broken streams. The client's thread only.
//
// What may be trusted in each state:
//   JOINING    nothing is known yet: it waits for a session, or for the answer to its join
//   FOLLOWING  somebody else leads; `value` is what has come of the attempt's value so far
//   CONFIRMING it was promoted, and has asked whether it still leads: `terms` are what holds then
//   LEADING    `leader` is set, its function runs; while `answered` is false its stream is broken,
//              and it tries to resume the lead until the lease runs out. Its calls may all have
//              left while others wait elsewhere
//   FINISHING  the same, but the function has ended: its outcome is not confirmed yet
//   ALONE      no server could be reached: `leader` is set; its token is 0 unless it led before the
//              server was gone
//   LEAVING    no calls; it is only here to send its last frames, and to hear the server's last
// A flight's calls may be gone from a seat that still leads or finishes for others.
#ifndef SFL_CLIENT_SEAT_H
#define SFL_CLIENT_SEAT_H

#include "src/answer.h"
#include "src/client.h"
#include "src/frames.h"
#include "src/leader.h"

struct sfl_session;

#define SFL_HOLD_OPEN_MAX 4

enum sfl_seat_state {
    SFL_SEAT_JOINING,
    SFL_SEAT_FOLLOWING,
    SFL_SEAT_CONFIRMING,
    SFL_SEAT_LEADING,
    SFL_SEAT_FINISHING,
    SFL_SEAT_ALONE,
    SFL_SEAT_LEAVING,
};

// The lead by the clock, sfl_clock_boot_ms(): see seat_hold.c.
struct sfl_hold {
    struct sfl_link link; // in the client's holds
    uint64_t hold_ms;  // for how long a renewal is good; 0: the lead is bound to the stream alone
    uint64_t said_ms;  // the same, as `lead` said it
    uint64_t until_ms; // the end, as far as is known now
    uint64_t renew_at_ms; // the next renewal
    uint64_t told_at_ms;  // not UINT64_MAX: it may be lost, and the function is told then
    bool is_answered;     // the server answers renewals
    uint64_t renew_id;    // of the last one
    uint64_t
        sent_ms[SFL_HOLD_OPEN_MAX]; // when those were written that may still be answered, by id
    uint64_t in_message; // not answered: the message that the last one went out with; 0: none
};

struct sfl_seat {
    struct singleflight_client *client;
    struct sfl_link client_link;
    struct singleflight_call *founder; // held, for the sake of `join`
    const struct sfl_join *join;       // what it asks for
    enum sfl_seat_state state;
    struct sfl_list calls;          // those that wait here, the oldest first
    struct sfl_map_node merge_node; // in the map while more calls may come
    uint64_t deadline_ms;           // what the server is told; UINT64_MAX: none

    // Where it is. Either on a server's waiting list, or on a session.
    struct sfl_server *server;
    struct sfl_link wait_link;
    struct sfl_session *session;
    uint64_t id; // on the session
    struct sfl_map_node id_node;
    struct sfl_link session_link;
    struct sfl_link ready_link;
    size_t rank;                 // place of its server in the key's order
    struct sfl_timer look_timer; // armed while it looks for a server
    uint64_t look_ms;            // for how long there
    uint64_t look_until_ms;      // and elsewhere; 0: it does not look
    bool look_is_over;
    bool answered;      // the server has answered the join on this session
    uint64_t joined_ms; // when the join was written, by sfl_clock_boot_ms()

    // Frames that are to be sent, in this order; chunks come before `finish`.
    bool wants_join;
    bool wants_renew;
    bool wants_finish;
    bool wants_cancel;
    bool abandons;          // LEAVING with a lease: `finish` that passes on, instead of `cancel`
    uint64_t crossed_token; // LEAVING: of a lead that crossed the `cancel`; 0: none

    // As a follower.
    uint32_t followed_attempt; // of who leads elsewhere; 0: nobody yet
    struct sfl_value *value;   // NULL: nothing yet
    uint64_t value_bytes;      // also what is not kept
    uint64_t next_sequence;
    bool has_told; // live: on_chunk has been called since the last on_restart
    bool is_void;  // live: what on_chunk brought is void, and nobody has been told yet

    // As a leader.
    struct sfl_leader_terms terms;
    struct singleflight_leader *leader; // its call is held
    struct sfl_hold hold;
    uint64_t first_sequence; // above 0: chunks of another process came before
    uint64_t chunk_count;
    size_t *chunk_ends; // with a lease: where in the value each chunk ends
    size_t chunk_capacity;
    bool has_audience;
    uint32_t followers; // elsewhere
    uint64_t latest_deadline_ms;
};

// Puts a call that begins on an equal seat, or on one of its own.
void sfl_seat_take(struct singleflight_call *call);

// One of its calls has been taken off, and has ended so; `ends_function`: its function must not go
// on for others elsewhere. The seat may be gone after it.
void sfl_seat_on_call_left(struct sfl_seat *seat, bool ends_function,
                           enum singleflight_status status, const char *why);

// The program has written, or finished.
void sfl_seat_on_leader_changed(struct sfl_seat *seat, bool finished);

// A frame of the server for this seat. The seat may be gone after it.
void sfl_seat_on_frame(struct sfl_seat *seat, const struct sfl_answer *frame);

// Its session is over; the seat is off it already. `code`: the stream's status. May be gone after.
void sfl_seat_on_session_over(struct sfl_seat *seat, int code, const char *text);

// Its server is down, or another one is back; the seat is off its waiting list already. May be gone
// after.
void sfl_seat_place_anew(struct sfl_seat *seat);

// The client's hold_timer: looks at all leads.
void sfl_seat_on_hold_timer(struct sfl_timer *timer);

// Adds the next frame to `frames`, if there is one. True: there may be more. SFL_NO_MEMORY: cut the
// session.
enum sfl_status sfl_seat_next_frame(struct sfl_seat *seat, struct sfl_frames *frames,
                                    bool *more_out) SFL_MUST_USE;

// Whether the next frame is a join or a finish that waits for nothing and cannot change any more.
bool sfl_seat_has_final_frame(const struct sfl_seat *seat);

// From the session, after a frame was taken: a LEAVING seat that waits for no answer is freed then.
bool sfl_seat_is_gone(const struct sfl_seat *seat);
void sfl_seat_destroy(struct sfl_seat *seat);

// Seats of this key take no more calls: the key was forgotten.
void sfl_seat_stop_merging(struct singleflight_client *client, struct sfl_span group,
                           struct sfl_span key);

// The client closes: leaves the flight. Its calls have been ended.
void sfl_seat_close(struct sfl_seat *seat);

#endif
