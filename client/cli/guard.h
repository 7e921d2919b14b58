// SPDX-License-Identifier: Apache-2.0
// Ends the command's process group when this tool is killed: then nobody else is left to do it, and
// somebody else will run the command.
#ifndef SFL_CLI_GUARD_H
#define SFL_CLI_GUARD_H

#include <stdint.h>
#include <sys/types.h>

struct sfl_cli_guard {
    pid_t pid; // 0: there is none
    int life;  // a pipe whose other end the guard reads: it closes when this process ends
};

// Starts a process that waits for the end of this one, and then ends the group: SIGTERM, and
// SIGKILL after `kill_after_ms`. Without it (no memory, no process) the kernel still ends the
// command itself.
void sfl_cli_guard_start(struct sfl_cli_guard *guard, pid_t group, uint64_t kill_after_ms);

// The group is over, or is left alone: the guard ends.
void sfl_cli_guard_release(struct sfl_cli_guard *guard);

#endif
