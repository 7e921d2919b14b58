// SPDX-License-Identifier: Apache-2.0
// A file of settings: lines "name = value" without sections, as daemon and tool have one. Taken
// apart by inih.
#ifndef SFL_INI_INI_FILE_H
#define SFL_INI_INI_FILE_H

#include "base/status.h"

#include <stdbool.h>

// Room for a whole sentence, with the NUL.
#define SFL_INI_PROBLEM_MAX 512

struct sfl_ini_events {
    // Takes one entry; the texts are borrowed until it returns. False: it is not good, and
    // `problem` says why, without the file's name and the line.
    bool (*on_entry)(void *context, const char *name, const char *text, unsigned line,
                     char problem[SFL_INI_PROBLEM_MAX]);
    void *context;
};

// SFL_INVALID_ARGUMENT: problem_out says in a whole sentence what is wrong, with the file's name
// and the line; SFL_NOT_FOUND: the file cannot be read (errno says why), likewise. What on_entry
// has been given until then stays given.
SFL_MUST_USE enum sfl_status sfl_ini_file_read(const char *path,
                                               const struct sfl_ini_events *events,
                                               char problem_out[SFL_INI_PROBLEM_MAX]);

#endif
