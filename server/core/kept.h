// SPDX-License-Identifier: Apache-2.0
// A retained outcome as it is handed to whoever keeps it beyond this process.
#ifndef SFL_CORE_KEPT_H
#define SFL_CORE_KEPT_H

#include "base/bytes.h"
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

#endif
