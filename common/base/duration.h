// SPDX-License-Identifier: Apache-2.0
// Durations and sizes as people write them: 500ms, 2s, 10m, 1h, 7d; 4096, 1KiB, 64MiB, 1GiB.
#ifndef SFL_BASE_DURATION_H
#define SFL_BASE_DURATION_H

#include "base/status.h"

#include <stdint.h>

// Room for the longest text that the two functions below write, its NUL included.
#define SFL_DURATION_TEXT_MAX 24
#define SFL_SIZE_TEXT_MAX 24

// Reads a whole number with a unit: ms, s, m, h or d; 0 may stand alone. SFL_INVALID_ARGUMENT: then
// *problem_out says in static words what is wrong, fit to follow the setting's name ("needs a unit:
// ..."). On success *problem_out is untouched.
SFL_MUST_USE enum sfl_status sfl_duration_parse(const char *text, uint64_t *ms_out,
                                                const char **problem_out);

// Reads a whole number of bytes, alone or with a unit: B, KiB, MiB, GiB or TiB. Errors as above.
SFL_MUST_USE enum sfl_status sfl_size_parse(const char *text, uint64_t *bytes_out,
                                            const char **problem_out);

// Writes what sfl_duration_parse() reads, in the largest unit that needs no fraction: 90000 ms is
// "90s", 3600000 is "1h", 0 is "0".
void sfl_duration_format(uint64_t ms, char text_out[SFL_DURATION_TEXT_MAX]);

// Writes what sfl_size_parse() reads, in the largest unit that needs no fraction: "64MiB", "1000".
void sfl_size_format(uint64_t bytes, char text_out[SFL_SIZE_TEXT_MAX]);

#endif
