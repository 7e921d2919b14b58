// SPDX-License-Identifier: Apache-2.0
// Private to server/security: what a snapshot consists of.
#ifndef SFL_SECURITY_ACCESS_PRIVATE_H
#define SFL_SECURITY_ACCESS_PRIVATE_H

#include "security/access.h"
#include "security/tokens.h"

#include <stdatomic.h>

enum {
    SFL_WHO_NAME_MAX = 40,
    SFL_GROUP_PATTERN_MAX = 1024,
    SFL_ACCESS_FILE_MIB = 1, // at most, of each of the two files
};

enum sfl_identity_kind {
    SFL_IDENTITY_DNS,
    SFL_IDENTITY_URI,
    SFL_IDENTITY_TOKEN,
    SFL_IDENTITY_UNIX,
    SFL_IDENTITY_ANONYMOUS,
};

// An identity, or a pattern of some: "dns:*.example", "unix".
struct sfl_identity_pattern {
    enum sfl_identity_kind kind;
    uint32_t size;
    char *text; // as it stands in the file, with its kind; of dns, in lower case
};

struct sfl_identity_patterns {
    struct sfl_identity_pattern *items;
    uint32_t count;
};

// A line of [who].
struct sfl_who {
    char *name;
    struct sfl_identity_patterns identities;
};

struct sfl_who_rights {
    uint32_t who; // its place
    uint32_t rights;
};

// What is given to whom.
struct sfl_rights_list {
    struct sfl_who_rights *items;
    uint32_t count;
};

// A [group PATTERN].
struct sfl_section {
    char *pattern;
    struct sfl_rights_list rights;
    struct sfl_access_quota quota;
};

struct sfl_access {
    atomic_uint references;
    uint64_t generation;
    struct sfl_tokens *tokens; // NULL without a token file
    bool has_file;             // an access file: what it does not allow is denied
    bool has_quotas;
    struct sfl_who *who;
    uint32_t who_count;
    struct sfl_section *sections; // in the order of the file
    uint32_t section_count;
    struct sfl_rights_list admins; // SFL_RIGHT_ADMIN
    struct sfl_identity_patterns denied;
};

// Fills in what an access file says; what was there is empty. On failure the rest is as far as it
// came.
enum sfl_status sfl_access_file_read(const char *path, struct sfl_span text,
                                     struct sfl_access *access,
                                     char problem_out[SFL_SECURITY_PROBLEM_MAX]) SFL_MUST_USE;

#endif
