// SPDX-License-Identifier: Apache-2.0
// "Is ... meant?": the name that somebody who has mistyped one was after.
#ifndef SFL_BASE_NEAREST_H
#define SFL_BASE_NEAREST_H

#include <stddef.h>

// The one of `count` names that takes the fewest letters to be put in, left out, changed or
// swapped to make it of `text` (`size` bytes). NULL: none is near enough to be meant. `name_at`
// returns a name that lives as long as the answer is used, or NULL for one that nobody means.
const char *sfl_nearest(const char *text, size_t size, const char *(*name_at)(size_t place),
                        size_t count);

#endif
