// SPDX-License-Identifier: Apache-2.0
// The tool has nothing better to do than to end when there is no memory.
#ifndef SFL_CLI_MEMORY_H
#define SFL_CLI_MEMORY_H

#include <stddef.h>

// As realloc() and strdup(), but they end the process with SFL_CLI_EXIT_OS_ERROR instead of
// returning NULL. sfl_cli_allocate() returns zeroed memory. To be freed by free(). Any thread.
void *sfl_cli_allocate(size_t bytes);
void *sfl_cli_reallocate(void *memory, size_t bytes);
char *sfl_cli_copy_text(const char *text);

#endif
