// SPDX-License-Identifier: Apache-2.0
// The command line: one table of options, from which parsing, --help and the man page come.
#ifndef SFL_CLI_OPTIONS_H
#define SFL_CLI_OPTIONS_H

#include "singleflight.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// The subcommands are bits, so that a row of the table says to which it belongs.
enum sfl_cli_command_bit {
    SFL_CLI_DO = 1 << 0,
    SFL_CLI_FORGET = 1 << 1,
    SFL_CLI_LIST = 1 << 2,
    SFL_CLI_TOP = 1 << 3,
    SFL_CLI_STATS = 1 << 4,
    SFL_CLI_STOP = 1 << 5,
    SFL_CLI_RUNS = 1 << 6,
    SFL_CLI_HEALTH = 1 << 8,
    SFL_CLI_TOKEN = 1 << 9,
};

// Those that are about keys: they ask a server, and have a group.
#define SFL_CLI_COMMANDS_OF_KEYS                                                                   \
    (SFL_CLI_DO | SFL_CLI_FORGET | SFL_CLI_STOP | SFL_CLI_LIST | SFL_CLI_TOP | SFL_CLI_RUNS |      \
     SFL_CLI_STATS)

#define SFL_CLI_ADDRESSES_MAX 64
#define SFL_CLI_SETTINGS_MAX 64
#define SFL_CLI_FINGERPRINT_MAX 64 // bytes

// Who prints what the command says, in the order of the words of --output.
enum sfl_cli_prints { SFL_CLI_PRINTS_ALL, SFL_CLI_PRINTS_LEADER };

// Whose the command's standard error is, in the order of the words of --errors.
enum sfl_cli_errors { SFL_CLI_ERRORS_SHARE, SFL_CLI_ERRORS_OWN };

// What the command line and the settings file ask for. The addresses are copies, the other texts
// are borrowed from argv, or are in from_file.
struct sfl_cli_options {
    enum sfl_cli_command_bit command;

    char *from_file[SFL_CLI_SETTINGS_MAX]; // texts of the settings file, in the order of the table
    const char *addresses[SFL_CLI_ADDRESSES_MAX];
    size_t address_count;
    uint64_t connect_timeout_ms; // 0: not given, see sfl_cli_patience_ms()
    const char *tls_ca;          // NULL for these five: not given, the environment counts
    const char *tls_cert;
    const char *tls_key;
    const char *tls_server_name;
    const char *token_file;
    const char *group; // NULL: the default group (do, forget), all groups (the others)
    bool quiet;

    // do
    uint64_t retain_ms;
    uint64_t retain_error_ms;
    uint64_t every_ms;
    uint64_t stale_ms;
    uint64_t max_age_ms;
    uint64_t lease_ms;
    uint64_t run_limit_ms;
    uint64_t timeout_ms;
    uint64_t kill_after_ms;
    uint64_t output_grace_ms;
    uint64_t result_bytes_max;
    uint64_t max_attempts;
    uint64_t skip_code;
    uint64_t retained_code; // above 255: that of the outcome
    uint64_t wait_ms;       // 0: without bound
    uint64_t jitter_ms;
    uint64_t on_leader_loss; // enum singleflight_leader_loss
    uint64_t prints;         // enum sfl_cli_prints
    uint64_t errors;         // enum sfl_cli_errors
    const char *fingerprint;
    const char *caller;
    bool once;
    bool fresh;
    bool hold;
    bool replace;
    bool skip_if_running;
    bool follow_only;
    bool fail_open;
    bool pass_on_error;
    bool buffer;
    bool verbose;

    // forget, stop, list, top, runs, stats
    const char *prefix;
    uint64_t limit;
    uint64_t since_ms;
    uint64_t interval_ms;
    uint64_t count;
    bool if_unshared;
    bool json;

    char *const *words; // argv as this process got it
    const char *key;    // NULL: runs of all keys; of token, its name
    char *const *argv;  // of the command to run, ended by NULL; NULL when there is none
};

// How long to look for a server. Whoever waits for a job waits for the daemon as long as the job
// does, which goes on for its lease.
static inline uint64_t sfl_cli_patience_ms(const struct sfl_cli_options *options)
{
    uint64_t default_ms =
        options->command == SFL_CLI_DO && options->lease_ms > 5000 ? options->lease_ms : 5000;
    return options->connect_timeout_ms != 0 ? options->connect_timeout_ms : default_ms;
}

// Whether a leader that is lost may not be replaced.
static inline bool sfl_cli_holds(const struct sfl_cli_options *options)
{
    return options->hold || options->on_leader_loss == SINGLEFLIGHT_LEADER_LOSS_HOLD;
}

// True: *options_out says what to do. False: there is nothing more to do; what there was to say was
// written (help to `out`, errors to `err`), and *exit_code_out is the code to exit with. Changes
// the order of `argv`. Not thread-safe (getopt_long). `options_out` begins as {0}, and is to be
// released by sfl_cli_options_deinit() in any case.
__attribute__((warn_unused_result)) bool sfl_cli_parse(int argc, char *argv[], FILE *out, FILE *err,
                                                       struct sfl_cli_options *options_out,
                                                       int *exit_code_out);

void sfl_cli_options_deinit(struct sfl_cli_options *options);

// The manual page, in troff with the man macros.
void sfl_cli_write_man_page(FILE *out);

#endif
