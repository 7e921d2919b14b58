// SPDX-License-Identifier: Apache-2.0
// The few steps between the fork and the user's command that libuv has no option for.
#ifndef SFL_CLI_EXEC_CHILD_H
#define SFL_CLI_EXEC_CHILD_H

// The tool starts itself with this word, which is no part of the command line for people:
// singleflight SFL_CLI_EXEC_CHILD_WORD <parent's pid> <descriptor> COMMAND [ARG...]
#define SFL_CLI_EXEC_CHILD_WORD "--exec-child"

// Makes this process the leader of a process group of its own, has it ended when the tool is
// killed, and becomes the command. Returns only when that failed, with an exit code; the errno went
// into the descriptor.
int sfl_cli_exec_child(int argc, char *argv[]);

#endif
