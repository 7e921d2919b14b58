// SPDX-License-Identifier: Apache-2.0
// What outlives the process, as it is handed to whoever keeps it: retained outcomes, and leads with
// a lease. Plain records: spans and numbers.
#ifndef SFL_CORE_KEPT_H
#define SFL_CORE_KEPT_H

#include "base/bytes.h"
#include "core/caller.h"
#include "core/value.h"

// Everything is borrowed for the call; the outcome may be referenced. It says token, attempt, kind,
// how long it is to be retained, and the bytes.
struct sfl_kept {
    struct sfl_span group;
    struct sfl_span key;
    struct sfl_span fingerprint;
    uint32_t callers;
    struct sfl_outcome *outcome;
};

// A lead with a lease, known by its token. It is kept from before its `lead` is answered until
// before its `result` is, or until it is lost; handed over again with the same token, it replaces
// what was kept. Everything is borrowed for the call; the outcome may be referenced.
struct sfl_kept_lead {
    struct sfl_span group;
    struct sfl_span key;
    struct sfl_span fingerprint;
    struct sfl_span leader; // the caller's name
    uint64_t token;
    uint32_t attempt;
    uint32_t max_attempts; // from here on: what the opener asked for
    enum sfl_leader_loss on_leader_loss;
    bool retain_from_lead;
    bool forgotten; // new callers do not join it
    uint64_t retain_ms;
    uint64_t retain_error_ms;
    uint64_t lease_ms; // never 0
    uint64_t run_limit_ms;
    uint64_t begun_unix_ms; // the first `lead` of the flight
    uint64_t led_unix_ms;   // the `lead` of this attempt, from which its run limit counts
    // An error that was passed on and counts when nobody is left to try; NULL: none. When its own
    // attempt was led.
    struct sfl_outcome *error;
    uint64_t error_led_unix_ms;
};

#endif
