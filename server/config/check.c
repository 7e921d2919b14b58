// SPDX-License-Identifier: Apache-2.0
#include "config/check.h"

#include "base/address.h"
#include "base/duration.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define AUTOMATIC_PUMPS_MAX 4
#define AUTOMATIC_SHARDS_PER_PUMP 16
#define AUTOMATIC_CONNECTIONS_MAX 1000000
#define AUTOMATIC_CONNECTION_BYTES ((uint64_t)256 << 20)

// Descriptors that are no connections: standard ones, listeners, the data file, gRPC's and libuv's
// own (about 20), and some to spare.
#define OTHER_FILES 40

// And those of the admin listener: three of its own, and its connections.
#define ADMIN_FILES 99

// Streams of one connection beside those of its callers: Forget, Admin, health.
#define OTHER_STREAMS 1000

static uint32_t next_power_of_two(uint32_t number)
{
    uint32_t power = 1;
    while (power < number)
        power *= 2;
    return power;
}

static size_t other_files(const struct sfl_settings *settings)
{
    size_t admin_files = settings->admin_listen == NULL ? 0 : ADMIN_FILES;
    return OTHER_FILES + admin_files + settings->listen.count;
}

// How many connections the files that this process may open leave room for; 0: too few. main.c
// raises the soft limit to the hard one.
static uint64_t connections_possible(const struct sfl_settings *settings)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max == RLIM_INFINITY)
        return AUTOMATIC_CONNECTIONS_MAX;
    uint64_t others = other_files(settings);
    uint64_t possible = files.rlim_max > others ? files.rlim_max - others : 0;
    return possible < AUTOMATIC_CONNECTIONS_MAX ? possible : AUTOMATIC_CONNECTIONS_MAX;
}

static void resolve_connections(struct sfl_settings *settings)
{
    if (settings->connections_max == 0)
        settings->connections_max = (uint32_t)connections_possible(settings);
    if (settings->address_connections_max == 0)
        settings->address_connections_max = (settings->connections_max * UINT64_C(3) + 3) / 4;
}

static void resolve_automatic(struct sfl_settings *settings)
{
    if (settings->pumps == 0) {
        // Not one for each: pumps of one process cost each other wake-ups, and the loop thread and
        // the callers beside us want to run too.
        long pumps = sysconf(_SC_NPROCESSORS_ONLN) / 2;
        settings->pumps = pumps < 1                     ? 1
                          : pumps > AUTOMATIC_PUMPS_MAX ? AUTOMATIC_PUMPS_MAX
                                                        : (uint32_t)pumps;
    }
    if (settings->shards == 0)
        settings->shards = next_power_of_two(settings->pumps) * AUTOMATIC_SHARDS_PER_PUMP;
    if (settings->retained_bytes_max == 0)
        settings->retained_bytes_max = settings->held_bytes_max / 4 * 3;
    if (settings->connection_streams_max == 0)
        settings->connection_streams_max = settings->connection_callers_max + OTHER_STREAMS;
    if (settings->connection_bytes_max == 0) {
        uint64_t four = settings->message_bytes_max * 4;
        settings->connection_bytes_max =
            four > AUTOMATIC_CONNECTION_BYTES ? four : AUTOMATIC_CONNECTION_BYTES;
    }
    resolve_connections(settings);
}

static bool lists_none(const struct sfl_string_list *listen)
{
    for (size_t i = 0; i < listen->count; i++) {
        if (strcmp(listen->items[i], "none") == 0)
            return true;
    }
    return false;
}

static enum sfl_status check_listeners(const struct sfl_settings *settings,
                                       char problem_out[SFL_PROBLEM_MAX])
{
    if (!lists_none(&settings->listen))
        return SFL_OK;
    const char *problem = NULL;
    if (settings->listen.count > 1)
        problem = "listen \"none\" stands beside addresses; it must stand alone";
    else if (settings->unix_socket == NULL)
        problem = "listen is \"none\" and unix-socket is not set; nobody could call: set one";
    if (problem == NULL)
        return SFL_OK;
    snprintf(problem_out, SFL_PROBLEM_MAX, "%s", problem);
    return SFL_INVALID_ARGUMENT;
}

static enum sfl_status check_tls(const struct sfl_settings *settings,
                                 char problem_out[SFL_PROBLEM_MAX])
{
    const char *problem = NULL;
    if ((settings->tls_cert == NULL) != (settings->tls_key == NULL))
        problem = settings->tls_key == NULL ? "tls-cert is set without tls-key; set both"
                                            : "tls-key is set without tls-cert; set both";
    else if (settings->tls_client_ca != NULL && settings->tls_cert == NULL)
        problem = "tls-client-ca is set without tls-cert and tls-key; set all three";
    else if (settings->tls_client_auth == SFL_TLS_CLIENT_AUTH_OPTIONAL &&
             settings->tls_client_ca == NULL)
        problem = "tls-client-auth is optional without tls-client-ca; set that, too";
    if (problem == NULL)
        return SFL_OK;
    snprintf(problem_out, SFL_PROBLEM_MAX, "%s", problem);
    return SFL_INVALID_ARGUMENT;
}

const char *sfl_settings_open_address(const struct sfl_settings *settings)
{
    for (size_t i = 0; i < settings->listen.count; i++) {
        struct sfl_address address;
        if (sfl_address_split(settings->listen.items[i], &address) &&
            !sfl_address_is_loopback(&address))
            return settings->listen.items[i];
    }
    return NULL;
}

// Whether nobody gets in who is not known, or the access file says what such a caller may do.
static bool knows_callers(const struct sfl_settings *settings)
{
    if (settings->token_file != NULL)
        return true;
    bool must_show = settings->tls_client_auth == SFL_TLS_CLIENT_AUTH_REQUIRE;
    return settings->tls_client_ca != NULL && (must_show || settings->access_file != NULL);
}

bool sfl_settings_are_open(const struct sfl_settings *settings)
{
    return sfl_settings_open_address(settings) != NULL &&
           (settings->tls_cert == NULL || !knows_callers(settings));
}

static enum sfl_status check_open_door(const struct sfl_settings *settings,
                                       char problem_out[SFL_PROBLEM_MAX])
{
    if (!sfl_settings_are_open(settings) || settings->insecure_listen)
        return SFL_OK;
    if (settings->tls_client_ca != NULL) {
        snprintf(problem_out, SFL_PROBLEM_MAX,
                 "listen %.64s can be reached by other machines, and with tls-client-auth optional "
                 "nothing says who may call; set token-file or access-file, or require "
                 "certificates, or give --insecure-listen",
                 sfl_settings_open_address(settings));
        return SFL_INVALID_ARGUMENT;
    }
    snprintf(problem_out, SFL_PROBLEM_MAX,
             "listen %.64s can be reached by other machines, and %s; set %stls-client-ca or "
             "token-file, or listen on 127.0.0.1, or give --insecure-listen",
             sfl_settings_open_address(settings),
             settings->tls_cert == NULL ? "there is no TLS" : "nothing says who may call",
             settings->tls_cert == NULL ? "tls-cert, tls-key and " : "");
    return SFL_INVALID_ARGUMENT;
}

static enum sfl_status check_sizes(const char *small_name, uint64_t small, const char *large_name,
                                   uint64_t large, char problem_out[SFL_PROBLEM_MAX])
{
    if (small <= large)
        return SFL_OK;
    char small_text[SFL_SIZE_TEXT_MAX];
    char large_text[SFL_SIZE_TEXT_MAX];
    sfl_size_format(small, small_text);
    sfl_size_format(large, large_text);
    snprintf(problem_out, SFL_PROBLEM_MAX,
             "%s %s is more than %s %s; lower the one or raise the "
             "other",
             small_name, small_text, large_name, large_text);
    return SFL_INVALID_ARGUMENT;
}

static enum sfl_status check_leases(const struct sfl_settings *settings,
                                    char problem_out[SFL_PROBLEM_MAX])
{
    if (settings->lease_ms_min <= settings->lease_ms_max)
        return SFL_OK;
    char min[SFL_DURATION_TEXT_MAX];
    char max[SFL_DURATION_TEXT_MAX];
    sfl_duration_format(settings->lease_ms_min, min);
    sfl_duration_format(settings->lease_ms_max, max);
    snprintf(problem_out, SFL_PROBLEM_MAX,
             "lease-min %s is more than lease-max %s; lower the one or raise the other", min, max);
    return SFL_INVALID_ARGUMENT;
}

static enum sfl_status check_shards(uint32_t shards, char problem_out[SFL_PROBLEM_MAX])
{
    if (shards == next_power_of_two(shards))
        return SFL_OK;
    snprintf(problem_out, SFL_PROBLEM_MAX, "shards %u is not a power of two; take %u or %u", shards,
             next_power_of_two(shards) / 2, next_power_of_two(shards));
    return SFL_INVALID_ARGUMENT;
}

static enum sfl_status check_connections(const struct sfl_settings *settings,
                                         char problem_out[SFL_PROBLEM_MAX])
{
    uint64_t possible = connections_possible(settings);
    if (possible == 0)
        snprintf(problem_out, SFL_PROBLEM_MAX,
                 "the hard limit on open files leaves none for connections; raise it above %zu",
                 other_files(settings));
    else if (settings->connections_max > possible)
        snprintf(problem_out, SFL_PROBLEM_MAX,
                 "connections-limit %u is more than the %" PRIu64 " that the hard limit on open "
                 "files leaves; raise that or lower this",
                 settings->connections_max, possible);
    else if (settings->address_connections_max > settings->connections_max)
        snprintf(problem_out, SFL_PROBLEM_MAX,
                 "address-connections-limit %u is more than connections-limit %u; lower the one or "
                 "raise the other",
                 settings->address_connections_max, settings->connections_max);
    else
        return SFL_OK;
    return SFL_INVALID_ARGUMENT;
}

// Two series of one name and the same labels would be none.
static enum sfl_status check_metrics_groups(const struct sfl_string_list *groups,
                                            char problem_out[SFL_PROBLEM_MAX])
{
    for (size_t i = 1; i < groups->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(groups->items[i], groups->items[j]) != 0)
                continue;
            snprintf(problem_out, SFL_PROBLEM_MAX, "metrics-groups names %s twice",
                     groups->items[i]);
            return SFL_INVALID_ARGUMENT;
        }
    }
    return SFL_OK;
}

enum sfl_status sfl_settings_complete(struct sfl_settings *settings,
                                      char problem_out[SFL_PROBLEM_MAX])
{
    resolve_automatic(settings);
    enum sfl_status status = check_listeners(settings, problem_out);
    if (status == SFL_OK)
        status = check_tls(settings, problem_out);
    if (status == SFL_OK)
        status = check_open_door(settings, problem_out);
    if (status == SFL_OK)
        status = check_shards(settings->shards, problem_out);
    if (status == SFL_OK)
        status = check_sizes("result-limit", settings->result_bytes_max, "held-limit",
                             settings->held_bytes_max, problem_out);
    if (status == SFL_OK)
        status = check_sizes("retained-limit", settings->retained_bytes_max, "held-limit",
                             settings->held_bytes_max, problem_out);
    if (status == SFL_OK)
        status = check_sizes("message-limit", settings->message_bytes_max, "connection-bytes-limit",
                             settings->connection_bytes_max, problem_out);
    if (status == SFL_OK)
        status = check_leases(settings, problem_out);
    if (status == SFL_OK)
        status = check_metrics_groups(&settings->metrics_groups, problem_out);
    if (status == SFL_OK)
        status = check_connections(settings, problem_out);
    return status;
}
