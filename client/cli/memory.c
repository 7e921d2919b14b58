// SPDX-License-Identifier: Apache-2.0
#include "cli/memory.h"

#include "cli/exit_code.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *memory)
{
    if (memory != NULL)
        return memory;
    fputs("singleflight: out of memory\n", stderr);
    _Exit(SFL_CLI_EXIT_OS_ERROR);
}

void *sfl_cli_allocate(size_t bytes)
{
    return check(calloc(1, bytes));
}

void *sfl_cli_reallocate(void *memory, size_t bytes)
{
    return check(realloc(memory, bytes));
}

char *sfl_cli_copy_text(const char *text)
{
    return check(strdup(text));
}
