// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include "cli/exec_child.h"
#include "cli/memory.h"
#include "cli/own_program.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// Nothing tells when the last process of a group has ended, so it is looked at so often.
#define GROUP_POLL_MS 20

#define VARIABLES 4

void sfl_cli_command_init(struct sfl_cli_command *command, uv_loop_t *loop,
                          uint64_t output_grace_ms, uint64_t kill_after_ms, bool shares_errors,
                          const struct sfl_cli_command_events *events, void *context)
{
    command->loop = loop;
    command->output_grace_ms = output_grace_ms;
    command->kill_after_ms = kill_after_ms;
    // A terminal is the command's own: it may show colours and progress there.
    command->shares_errors = shares_errors && !isatty(STDERR_FILENO);
    command->events = events;
    command->context = context;
    command->group = 0;
    command->output = (struct sfl_cli_command_stream){
        .command = command, .on_bytes = events->on_output, .closed = true};
    command->errors = (struct sfl_cli_command_stream){
        .command = command, .on_bytes = events->on_errors, .closed = true};
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

bool sfl_cli_command_runs(const struct sfl_cli_command *command)
{
    return command->group != 0;
}

// Only after the command itself has ended: that one is libuv's to wait for. What it has started
// and not waited for became our children then (sfl_cli_command_init), and would keep the group
// alive as zombies.
static bool group_is_gone(const struct sfl_cli_command *command)
{
    while (waitpid(-command->group, NULL, WNOHANG) > 0)
        continue;
    return kill(-command->group, 0) != 0 && errno == ESRCH;
}

static void handle_closed(struct sfl_cli_command *command)
{
    if (--command->open_handles != 0)
        return;
    sfl_cli_guard_release(&command->guard);
    command->group = 0;
    command->events->on_over(command->context);
}

static void on_close(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void on_stream_close(uv_handle_t *handle)
{
    const struct sfl_cli_command_stream *stream = handle->data;
    handle_closed(stream->command);
}

static void close_handle(uv_handle_t *handle, uv_close_cb on_closed)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void close_all(struct sfl_cli_command *command)
{
    close_handle((uv_handle_t *)&command->process, on_close);
    close_handle((uv_handle_t *)&command->timer, on_close);
    close_handle((uv_handle_t *)&command->output.pipe, on_stream_close);
    if (command->shares_errors)
        close_handle((uv_handle_t *)&command->errors.pipe, on_stream_close);
}

static bool is_closed(const struct sfl_cli_command *command)
{
    return command->output.closed && command->errors.closed;
}

static void end_if_over(struct sfl_cli_command *command)
{
    if (!command->exited)
        return;
    if (command->ending ? group_is_gone(command) : is_closed(command))
        close_all(command);
}

static void on_timer(uv_timer_t *timer)
{
    struct sfl_cli_command *command = timer->data;
    if (uv_now(command->loop) >= command->kill_at_ms)
        sfl_cli_command_signal(command, SIGKILL);
    end_if_over(command);
}

static void wait_for_output(struct sfl_cli_command *command);

// Whoever still holds a pipe is left alone. What is in it has been read, unless we pause.
static void on_grace_over(uv_timer_t *timer)
{
    struct sfl_cli_command *command = timer->data;
    if (command->output.paused || command->errors.paused) {
        wait_for_output(command);
        return;
    }
    command->is_left_open = true;
    close_all(command);
}

static void wait_for_output(struct sfl_cli_command *command)
{
    uv_timer_start(&command->timer, on_grace_over, command->output_grace_ms, 0);
}

static void on_process_exit(uv_process_t *process, int64_t exit_status, int term_signal)
{
    struct sfl_cli_command *command = process->data;
    command->exited = true;
    command->ended_by_itself = command->ended_by_itself || !command->ending;
    command->exit_status = exit_status;
    command->term_signal = term_signal;
    if (!is_closed(command) && !command->ending)
        wait_for_output(command);
    end_if_over(command);
}

static void on_allocate(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *buffer)
{
    (void)suggested_bytes;
    struct sfl_cli_command_stream *stream = handle->data;
    struct sfl_cli_command *command = stream->command;
    *buffer = uv_buf_init(command->read_buffer, sizeof(command->read_buffer));
}

static void on_read(uv_stream_t *pipe, ssize_t bytes, const uv_buf_t *buffer)
{
    struct sfl_cli_command_stream *stream = pipe->data;
    struct sfl_cli_command *command = stream->command;
    if (bytes > 0) {
        stream->on_bytes(command->context, buffer->base, (size_t)bytes);
    } else if (bytes < 0) {
        uv_read_stop(pipe);
        stream->closed = true;
        end_if_over(command);
    }
}

// The environment of this process, and our variables before it. `owned_out` gets the texts of
// those; all is to be freed.
static char **make_environment(const struct sfl_cli_command_variables *variables,
                               char *owned_out[VARIABLES])
{
    static const char *const names[VARIABLES] = {
        "SINGLEFLIGHT_TOKEN=", "SINGLEFLIGHT_ATTEMPT=", "SINGLEFLIGHT_KEY=", "SINGLEFLIGHT_GROUP="};
    size_t count = 0;
    while (environ[count] != NULL)
        count++;
    char **environment = sfl_cli_allocate((count + VARIABLES + 1) * sizeof(*environment));
    size_t room = strlen(variables->key) + strlen(variables->group) + 64;
    for (size_t i = 0; i < VARIABLES; i++)
        owned_out[i] = environment[i] = sfl_cli_allocate(room);
    snprintf(owned_out[0], room, "%s%" PRIu64, names[0], variables->token);
    snprintf(owned_out[1], room, "%s%" PRIu32, names[1], variables->attempt);
    snprintf(owned_out[2], room, "%s%s", names[2], variables->key);
    snprintf(owned_out[3], room, "%s%s", names[3], variables->group);
    size_t used = VARIABLES;
    for (size_t i = 0; i < count; i++) {
        size_t name = 0;
        while (name < VARIABLES && strncmp(environ[i], names[name], strlen(names[name])) != 0)
            name++;
        if (name == VARIABLES)
            environment[used++] = environ[i];
    }
    return environment;
}

// What leads to the command through sfl_cli_exec_child(); to be freed.
static char **make_arguments(char *const argv[], char *parent, char *report)
{
    size_t count = 0;
    while (argv[count] != NULL)
        count++;
    char **arguments = sfl_cli_allocate((count + 5) * sizeof(*arguments));
    arguments[0] = "singleflight";
    arguments[1] = SFL_CLI_EXEC_CHILD_WORD;
    arguments[2] = parent;
    arguments[3] = report;
    memcpy(arguments + 4, argv, count * sizeof(*arguments));
    return arguments;
}

// The pipes between us and the command, read here and written there: its standard output, its
// standard error, and the errno of its exec. -1: there is none.
struct pipes {
    uv_file output[2];
    uv_file errors[2];
    uv_file report[2];
};

static void close_ends(const struct pipes *pipes, int end)
{
    const uv_file *const all[] = {pipes->output, pipes->errors, pipes->report};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i][end] >= 0)
            close(all[i][end]);
    }
}

static int open_pipes(struct pipes *pipes, bool with_errors)
{
    *pipes = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    int error = uv_pipe(pipes->output, UV_NONBLOCK_PIPE, 0);
    if (error == 0 && with_errors)
        error = uv_pipe(pipes->errors, UV_NONBLOCK_PIPE, 0);
    if (error == 0)
        error = uv_pipe(pipes->report, 0, 0);
    if (error != 0) {
        close_ends(pipes, 0);
        close_ends(pipes, 1);
        return error;
    }
    // This one must live through the first exec; the second one closes it.
    fcntl(pipes->report[1], F_SETFD, 0);
    return 0;
}

// The pipes are ours and not libuv's, which are sockets: a socket cannot be opened as /dev/stdout.
static int spawn(struct sfl_cli_command *command, char *const argv[], char **environment,
                 const struct pipes *pipes)
{
    char parent[24];
    char report[16];
    snprintf(parent, sizeof(parent), "%ld", (long)getpid());
    snprintf(report, sizeof(report), "%d", pipes->report[1]);
    char **arguments = make_arguments(argv, parent, report);
    // A terminal belongs to this process: the command, in a group of its own, would be stopped when
    // it reads from it.
    bool inherits = !isatty(STDIN_FILENO);
    uv_stdio_container_t stdio[] = {
        {.flags = inherits ? UV_INHERIT_FD : UV_IGNORE, .data.fd = STDIN_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = pipes->output[1]},
        {.flags = UV_INHERIT_FD,
         .data.fd = pipes->errors[1] >= 0 ? pipes->errors[1] : STDERR_FILENO},
    };
    uv_process_options_t options = {
        .exit_cb = on_process_exit,
        .file = sfl_cli_own_program(),
        .args = arguments,
        .env = environment,
        .stdio = stdio,
        .stdio_count = 3,
    };
    int error = uv_spawn(command->loop, &command->process, &options);
    free(arguments);
    return error;
}

// Waits, for less than a millisecond, until the child has become the command or has failed to.
static int read_report(int report)
{
    int error = 0;
    ssize_t bytes;
    do {
        bytes = read(report, &error, sizeof(error));
    } while (bytes < 0 && errno == EINTR);
    return bytes == (ssize_t)sizeof(error) ? -error : 0;
}

static void open_handle(struct sfl_cli_command *command, uv_handle_t *handle)
{
    handle->data = command;
    command->open_handles++;
}

static void open_stream(struct sfl_cli_command_stream *stream, uv_file file)
{
    struct sfl_cli_command *command = stream->command;
    uv_pipe_init(command->loop, &stream->pipe, 0);
    int error = uv_pipe_open(&stream->pipe, file);
    assert(error == 0); // it is a pipe
    (void)error;
    stream->pipe.data = stream;
    command->open_handles++;
    stream->closed = false;
    stream->paused = false;
    uv_read_start((uv_stream_t *)&stream->pipe, on_allocate, on_read);
}

static void open_handles(struct sfl_cli_command *command, const struct pipes *pipes)
{
    open_handle(command, (uv_handle_t *)&command->process);
    uv_timer_init(command->loop, &command->timer);
    open_handle(command, (uv_handle_t *)&command->timer);
    open_stream(&command->output, pipes->output[0]);
    if (command->shares_errors)
        open_stream(&command->errors, pipes->errors[0]);
}

static void reset(struct sfl_cli_command *command)
{
    command->output.closed = true;
    command->errors.closed = true;
    command->exited = false;
    command->ending = false;
    command->ended_by_itself = false;
    command->is_left_open = false;
}

int sfl_cli_command_start(struct sfl_cli_command *command, char *const argv[],
                          const struct sfl_cli_command_variables *variables)
{
    assert(!sfl_cli_command_runs(command));
    struct pipes pipes;
    int error = open_pipes(&pipes, command->shares_errors);
    if (error != 0)
        return error;
    reset(command);
    char *owned[VARIABLES];
    char **environment = make_environment(variables, owned);
    error = spawn(command, argv, environment, &pipes);
    close_ends(&pipes, 1);
    if (error == 0)
        error = read_report(pipes.report[0]);
    close(pipes.report[0]);
    pipes.report[0] = -1;
    if (error == 0) {
        command->group = command->process.pid;
        sfl_cli_guard_start(&command->guard, command->group, command->kill_after_ms);
        open_handles(command, &pipes);
    } else {
        uv_close((uv_handle_t *)&command->process, NULL);
        close_ends(&pipes, 0);
    }
    for (size_t i = 0; i < VARIABLES; i++)
        free(owned[i]);
    free(environment);
    return error;
}

static void resume(struct sfl_cli_command_stream *stream)
{
    struct sfl_cli_command *command = stream->command;
    stream->paused = false;
    uv_read_start((uv_stream_t *)&stream->pipe, on_allocate, on_read);
    if (command->exited && !command->ending)
        wait_for_output(command); // with time to read what is in the pipe
}

void sfl_cli_command_pause(struct sfl_cli_command_stream *stream, bool is_paused)
{
    if (!sfl_cli_command_runs(stream->command) || stream->closed || stream->paused == is_paused)
        return;
    if (!is_paused) {
        resume(stream);
    } else if (!stream->command->ending) {
        stream->paused = true;
        uv_read_stop((uv_stream_t *)&stream->pipe);
    }
}

void sfl_cli_command_signal(struct sfl_cli_command *command, int number)
{
    if (sfl_cli_command_runs(command))
        kill(-command->group, number);
}

// Whether it has ended, although nobody has told us yet: this process may have stood still
// meanwhile.
static bool has_ended(const struct sfl_cli_command *command)
{
    siginfo_t info = {0};
    return command->exited ||
           (waitid(P_PID, (id_t)command->process.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid != 0);
}

void sfl_cli_command_end(struct sfl_cli_command *command, uint64_t kill_after_ms)
{
    if (!sfl_cli_command_runs(command) || command->ending)
        return;
    // Its last words must not block it.
    sfl_cli_command_pause(&command->output, false);
    sfl_cli_command_pause(&command->errors, false);
    command->ended_by_itself = has_ended(command);
    command->ending = true;
    command->kill_at_ms = uv_now(command->loop) + kill_after_ms;
    sfl_cli_command_signal(command, SIGTERM);
    sfl_cli_command_signal(command, SIGCONT);
    uv_timer_start(&command->timer, on_timer, 0, GROUP_POLL_MS);
}
