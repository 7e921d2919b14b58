// SPDX-License-Identifier: Apache-2.0
// Statuses and the texts that go with them.
#ifndef SFL_CLIENT_ERROR_H
#define SFL_CLIENT_ERROR_H

#include "base/status.h"
#include "singleflight.h"

// Whether the server knows who calls, or could not, and will not have it: no second try mends that.
static inline bool sfl_error_is_refusal(int code)
{
    return code == SINGLEFLIGHT_PERMISSION_DENIED || code == SINGLEFLIGHT_UNAUTHENTICATED;
}

// Remembers `text` for singleflight_last_error() of this thread, and returns `status`.
enum singleflight_status sfl_error_set(enum singleflight_status status, const char *text);

// The public status for a gRPC code; UNKNOWN for numbers that the header does not have.
enum singleflight_status sfl_error_of_code(int code);

// The public status for an internal one.
enum singleflight_status sfl_error_of(enum sfl_status status);

#endif
