// SPDX-License-Identifier: Apache-2.0
// libsingleflight: what happens to calls, told to whoever counts, traces or logs. A part of
// singleflight.h, which includes it.
#ifndef SINGLEFLIGHT_OBSERVER_H
#define SINGLEFLIGHT_OBSERVER_H

#include "api.h"

#ifdef __cplusplus
extern "C" {
#endif

// One thing that happened. Borrowed until the function returns; later versions may append fields.
struct singleflight_event {
    const char *group; // "default" when the call named none
    const void *key;
    size_t key_bytes;
    uint32_t attempt; // of the leader, from 1; 0: not known
    uint64_t token;   // of that leader; 0: not known to this call, or there is none

    // `ended` alone.
    uint64_t duration_us; // microseconds since the call was made
    // "leader": this call's function was the leader's; "follower"; "retained": it got a retained
    // outcome; "alone": it failed open.
    const char *role;
    enum singleflight_status status;
    enum singleflight_outcome outcome; // NONE: with a status other than OK
};

// What to call, with `context`. Each may be NULL. They are called on the client's thread, must not
// block and must not throw; what they do changes nothing for the call. A call's events come in
// order.
struct singleflight_observer {
    size_t struct_bytes;
    void *context;

    // This call's function starts as the leader's, on whatever attempt.
    void (*led)(void *context, const struct singleflight_event *event);
    // Somebody else leads, here or elsewhere; once per lead that is followed.
    void (*followed)(void *context, const struct singleflight_event *event);
    // This call followed, and is made the leader now; `led` comes next.
    void (*takeover)(void *context, const struct singleflight_event *event);
    // No server can be reached: this call's function runs, or goes on, for this process alone.
    void (*failed_open)(void *context, const struct singleflight_event *event);
    // The lead is gone while this call's function runs, or before its outcome was confirmed.
    void (*lost)(void *context, const struct singleflight_event *event);
    // The call has ended: every one, once, last. (With stale_ms: when its refresh has.)
    void (*ended)(void *context, const struct singleflight_event *event);

    // The same events as lines for a debug log, and what went wrong with files that are read again:
    // "led group=default key=user_123 attempt=1 token=7". `line` is borrowed.
    void (*log)(void *context, const char *line);
};

#define SINGLEFLIGHT_OBSERVER_INIT                                                                 \
    {                                                                                              \
        .struct_bytes = sizeof(struct singleflight_observer)                                       \
    }

// The name in lower case, as metrics have it: "ok", "error", "panic", "abandoned"; "" for NONE,
// "unknown" for what this library does not know. Static storage.
SINGLEFLIGHT_API const char *singleflight_outcome_name(enum singleflight_outcome outcome);

#ifdef __cplusplus
}
#endif

#endif
