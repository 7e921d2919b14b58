// SPDX-License-Identifier: Apache-2.0
// The snapshot of rights that is in force, and how it is exchanged when the files change. No gRPC,
// no event loop: who reads, and when, is for others to say.
#ifndef SFL_SECURITY_SECURITY_H
#define SFL_SECURITY_SECURITY_H

#include "base/status.h"
#include "security/access.h"
#include "security/problem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sfl_security;

struct sfl_security_options {
    const char *token_file;  // path, borrowed until destroy; NULL: none
    const char *access_file; // the same
};

// Reads the files. SFL_INVALID_ARGUMENT when one of them cannot be read or is broken: then
// `problem_out` says so in one line. SFL_NO_MEMORY.
enum sfl_status sfl_security_create(const struct sfl_security_options *options,
                                    struct sfl_security **security_out,
                                    char problem_out[SFL_SECURITY_PROBLEM_MAX]) SFL_MUST_USE;

// Every snapshot may outlive it; identities must be gone. NULL is fine.
void sfl_security_destroy(struct sfl_security *security);

// Reads the files again. When they are good, what they say is in force once this returns SFL_OK;
// otherwise the old snapshot stays, and `problem_out` says why. Logs either. One thread at a time.
enum sfl_status sfl_security_reload(struct sfl_security *security,
                                    char problem_out[SFL_SECURITY_PROBLEM_MAX]);

// The snapshot that is in force; a reference. Any thread; it waits for nobody for long.
struct sfl_access *sfl_security_snapshot(struct sfl_security *security);

// That of the snapshot in force: one load, for whoever keeps what came of an older one. Any thread.
uint64_t sfl_security_generation(const struct sfl_security *security);

// Where it stands, as long as `security` does, for whoever asks at every call.
const _Atomic uint64_t *sfl_security_generation_in_force(const struct sfl_security *security);

// What a call was refused for, to be counted.
#define SFL_AUTH_DENIED_LIST(X)                                                                    \
    X(BAD_TOKEN, "bad_token")     /* not in the token file, or not readable */                     \
    X(OPEN_TOKEN, "open_token")   /* over a plain connection to another machine */                 \
    X(BAD_NAMES, "bad_names")     /* too many or too long names in the certificate */              \
    X(NOBODY, "nobody")           /* nothing says who calls */                                     \
    X(DENY_LIST, "deny_list")     /* on the deny list */                                           \
    X(NOT_ALLOWED, "not_allowed") /* known, without the right */                                   \
    X(REVOKED, "revoked")         /* what was under way and lost its right */

enum sfl_auth_denied {
#define SFL_AUTH_DENIED_ENUM(name, word) SFL_AUTH_##name,
    SFL_AUTH_DENIED_LIST(SFL_AUTH_DENIED_ENUM)
#undef SFL_AUTH_DENIED_ENUM
        SFL_AUTH_DENIED_KINDS,
};

const char *sfl_auth_denied_word(enum sfl_auth_denied denied);

// Any thread.
void sfl_security_count_denied(struct sfl_security *security, enum sfl_auth_denied denied);

// Since the start.
struct sfl_security_counts {
    uint64_t denied[SFL_AUTH_DENIED_KINDS];
    uint64_t reloads;
    uint64_t reloads_failed;
    bool last_reload_was_good;  // true when there was none
    uint64_t last_good_unix_ms; // of the wall clock: when the snapshot in force was read
};

// Any thread.
struct sfl_security_counts sfl_security_counts(struct sfl_security *security);

// Why the last reload was not good, in one line; empty when it was. Any thread.
void sfl_security_get_problem(struct sfl_security *security,
                              char problem_out[SFL_SECURITY_PROBLEM_MAX]);

#endif
