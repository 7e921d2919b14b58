// SPDX-License-Identifier: Apache-2.0
//
// The daemon's settings: one plain struct that main.c fills once, before any thread starts, and
// hands to everybody else as `const`. What each setting is called outside, its bounds and its help
// text stand in one table, table.c; flags, environment, config file, --help, the sample
// file and the man page all come from that table.
#ifndef SFL_CONFIG_SETTINGS_H
#define SFL_CONFIG_SETTINGS_H

#include "base/log.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// Exit codes of the program itself, from sysexits.h.
enum {
    SFL_EXIT_USAGE = 64,  // a flag that does not exist, or a value that a flag cannot have
    SFL_EXIT_CONFIG = 78, // the same in the environment or the config file, or settings that clash
};

// Where flights live. The other coordinators of the contract come with their own settings.
enum sfl_settings_coordinator {
    SFL_SETTINGS_COORDINATOR_STANDALONE,
};

// Whether a client has to show a certificate.
enum sfl_tls_client_auth {
    SFL_TLS_CLIENT_AUTH_REQUIRE,
    SFL_TLS_CLIENT_AUTH_OPTIONAL, // one that it shows must be good
};

// Owned strings, each ended by NUL; items is NULL when count is 0.
struct sfl_string_list {
    char **items;
    size_t count;
};

// Which flights that have ended are remembered.
enum sfl_runs_kept {
    SFL_RUNS_KEPT_JOBS, // those with a lease, or whose outcome was retained
    SFL_RUNS_KEPT_ALL,
    SFL_RUNS_KEPT_OFF,
};

// Every field holds what is in force: automatic values (pumps, shards and others that are
// written as 0) are already worked out, so that no reader meets the 0. Strings are owned by the
// struct.
struct sfl_settings {
    // Listening.
    struct sfl_string_list listen; // HOST:PORT or [IPV6]:PORT each; empty after `--listen none`
    bool insecure_listen;          // wherever other machines reach it, although nothing guards it
    char *unix_socket;             // path, or NULL for none; never NULL while listen is empty
    uint64_t keepalive_time_ms;    // a connection that is silent so long is asked for a sign
    uint64_t keepalive_timeout_ms; // and is closed when none comes within this time
    uint64_t first_message_ms;     // a stream without one ends after this time; 0: never
    char *admin_listen;            // HOST:PORT of probes, metrics, the page; NULL: none
    struct sfl_string_list metrics_groups; // those whose metrics have a label of their own

    // Security.
    char *tls_cert;      // path, with tls_key; or both NULL: no TLS
    char *tls_key;       // path
    char *tls_client_ca; // path, only with tls_cert; NULL: clients are asked for no certificate
    enum sfl_tls_client_auth tls_client_auth;
    char *token_file;  // path, or NULL: nobody is known by a token
    char *access_file; // path, or NULL: whoever is let in may do everything

    // Running.
    uint32_t pumps;         // threads that poll gRPC, 1 to 64
    uint32_t shards;        // of the flight table, a power of two
    uint64_t drain_time_ms; // how long running flights may go on after SIGTERM; 0: not at all
    char *data_dir;         // path, or NULL: nothing outlives the process
    enum sfl_settings_coordinator coordinator;

    // Bytes.
    uint64_t result_bytes_max;     // of one result
    uint64_t held_bytes_max;       // of all results, running and retained; >= result_bytes_max
    uint64_t retained_bytes_max;   // of retained outcomes alone; <= held_bytes_max
    uint64_t message_bytes_max;    // of one message from a client
    uint64_t connection_bytes_max; // of messages that are coming in on one; >= message_bytes_max
    uint64_t key_bytes_max;
    uint64_t group_bytes_max;

    // Counts.
    uint32_t flights_max;
    uint32_t callers_max;
    uint32_t connection_callers_max;  // callers on one connection; callers_max bounds them too
    uint32_t connections_max;         // the limit on open files leaves room for so many
    uint32_t address_connections_max; // from one peer address; <= connections_max
    uint32_t connection_streams_max;  // streams on one connection

    // Times that a caller may ask for.
    uint64_t retain_ms_max;
    uint64_t lease_ms_min;
    uint64_t lease_ms_max; // >= lease_ms_min
    uint64_t run_ms_max;

    // Logging.
    enum sfl_log_level log_level;
    enum sfl_log_format log_format;

    // Flights that have ended.
    enum sfl_runs_kept runs_kept;
    uint32_t runs_max;
};

// Reads the settings of one start of the daemon: flags come before the environment
// (SINGLEFLIGHTD_*, out of `environment`, a NULL-ended array of NAME=value), the environment before
// the config file, the file before the defaults.
//
// True: *settings_out is filled and belongs to the caller, who gives it to sfl_settings_deinit().
// False: the program has nothing more to do; what there was to say has been written (--help and its
// like to `out`, errors to `err`), *exit_code_out is the code to exit with, *settings_out is
// untouched. Borrows everything else until it returns. Not thread-safe (getopt_long): call it
// before threads start.
SFL_MUST_USE bool sfl_settings_load(int argc, char *const argv[], char *const environment[],
                                    FILE *out, FILE *err, struct sfl_settings *settings_out,
                                    int *exit_code_out);

// What --check-config asks beside the settings: whether the files that they name are good. `check`
// returns the code to exit with, after it has said what is wrong. Before sfl_settings_load.
void sfl_settings_set_file_check(int (*check)(const struct sfl_settings *settings));

// Logs a warning for each SINGLEFLIGHTD_ variable that is no setting. They cannot be refused: a
// Kubernetes Service that is called like this puts some of its own there.
void sfl_settings_warn_of_unknown(char *const environment[]);

// What --health asks the daemon that runs with these settings; `ask` returns the code to exit with,
// after it has said what it heard. Before sfl_settings_load.
void sfl_settings_set_health_question(int (*ask)(const struct sfl_settings *settings));

// The first TCP address that other machines can reach; NULL: none.
const char *sfl_settings_open_address(const struct sfl_settings *settings);

// Whether other machines can reach it and nothing says which of them may.
bool sfl_settings_are_open(const struct sfl_settings *settings);

// Releases what the settings own and leaves them zeroed. Harmless on zeroed settings.
void sfl_settings_deinit(struct sfl_settings *settings);

#endif
