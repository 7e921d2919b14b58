// SPDX-License-Identifier: Apache-2.0
// libsingleflight: its version, how calls end, and results. A part of singleflight.h, which
// includes it and has the conventions.
#ifndef SINGLEFLIGHT_API_H
#define SINGLEFLIGHT_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SINGLEFLIGHT_API __attribute__((visibility("default")))
#define SINGLEFLIGHT_MUST_USE __attribute__((warn_unused_result))
#else
#define SINGLEFLIGHT_API
#define SINGLEFLIGHT_MUST_USE
#endif

// The version of this header; singleflight_version() is that of the library, such as "0.1.0".
#define SINGLEFLIGHT_VERSION_MAJOR 0
#define SINGLEFLIGHT_VERSION_MINOR 1
#define SINGLEFLIGHT_VERSION_PATCH 0
SINGLEFLIGHT_API const char *singleflight_version(void);

// One client per process is the usual number: equal calls are merged inside of one client only.
struct singleflight_client;

// ---- statuses, outcomes ----

// How a call to the service ended; the numbers are gRPC's. That a *function* failed is no status:
// the call is SINGLEFLIGHT_OK then, and the outcome tells.
enum singleflight_status {
    SINGLEFLIGHT_OK = 0,
    SINGLEFLIGHT_CANCELLED = 1, // by singleflight_call_cancel(), or the client was destroyed
    SINGLEFLIGHT_UNKNOWN = 2,
    SINGLEFLIGHT_INVALID_ARGUMENT = 3,   // an option is out of its bounds; the message says which
    SINGLEFLIGHT_DEADLINE_EXCEEDED = 4,  // timeout_ms is over
    SINGLEFLIGHT_NOT_FOUND = 5,          // FOLLOW_ONLY, and there is nothing to follow
    SINGLEFLIGHT_PERMISSION_DENIED = 7,  // the server knows who calls, and does not allow it
    SINGLEFLIGHT_RESOURCE_EXHAUSTED = 8, // a limit, named in the message; or no memory here
    // Another fingerprint; a call that would wait for itself; or a blocking call in a callback.
    SINGLEFLIGHT_FAILED_PRECONDITION = 9,
    // The leader was lost and nobody may take over; or this caller led and was replaced ("fenced");
    // or LEAD_ONLY while another leads. The message says which.
    SINGLEFLIGHT_ABORTED = 10,
    SINGLEFLIGHT_UNIMPLEMENTED = 12, // the server is older than this library
    SINGLEFLIGHT_INTERNAL = 13,
    SINGLEFLIGHT_UNAVAILABLE = 14, // no server could be reached, or it shuts down: try again later
    SINGLEFLIGHT_UNAUTHENTICATED = 16, // the server takes no token like this, or wants to know who
};

// The name in capitals, such as "ABORTED"; static storage.
SINGLEFLIGHT_API const char *singleflight_status_name(enum singleflight_status status);

// What went wrong in the last function of this library that returned something other than OK on
// this thread, in words. Valid until the next such function on this thread.
SINGLEFLIGHT_API const char *singleflight_last_error(void);

// A timeout that is not given.
#define SINGLEFLIGHT_NOT_GIVEN UINT64_MAX

// Types of errors that are not the function's own words: a value that met a limit on its size (the
// code is 8), and one that the leader's program, in another language, could not encode.
#define SINGLEFLIGHT_TYPE_LIMIT_EXCEEDED "singleflight.LimitExceeded"
#define SINGLEFLIGHT_TYPE_ENCODE_ERROR "singleflight.EncodeError"

// How the function ended.
enum singleflight_outcome {
    SINGLEFLIGHT_OUTCOME_NONE = 0, // only in a result whose status is not OK
    SINGLEFLIGHT_OUTCOME_OK = 1,
    SINGLEFLIGHT_OUTCOME_ERROR = 2,     // it failed, perhaps with a value beside the error
    SINGLEFLIGHT_OUTCOME_PANIC = 3,     // it crashed, and somebody could report it
    SINGLEFLIGHT_OUTCOME_ABANDONED = 4, // it ended without saying how, or gave up
};

// What a Do ended with. Made by the library, read-only, freed by singleflight_result_free(); later
// versions may append fields.
struct singleflight_result {
    enum singleflight_status status; // OK: the fields of the outcome hold
    // With a status other than OK: what happened, and what to do about it. Otherwise the error
    // message of the function. Never NULL.
    const char *message;

    enum singleflight_outcome outcome;
    // The value, for the leader too (unless no_value). May stand beside an error. A NUL that is not
    // counted follows it.
    const void *value;
    size_t value_bytes;
    int32_t code;        // the function's own error code, such as an exit status
    const char *type;    // type of the error or exception; never NULL
    const char *stack;   // where it happened; never NULL
    const void *details; // anything the function added, at most 64 KiB
    size_t details_bytes;

    bool led;            // this very call ran the function whose outcome this is
    bool shared;         // the outcome went to more than one caller; true for the leader, too
    uint32_t callers;    // to how many, the leader and the merged callers of this process included
    uint32_t attempt;    // the how-many-eth leader of the flight made it, from 1
    uint64_t token;      // the fencing token of that leader; 0 when no server was ever there
    bool retained;       // served from a retained outcome: nobody ran anything for this call
    uint64_t age_ms;     // of that outcome
    uint64_t retain_ms;  // for how long from now the outcome is retained; 0: it is not
    bool retain_refused; // it should have been retained, but the server had no room
    // No server could be reached, and the function ran, or went on to its end, for the callers of
    // this process alone.
    bool failed_open;
    bool stale; // older than max_age_ms, and served because of stale_ms
};

// Frees a result. NULL is fine.
SINGLEFLIGHT_API void singleflight_result_free(struct singleflight_result *result);

#ifdef __cplusplus
}
#endif

#endif
