// SPDX-License-Identifier: Apache-2.0
// Descriptors 0 to 2: standard input, output and error.
#ifndef SFL_BASE_STANDARD_FILES_H
#define SFL_BASE_STANDARD_FILES_H

#include <stdbool.h>

// Opens those of the three that are closed on /dev/null. Otherwise the next file that is opened
// gets such a number, and what is meant for standard error goes into a data file or to a peer. To
// be called before anything else is opened. False when /dev/null cannot be opened.
bool sfl_standard_files_open(void);

#endif
