// SPDX-License-Identifier: Apache-2.0
// The subcommands that ask once: forget, stop, list, runs, stats.
#include "cli/connect.h"
#include "cli/exit_code.h"
#include "cli/snapshot.h"
#include "cli/subcommands.h"
#include "cli/text.h"

#include <stdint.h>
#include <string.h>

// Asks the servers and prints what they say. Returns the exit code.
typedef int view_function(struct singleflight_client *client,
                          const struct sfl_cli_options *options);

static int run(const struct sfl_cli_options *options, view_function *view)
{
    int exit_code = SFL_CLI_EXIT_OK;
    struct singleflight_client *client = sfl_cli_connect(options, &exit_code);
    if (client == NULL)
        return exit_code;
    exit_code = view(client, options);
    singleflight_client_destroy(client);
    if (fflush(stdout) == 0)
        return exit_code;
    return exit_code == SFL_CLI_EXIT_OK ? SFL_CLI_EXIT_OUTPUT : exit_code;
}

// The exit code of an answer with that status; says what went wrong.
static int conclude(const struct sfl_cli_options *options, enum singleflight_status status)
{
    if (status != SINGLEFLIGHT_OK)
        (void)sfl_cli_complain(options, status);
    return sfl_cli_exit_of_silence(status);
}

static void print_forgotten(const struct sfl_cli_options *options,
                            const struct singleflight_forgotten *forgotten)
{
    if (options->json)
        printf("{\"flight\":%s,\"retained\":%s}\n", forgotten->flight ? "true" : "false",
               forgotten->retained ? "true" : "false");
    else if (forgotten->flight || forgotten->retained)
        printf("forgotten:%s%s%s\n", forgotten->flight ? " the flight" : "",
               forgotten->flight && forgotten->retained ? " and" : "",
               forgotten->retained ? " the retained outcome" : "");
    else
        printf("nothing forgotten\n");
}

static int forget(struct singleflight_client *client, const struct sfl_cli_options *options)
{
    struct singleflight_forgotten forgotten;
    enum singleflight_status status =
        singleflight_forget(client, options->group, options->key, strlen(options->key),
                            options->if_unshared, sfl_cli_patience_ms(options), &forgotten);
    if (status == SINGLEFLIGHT_OK && (!options->quiet || options->json))
        print_forgotten(options, &forgotten);
    return conclude(options, status);
}

static int print_stopped(const struct sfl_cli_options *options,
                         const struct singleflight_forgotten *forgotten)
{
    if (options->json)
        printf("{\"ended\":%s,\"retained\":%s}\n", forgotten->ended ? "true" : "false",
               forgotten->retained ? "true" : "false");
    else if (forgotten->ended && !options->quiet)
        printf("stopped\n");
    if (forgotten->ended)
        return SFL_CLI_EXIT_OK;
    if (forgotten->flight) {
        if (!options->quiet)
            sfl_cli_say("the server is too old to end a flight: it is forgotten, and goes on");
        return SFL_CLI_EXIT_SOFTWARE;
    }
    if (!options->quiet)
        sfl_cli_say("nothing runs for this key%s",
                    forgotten->retained ? "; its retained outcome is dropped" : "");
    return SFL_CLI_EXIT_NOTHING_TO_FOLLOW;
}

static int stop(struct singleflight_client *client, const struct sfl_cli_options *options)
{
    struct singleflight_forgotten forgotten;
    enum singleflight_status status =
        singleflight_end(client, options->group, options->key, strlen(options->key),
                         options->caller, sfl_cli_patience_ms(options), &forgotten);
    return status == SINGLEFLIGHT_OK ? print_stopped(options, &forgotten)
                                     : conclude(options, status);
}

static int runs(struct singleflight_client *client, const struct sfl_cli_options *options)
{
    struct sfl_cli_snapshot snapshot = {0};
    enum singleflight_status status = sfl_cli_snapshot_runs(&snapshot, client, options);
    int exit_code = conclude(options, status);
    if (options->json)
        sfl_cli_print_runs_json(stdout, &snapshot);
    else if (status == SINGLEFLIGHT_OK || snapshot.run_count != 0)
        sfl_cli_print_runs(stdout, &snapshot, SIZE_MAX, SIZE_MAX);
    sfl_cli_snapshot_deinit(&snapshot);
    return exit_code;
}

static int list(struct singleflight_client *client, const struct sfl_cli_options *options)
{
    struct sfl_cli_snapshot snapshot = {0};
    enum singleflight_status status = sfl_cli_snapshot_flights(&snapshot, client, options);
    int exit_code = conclude(options, status);
    if (snapshot.is_cut && !options->quiet)
        sfl_cli_say("there are more rows: --limit and --prefix say which to show");
    if (options->json)
        sfl_cli_print_flights_json(stdout, &snapshot);
    else if (status == SINGLEFLIGHT_OK || snapshot.flight_count != 0)
        sfl_cli_print_flights(stdout, &snapshot, SIZE_MAX, SIZE_MAX);
    sfl_cli_snapshot_deinit(&snapshot);
    return exit_code;
}

static int stats(struct singleflight_client *client, const struct sfl_cli_options *options)
{
    struct sfl_cli_snapshot snapshot = {0};
    int exit_code = conclude(options, sfl_cli_snapshot_stats(&snapshot, client, options));
    if (options->json)
        sfl_cli_print_stats_json(stdout, &snapshot);
    else
        sfl_cli_print_stats(stdout, &snapshot);
    sfl_cli_snapshot_deinit(&snapshot);
    return exit_code;
}

static void print_health(void *context, const struct singleflight_health *health)
{
    const struct sfl_cli_options *options = context;
    if (options->json)
        sfl_cli_print_health_json(stdout, health);
    else if (!options->quiet)
        printf("%s %s\n", health->address, health->serves ? "serves" : "does not serve");
}

static int health(struct singleflight_client *client, const struct sfl_cli_options *options)
{
    enum singleflight_status status = singleflight_check_health(
        client, sfl_cli_patience_ms(options), print_health, (void *)(uintptr_t)options);
    return conclude(options, status);
}

int sfl_cli_forget(const struct sfl_cli_options *options)
{
    return run(options, forget);
}

int sfl_cli_stop(const struct sfl_cli_options *options)
{
    return run(options, stop);
}

int sfl_cli_runs(const struct sfl_cli_options *options)
{
    return run(options, runs);
}

int sfl_cli_list(const struct sfl_cli_options *options)
{
    return run(options, list);
}

int sfl_cli_stats(const struct sfl_cli_options *options)
{
    return run(options, stats);
}

int sfl_cli_health(const struct sfl_cli_options *options)
{
    return run(options, health);
}
