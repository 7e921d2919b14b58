// SPDX-License-Identifier: Apache-2.0
// Private to server/security: lines and words of the files.
#ifndef SFL_SECURITY_LINES_PRIVATE_H
#define SFL_SECURITY_LINES_PRIVATE_H

#include "base/bytes.h"

#include <stdbool.h>

// Takes the next line off the front of `text`, without its end and without a comment (`#` at its
// beginning or after a blank). False when there is none.
bool sfl_take_line(struct sfl_span *text, struct sfl_span *line_out);

// Takes the next word off the front of `line`; empty when there is none. Blanks and tabs part
// words, and a carriage return at the end is none.
struct sfl_span sfl_take_word(struct sfl_span *line);

// 1 to `size_max` of A-Z a-z 0-9 . _ -
bool sfl_is_plain_name(struct sfl_span name, size_t size_max);

#endif
