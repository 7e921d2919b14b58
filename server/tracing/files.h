// SPDX-License-Identifier: Apache-2.0
// Certificates and keys, as texts.
#ifndef SFL_TRACING_FILES_H
#define SFL_TRACING_FILES_H

#include "base/status.h"

// Reads a whole file, to be freed; NULL for a path that is NULL. SFL_INVALID_ARGUMENT: it cannot be
// read, or is much too large for a certificate.
enum sfl_status sfl_tracing_read_file(const char *path, char **text_out) SFL_MUST_USE;

#endif
