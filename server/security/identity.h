// SPDX-License-Identifier: Apache-2.0
// Who calls: the names that a caller has shown to have, and what a snapshot allows to them.
//
// An identity belongs to one stream and its thread; nothing here locks.
#ifndef SFL_SECURITY_IDENTITY_H
#define SFL_SECURITY_IDENTITY_H

#include "base/bytes.h"
#include "security/access.h"
#include "security/security.h"

#include <stdbool.h>
#include <stdint.h>

// What the transport has seen of a caller.
struct sfl_credentials {
    bool is_unix;           // it came over a unix socket
    bool may_show_token;    // over TLS, a unix socket or loopback
    bool has_token;         // it sent one, or what should have been one
    bool is_token_readable; // "Bearer TOKEN", once
    struct sfl_span token;
    bool are_names_whole; // false: the certificate has more or longer names than can be taken
    const struct sfl_span *names; // of the verified certificate: "dns:NAME", "uri:URI"
    size_t name_count;
};

// Whether a caller may call at all.
enum sfl_identity_state {
    SFL_IDENTITY_GOOD,
    SFL_IDENTITY_BAD_TOKEN,  // a token that is not in the file, or cannot be read
    SFL_IDENTITY_OPEN_TOKEN, // a token that others could read on its way
    SFL_IDENTITY_BAD_NAMES,  // a certificate with names that cannot be taken
    SFL_IDENTITY_NOBODY,     // it has no name, or none that the access file knows, and needs one
    SFL_IDENTITY_DENIED,     // it is on the deny list
    SFL_IDENTITY_NO_MEMORY,
};

struct sfl_identity;

// Everything in `credentials` is borrowed until the call returns. NULL when there is no memory.
struct sfl_identity *sfl_identity_create(struct sfl_security *security,
                                         const struct sfl_credentials *credentials);
void sfl_identity_destroy(struct sfl_identity *identity); // NULL is fine

// The snapshot that the answers of this identity come from.
uint64_t sfl_identity_generation(const struct sfl_identity *identity);

// Goes over to the snapshot that is in force now. (sfl_security_generation says that there is a
// newer one.)
void sfl_identity_renew(struct sfl_identity *identity);

enum sfl_identity_state sfl_identity_state(const struct sfl_identity *identity);

// What it may do in a group: a set of enum sfl_right. Nothing unless its state is GOOD.
unsigned sfl_identity_rights(const struct sfl_identity *identity, struct sfl_span group);
bool sfl_identity_is_admin(const struct sfl_identity *identity);

// False when it has no name: then it is not known who calls.
bool sfl_identity_is_known(const struct sfl_identity *identity);

// Its names for the log, "anonymous" without any; as many as have room.
enum { SFL_IDENTITY_TEXT_MAX = 256 };
void sfl_identity_text(const struct sfl_identity *identity,
                       char text_out[static SFL_IDENTITY_TEXT_MAX]);

#endif
