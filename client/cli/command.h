// SPDX-License-Identifier: Apache-2.0
// The user's command: a child process in a group of its own, its standard output a pipe to us. So
// is its standard error, unless that is a terminal or somebody wants it otherwise.
#ifndef SFL_CLI_COMMAND_H
#define SFL_CLI_COMMAND_H

#include "cli/guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#define SFL_CLI_READ_BYTES 65536

struct sfl_cli_command_events {
    // Bytes of the standard output, and of the standard error; borrowed.
    void (*on_output)(void *context, const char *data, size_t data_bytes);
    void (*on_errors)(void *context, const char *data, size_t data_bytes);
    // The command is over: it has ended, and its pipes are closed, or something that it has left
    // behind holds one open for longer than the grace (`is_left_open`); or, after
    // sfl_cli_command_end(), it and all of its group have ended.
    void (*on_over)(void *context);
};

// What comes out of the command on one of its descriptors.
struct sfl_cli_command_stream {
    struct sfl_cli_command *command;
    void (*on_bytes)(void *context, const char *data, size_t data_bytes);
    uv_pipe_t pipe;
    bool closed; // the pipe has come to its end, or there is none
    bool paused;
};

struct sfl_cli_command {
    uv_loop_t *loop;
    const struct sfl_cli_command_events *events;
    void *context;

    uv_process_t process;
    struct sfl_cli_command_stream output;
    struct sfl_cli_command_stream errors;
    struct sfl_cli_guard guard;
    uv_timer_t timer;
    unsigned open_handles;
    bool shares_errors; // the standard error is a pipe
    pid_t group;        // the process group; 0 while there is no command

    bool exited;
    bool ending;          // sfl_cli_command_end() was called
    bool ended_by_itself; // when `exited`: it had ended before that
    bool is_left_open;    // it has ended, and somebody still holds one of its pipes
    uint64_t output_grace_ms;
    uint64_t kill_after_ms; // when this process is killed
    uint64_t kill_at_ms;    // when the group gets SIGKILL, on the loop's clock
    int64_t exit_status;    // when `exited`
    int term_signal;        // when `exited`: 0, or what ended it
    char read_buffer[SFL_CLI_READ_BYTES];
};

// What the command finds in its environment.
struct sfl_cli_command_variables {
    uint64_t token;
    uint32_t attempt;
    const char *key;
    const char *group;
};

// No command runs yet. `events` are borrowed, and called on the loop's thread. A pipe that is still
// open `output_grace_ms` after the command has ended is not waited for. `shares_errors`: its
// standard error is to come through on_errors, unless ours is a terminal. Makes this process the
// one that orphans among its descendants come to.
void sfl_cli_command_init(struct sfl_cli_command *command, uv_loop_t *loop,
                          uint64_t output_grace_ms, uint64_t kill_after_ms, bool shares_errors,
                          const struct sfl_cli_command_events *events, void *context);

// Whether a command runs, from a successful start to on_over.
bool sfl_cli_command_runs(const struct sfl_cli_command *command);

// Starts argv[0], looked up in PATH. A negative errno when it could not be started; then no
// callback comes. Not while a command runs.
__attribute__((warn_unused_result)) int
sfl_cli_command_start(struct sfl_cli_command *command, char *const argv[],
                      const struct sfl_cli_command_variables *variables);

// Stops reading from one of the pipes, or goes on, as is said.
void sfl_cli_command_pause(struct sfl_cli_command_stream *stream, bool is_paused);

// Sends a signal to the whole group.
void sfl_cli_command_signal(struct sfl_cli_command *command, int number);

// Ends the whole group: SIGTERM now, SIGKILL after `kill_after_ms`. on_over follows. Calls after
// the first have no effect.
void sfl_cli_command_end(struct sfl_cli_command *command, uint64_t kill_after_ms);

#endif
