// SPDX-License-Identifier: Apache-2.0
// A flight that has ended, as people look back at it. A plain record: spans and numbers.
#ifndef SFL_CORE_RUN_H
#define SFL_CORE_RUN_H

#include "base/bytes.h"

#include <stdint.h>

enum { SFL_RUN_MESSAGE_MAX = 256 };

// Spans are borrowed. Times are of the wall clock, in ms since 1970.
struct sfl_run {
    struct sfl_span group;
    struct sfl_span key;
    struct sfl_span leader;  // the name of the last attempt's; may be empty
    struct sfl_span message; // of the outcome or the status: at most SFL_RUN_MESSAGE_MAX bytes
    uint64_t token;          // of the last attempt, or of the one whose outcome it is
    uint64_t begun_unix_ms;  // the first `lead`
    uint64_t led_unix_ms;    // the last `lead`
    uint64_t ended_unix_ms;
    uint64_t value_bytes;
    uint64_t retained_hits; // callers that the retained outcome has gone to since
    uint32_t attempts;
    uint32_t callers; // in the flight when it ended, the leader included
    int kind;         // enum sfl_outcome_kind; 0: it ended with ABORTED, and the message says why
    int32_t code;     // of the outcome
};

#endif
