// SPDX-License-Identifier: Apache-2.0
// Reads the files that say who is let in.
#ifndef SFL_SECURITY_READ_FILE_PRIVATE_H
#define SFL_SECURITY_READ_FILE_PRIVATE_H

#include "security/problem.h"

#include <stddef.h>

enum { SFL_SECURITY_MIB = 1024 * 1024 };

// The whole of a regular file of at most so many MiB, with a NUL behind its `*size_out` bytes; to
// be freed. NULL: it cannot be had, and `problem_out` says why. It never waits for a pipe.
char *sfl_security_read_file(const char *path, size_t mib_max, size_t *size_out,
                             char problem_out[SFL_SECURITY_PROBLEM_MAX]);

#endif
