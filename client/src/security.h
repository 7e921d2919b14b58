// SPDX-License-Identifier: Apache-2.0
// Who this program is, and whom it trusts: TLS and the token, and the files that they stand in.
#ifndef SFL_CLIENT_SECURITY_H
#define SFL_CLIENT_SECURITY_H

#include "base/status.h"
#include "singleflight.h"

#include <sys/stat.h>

// Whoever wants to know that a file could not be used any more. `line` is borrowed.
typedef void sfl_security_complaint(void *context, const char *line);

// A file, and which state of it was read last.
struct sfl_watched_file {
    char *path; // NULL: there is none
    struct stat seen;
};

struct sfl_security {
    struct sfl_watched_file ca; // path NULL: no TLS, or the system's roots
    struct sfl_watched_file cert;
    struct sfl_watched_file key;
    struct sfl_watched_file token;
    bool has_tls;
    char *server_name; // NULL: that of the address

    // What the files hold, in PEM, each ended by NUL; NULL: there is no such file.
    char *ca_pem;
    char *cert_pem;
    char *key_pem;
    unsigned edition; // of those three: changes with them

    char *authorization; // "Bearer TOKEN"; NULL: no token
    unsigned token_edition;
    uint64_t looked_ms; // when the files were looked at, by sfl_clock_boot_ms()
};

// Reads the options, the environment and the files. SFL_INVALID_ARGUMENT, SFL_NO_MEMORY:
// *problem_out (valid until the next call on this thread) says what is wrong, and there is nothing
// to release.
enum sfl_status sfl_security_init(struct sfl_security *security,
                                  const struct singleflight_client_options *options,
                                  const char **problem_out) SFL_MUST_USE;

void sfl_security_deinit(struct sfl_security *security);

// Whether there are files to look at.
static inline bool sfl_security_has_files(const struct sfl_security *security)
{
    return security->has_tls || security->token.path != NULL;
}

// Whether the connection to `address` is encrypted.
bool sfl_security_encrypts(const struct sfl_security *security, const char *address);

// SFL_INVALID_ARGUMENT: the token would travel to `address` for all to read; as above.
enum sfl_status sfl_security_allows(const struct sfl_security *security, const char *address,
                                    const char **problem_out) SFL_MUST_USE;

// What may be the matter when gRPC cannot connect to `address` and says `text`: words in
// parentheses, with a space before them; or "". Static storage.
const char *sfl_security_hint(const struct sfl_security *security, const char *address,
                              const char *text);

// Reads the files that have changed, unless they were looked at within the last second. What cannot
// be used is complained about, and the old goes on to hold. One thread at a time.
void sfl_security_refresh(struct sfl_security *security, uint64_t now_ms,
                          sfl_security_complaint *complain, void *context);

#endif
