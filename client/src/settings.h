// SPDX-License-Identifier: Apache-2.0
// The options of a client, copied, with the defaults filled in.
#ifndef SFL_CLIENT_SETTINGS_H
#define SFL_CLIENT_SETTINGS_H

#include "base/status.h"
#include "singleflight.h"
#include "src/join.h"
#include "src/security.h"

struct sfl_settings {
    struct sfl_join_defaults join; // points into this
    uint64_t connect_timeout_ms;
    uint64_t patience_ms; // how long a server may be silent that is there; never 0
    uint64_t backoff_min_ms;
    uint64_t backoff_max_ms;
    uint64_t keepalive_time_ms;
    uint64_t keepalive_timeout_ms;
    size_t result_bytes_max;
    size_t unsent_bytes_max;
    char *caller;
    struct sfl_security security;          // the client's thread's, once it runs
    struct singleflight_observer observer; // all of it NULL: nobody
    bool is_observed;
    char **addresses;
    size_t address_count;
};

// Reads `given` (NULL: all defaults), the environment, and the files that they name.
// SFL_INVALID_ARGUMENT, SFL_NO_MEMORY: *problem_out (static, or valid until the next call on this
// thread) says what is wrong.
enum sfl_status sfl_settings_init(struct sfl_settings *settings,
                                  const struct singleflight_client_options *given,
                                  const char **problem_out) SFL_MUST_USE;

void sfl_settings_deinit(struct sfl_settings *settings);

#endif
