// SPDX-License-Identifier: Apache-2.0
// One invocation of `singleflight do`: what do.c (the call) and lead.c (the command) share.
// Everything here is used on the loop's thread alone.
#ifndef SFL_CLI_RUN_H
#define SFL_CLI_RUN_H

#include "cli/command.h"
#include "cli/mailbox.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/share.h"
#include "cli/tail.h"

// Those that end a program, unless it handles them, and those that do not.
#define SFL_CLI_SIGNALS 9

#define SFL_CLI_PLACE_BYTES 129

struct sfl_cli_run {
    const struct sfl_cli_options *options;
    uv_loop_t loop;
    uv_signal_t signals[SFL_CLI_SIGNALS];
    struct singleflight_client *client;
    struct singleflight_call *call;
    struct sfl_cli_mailbox mailbox;
    struct sfl_cli_output output;
    struct sfl_cli_output errors; // the command's standard error, and ours while any of it waits
    unsigned open_outputs;
    struct sfl_cli_tail tail; // of the command's standard error
    struct sfl_cli_command command;
    uv_timer_t timer; // until --jitter is over, then --wait

    struct singleflight_leader *leader; // while this call leads and the command is not over
    bool led;                           // this call has led
    bool lost;                          // the lead is lost; set before the command is ended
    struct sfl_cli_share share;
    bool unwanted;       // nobody reads the output, here or elsewhere
    bool replaces;       // the next bytes of another leader replace our command's
    bool follows_again;  // this call is the one after the lead was lost
    bool prints_own;     // what is printed, or will be, is of our own command
    bool asks_for_stale; // the first call with --stale
    bool follows;        // somebody else leads, or has led
    bool is_late;        // --wait is over
    bool leaving;        // the call was cancelled
    bool concluded;      // the call is over; only the output is still written
    int leaving_signal;  // what made us leave; 0: none
    int passed_signal;   // the last one that the command got from us; 0: none
    int own_code;        // what our command exited with by itself; -1: it did not, or not yet
    char place[SFL_CLI_PLACE_BYTES]; // where a command of ours runs, for the others
    char fingerprint[SFL_CLI_FINGERPRINT_MAX + 1];
    struct {
        uv_work_t work;
        enum singleflight_status status;
        bool is_beside; // what was to be ended goes on
        char *error;    // NULL: none
    } replacing;
    char *leader_name; // of whom this call follows; NULL: not known
    char *why_lost;
    uint64_t begun_ms; // on the loop's clock
    int exit_code;
};

// A line on standard error, unless --quiet.
__attribute__((format(printf, 2, 3))) void sfl_cli_run_say(struct sfl_cli_run *run,
                                                           const char *format, ...);

// This call leads: starts the command, or gives the lead back.
void sfl_cli_lead_begin(struct sfl_cli_run *run, struct singleflight_leader *leader);

// The lead is lost: ends the command.
void sfl_cli_lead_lost(struct sfl_cli_run *run, enum singleflight_status status, const char *why);

// Stops reading from the command while too much of it waits, and goes on.
void sfl_cli_lead_throttle(struct sfl_cli_run *run);

// Ends a command whose output nobody takes any more.
void sfl_cli_lead_end_if_unwanted(struct sfl_cli_run *run);

extern const struct sfl_cli_command_events sfl_cli_lead_command_events;

#endif
