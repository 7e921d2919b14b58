// SPDX-License-Identifier: Apache-2.0
// The leader's side of `singleflight do`: the command, and what becomes of it.
#include "cli/connect.h"
#include "cli/exit_code.h"
#include "cli/memory.h"
#include "cli/reason.h"
#include "cli/run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void finish(struct sfl_cli_run *run, enum singleflight_outcome outcome)
{
    struct singleflight_leader *leader = run->leader;
    run->leader = NULL;
    singleflight_leader_finish(leader, outcome);
}

static void set_error(struct sfl_cli_run *run, int code, const char *type, const char *message)
{
    struct singleflight_error error = SINGLEFLIGHT_ERROR_INIT;
    error.code = code;
    error.type = type;
    error.message = message;
    // The others have nothing else of its standard error.
    error.details = sfl_cli_tail_begin(&run->tail);
    error.details_bytes = (size_t)(run->tail.bytes + run->tail.used - (const char *)error.details);
    // Without memory for the words, the outcome is an error all the same.
    (void)!singleflight_leader_set_error(run->leader, &error);
}

// It says nothing about the work that this machine cannot start the command: others may try, and
// whoever comes later is not told.
static void finish_not_started(struct sfl_cli_run *run, int error)
{
    char message[768];
    snprintf(message, sizeof(message), "cannot run %s: %s", run->options->argv[0],
             uv_strerror(error));
    sfl_cli_run_say(run, "%s", message);
    snprintf(message, sizeof(message), "cannot run %s on %s: %s", run->options->argv[0], run->place,
             uv_strerror(error));
    run->own_code = error == UV_ENOENT ? SFL_CLI_EXIT_NOT_FOUND : SFL_CLI_EXIT_NOT_EXECUTABLE;
    set_error(run, run->own_code, "exec", message);
    singleflight_leader_set_retain(run->leader, 0);
    singleflight_leader_pass_on(run->leader);
    finish(run, SINGLEFLIGHT_OUTCOME_ERROR);
}

static int code_of_command(const struct sfl_cli_command *command)
{
    if (command->term_signal != 0)
        return SFL_CLI_EXIT_SIGNAL + command->term_signal;
    return (int)command->exit_status;
}

// A shell exits with these when it could not start what it was told to.
static bool is_not_started(int code)
{
    return code == SFL_CLI_EXIT_NOT_EXECUTABLE || code == SFL_CLI_EXIT_NOT_FOUND;
}

// A command that failed, or was ended by a signal.
static void finish_failed(struct sfl_cli_run *run)
{
    char message[256];
    int term_signal = run->command.term_signal;
    int code = run->own_code;
    if (term_signal != 0) {
        snprintf(message, sizeof(message), "the command was ended by signal %d (%s) on %s",
                 term_signal, strsignal(term_signal), run->place);
    } else {
        snprintf(message, sizeof(message), "the command exited with code %d on %s", code,
                 run->place);
    }
    set_error(run, code, term_signal != 0 ? "signal" : "exit", message);
    // A command that dies of a signal that was meant for this tool has not failed: its leader was
    // killed, and that hands over. A shell may catch the signal and exit with its number.
    bool killed = run->passed_signal != 0 && code == SFL_CLI_EXIT_SIGNAL + run->passed_signal;
    // What may not be tried twice is kept, however it ended.
    if ((killed || is_not_started(code)) && !sfl_cli_holds(run->options))
        singleflight_leader_set_retain(run->leader, 0);
    if (killed || run->options->pass_on_error)
        singleflight_leader_pass_on(run->leader);
    finish(run, SINGLEFLIGHT_OUTCOME_ERROR);
}

static void give_up_lead(struct sfl_cli_run *run)
{
    if (run->unwanted)
        set_error(run, 0, "", "nobody reads the output of the command any more");
    singleflight_leader_set_retain(run->leader, 0);
    singleflight_leader_pass_on(run->leader);
    finish(run, SINGLEFLIGHT_OUTCOME_ABANDONED);
}

static void print(struct sfl_cli_run *run, const char *data, size_t data_bytes)
{
    sfl_cli_output_write(&run->output, data, data_bytes);
    // What is kept back is bounded as what is shared is.
    if (run->output.held && run->output.waiting.used > run->options->result_bytes_max)
        sfl_cli_output_hold(&run->output, false);
}

static void on_command_over(void *context)
{
    struct sfl_cli_run *run = context;
    if (run->command.ended_by_itself)
        run->own_code = code_of_command(&run->command);
    if (run->command.is_left_open)
        sfl_cli_run_say(
            run, "the command has ended, and what it has left behind still holds its standard "
                 "output or error, which are not read any more");
    if (!run->lost)
        sfl_cli_share_end(&run->share);
    if (run->lost || run->unwanted)
        give_up_lead(run);
    else if (run->own_code != SFL_CLI_EXIT_OK)
        finish_failed(run);
    else
        finish(run, SINGLEFLIGHT_OUTCOME_OK);
}

// Stops reading from the command while too much of it waits, and goes on. What a lost lead has not
// sent never will be.
void sfl_cli_lead_throttle(struct sfl_cli_run *run)
{
    if (run->leader == NULL)
        return;
    uint64_t unsent_bytes = run->lost ? 0 : singleflight_leader_unsent(run->leader);
    sfl_cli_command_pause(&run->command.output,
                          unsent_bytes > SFL_CLI_UNSENT_BYTES_MAX ||
                              sfl_cli_output_pending(&run->output) > SFL_CLI_UNSENT_BYTES_MAX);
    sfl_cli_command_pause(&run->command.errors,
                          sfl_cli_output_pending(&run->errors) > SFL_CLI_UNSENT_BYTES_MAX);
}

// A command whose output nobody takes any more would get SIGPIPE without this tool; so it is ended
// here, too, unless there are followers, or later callers to retain the outcome for.
void sfl_cli_lead_end_if_unwanted(struct sfl_cli_run *run)
{
    const struct sfl_cli_options *options = run->options;
    bool is_for_later = options->retain_ms != 0 || options->retain_error_ms != 0 ||
                        options->every_ms != 0 || sfl_cli_holds(options);
    if (run->leader == NULL || run->output.error == 0 || is_for_later)
        return;
    struct singleflight_audience audience = {0};
    if (singleflight_leader_audience(run->leader, &audience) && audience.followers != 0)
        return;
    run->unwanted = true;
    sfl_cli_command_end(&run->command, run->options->kill_after_ms);
}

static void on_command_output(void *context, const char *data, size_t data_bytes)
{
    struct sfl_cli_run *run = context;
    if (run->unwanted)
        return;
    print(run, data, data_bytes);
    if (!run->lost && sfl_cli_share_write(&run->share, data, data_bytes))
        sfl_cli_run_say(run, "the output is larger than the limit on results: the rest is printed "
                             "here alone");
    sfl_cli_lead_throttle(run);
}

static void on_command_errors(void *context, const char *data, size_t data_bytes)
{
    struct sfl_cli_run *run = context;
    sfl_cli_tail_append(&run->tail, data, data_bytes);
    sfl_cli_output_write(&run->errors, data, data_bytes);
    sfl_cli_lead_throttle(run);
}

const struct sfl_cli_command_events sfl_cli_lead_command_events = {
    .on_output = on_command_output,
    .on_errors = on_command_errors,
    .on_over = on_command_over,
};

void sfl_cli_lead_begin(struct sfl_cli_run *run, struct singleflight_leader *leader)
{
    run->leader = leader;
    run->led = true;
    run->prints_own = true;
    run->own_code = -1;
    run->tail = (struct sfl_cli_tail){0};
    uv_timer_stop(&run->timer); // nobody else's command is waited for
    sfl_cli_share_begin(&run->share, leader, singleflight_leader_value_bytes_max(leader));
    if (run->leaving) {
        give_up_lead(run);
        return;
    }
    run->is_late = false;
    struct sfl_cli_command_variables variables = {
        .token = singleflight_leader_token(leader),
        .attempt = singleflight_leader_attempt(leader),
        .key = run->options->key,
        .group = run->options->group == NULL ? "default" : run->options->group,
    };
    if (variables.token == 0)
        sfl_cli_run_say(run,
                        "no server can be reached: the command runs here, and maybe elsewhere too");
    else if (run->options->verbose)
        sfl_cli_run_say(run, "leading: attempt %" PRIu32 ", token %" PRIu64, variables.attempt,
                        variables.token);
    int error = sfl_cli_command_start(&run->command, run->options->argv, &variables);
    if (error != 0)
        finish_not_started(run, error);
}

void sfl_cli_lead_lost(struct sfl_cli_run *run, enum singleflight_status status, const char *why)
{
    run->lost = true;
    free(run->why_lost);
    run->why_lost = sfl_cli_copy_text(why);
    if (run->leader == NULL)
        return; // it was finished already
    if (status == SINGLEFLIGHT_RESOURCE_EXHAUSTED) {
        sfl_cli_run_say(run, "the output is no longer shared (%s); the command goes on", why);
        sfl_cli_lead_throttle(run);
        return;
    }
    char *reason = sfl_cli_plain_reason(why);
    sfl_cli_run_say(run, "the lead is lost: %s. Ending the command", reason);
    free(reason);
    sfl_cli_command_end(&run->command, run->options->kill_after_ms);
}
