// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <unistr.h>

bool sfl_utf8_is_valid(struct sfl_span text)
{
    return u8_check(text.data, text.size) == NULL;
}
