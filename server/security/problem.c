// SPDX-License-Identifier: Apache-2.0
#include "security/problem.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

void sfl_security_problem(char problem_out[SFL_SECURITY_PROBLEM_MAX], const char *path,
                          unsigned line, const char *format, ...)
{
    int size = line == 0
                   ? snprintf(problem_out, SFL_SECURITY_PROBLEM_MAX, "%.255s: ", path)
                   : snprintf(problem_out, SFL_SECURITY_PROBLEM_MAX, "%.255s:%u: ", path, line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem_out + size, SFL_SECURITY_PROBLEM_MAX - (size_t)size, format, arguments);
    va_end(arguments);
}
