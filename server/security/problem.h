// SPDX-License-Identifier: Apache-2.0
// What is wrong with a file, as one line for people.
#ifndef SFL_SECURITY_PROBLEM_H
#define SFL_SECURITY_PROBLEM_H

// Room for the longest such line, NUL included.
enum { SFL_SECURITY_PROBLEM_MAX = 512 };

// "PATH:LINE: " and what `format` makes; line 0: the file as a whole.
__attribute__((format(printf, 4, 5))) void
sfl_security_problem(char problem_out[SFL_SECURITY_PROBLEM_MAX], const char *path, unsigned line,
                     const char *format, ...);

#endif
