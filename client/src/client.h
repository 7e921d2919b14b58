// SPDX-License-Identifier: Apache-2.0
// The client: what all its parts share.
//
// Who is who, from the program down to the network:
//   call     one Do of the program, blocking or not (struct singleflight_call)
//   seat     one call on a session: the place in the flight that merged calls share
//   leader   what a seat hands to one of its calls when the server tells it to lead
//   session  one Session stream; seats are spread over it
//   server   one address: its channel, its sessions, and whether it can be reached
//   unary    one Forget, listing or health check
//
// Threads. Calls, seats, sessions and servers live on the client's thread alone (the pump's): no
// locks. Other threads talk to it by commands, which are structs embedded in what they are about.
// A leader is the one thing that both sides look at, under its own lock.
#ifndef SFL_CLIENT_CLIENT_H
#define SFL_CLIENT_CLIENT_H

#include "base/list.h"
#include "rpc/pump.h"
#include "singleflight.h"
#include "src/join.h"
#include "src/map.h"
#include "src/settings.h"
#include "src/timer.h"

#include <pthread.h>

struct sfl_server;

// Something to do on the client's thread.
struct sfl_command {
    struct sfl_command *next; // in a queue
    void (*run)(struct sfl_command *command);
};

struct singleflight_client {
    atomic_uint references; // the program's own, and one per call and leader
    struct sfl_settings settings;

    // Any thread. The command that was posted last, with those before it behind it; NULL: none.
    // Once the client's thread takes no more it is `no_commands`, for good.
    _Atomic(struct sfl_command *) commands;
    struct sfl_command no_commands;
    atomic_bool is_asleep; // a wake is needed for commands to be seen
    struct sfl_pumps *pumps;
    struct sfl_pump *pump;
    struct sfl_command close;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed; // under the lock: the client's thread takes no commands any more

    // The client's thread only.
    bool closing;
    struct sfl_command *late; // what was posted when it closed, the oldest first
    // What was posted on this thread itself, the oldest first, and the end of that queue. Only
    // while `commands` is empty, so that no command overtakes one that was posted before it.
    struct sfl_command *own_commands;
    struct sfl_command **own_commands_end;
    struct sfl_pump_work next_turn; // runs them
    bool runs_commands_next;        // sfl_client_run_commands() comes next, without that turn
    struct sfl_timers timers;       // by sfl_clock_boot_ms()
    struct sfl_timer close_timer;
    struct sfl_timer hold_timer; // the next look at the leads: seat_hold.c
    struct sfl_list holds;       // seats that lead by the clock
    uint64_t awake_ms;           // when the thread was last seen awake
    uint64_t wakes_by_ms;    // and by when it was to be so again; UINT64_MAX: it slept by itself
    uint64_t pause_from_ms;  // the last pause of the process, when it began
    uint64_t pause_to_ms;    // and when it was over; 0: none yet
    struct sfl_list calls;   // those that have not ended
    struct sfl_list seats;   // all of them
    struct sfl_list unaries; // those that have not ended
    struct sfl_map merging;  // seats that more calls may share, by sfl_join_hash()
    uint64_t merging_seed;
    struct sfl_server *servers; // one per address, in their order
    size_t server_count;
    size_t streams_open;
};

struct singleflight_client *sfl_client_ref(struct singleflight_client *client);
void sfl_client_unref(struct singleflight_client *client);

// Has `command`, which must not be queued, run on the client's thread. False when the client is
// closed, and it will never run. Any thread.
bool sfl_client_post(struct singleflight_client *client, struct sfl_command *command);

// On the client's thread, after events that may have posted commands: runs those that are there.
void sfl_client_run_commands(struct singleflight_client *client);

// On the client's thread, before such events: the above comes after them in any case.
void sfl_client_expect_commands(struct singleflight_client *client);

// On the client's thread, when something has ended that closing may have waited for.
void sfl_client_on_something_ended(struct singleflight_client *client);

#endif
