// SPDX-License-Identifier: Apache-2.0
// singleflight do: one call to the service, and whenever it leads, one command.
//
// Everything here runs on the loop's thread. The library talks through the mailbox:
//
//     follow --chunks--> output                               done --> exit
//       |  restart: output starts over                          ^
//       v                                                       |
//     lead --> command --bytes--> output and leader --over--> finish
//                 |
//                lost: end the command, then finish, then follow whoever leads now
//
// The lead is given back (singleflight_leader_finish) only when the command and its whole group
// have ended, so this tool can never lead again while an old command of it still runs.
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/exit_code.h"
#include "cli/mailbox.h"
#include "cli/memory.h"
#include "cli/output.h"
#include "cli/share.h"
#include "cli/subcommands.h"
#include "cli/text.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Those that end a program, unless it handles them; then those that do not.
static const int signal_numbers[] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM, SIGUSR1,
                                     SIGUSR2, SIGTSTP, SIGWINCH, SIGCONT};
#define SIGNALS (sizeof(signal_numbers) / sizeof(signal_numbers[0]))

struct run {
    const struct sfl_cli_options *options;
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    struct singleflight_client *client;
    struct singleflight_call *call;
    struct sfl_cli_mailbox mailbox;
    struct sfl_cli_output output;
    struct sfl_cli_command command;

    struct singleflight_leader *leader; // while this call leads and the command is not over
    bool led;                           // this call has led
    bool lost;                          // the lead is lost; set before the command is ended
    struct sfl_cli_share share;
    bool unwanted;      // nobody reads the output, here or elsewhere
    bool replaces;      // the next bytes of another leader replace our command's
    bool follows_again; // this call is the one after the lead was lost
    bool prints_own;    // what is printed, or will be, is of our own command
    bool leaving;       // the call was cancelled
    bool concluded;     // the call is over; only the output is still written
    int leaving_signal; // what made us leave; 0: none
    int passed_signal;  // the last one that the command got from us; 0: none
    int own_code;       // what our command exited with by itself; -1: it did not, or not yet
    char fingerprint[SFL_CLI_FINGERPRINT_MAX + 1];
    char *why_lost;
    uint64_t begun_ms; // on the loop's clock
    int exit_code;
};

__attribute__((format(printf, 2, 3))) static void say(const struct run *run, const char *format,
                                                      ...)
{
    if (run->options->quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    sfl_cli_vsay(format, arguments);
    va_end(arguments);
}

// ---- leading ----

static void finish(struct run *run, enum singleflight_outcome outcome)
{
    struct singleflight_leader *leader = run->leader;
    run->leader = NULL;
    singleflight_leader_finish(leader, outcome);
}

static void set_error(struct run *run, int code, const char *type, const char *message)
{
    struct singleflight_error error = SINGLEFLIGHT_ERROR_INIT;
    error.code = code;
    error.type = type;
    error.message = message;
    // Without memory for the words, the outcome is an error all the same.
    (void)!singleflight_leader_set_error(run->leader, &error);
}

// It says nothing about the work that this machine cannot start the command: others may try, and
// whoever comes later is not told.
static void finish_not_started(struct run *run, int error)
{
    char message[512];
    snprintf(message, sizeof(message), "cannot run %s: %s", run->options->argv[0],
             uv_strerror(error));
    say(run, "%s", message);
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
static void finish_failed(struct run *run)
{
    char message[128];
    int term_signal = run->command.term_signal;
    int code = run->own_code;
    if (term_signal != 0) {
        snprintf(message, sizeof(message), "the command was ended by signal %d (%s)", term_signal,
                 strsignal(term_signal));
    } else {
        snprintf(message, sizeof(message), "the command exited with code %d", code);
    }
    set_error(run, code, term_signal != 0 ? "signal" : "exit", message);
    // A command that dies of a signal that was meant for this tool has not failed: its leader was
    // killed, and that hands over. A shell may catch the signal and exit with its number.
    bool killed = run->passed_signal != 0 && code == SFL_CLI_EXIT_SIGNAL + run->passed_signal;
    if (killed || is_not_started(code))
        singleflight_leader_set_retain(run->leader, 0);
    if (killed || run->options->pass_on_error)
        singleflight_leader_pass_on(run->leader);
    finish(run, SINGLEFLIGHT_OUTCOME_ERROR);
}

static void give_up_lead(struct run *run)
{
    singleflight_leader_pass_on(run->leader);
    finish(run, SINGLEFLIGHT_OUTCOME_ABANDONED);
}

static void print(struct run *run, const char *data, size_t data_bytes)
{
    sfl_cli_output_write(&run->output, data, data_bytes);
    // What is kept back is bounded as what is shared is.
    if (run->output.held && run->output.waiting.used > run->options->result_bytes_max)
        sfl_cli_output_hold(&run->output, false);
}

static void on_command_over(void *context)
{
    struct run *run = context;
    if (run->command.ended_by_itself)
        run->own_code = code_of_command(&run->command);
    if (run->command.is_left_open)
        say(run, "the command has ended, and what it has left behind still holds its standard "
                 "output, which is not read any more");
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
static void throttle(struct run *run)
{
    if (run->leader == NULL)
        return;
    uint64_t unsent_bytes = run->lost ? 0 : singleflight_leader_unsent(run->leader);
    if (unsent_bytes > SFL_CLI_UNSENT_BYTES_MAX ||
        sfl_cli_output_pending(&run->output) > SFL_CLI_UNSENT_BYTES_MAX)
        sfl_cli_command_pause(&run->command);
    else
        sfl_cli_command_resume(&run->command);
}

// A command whose output nobody takes any more would get SIGPIPE without this tool; so it is ended
// here, too, unless there are followers, or later callers to retain the outcome for.
static void end_if_unwanted(struct run *run)
{
    if (run->leader == NULL || run->output.error == 0 || run->options->retain_ms != 0)
        return;
    struct singleflight_audience audience = {0};
    if (singleflight_leader_audience(run->leader, &audience) && audience.followers != 0)
        return;
    run->unwanted = true;
    sfl_cli_command_end(&run->command, run->options->kill_after_ms);
}

static void on_command_output(void *context, const char *data, size_t data_bytes)
{
    struct run *run = context;
    if (run->unwanted)
        return;
    print(run, data, data_bytes);
    if (!run->lost && sfl_cli_share_write(&run->share, data, data_bytes))
        say(run, "the output is larger than --result-limit: the rest is printed here alone");
    throttle(run);
}

static const struct sfl_cli_command_events command_events = {
    .on_output = on_command_output,
    .on_over = on_command_over,
};

static void on_lead(struct run *run, struct singleflight_leader *leader)
{
    run->leader = leader;
    run->led = true;
    run->prints_own = true;
    run->own_code = -1;
    sfl_cli_share_begin(&run->share, leader, run->options->result_bytes_max);
    if (run->leaving) {
        give_up_lead(run);
        return;
    }
    struct sfl_cli_command_variables variables = {
        .token = singleflight_leader_token(leader),
        .attempt = singleflight_leader_attempt(leader),
        .key = run->options->key,
    };
    if (variables.token == 0)
        say(run, "no server can be reached: the command runs here, and maybe elsewhere too");
    else if (run->options->verbose)
        say(run, "leading: attempt %" PRIu32 ", token %" PRIu64, variables.attempt,
            variables.token);
    int error = sfl_cli_command_start(&run->command, run->options->argv, &variables);
    if (error != 0)
        finish_not_started(run, error);
}

static void on_lost(struct run *run, enum singleflight_status status, const char *why)
{
    run->lost = true;
    free(run->why_lost);
    run->why_lost = sfl_cli_copy_text(why);
    if (run->leader == NULL)
        return; // it was finished already
    if (status == SINGLEFLIGHT_RESOURCE_EXHAUSTED) {
        say(run, "the output is no longer shared (%s); the command goes on", why);
        throttle(run);
        return;
    }
    say(run, "the lead is lost (%s); ending the command", why);
    sfl_cli_command_end(&run->command, run->options->kill_after_ms);
}

// ---- the call ----

static void leave(struct run *run)
{
    if (run->leaving || run->concluded)
        return;
    run->leaving = true;
    singleflight_call_cancel(run->call);
}

static enum singleflight_role role_of(const struct run *run)
{
    if (run->options->follow_only || run->follows_again)
        return SINGLEFLIGHT_ROLE_FOLLOW_ONLY;
    return run->options->skip_if_running ? SINGLEFLIGHT_ROLE_LEAD_ONLY : SINGLEFLIGHT_ROLE_ANY;
}

// What is left of --timeout for this call, which may be the second one.
static uint64_t timeout_left_ms(const struct run *run)
{
    uint64_t timeout_ms = run->options->timeout_ms;
    if (timeout_ms == 0)
        return 0;
    uint64_t gone_ms = uv_now(&run->loop) - run->begun_ms;
    return gone_ms < timeout_ms ? timeout_ms - gone_ms : 1;
}

// Without one of its own, a command is told from another by its words.
static void make_fingerprint(struct run *run)
{
    const struct sfl_cli_options *options = run->options;
    if (options->fingerprint != NULL) {
        bool shares = strcmp(options->fingerprint, "none") == 0;
        snprintf(run->fingerprint, sizeof(run->fingerprint), "%s",
                 shares ? "" : options->fingerprint);
        return;
    }
    if (options->argv == NULL)
        return;
    size_t bytes = 0;
    for (char *const *word = options->argv; *word != NULL; word++)
        bytes += strlen(*word) + 1;
    // The words lie one after the other in memory only as long as nobody has moved them.
    char *words = sfl_cli_allocate(bytes);
    char *end = words;
    for (char *const *word = options->argv; *word != NULL; word++)
        end = stpcpy(end, *word) + 1;
    XXH128_hash_t hash = XXH3_128bits(words, bytes);
    free(words);
    snprintf(run->fingerprint, sizeof(run->fingerprint), "argv:%016" PRIx64 "%016" PRIx64,
             hash.high64, hash.low64);
}

static enum singleflight_status begin_call(struct run *run)
{
    const struct sfl_cli_options *options = run->options;
    struct singleflight_do_options call = SINGLEFLIGHT_DO_OPTIONS_INIT;
    call.group = options->group;
    call.key = options->key;
    call.key_bytes = strlen(options->key);
    call.timeout_ms = timeout_left_ms(run);
    call.retain_ms = options->retain_ms;
    call.retain_error_ms = options->retain_error_ms;
    call.max_age_ms = options->max_age_ms;
    call.lease_ms = options->lease_ms;
    call.run_limit_ms = options->run_limit_ms;
    call.on_leader_loss = (enum singleflight_leader_loss)options->on_leader_loss;
    call.max_attempts = (uint32_t)options->max_attempts;
    call.role = role_of(run);
    call.fingerprint = run->fingerprint;
    call.fingerprint_bytes = strlen(run->fingerprint);
    call.caller = options->caller;
    call.fail_open = options->fail_open && !options->follow_only;
    call.no_fail_open = run->follows_again;
    call.audience = true;
    call.live = !options->buffer;
    call.no_value = !options->buffer;
    run->lost = false;
    return singleflight_do_async(run->client, &call, &sfl_cli_mailbox_events, &run->mailbox,
                                 &run->call);
}

// What another leader says takes the place of what is printed.
static void begin_anew(struct run *run)
{
    run->replaces = false;
    run->prints_own = false;
    sfl_cli_output_restart(&run->output);
}

// The exit code of a call that has no outcome, and the words for it.
static int explain(struct run *run, const struct singleflight_result *result)
{
    bool skipped =
        run->options->skip_if_running && !run->led && result->status == SINGLEFLIGHT_ABORTED;
    if (run->leaving_signal != 0)
        return SFL_CLI_EXIT_SIGNAL + run->leaving_signal;
    if (run->leaving)
        return SFL_CLI_EXIT_OUTPUT;
    if (run->follows_again && result->status == SINGLEFLIGHT_NOT_FOUND) {
        say(run, "the lead was lost (%s), and there is nobody to follow",
            run->why_lost == NULL ? "" : run->why_lost);
        return SFL_CLI_EXIT_TRY_LATER;
    }
    const char *advice = "";
    if (result->status == SINGLEFLIGHT_FAILED_PRECONDITION)
        advice = ": another command line uses this key. Take another key, or share it on purpose "
                 "(--fingerprint none, or the same --fingerprint)";
    say(run, "%s%s%s", skipped ? "skipped: " : "", result->message, advice);
    if (skipped)
        return (int)run->options->skip_code;
    return sfl_cli_exit_of_status(result->status);
}

// What the command said and how it ended counts, although nobody else hears of it.
static void keep_own_outcome(struct run *run, const struct singleflight_result *result)
{
    run->exit_code = run->own_code;
    say(run, "the command ended with code %d, which could not be handed over: %s", run->own_code,
        result->message);
}

static void conclude_outcome(struct run *run, const struct singleflight_result *result)
{
    run->exit_code = sfl_cli_exit_of_outcome(result);
    if (run->options->buffer && !result->led)
        sfl_cli_output_write(&run->output, result->value, result->value_bytes);
    if (run->exit_code != SFL_CLI_EXIT_OK && !result->led)
        say(run, "%s", result->message);
    if (result->failed_open && result->token != 0)
        say(run, "the server was lost: the command went on here, and its outcome is not shared");
    if (result->led && result->retain_refused)
        say(run, "the outcome is not retained: the server has no room for it");
    if (result->retained && run->options->verbose)
        say(run, "a retained outcome, %" PRIu64 ".%" PRIu64 " s old", result->age_ms / 1000,
            result->age_ms % 1000 / 100);
}

static void conclude(struct run *run, const struct singleflight_result *result)
{
    run->concluded = true;
    bool has_outcome = result->status == SINGLEFLIGHT_OK;
    if (has_outcome && run->replaces)
        begin_anew(run); // also when the next leader has printed nothing
    if (has_outcome)
        conclude_outcome(run, result);
    else if (run->own_code >= 0)
        keep_own_outcome(run, result);
    else
        run->exit_code = explain(run, result);
    // Of a lead that was lost nothing is printed with --buffer, nor of somebody else's. What our
    // own command said stays.
    bool is_own = run->prints_own && (run->own_code >= 0 || !run->options->buffer);
    if (!has_outcome && !is_own)
        sfl_cli_output_discard(&run->output);
    sfl_cli_output_hold(&run->output, false);
    sfl_cli_output_end(&run->output);
}

// Whoever lost the lead may still have what the next leader makes.
static bool should_follow_again(const struct run *run, const struct singleflight_result *result)
{
    return run->led && run->own_code < 0 && result->status == SINGLEFLIGHT_ABORTED &&
           !run->leaving && !run->options->skip_if_running &&
           run->options->on_leader_loss == SINGLEFLIGHT_LEADER_LOSS_PROMOTE;
}

static void follow_again(struct run *run)
{
    run->replaces = true;
    singleflight_call_release(run->call);
    run->call = NULL;
    run->led = false;
    run->follows_again = true;
    enum singleflight_status status = begin_call(run);
    if (status == SINGLEFLIGHT_OK)
        return;
    run->concluded = true;
    run->exit_code = sfl_cli_complain(run->options, status);
    sfl_cli_output_hold(&run->output, false);
    sfl_cli_output_end(&run->output);
}

static void on_done(struct run *run, struct singleflight_result *result)
{
    if (should_follow_again(run, result))
        follow_again(run);
    else
        conclude(run, result);
    singleflight_result_free(result);
}

static void on_letter(void *context, struct sfl_cli_letter *letter)
{
    struct run *run = context;
    switch (letter->kind) {
    case SFL_CLI_LETTER_LEAD:
        on_lead(run, letter->leader);
        break;
    case SFL_CLI_LETTER_FOLLOW:
        if (run->options->verbose)
            say(run, "following %s: attempt %" PRIu32 ", which has run for %" PRIu64 " ms",
                letter->data, letter->attempt, letter->running_ms);
        break;
    case SFL_CLI_LETTER_CHUNK:
        if (run->replaces)
            begin_anew(run);
        sfl_cli_output_write(&run->output, letter->data, letter->data_bytes);
        break;
    case SFL_CLI_LETTER_RESTART:
        if (run->options->verbose)
            say(run, "another leader begins: attempt %" PRIu32 ", %s", letter->attempt,
                letter->data);
        begin_anew(run);
        break;
    case SFL_CLI_LETTER_AUDIENCE:
        end_if_unwanted(run);
        break;
    case SFL_CLI_LETTER_DRAINED:
        throttle(run);
        break;
    case SFL_CLI_LETTER_LOST:
        on_lost(run, letter->status, letter->data);
        break;
    case SFL_CLI_LETTER_DONE:
        on_done(run, letter->result);
        break;
    }
}

// ---- the output ----

static void on_written(void *context)
{
    struct run *run = context;
    if (run->output.error != 0 && run->leader == NULL)
        leave(run);
    end_if_unwanted(run);
    throttle(run);
}

static void on_printed_again(void *context)
{
    const struct run *run = context;
    say(run, "what is printed so far is of a leader that was lost; the output begins anew");
}

static void on_ended(void *context)
{
    struct run *run = context;
    if (run->output.error != 0 && run->leaving_signal == 0) {
        // A reader that has had enough is no news.
        if (run->output.error != EPIPE)
            say(run, "cannot write the output: %s", strerror(run->output.error));
        run->exit_code = SFL_CLI_EXIT_OUTPUT;
    }
    uv_stop(&run->loop);
}

static const struct sfl_cli_output_events output_events = {
    .on_written = on_written,
    .on_printed_again = on_printed_again,
    .on_ended = on_ended,
};

// ---- signals ----

static bool ends_programs(int number)
{
    return number == SIGHUP || number == SIGINT || number == SIGQUIT || number == SIGTERM;
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct run *run = handle->data;
    if (sfl_cli_command_runs(&run->command)) {
        if (number != SIGCONT && number != SIGTSTP && number != SIGWINCH)
            run->passed_signal = number;
        sfl_cli_command_signal(&run->command, number);
    } else if (ends_programs(number)) {
        // At the second one, or when only a reader keeps us waiting, there is nothing to wait for.
        if (run->leaving || run->concluded)
            _exit(SFL_CLI_EXIT_SIGNAL + number);
        run->leaving_signal = number;
        leave(run);
    }
    if (number == SIGTSTP)
        raise(SIGSTOP);
}

// nohup has SIGHUP ignored, and means it.
static bool is_ignored(int number)
{
    struct sigaction action;
    return number == SIGHUP && sigaction(number, NULL, &action) == 0 &&
           action.sa_handler == SIG_IGN;
}

static void listen_to_signals(struct run *run)
{
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < SIGNALS; i++) {
        uv_signal_init(&run->loop, &run->signals[i]);
        run->signals[i].data = run;
        if (!is_ignored(signal_numbers[i]))
            uv_signal_start(&run->signals[i], on_signal, signal_numbers[i]);
    }
}

// ---- from the beginning to the end ----

static int open_all(struct run *run)
{
    int error = uv_loop_init(&run->loop);
    assert(error == 0);
    run->begun_ms = uv_now(&run->loop);
    error = sfl_cli_mailbox_open(&run->mailbox, &run->loop, on_letter, run);
    assert(error == 0);
    error = sfl_cli_output_init(&run->output, &run->loop, STDOUT_FILENO, &output_events, run);
    assert(error == 0);
    sfl_cli_output_hold(&run->output, run->options->buffer);
    sfl_cli_command_init(&run->command, &run->loop, run->options->output_grace_ms, &command_events,
                         run);
    listen_to_signals(run);
    run->client = sfl_cli_connect(run->options, &run->exit_code);
    if (run->client == NULL)
        return -1;
    enum singleflight_status status = begin_call(run);
    if (status == SINGLEFLIGHT_OK)
        return 0;
    run->exit_code = sfl_cli_complain(run->options, status);
    return -1;
}

static void close_all(struct run *run)
{
    singleflight_call_release(run->call);
    singleflight_client_destroy(run->client);
    sfl_cli_mailbox_close(&run->mailbox);
    for (size_t i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&run->signals[i], NULL);
    uv_run(&run->loop, UV_RUN_DEFAULT);
    sfl_cli_output_deinit(&run->output);
    int error = uv_loop_close(&run->loop);
    assert(error == 0);
    (void)error;
    free(run->why_lost);
}

int sfl_cli_do(const struct sfl_cli_options *options)
{
    struct run *run = sfl_cli_allocate(sizeof(*run));
    run->options = options;
    run->own_code = -1;
    make_fingerprint(run);
    if (open_all(run) == 0)
        uv_run(&run->loop, UV_RUN_DEFAULT);
    close_all(run);
    int exit_code = run->exit_code;
    free(run);
    return exit_code;
}
