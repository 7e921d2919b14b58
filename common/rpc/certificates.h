// SPDX-License-Identifier: Apache-2.0
// What a server shows in TLS handshakes, and whom it believes. Exchanged while it serves: each
// handshake uses what is there when it begins, and connections that exist go on.
#ifndef SFL_RPC_CERTIFICATES_H
#define SFL_RPC_CERTIFICATES_H

#include "base/status.h"

#include <stdint.h>

struct sfl_certificates;

// Whether a client has to show a certificate.
enum sfl_client_auth {
    SFL_CLIENT_AUTH_NONE,     // it is not asked for one
    SFL_CLIENT_AUTH_OPTIONAL, // one that it shows must be good
    SFL_CLIENT_AUTH_REQUIRED,
};

// PEM. gRPC refuses what it cannot use only when the next client comes, so the caller has checked
// that the texts are good and belong together.
struct sfl_certificate_texts {
    const char *cert; // the server's own, then those between it and its CA
    const char *key;
    const char *client_ca; // who vouches for clients; NULL with SFL_CLIENT_AUTH_NONE
};

// Copies the texts. SFL_NO_MEMORY.
enum sfl_status sfl_certificates_create(enum sfl_client_auth client_auth,
                                        const struct sfl_certificate_texts *texts,
                                        struct sfl_certificates **certificates_out) SFL_MUST_USE;

// After the servers that use it. NULL is fine.
void sfl_certificates_destroy(struct sfl_certificates *certificates);

// Handshakes that begin from now on use these; copied. SFL_NO_MEMORY: they use the old ones. Any
// thread.
enum sfl_status sfl_certificates_set(struct sfl_certificates *certificates,
                                     const struct sfl_certificate_texts *texts) SFL_MUST_USE;

// How many handshakes have begun. How each ends gRPC tells only its log. Any thread.
uint64_t sfl_certificates_handshakes(const struct sfl_certificates *certificates);

#endif
