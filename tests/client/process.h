// SPDX-License-Identifier: Apache-2.0
// A child process that is talked to in lines.
#ifndef SFL_TESTS_CLIENT_PROCESS_H
#define SFL_TESTS_CLIENT_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

#define PROCESS_LINE_MAX 4096

struct process {
    pid_t pid;
    int to;   // its standard input
    int from; // its standard output
    size_t size;
    size_t taken;
    char buffer[PROCESS_LINE_MAX];
    char line[PROCESS_LINE_MAX];
};

// Starts `arguments[0]`. `variable` is one more environment variable, "NAME=value"; NULL: none. The
// child is killed when this process dies.
struct process process_start(const char *const *arguments, const char *variable);

// The next line, without its end; valid until the next call. Fails the test when none comes.
const char *process_read_line(struct process *process);

// Writes a line.
void process_write_line(struct process *process, const char *line);

// Gives the pipes back; the child goes on.
void process_close(struct process *process);

// Waits for the end of a child; returns what waitpid() says. Fails the test when it does not end.
int process_wait(pid_t pid);

#endif
