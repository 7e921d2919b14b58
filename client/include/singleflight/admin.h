// SPDX-License-Identifier: Apache-2.0
// libsingleflight: Forget, listings and counters. A part of singleflight.h, which includes it.
//
// These block: FAILED_PRECONDITION from a callback. singleflight_last_error() says what went wrong.
// timeout_ms 0: the client's connect_timeout_ms.
#ifndef SINGLEFLIGHT_ADMIN_H
#define SINGLEFLIGHT_ADMIN_H

#include "api.h"

#ifdef __cplusplus
extern "C" {
#endif

struct singleflight_forgotten {
    bool flight;   // a flight was forgotten that new callers would have joined
    bool retained; // a retained outcome was dropped
    bool ended;    // a flight that ran was ended; set by singleflight_end() alone
};

// Makes the next caller of the key start anew. `forgotten_out` may be NULL.
// `if_unshared`: only if the flight has no followers.
SINGLEFLIGHT_API enum singleflight_status
singleflight_forget(struct singleflight_client *client, const char *group, const void *key,
                    size_t key_bytes, bool if_unshared, uint64_t timeout_ms,
                    struct singleflight_forgotten *forgotten_out) SINGLEFLIGHT_MUST_USE;

// Ends the flight of the key that runs: its leader is told that it lost the lead, its followers end
// with ABORTED, and both read who ended it. What is retained is dropped. `caller`: who ends it, at
// most 128 bytes; NULL: the client's name. Otherwise as singleflight_forget(). A server older than
// this function forgets the flight, which goes on: `ended` is false then, and `flight` true.
SINGLEFLIGHT_API enum singleflight_status
singleflight_end(struct singleflight_client *client, const char *group, const void *key,
                 size_t key_bytes, const char *caller, uint64_t timeout_ms,
                 struct singleflight_forgotten *forgotten_out) SINGLEFLIGHT_MUST_USE;

// How one server is. Later versions may append fields.
struct singleflight_health {
    const char *address; // as the client's options write it
    bool serves;
    const char *message; // why it does not; ""
};

// Asks every server once, by the health service of gRPC, and calls `on_health` on this thread, once
// for each; the row is borrowed until it returns. OK when all of them serve; otherwise the first
// failure, which is UNAVAILABLE for one that is there and does not serve.
SINGLEFLIGHT_API enum singleflight_status singleflight_check_health(
    struct singleflight_client *client, uint64_t timeout_ms,
    void (*on_health)(void *context, const struct singleflight_health *health),
    void *context) SINGLEFLIGHT_MUST_USE;

enum singleflight_flight_state {
    SINGLEFLIGHT_FLIGHT_NOT_BEGUN = 0, // with `next`
    SINGLEFLIGHT_FLIGHT_FINDING_HOME = 1,
    SINGLEFLIGHT_FLIGHT_LED = 2,
    SINGLEFLIGHT_FLIGHT_ORPHANED = 3, // the leader is gone and may still come back
    SINGLEFLIGHT_FLIGHT_RETAINED = 4, // no flight any more: a retained outcome
};

// One row of a listing. Later versions may append fields.
struct singleflight_flight {
    const char *address; // the server that told it, as the client's options write it
    const char *group;
    const void *key;
    size_t key_bytes;
    enum singleflight_flight_state state;
    uint64_t token;
    uint32_t attempt;
    const char *leader;
    uint32_t callers;
    uint64_t running_ms;
    uint64_t value_bytes;
    uint64_t expires_ms; // of the lease or the retention, from now; 0: never
    const char *home;    // address of the replica where it lives; "": the one that told it
    bool forgotten;
    bool next;    // it begins when the running flight of its key has ended
    bool overdue; // its lease is over, and nobody has wanted the key since
    // Of a retained outcome; NONE and 0 from a server older than this library.
    enum singleflight_outcome outcome;
    int32_t code;
    uint64_t ended_unix_ms; // milliseconds since 1970
};

// Calls `on_flight` on this thread, once per flight and retained outcome, for every server in turn;
// the row is borrowed until it returns. `group` NULL: all; `key_prefix` may be NULL; `limit` is per
// server, 0: 1,000. When a server cannot be reached the rows of the others come all the same, and
// the status is that of the first failure.
SINGLEFLIGHT_API enum singleflight_status singleflight_list_flights(
    struct singleflight_client *client, const char *group, const void *key_prefix,
    size_t key_prefix_bytes, uint32_t limit, uint64_t timeout_ms,
    void (*on_flight)(void *context, const struct singleflight_flight *flight),
    void *context) SINGLEFLIGHT_MUST_USE;

// A flight that has ended. Later versions may append fields.
struct singleflight_run {
    const char *address; // the server that told it
    const char *group;
    const void *key;
    size_t key_bytes;
    const char *leader; // of the last attempt
    uint64_t token;
    uint32_t attempts;
    uint64_t begun_unix_ms; // the first lead; all three in milliseconds since 1970
    uint64_t led_unix_ms;   // the last lead
    uint64_t ended_unix_ms;
    enum singleflight_outcome outcome; // NONE: it ended without one, and the message says why
    int32_t code;
    const char *message; // at most 256 bytes
    uint32_t callers;    // in the flight when it ended, the leader included
    uint64_t value_bytes;
    uint64_t retained_hits; // callers that the retained outcome has gone to since
};

// Calls `on_run` on this thread, once per run that a server remembers, newest first, for every
// server in turn. `since_unix_ms`: only what ended later; 0: all. Otherwise as list_flights. Which
// runs a server remembers is its setting.
SINGLEFLIGHT_API enum singleflight_status
singleflight_list_runs(struct singleflight_client *client, const char *group,
                       const void *key_prefix, size_t key_prefix_bytes, uint64_t since_unix_ms,
                       uint32_t limit, uint64_t timeout_ms,
                       void (*on_run)(void *context, const struct singleflight_run *run),
                       void *context) SINGLEFLIGHT_MUST_USE;

// Counters of one server since its start, and what is there now.
struct singleflight_stats {
    const char *address;
    uint64_t calls;
    uint64_t executions;
    uint64_t executions_saved;
    uint64_t retained_hits;
    uint64_t leaders_lost;
    uint64_t fenced;
    uint64_t forgets;
    uint64_t refused;
    uint64_t flights_now;
    uint64_t callers_now;
    uint64_t retained_now;
    uint64_t bytes_now;
    uint64_t uptime_ms;
    uint64_t connections_now;     // to the server; 0 when a group was named
    uint64_t connections_refused; // and those that a limit forbade
    uint64_t streams_silent_now;  // opened and not used; 0 when a group was named
    uint64_t streams_ended;       // for that, or because their connection had too many
    uint64_t retain_refused;      // outcomes that were not retained for want of room
    // Of the server's data directory; 0 without one, or when a group was named.
    uint64_t outcomes_lost;       // so many of them because the disk did not take them
    uint64_t store_failing;       // 1: it did not take something just now
    uint64_t store_bytes_waiting; // to be written
    uint64_t leads_unkept;        // leads with a lease that the disk did not take
};

// Calls `on_stats` on this thread, once per server that answers. Otherwise as list_flights.
SINGLEFLIGHT_API enum singleflight_status
singleflight_get_stats(struct singleflight_client *client, const char *group, uint64_t timeout_ms,
                       void (*on_stats)(void *context, const struct singleflight_stats *stats),
                       void *context) SINGLEFLIGHT_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
