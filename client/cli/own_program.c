// SPDX-License-Identifier: Apache-2.0
#include "cli/own_program.h"

#include <sys/auxv.h>
#include <unistd.h>

#define OF_PROC "/proc/self/exe"

const char *sfl_cli_own_program(void)
{
    if (access(OF_PROC, X_OK) == 0)
        return OF_PROC;
    const char *as_started =
        (const char *)getauxval(AT_EXECFN); // NOLINT(performance-no-int-to-ptr)
    return as_started == NULL ? OF_PROC : as_started;
}
