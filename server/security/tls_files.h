// SPDX-License-Identifier: Apache-2.0
// The files of the daemon's TLS: its certificate, its key, and the CAs that it believes about
// clients. They are read and checked before anybody uses them, because gRPC would find out only
// when the next client comes.
#ifndef SFL_SECURITY_TLS_FILES_H
#define SFL_SECURITY_TLS_FILES_H

#include "base/status.h"
#include "security/problem.h"

#include <stdbool.h>
#include <stdint.h>

struct sfl_tls_paths {
    const char *cert;
    const char *key;
    const char *client_ca; // NULL: none
};

// PEM, as the files have it. Owned.
struct sfl_tls_texts {
    char *cert;
    char *key;
    char *client_ca;
    int64_t not_after_unix_s; // when the first one of the chain runs out
};

// Reads the files and checks them: a certificate that holds at this time, its key, which belongs to
// it and has no passphrase, and CAs. SFL_INVALID_ARGUMENT: `problem_out` says in one line which
// file is wrong and how. SFL_NO_MEMORY.
enum sfl_status sfl_tls_files_read(const struct sfl_tls_paths *paths,
                                   struct sfl_tls_texts *texts_out,
                                   char problem_out[SFL_SECURITY_PROBLEM_MAX]) SFL_MUST_USE;

// The key is wiped out. Harmless on zeroed ones.
void sfl_tls_texts_deinit(struct sfl_tls_texts *texts);

#endif
