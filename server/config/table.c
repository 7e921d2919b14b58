// SPDX-License-Identifier: Apache-2.0
#include "config/table.h"

#include "base/address.h"
#include "base/duration.h"
#include "base/log.h"
#include "base/nearest.h"
#include "config/settings.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)
#define SECOND ((uint64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define LISTENING "Listening"
#define SECURITY "Security"
#define RUNNING "Running"
#define BYTES "Limits in bytes"
#define COUNTS "Limits in numbers"
#define TIMES "What a caller may ask for"
#define LOGGING "Logging"

static const struct sfl_setting_choice coordinators[] = {
    {"standalone", SFL_SETTINGS_COORDINATOR_STANDALONE},
    {NULL, 0},
};

static const struct sfl_setting_choice client_auths[] = {
    {"require", SFL_TLS_CLIENT_AUTH_REQUIRE},
    {"optional", SFL_TLS_CLIENT_AUTH_OPTIONAL},
    {NULL, 0},
};

static const struct sfl_setting_choice log_levels[] = {
    {"error", SFL_LOG_ERROR},
    {"warn", SFL_LOG_WARN},
    {"info", SFL_LOG_INFO},
    {"debug", SFL_LOG_DEBUG},
    {NULL, 0},
};

static const struct sfl_setting_choice runs_kept[] = {
    {"jobs", SFL_RUNS_KEPT_JOBS},
    {"all", SFL_RUNS_KEPT_ALL},
    {"off", SFL_RUNS_KEPT_OFF},
    {NULL, 0},
};

static const struct sfl_setting_choice log_formats[] = {
    {"logfmt", SFL_LOG_LOGFMT},
    {"json", SFL_LOG_JSON},
    {NULL, 0},
};

// HOST:PORT, [IPV6]:PORT, or the word "none".
static const char *check_address(const char *text)
{
    struct sfl_address address;
    if (strcmp(text, "none") == 0 || sfl_address_split(text, &address))
        return NULL;
    return "must be HOST:PORT, such as 0.0.0.0:7433 or [::1]:7433, with a port from 0 to 65535";
}

// sockaddr_un holds 108 bytes with the NUL.
static const char *check_socket_path(const char *text)
{
    return strlen(text) > 107 ? "is longer than the 107 bytes of a socket's path" : NULL;
}

// They are values of a label, beside "other".
static const char *check_metrics_group(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";
    if (text[0] == '\0' || text[strspn(text, letters)] != '\0')
        return "is no group: it may hold only A-Z a-z 0-9 . _ -";
    return strcmp(text, "other") == 0 ? "is what all groups that are not named are called" : NULL;
}

// HOST:PORT or [IPV6]:PORT.
static const char *check_admin_address(const char *text)
{
    struct sfl_address address;
    if (sfl_address_split(text, &address))
        return NULL;
    return "must be HOST:PORT, such as 127.0.0.1:9090, with a port from 0 to 65535";
}

#define FIELD(name) .offset = offsetof(struct sfl_settings, name)

// The bounds keep the promises of the contract: a message always holds an inline result of 64 KiB
// beside an error's details of 64 KiB and the longest key and group, and a lease is at least 1 s.
const struct sfl_setting sfl_setting_table[] = {
    {.name = "listen",
     .group = LISTENING,
     .type = SFL_SETTING_TEXT_LIST,
     FIELD(listen),
     .argument = "HOST:PORT",
     .fallback = "127.0.0.1:7433",
     .check = check_address,
     .help = "Serve gRPC on this address. Port 0 takes any free port; the daemon prints which one. "
             "\"none\" alone: no TCP, only the unix socket. An address that other machines reach "
             "needs tls-cert and a way to know callers (tls-client-ca or token-file), or "
             "insecure-listen."},
    {.name = "insecure-listen",
     .group = LISTENING,
     .type = SFL_SETTING_SWITCH,
     FIELD(insecure_listen),
     .argument = "yes|no",
     .fallback = "no",
     .help = "Listen where other machines reach it although the settings do not say who may call. "
             "Whoever reaches it can then do everything: read outcomes, lead, forget."},
    {.name = "unix-socket",
     .group = LISTENING,
     .type = SFL_SETTING_TEXT,
     FIELD(unix_socket),
     .argument = "PATH",
     .fallback = "",
     .check = check_socket_path,
     .help = "Serve gRPC on this unix socket as well."},
    {.name = "keepalive-time",
     .group = LISTENING,
     .type = SFL_SETTING_DURATION,
     FIELD(keepalive_time_ms),
     .argument = "TIME",
     .fallback = "5s",
     .min = 100,
     .max = 2 * HOUR,
     .help = "Ask a client for a sign of life when its connection has been silent so long."},
    {.name = "keepalive-timeout",
     .group = LISTENING,
     .type = SFL_SETTING_DURATION,
     FIELD(keepalive_timeout_ms),
     .argument = "TIME",
     .fallback = "5s",
     .min = 100,
     .max = 10 * MINUTE,
     .help = "Close the connection of a client that gives no sign of life within this time. Its "
             "callers leave, and leaders among them are lost."},
    {.name = "first-message-time",
     .group = LISTENING,
     .type = SFL_SETTING_DURATION,
     FIELD(first_message_ms),
     .argument = "TIME",
     .fallback = "30s",
     .min = 0,
     .max = HOUR,
     .help = "End a stream that was opened and on which no whole message has come after so long, "
             "and a connection that has not shaken hands. 0: never."},
    {.name = "admin-listen",
     .group = LISTENING,
     .type = SFL_SETTING_TEXT,
     FIELD(admin_listen),
     .argument = "HOST:PORT",
     .fallback = "",
     .check = check_admin_address,
     .help = "Serve a page that shows what runs, /livez, /readyz and /metrics on this address, in "
             "plain HTTP and to everybody who reaches it; keys to those who may see them."},
    {.name = "metrics-groups",
     .group = LISTENING,
     .type = SFL_SETTING_TEXT_LIST,
     FIELD(metrics_groups),
     .argument = "GROUP",
     .fallback = "",
     .check = check_metrics_group,
     .help = "Show the metrics of these groups by themselves; all others are \"other\"."},

    {.name = "tls-cert",
     .group = SECURITY,
     .type = SFL_SETTING_TEXT,
     FIELD(tls_cert),
     .argument = "PATH",
     .fallback = "",
     .help = "Speak TLS on every TCP address, with the certificates of this PEM file: the daemon's "
             "own first, then those between it and the CA. Read again when the file changes, and "
             "on SIGHUP; so are the other files here."},
    {.name = "tls-key",
     .group = SECURITY,
     .type = SFL_SETTING_TEXT,
     FIELD(tls_key),
     .argument = "PATH",
     .fallback = "",
     .help = "The private key of tls-cert, a PEM file without a passphrase."},
    {.name = "tls-client-ca",
     .group = SECURITY,
     .type = SFL_SETTING_TEXT,
     FIELD(tls_client_ca),
     .argument = "PATH",
     .fallback = "",
     .help = "Ask clients for a certificate that one of the CAs in this PEM file has signed."},
    {.name = "tls-client-auth",
     .group = SECURITY,
     .type = SFL_SETTING_CHOICE,
     FIELD(tls_client_auth),
     .argument = "WHICH",
     .fallback = "require",
     .choices = client_auths,
     .help = "With tls-client-ca. require: whoever has no certificate cannot connect. optional: it "
             "can, and is known by its token or not at all."},
    {.name = "token-file",
     .group = SECURITY,
     .type = SFL_SETTING_TEXT,
     FIELD(token_file),
     .argument = "PATH",
     .fallback = "",
     .help = "Know callers by bearer tokens. Lines of this file: NAME and the token's SHA-256 in "
             "hex."},
    {.name = "access-file",
     .group = SECURITY,
     .type = SFL_SETTING_TEXT,
     FIELD(access_file),
     .argument = "PATH",
     .fallback = "",
     .help = "Who may do what, and how much each group may use. Without it, whoever is let in may "
             "do everything."},

    {.name = "drain-time",
     .group = RUNNING,
     .type = SFL_SETTING_DURATION,
     FIELD(drain_time_ms),
     .argument = "TIME",
     .fallback = "20s",
     .min = 0,
     .max = DAY,
     .help = "After SIGTERM or SIGINT, let running flights go on for so long. It should be shorter "
             "than the grace of what sends the signal; Kubernetes gives 30s."},
    {.name = "pumps",
     .group = RUNNING,
     .type = SFL_SETTING_COUNT,
     FIELD(pumps),
     .argument = "NUMBER",
     .fallback = "0",
     .min = 1,
     .max = 64,
     .zero = "automatic: one for every two CPUs, at most 4",
     .help = "Threads that serve calls."},
    {.name = "shards",
     .group = RUNNING,
     .type = SFL_SETTING_COUNT,
     FIELD(shards),
     .argument = "NUMBER",
     .fallback = "0",
     .min = 1,
     .max = 4096,
     .zero = "automatic: sixteen for each pump",
     .help = "Parts of the flight table, each with its own lock; a power of two."},
    {.name = "data-dir",
     .group = RUNNING,
     .type = SFL_SETTING_TEXT,
     FIELD(data_dir),
     .argument = "PATH",
     .fallback = "",
     .help = "Keep leads with a lease, retained outcomes, runs and the greatest token in this "
             "directory, so that they survive a restart."},
    {.name = "runs",
     .group = RUNNING,
     .type = SFL_SETTING_CHOICE,
     FIELD(runs_kept),
     .argument = "WHICH",
     .fallback = "jobs",
     .choices = runs_kept,
     .help = "Which flights that have ended are remembered and logged: jobs, which are those that "
             "had a lease or whose outcome was retained; all; or off: none of them."},
    {.name = "coordinator",
     .group = RUNNING,
     .type = SFL_SETTING_CHOICE,
     FIELD(coordinator),
     .argument = "NAME",
     .fallback = "standalone",
     .choices = coordinators,
     .help = "Who decides where a flight lives. standalone: every flight lives in this process."},

    {.name = "result-limit",
     .group = BYTES,
     .type = SFL_SETTING_SIZE,
     FIELD(result_bytes_max),
     .argument = "SIZE",
     .fallback = "64MiB",
     .min = KIB,
     .max = 16 * GIB,
     .help = "The largest value of one outcome. At most held-limit."},
    {.name = "held-limit",
     .group = BYTES,
     .type = SFL_SETTING_SIZE,
     FIELD(held_bytes_max),
     .argument = "SIZE",
     .fallback = "1GiB",
     .min = KIB,
     .max = 16 * TIB,
     .help = "Bytes held for values in all, of running flights and of retained outcomes."},
    {.name = "retained-limit",
     .group = BYTES,
     .type = SFL_SETTING_SIZE,
     FIELD(retained_bytes_max),
     .argument = "SIZE",
     .fallback = "0",
     .min = KIB,
     .max = 16 * TIB,
     .zero = "automatic: three quarters of held-limit",
     .help = "Bytes held for retained outcomes alone. At most held-limit."},
    {.name = "message-limit",
     .group = BYTES,
     .type = SFL_SETTING_SIZE,
     FIELD(message_bytes_max),
     .argument = "SIZE",
     .fallback = "4MiB",
     .min = 256 * KIB,
     .max = GIB,
     .help = "The largest message that a client may send. Larger values come in chunks."},
    {.name = "connection-bytes-limit",
     .group = BYTES,
     .type = SFL_SETTING_SIZE,
     FIELD(connection_bytes_max),
     .argument = "SIZE",
     .fallback = "0",
     .min = 256 * KIB,
     .max = TIB,
     .zero = "automatic: 256MiB, or four times message-limit where that is more",
     .help = "Messages that have begun to come in on one connection and are not whole yet, in all. "
             "At least message-limit."},
    {.name = "key-limit",
     .group = BYTES,
     .type = SFL_SETTING_SIZE,
     FIELD(key_bytes_max),
     .argument = "SIZE",
     .fallback = "1KiB",
     .min = 1,
     .max = 16 * KIB,
     .help = "The longest key."},
    {.name = "group-limit",
     .group = BYTES,
     .type = SFL_SETTING_SIZE,
     FIELD(group_bytes_max),
     .argument = "SIZE",
     .fallback = "128",
     .min = 1,
     .max = KIB,
     .help = "The longest name of a group."},

    {.name = "flights-limit",
     .group = COUNTS,
     .type = SFL_SETTING_COUNT,
     FIELD(flights_max),
     .argument = "NUMBER",
     .fallback = "1000000",
     .min = 1,
     .max = 100000000,
     .help = "Flights that run at the same time. As many outcomes may be retained beside them."},
    {.name = "runs-limit",
     .group = COUNTS,
     .type = SFL_SETTING_COUNT,
     FIELD(runs_max),
     .argument = "NUMBER",
     .fallback = "10000",
     .min = 1,
     .max = 10000000,
     .help = "Flights that have ended and are remembered; the oldest makes room."},
    {.name = "callers-limit",
     .group = COUNTS,
     .type = SFL_SETTING_COUNT,
     FIELD(callers_max),
     .argument = "NUMBER",
     .fallback = "1000000",
     .min = 1,
     .max = 100000000,
     .help = "Callers at the same time, on all connections."},
    {.name = "connection-callers-limit",
     .group = COUNTS,
     .type = SFL_SETTING_COUNT,
     FIELD(connection_callers_max),
     .argument = "NUMBER",
     .fallback = "100000",
     .min = 1,
     .max = 100000000,
     .help = "Callers at the same time on one connection."},
    {.name = "connection-streams-limit",
     .group = COUNTS,
     .type = SFL_SETTING_COUNT,
     FIELD(connection_streams_max),
     .argument = "NUMBER",
     .fallback = "0",
     .min = 1,
     .max = 100000000,
     .zero = "automatic: connection-callers-limit and 1000",
     .help = "Streams at the same time on one connection. Our clients need one, a Do call takes "
             "one for each caller. Where nobody uses Do, 100 is plenty."},
    {.name = "connections-limit",
     .group = COUNTS,
     .type = SFL_SETTING_COUNT,
     FIELD(connections_max),
     .argument = "NUMBER",
     .fallback = "0",
     .min = 1,
     .max = 1000000,
     .zero = "automatic: what the hard limit on open files leaves, at most 1000000",
     .help = "Connections at the same time, over TCP and the unix socket. One above it is closed "
             "at once."},
    {.name = "address-connections-limit",
     .group = COUNTS,
     .type = SFL_SETTING_COUNT,
     FIELD(address_connections_max),
     .argument = "NUMBER",
     .fallback = "0",
     .min = 1,
     .max = 1000000,
     .zero = "automatic: three quarters of connections-limit",
     .help = "Connections at the same time from one address; an IPv6 address stands for its /64. "
             "Does not count for the unix socket. At most connections-limit."},

    {.name = "retain-limit",
     .group = TIMES,
     .type = SFL_SETTING_DURATION,
     FIELD(retain_ms_max),
     .argument = "TIME",
     .fallback = "7d",
     .min = 0,
     .max = 365 * DAY,
     .help = "The longest time to retain an outcome. 0: nothing is retained."},
    {.name = "lease-min",
     .group = TIMES,
     .type = SFL_SETTING_DURATION,
     FIELD(lease_ms_min),
     .argument = "TIME",
     .fallback = "1s",
     .min = SECOND,
     .max = DAY,
     .help = "The shortest lease. At most lease-max."},
    {.name = "lease-max",
     .group = TIMES,
     .type = SFL_SETTING_DURATION,
     FIELD(lease_ms_max),
     .argument = "TIME",
     .fallback = "10m",
     .min = SECOND,
     .max = DAY,
     .help = "The longest lease."},
    {.name = "run-limit",
     .group = TIMES,
     .type = SFL_SETTING_DURATION,
     FIELD(run_ms_max),
     .argument = "TIME",
     .fallback = "24h",
     .min = 1,
     .max = 365 * DAY,
     .help = "The longest run_limit: how long one leader may take."},

    {.name = "log-level",
     .group = LOGGING,
     .type = SFL_SETTING_CHOICE,
     FIELD(log_level),
     .argument = "LEVEL",
     .fallback = "info",
     .choices = log_levels,
     .help = "Log lines of this weight and above, to standard error."},
    {.name = "log-format",
     .group = LOGGING,
     .type = SFL_SETTING_CHOICE,
     FIELD(log_format),
     .argument = "FORMAT",
     .fallback = "logfmt",
     .choices = log_formats,
     .help = "How a log line is written."},
};

const size_t sfl_setting_count = sizeof(sfl_setting_table) / sizeof(sfl_setting_table[0]);

static_assert(sizeof(sfl_setting_table) / sizeof(sfl_setting_table[0]) <= SFL_SETTINGS_MAX,
              "the arrays beside the table are too small");

size_t sfl_setting_find(const char *name, size_t size)
{
    size_t i = 0;
    while (i < sfl_setting_count && (strlen(sfl_setting_table[i].name) != size ||
                                     memcmp(sfl_setting_table[i].name, name, size) != 0))
        i++;
    return i;
}

static const char *name_at(size_t place)
{
    return sfl_setting_table[place].name;
}

const char *sfl_setting_nearest(const char *name, size_t size)
{
    return sfl_nearest(name, size, name_at, sfl_setting_count);
}

void sfl_setting_environment_name(const struct sfl_setting *setting,
                                  char name_out[SFL_ENVIRONMENT_NAME_MAX])
{
    size_t prefix = strlen(SFL_ENVIRONMENT_PREFIX);
    assert(prefix + strlen(setting->name) < SFL_ENVIRONMENT_NAME_MAX);
    memcpy(name_out, SFL_ENVIRONMENT_PREFIX, prefix);
    size_t i = 0;
    for (; setting->name[i] != '\0'; i++) {
        char c = setting->name[i];
        name_out[prefix + i] = c == '-' ? '_' : (char)toupper((unsigned char)c);
    }
    name_out[prefix + i] = '\0';
}

static void describe_number(enum sfl_setting_type type, uint64_t number,
                            char text_out[SFL_DURATION_TEXT_MAX])
{
    static_assert(SFL_SIZE_TEXT_MAX <= SFL_DURATION_TEXT_MAX, "one buffer does for both");
    if (type == SFL_SETTING_DURATION)
        sfl_duration_format(number, text_out);
    else if (type == SFL_SETTING_SIZE)
        sfl_size_format(number, text_out);
    else
        snprintf(text_out, SFL_DURATION_TEXT_MAX, "%" PRIu64, number);
}

static void describe_choices(const struct sfl_setting_choice *choices, char *text_out)
{
    size_t size = 0;
    text_out[0] = '\0';
    for (; choices->name != NULL; choices++) {
        const char *part = size == 0 ? "" : choices[1].name == NULL ? " or " : ", ";
        int added =
            snprintf(text_out + size, SFL_BOUNDS_TEXT_MAX - size, "%s%s", part, choices->name);
        assert(added > 0 && size + (size_t)added < SFL_BOUNDS_TEXT_MAX);
        size += (size_t)added;
    }
}

void sfl_setting_describe_bounds(const struct sfl_setting *setting,
                                 char text_out[SFL_BOUNDS_TEXT_MAX])
{
    text_out[0] = '\0';
    if (setting->type == SFL_SETTING_CHOICE)
        describe_choices(setting->choices, text_out);
    if (setting->max == 0)
        return;
    char min[SFL_DURATION_TEXT_MAX];
    char max[SFL_DURATION_TEXT_MAX];
    describe_number(setting->type, setting->min, min);
    describe_number(setting->type, setting->max, max);
    if (setting->zero == NULL)
        snprintf(text_out, SFL_BOUNDS_TEXT_MAX, "%s to %s", min, max);
    else
        snprintf(text_out, SFL_BOUNDS_TEXT_MAX, "%s to %s, or 0 (%s)", min, max, setting->zero);
}
