// SPDX-License-Identifier: Apache-2.0
// Who may do what, and how much of it: what a token file and an access file say, as one snapshot
// that never changes. A reload makes another one (security.h).
//
// Threads: everything here may be called from any thread while a reference is held.
#ifndef SFL_SECURITY_ACCESS_H
#define SFL_SECURITY_ACCESS_H

#include "base/bytes.h"
#include "base/status.h"
#include "security/problem.h"

#include <stdbool.h>
#include <stdint.h>

// Bits of a set.
enum sfl_right {
    SFL_RIGHT_DO = 1 << 0,
    SFL_RIGHT_LEAD = 1 << 1, // comes with SFL_RIGHT_DO
    SFL_RIGHT_FORGET = 1 << 2,
    SFL_RIGHT_END = 1 << 3,
    SFL_RIGHT_LIST = 1 << 4,
    SFL_RIGHT_ADMIN = 1 << 5, // of the server, not of a group
};

enum {
    SFL_RIGHTS_OF_GROUP =
        SFL_RIGHT_DO | SFL_RIGHT_LEAD | SFL_RIGHT_FORGET | SFL_RIGHT_END | SFL_RIGHT_LIST,
    SFL_RIGHTS_ALL = SFL_RIGHTS_OF_GROUP | SFL_RIGHT_ADMIN,
};

// The word of one right, as it stands in the file.
const char *sfl_right_word(enum sfl_right right);

// How much one group may have at the same time; UINT64_MAX where the file says nothing.
struct sfl_access_quota {
    uint64_t flights;
    uint64_t callers;
    uint64_t held_bytes;
    uint64_t retained_bytes;
    uint64_t joins_per_second;
};

struct sfl_access;

// Makes a snapshot with one reference from the texts of the files; `data` NULL: there is no such
// file. The paths are for problems alone. SFL_INVALID_ARGUMENT: then `problem_out` says in one line
// what is wrong and where. SFL_NO_MEMORY.
struct sfl_access_files {
    const char *token_path;
    struct sfl_span token_text;
    const char *access_path;
    struct sfl_span access_text;
};
enum sfl_status sfl_access_create(const struct sfl_access_files *files, uint64_t generation,
                                  struct sfl_access **access_out,
                                  char problem_out[SFL_SECURITY_PROBLEM_MAX]) SFL_MUST_USE;

struct sfl_access *sfl_access_ref(struct sfl_access *access);
void sfl_access_unref(struct sfl_access *access); // NULL is fine

// Another one for every snapshot of a process, growing from 1.
uint64_t sfl_access_generation(const struct sfl_access *access);

// What `group` may have. Of the sections that match it, the last one in the file that says a number
// gives it; each group that matches has it for itself.
struct sfl_access_quota sfl_access_quota(const struct sfl_access *access, struct sfl_span group);

// False when the file limits no group, so that nobody has to ask.
bool sfl_access_has_quotas(const struct sfl_access *access);

#endif
