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
#include "cli/connect.h"
#include "cli/exit_code.h"
#include "cli/memory.h"
#include "cli/reason.h"
#include "cli/refresh.h"
#include "cli/run.h"
#include "cli/subcommands.h"
#include "cli/text.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

// Those that end a program, unless it handles them; then those that do not.
static const int signal_numbers[SFL_CLI_SIGNALS] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM, SIGUSR1,
                                                    SIGUSR2, SIGTSTP, SIGWINCH, SIGCONT};

// What the command has said before, and is not written yet, comes first.
void sfl_cli_run_say(struct sfl_cli_run *run, const char *format, ...)
{
    if (run->options->quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    char *line = sfl_cli_vline(format, arguments);
    va_end(arguments);
    if (sfl_cli_output_pending(&run->errors) != 0)
        sfl_cli_output_write(&run->errors, line, strlen(line));
    else
        fputs(line, stderr);
    free(line);
}

// ---- the call ----

// Nothing more is printed after what is on its way.
static void end_outputs(struct sfl_cli_run *run)
{
    run->concluded = true;
    sfl_cli_output_hold(&run->output, false);
    sfl_cli_output_end(&run->output);
    sfl_cli_output_end(&run->errors);
}

static void leave(struct sfl_cli_run *run)
{
    if (run->leaving || run->concluded)
        return;
    run->leaving = true;
    if (run->call != NULL) {
        singleflight_call_cancel(run->call);
        return;
    }
    // It has not begun.
    run->exit_code = SFL_CLI_EXIT_SIGNAL + run->leaving_signal;
    end_outputs(run);
}

static enum singleflight_role role_of(const struct sfl_cli_run *run)
{
    if (run->options->follow_only || run->follows_again || run->asks_for_stale)
        return SINGLEFLIGHT_ROLE_FOLLOW_ONLY;
    return run->options->skip_if_running ? SINGLEFLIGHT_ROLE_LEAD_ONLY : SINGLEFLIGHT_ROLE_ANY;
}

// What is left of --timeout for this call, which may be the second one.
static uint64_t timeout_left_ms(const struct sfl_cli_run *run)
{
    uint64_t timeout_ms = run->options->timeout_ms;
    if (timeout_ms == 0)
        return SINGLEFLIGHT_NOT_GIVEN;
    uint64_t gone_ms = uv_now(&run->loop) - run->begun_ms;
    return gone_ms < timeout_ms ? timeout_ms - gone_ms : 1;
}

// --wait is over. It is a bound for waiting behind somebody else, not for finding a server.
static void on_late(uv_timer_t *timer)
{
    struct sfl_cli_run *run = timer->data;
    run->is_late = true;
    if (run->follows && run->leader == NULL)
        leave(run);
}

// Without one of its own, a command is told from another by its words.
static void make_fingerprint(struct sfl_cli_run *run)
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

static void name_place(struct sfl_cli_run *run)
{
    if (run->options->caller != NULL)
        snprintf(run->place, sizeof(run->place), "%s", run->options->caller);
    else if (gethostname(run->place, sizeof(run->place) - 1) != 0)
        snprintf(run->place, sizeof(run->place), "this node");
}

// So much of --every is left to clocks that differ, and to the next run that is a little early.
static uint64_t window_ms(uint64_t every_ms)
{
    uint64_t slack_ms = every_ms / 10;
    return every_ms - (slack_ms < 30000 ? slack_ms : 30000);
}

static void set_retention(const struct sfl_cli_run *run, struct singleflight_do_options *call)
{
    const struct sfl_cli_options *options = run->options;
    // An outcome from before the run that was lost is none for --fresh.
    bool is_fresh_again = options->fresh && run->follows_again;
    call->retain_ms = options->retain_ms;
    call->retain_error_ms = options->retain_error_ms;
    call->max_age_ms = run->asks_for_stale ? options->stale_ms : options->max_age_ms;
    if (is_fresh_again)
        call->max_age_ms = uv_now(&run->loop) - run->begun_ms + 1;
    if (options->every_ms == 0)
        return;
    call->retain_from_lead = true;
    call->retain_ms = window_ms(options->every_ms);
    call->retain_error_ms = call->retain_ms;
}

static enum singleflight_status begin_call(struct sfl_cli_run *run)
{
    const struct sfl_cli_options *options = run->options;
    struct singleflight_do_options call = SINGLEFLIGHT_DO_OPTIONS_INIT;
    call.group = options->group;
    call.key = options->key;
    call.key_bytes = strlen(options->key);
    call.timeout_ms = timeout_left_ms(run);
    set_retention(run, &call);
    call.lease_ms = options->lease_ms;
    call.run_limit_ms = options->run_limit_ms;
    call.on_leader_loss = sfl_cli_holds(options)
                              ? SINGLEFLIGHT_LEADER_LOSS_HOLD
                              : (enum singleflight_leader_loss)options->on_leader_loss;
    call.fresh = options->fresh && !run->follows_again;
    call.max_attempts = (uint32_t)options->max_attempts;
    call.role = role_of(run);
    call.fingerprint = run->fingerprint;
    call.fingerprint_bytes = strlen(run->fingerprint);
    call.caller = options->caller;
    call.traceparent = getenv("TRACEPARENT");
    call.fail_open = options->fail_open && !options->follow_only;
    call.no_fail_open = run->follows_again;
    call.audience = true;
    call.ends_function = true;
    call.live = !options->buffer;
    call.no_value = !options->buffer;
    run->lost = false;
    run->is_late = false;
    run->follows = false;
    if (options->wait_ms != 0)
        uv_timer_start(&run->timer, on_late, options->wait_ms, 0);
    return singleflight_do_async(run->client, &call, &sfl_cli_mailbox_events, &run->mailbox,
                                 &run->call);
}

// What another leader says takes the place of what is printed.
static void begin_anew(struct sfl_cli_run *run)
{
    run->replaces = false;
    run->prints_own = false;
    sfl_cli_output_restart(&run->output);
}

// The exit code of a call that has no outcome, and the words for it.
static int explain(struct sfl_cli_run *run, const struct singleflight_result *result)
{
    bool skipped =
        run->options->skip_if_running && !run->led && result->status == SINGLEFLIGHT_ABORTED;
    if (run->leaving_signal != 0)
        return SFL_CLI_EXIT_SIGNAL + run->leaving_signal;
    if (run->is_late && run->leaving) {
        sfl_cli_run_say(run, "waited for as long as --wait says; %s still runs it",
                        run->leader_name == NULL ? "somebody else" : run->leader_name);
        return SFL_CLI_EXIT_TRY_LATER;
    }
    if (run->leaving)
        return SFL_CLI_EXIT_OUTPUT;
    if (run->follows_again && result->status == SINGLEFLIGHT_NOT_FOUND) {
        sfl_cli_run_say(run, "the lead was lost (%s), and nobody else runs it yet",
                        run->why_lost == NULL ? "" : run->why_lost);
        return SFL_CLI_EXIT_TRY_LATER;
    }
    const char *advice = "";
    if (result->status == SINGLEFLIGHT_FAILED_PRECONDITION)
        advice = ": another command line uses this key. Take another key, or share it on purpose "
                 "(--fingerprint none, or the same --fingerprint)";
    char *message = sfl_cli_plain_reason(result->message);
    sfl_cli_run_say(run, "%s%s%s", skipped ? "skipped: " : "", message, advice);
    free(message);
    if (skipped)
        return (int)run->options->skip_code;
    return sfl_cli_exit_of_status(result->status);
}

// What the command said and how it ended counts, although nobody else hears of it.
static void keep_own_outcome(struct sfl_cli_run *run, const struct singleflight_result *result)
{
    run->exit_code = run->own_code;
    sfl_cli_run_say(run, "the command ended with code %d, which could not be handed over: %s",
                    run->own_code, result->message);
}

// What the leader's command said last on its standard error, when that is what the details are.
static void tell_errors(struct sfl_cli_run *run, const struct singleflight_result *result)
{
    static const char *const types[] = {"exit", "signal", "exec"};
    bool is_of_command = false;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        is_of_command = is_of_command || strcmp(result->type, types[i]) == 0;
    const char *line = result->details;
    const char *end = line + result->details_bytes;
    while (is_of_command && line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *next = newline == NULL ? end : newline + 1;
        sfl_cli_run_say(run, "| %.*s", (int)((newline == NULL ? end : newline) - line), line);
        line = next;
    }
}

// Whether this invocation has nothing to print or to say about that outcome.
static bool is_silent_about(const struct sfl_cli_run *run, const struct singleflight_result *result)
{
    return !result->led && (run->options->prints == SFL_CLI_PRINTS_LEADER ||
                            (run->options->once && result->retained));
}

static void conclude_outcome(struct sfl_cli_run *run, const struct singleflight_result *result)
{
    run->exit_code = sfl_cli_exit_of_outcome(result);
    if (result->led && run->own_code >= 0 && sfl_cli_is_over_limit(result))
        keep_own_outcome(run, result);
    if (result->retained && run->options->retained_code <= UINT8_MAX)
        run->exit_code = (int)run->options->retained_code;
    if (result->retained && run->options->verbose)
        sfl_cli_run_say(run, "a retained outcome, %" PRIu64 ".%" PRIu64 " s old",
                        result->age_ms / 1000, result->age_ms % 1000 / 100);
    if (result->failed_open && result->token != 0)
        sfl_cli_run_say(
            run, "the server was lost: the command went on here, and its outcome is not shared");
    if (result->led && result->retain_refused)
        sfl_cli_run_say(run, "the outcome is not retained: the server has no room for it");
    if (result->led || is_silent_about(run, result))
        return;
    if (run->options->buffer)
        sfl_cli_output_write(&run->output, result->value, result->value_bytes);
    if (result->outcome == SINGLEFLIGHT_OUTCOME_ABANDONED && sfl_cli_holds(run->options)) {
        sfl_cli_run_say(run,
                        "%s. It may have been done, and is not tried again (--hold). To allow "
                        "another try: singleflight forget",
                        result->message);
    } else if (result->outcome != SINGLEFLIGHT_OUTCOME_OK) {
        sfl_cli_run_say(run, "%s", result->message);
        tell_errors(run, result);
    }
}

static void conclude(struct sfl_cli_run *run, const struct singleflight_result *result)
{
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
    end_outputs(run);
}

// Whoever lost the lead may still have what the next leader makes.
static bool should_follow_again(const struct sfl_cli_run *run,
                                const struct singleflight_result *result)
{
    return run->led && run->own_code < 0 && result->status == SINGLEFLIGHT_ABORTED &&
           !run->leaving && !run->options->skip_if_running &&
           run->options->on_leader_loss != SINGLEFLIGHT_LEADER_LOSS_FAIL;
}

static void begin_again(struct sfl_cli_run *run)
{
    enum singleflight_status status = begin_call(run);
    if (status == SINGLEFLIGHT_OK)
        return;
    run->exit_code = sfl_cli_complain(run->options, status);
    end_outputs(run);
}

static void follow_again(struct sfl_cli_run *run)
{
    run->replaces = true;
    singleflight_call_release(run->call);
    run->call = NULL;
    run->led = false;
    run->follows_again = true;
    begin_again(run);
}

// The first call with --stale: an outcome of that age at most, or what runs. The second is an
// ordinary one.
static void on_stale_answer(struct sfl_cli_run *run, struct singleflight_result *result)
{
    run->asks_for_stale = false;
    bool begins_again = result->status == SINGLEFLIGHT_NOT_FOUND ||
                        result->status == SINGLEFLIGHT_ABORTED ||
                        (result->status == SINGLEFLIGHT_UNAVAILABLE && run->options->fail_open);
    if (begins_again && !run->leaving) {
        singleflight_call_release(run->call);
        run->call = NULL;
        begin_again(run);
        return;
    }
    if (result->retained && result->age_ms > run->options->max_age_ms)
        sfl_cli_refresh(run);
    conclude(run, result);
}

static void on_done(struct sfl_cli_run *run, struct singleflight_result *result)
{
    if (run->asks_for_stale)
        on_stale_answer(run, result);
    else if (should_follow_again(run, result))
        follow_again(run);
    else
        conclude(run, result);
    singleflight_result_free(result);
}

static void note_leader(struct sfl_cli_run *run, const char *name)
{
    run->follows = true;
    free(run->leader_name);
    run->leader_name = name[0] == '\0' ? NULL : sfl_cli_copy_text(name);
    if (run->is_late)
        leave(run);
}

// Before anybody has led or followed, it is of a retained outcome.
static void on_chunk(struct sfl_cli_run *run, const char *data, size_t data_bytes)
{
    bool is_retained = !run->follows && !run->led;
    if (run->options->prints == SFL_CLI_PRINTS_LEADER || (run->options->once && is_retained))
        return;
    if (run->replaces)
        begin_anew(run);
    sfl_cli_output_write(&run->output, data, data_bytes);
}

static void on_letter(void *context, struct sfl_cli_letter *letter)
{
    struct sfl_cli_run *run = context;
    switch (letter->kind) {
    case SFL_CLI_LETTER_LEAD:
        sfl_cli_lead_begin(run, letter->leader);
        break;
    case SFL_CLI_LETTER_FOLLOW:
        note_leader(run, letter->data);
        if (run->options->verbose && letter->attempt == 0)
            sfl_cli_run_say(run, "waiting for the next run");
        else if (run->options->verbose)
            sfl_cli_run_say(run,
                            "following %s: attempt %" PRIu32 ", which has run for %" PRIu64 " ms",
                            letter->data, letter->attempt, letter->running_ms);
        break;
    case SFL_CLI_LETTER_CHUNK:
        on_chunk(run, letter->data, letter->data_bytes);
        break;
    case SFL_CLI_LETTER_RESTART:
        note_leader(run, letter->data);
        if (run->options->verbose)
            sfl_cli_run_say(run, "another leader begins: attempt %" PRIu32 ", %s", letter->attempt,
                            letter->data);
        begin_anew(run);
        break;
    case SFL_CLI_LETTER_AUDIENCE:
        sfl_cli_lead_end_if_unwanted(run);
        break;
    case SFL_CLI_LETTER_DRAINED:
        sfl_cli_lead_throttle(run);
        break;
    case SFL_CLI_LETTER_LOST:
        sfl_cli_lead_lost(run, letter->status, letter->data);
        break;
    case SFL_CLI_LETTER_DONE:
        on_done(run, letter->result);
        break;
    }
}

// ---- the output ----

static void on_written(void *context)
{
    struct sfl_cli_run *run = context;
    if (run->output.error != 0 && run->leader == NULL)
        leave(run);
    sfl_cli_lead_end_if_unwanted(run);
    sfl_cli_lead_throttle(run);
}

static void on_printed_again(void *context)
{
    struct sfl_cli_run *run = context;
    sfl_cli_run_say(run,
                    "what is printed so far is of a leader that was lost; the output begins anew");
}

static void on_ended(void *context)
{
    struct sfl_cli_run *run = context;
    if (--run->open_outputs != 0)
        return;
    if (run->output.error != 0 && run->leaving_signal == 0) {
        // A reader that has had enough is no news.
        if (run->output.error != EPIPE)
            sfl_cli_run_say(run, "cannot write the output: %s", strerror(run->output.error));
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
    struct sfl_cli_run *run = handle->data;
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

static void listen_to_signals(struct sfl_cli_run *run)
{
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < SFL_CLI_SIGNALS; i++) {
        uv_signal_init(&run->loop, &run->signals[i]);
        run->signals[i].data = run;
        if (!is_ignored(signal_numbers[i]))
            uv_signal_start(&run->signals[i], on_signal, signal_numbers[i]);
    }
}

// ---- from the beginning to the end ----

// Begins the first call. False: the exit code tells.
static bool begin(struct sfl_cli_run *run)
{
    uv_update_time(&run->loop);
    run->begun_ms = uv_now(&run->loop);
    run->asks_for_stale = run->options->stale_ms != 0;
    enum singleflight_status status = begin_call(run);
    if (status != SINGLEFLIGHT_OK) {
        run->exit_code = sfl_cli_complain(run->options, status);
        return false;
    }
    return true;
}

// Ends what runs: waits for the server's answer, on a thread of the pool.
static void replace(uv_work_t *work)
{
    struct sfl_cli_run *run = work->data;
    const struct sfl_cli_options *options = run->options;
    struct singleflight_forgotten forgotten = {0};
    run->replacing.status =
        singleflight_end(run->client, options->group, options->key, strlen(options->key),
                         options->caller, sfl_cli_patience_ms(options), &forgotten);
    run->replacing.is_beside = forgotten.flight && !forgotten.ended;
    if (run->replacing.status != SINGLEFLIGHT_OK)
        run->replacing.error = sfl_cli_copy_text(singleflight_last_error());
}

// That no server is there, the call itself will find.
static void on_replaced(uv_work_t *work, int status)
{
    (void)status; // the work is never cancelled
    struct sfl_cli_run *run = work->data;
    if (run->concluded)
        return;
    bool is_refused = run->replacing.status != SINGLEFLIGHT_OK &&
                      run->replacing.status != SINGLEFLIGHT_UNAVAILABLE &&
                      run->replacing.status != SINGLEFLIGHT_DEADLINE_EXCEEDED;
    if (is_refused) {
        run->exit_code = sfl_cli_exit_of_status(run->replacing.status);
        sfl_cli_run_say(run, "%s", run->replacing.error);
        end_outputs(run);
        return;
    }
    if (run->replacing.is_beside)
        sfl_cli_run_say(run, "the server is too old to end what runs: it goes on beside this");
    if (!begin(run))
        end_outputs(run);
}

// The first step. False: there is nothing to wait for, and the exit code tells.
static bool set_out(struct sfl_cli_run *run)
{
    if (!run->options->replace)
        return begin(run);
    run->replacing.work.data = run;
    return uv_queue_work(&run->loop, &run->replacing.work, replace, on_replaced) == 0;
}

static void on_jitter_over(uv_timer_t *timer)
{
    struct sfl_cli_run *run = timer->data;
    if (!run->concluded && !set_out(run))
        end_outputs(run);
}

static uint64_t random_below(uint64_t bound)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        number = uv_hrtime();
    return number % bound;
}

static void open_output(struct sfl_cli_run *run, struct sfl_cli_output *output, int fd)
{
    int error = sfl_cli_output_init(output, &run->loop, fd, &output_events, run);
    assert(error == 0);
    (void)error;
    run->open_outputs++;
}

static void open_loop(struct sfl_cli_run *run)
{
    int error = uv_loop_init(&run->loop);
    assert(error == 0);
    error = sfl_cli_mailbox_open(&run->mailbox, &run->loop, on_letter, run);
    assert(error == 0);
    (void)error;
    open_output(run, &run->output, STDOUT_FILENO);
    open_output(run, &run->errors, STDERR_FILENO);
    sfl_cli_output_hold(&run->output, run->options->buffer);
    uv_timer_init(&run->loop, &run->timer);
    run->timer.data = run;
    sfl_cli_command_init(&run->command, &run->loop, run->options->output_grace_ms,
                         run->options->kill_after_ms, run->options->errors == SFL_CLI_ERRORS_SHARE,
                         &sfl_cli_lead_command_events, run);
    listen_to_signals(run);
}

// False: there is nothing to wait for, and the exit code tells.
static bool open_all(struct sfl_cli_run *run)
{
    open_loop(run);
    run->client = sfl_cli_connect(run->options, &run->exit_code);
    if (run->client == NULL)
        return false;
    uint64_t jitter_ms = run->options->jitter_ms;
    if (jitter_ms == 0)
        return set_out(run);
    uv_timer_start(&run->timer, on_jitter_over, random_below(jitter_ms + 1), 0);
    return true;
}

static void close_all(struct sfl_cli_run *run)
{
    singleflight_call_release(run->call);
    singleflight_client_destroy(run->client);
    sfl_cli_mailbox_close(&run->mailbox);
    for (size_t i = 0; i < SFL_CLI_SIGNALS; i++)
        uv_close((uv_handle_t *)&run->signals[i], NULL);
    uv_close((uv_handle_t *)&run->timer, NULL);
    uv_run(&run->loop, UV_RUN_DEFAULT);
    sfl_cli_output_deinit(&run->output);
    sfl_cli_output_deinit(&run->errors);
    int error = uv_loop_close(&run->loop);
    assert(error == 0);
    (void)error;
    free(run->leader_name);
    free(run->why_lost);
    free(run->replacing.error);
}

int sfl_cli_do(const struct sfl_cli_options *options)
{
    struct sfl_cli_run *run = sfl_cli_allocate(sizeof(*run));
    run->options = options;
    run->own_code = -1;
    make_fingerprint(run);
    name_place(run);
    if (open_all(run))
        uv_run(&run->loop, UV_RUN_DEFAULT);
    close_all(run);
    int exit_code = run->exit_code;
    free(run);
    return exit_code;
}
