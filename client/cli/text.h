// SPDX-License-Identifier: Apache-2.0
// Text for a terminal. What comes from a peer (keys, names, messages) may hold anything, so nothing
// of it gets there but through here.
#ifndef SFL_CLI_TEXT_H
#define SFL_CLI_TEXT_H

#include <stdarg.h>
#include <stddef.h>

// The bytes with \xNN for whatever a terminal would not show as it is: control characters, those of
// Unicode too, bytes that are no UTF-8, and the backslash. To be freed.
char *sfl_cli_readable(const void *bytes, size_t bytes_count);

// One line, "singleflight: " before it and a newline after it; what is formatted is made readable
// first. To be freed.
char *sfl_cli_vline(const char *format, va_list arguments);

// The same on standard error.
__attribute__((format(printf, 1, 2))) void sfl_cli_say(const char *format, ...);

#endif
