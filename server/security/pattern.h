// SPDX-License-Identifier: Apache-2.0
// Patterns of the access file: `*` stands for any run of bytes, everything else for itself.
#ifndef SFL_SECURITY_PATTERN_H
#define SFL_SECURITY_PATTERN_H

#include "base/bytes.h"

#include <stdbool.h>

bool sfl_pattern_matches(struct sfl_span pattern, struct sfl_span text);

#endif
