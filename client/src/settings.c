// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // program_invocation_short_name
#include "src/settings.h"

#include "base/address.h"
#include "base/utf8.h"
#include "src/constants.h"
#include "src/rendezvous.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define UNSENT_BYTES_MAX ((size_t)1024 * 1024)

// "host:port" with a port that can be dialled, or "unix:/path".
static bool is_address(const char *text)
{
    if (strncmp(text, "unix:", 5) == 0)
        return text[5] != 0;
    struct sfl_address parts;
    return sfl_address_split(text, &parts) && strspn(parts.port, "0") < strlen(parts.port);
}

static enum sfl_status add_address(struct sfl_settings *settings, const char *text, size_t size,
                                   const char **problem_out)
{
    if (size == 0) {
        *problem_out = "an address is empty: \"host:port\" or \"unix:/path\" is wanted";
        return SFL_INVALID_ARGUMENT;
    }
    if (settings->address_count == SFL_SERVERS_MAX) {
        *problem_out = "there are more than 64 addresses";
        return SFL_INVALID_ARGUMENT;
    }
    char *copy = strndup(text, size);
    if (copy == NULL)
        return SFL_NO_MEMORY;
    settings->addresses[settings->address_count++] = copy;
    if (is_address(copy))
        return SFL_OK;
    static _Thread_local char problem[320];
    snprintf(problem, sizeof(problem),
             "\"%.200s\" is no address: \"host:port\" (1 to 65535) or \"unix:/path\" is wanted",
             copy);
    *problem_out = problem;
    return SFL_INVALID_ARGUMENT;
}

// Reads a list with commas; spaces around an address do not count.
static enum sfl_status split_addresses(struct sfl_settings *settings, const char *text,
                                       const char **problem_out)
{
    for (;;) {
        text += strspn(text, " \t");
        size_t size = strcspn(text, ",");
        size_t kept = size;
        while (kept > 0 && (text[kept - 1] == ' ' || text[kept - 1] == '\t'))
            kept--;
        enum sfl_status status = add_address(settings, text, kept, problem_out);
        if (status != SFL_OK || text[size] == 0)
            return status;
        text += size + 1;
    }
}

static enum sfl_status read_addresses(struct sfl_settings *settings,
                                      const struct singleflight_client_options *options,
                                      const char **problem_out)
{
    settings->addresses = calloc(SFL_SERVERS_MAX, sizeof(char *));
    if (settings->addresses == NULL)
        return SFL_NO_MEMORY;
    if (options->addresses == NULL) {
        const char *text = getenv(SFL_ADDRESS_VARIABLE);
        return split_addresses(settings, text == NULL || text[0] == 0 ? SFL_ADDRESS_DEFAULT : text,
                               problem_out);
    }
    if (options->address_count == 0) {
        *problem_out = "address_count is 0, but addresses is not NULL";
        return SFL_INVALID_ARGUMENT;
    }
    enum sfl_status status = SFL_OK;
    for (size_t i = 0; i < options->address_count && status == SFL_OK; i++) {
        const char *text = options->addresses[i] == NULL ? "" : options->addresses[i];
        status = add_address(settings, text, strlen(text), problem_out);
    }
    return status;
}

static enum sfl_status read_caller(struct sfl_settings *settings, const char *given,
                                   const char **problem_out)
{
    if (given != NULL) {
        struct sfl_span caller = sfl_span_of_text(given);
        if (caller.size > SFL_CALLER_BYTES_MAX || !sfl_utf8_is_valid(caller)) {
            *problem_out = "caller is not at most 128 bytes of UTF-8";
            return SFL_INVALID_ARGUMENT;
        }
        settings->caller = strdup(given);
        return settings->caller == NULL ? SFL_NO_MEMORY : SFL_OK;
    }
    char host[65] = "";
    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = 0;
    char caller[SFL_CALLER_BYTES_MAX + 1];
    snprintf(caller, sizeof(caller), "%.40s@%.60s:%ld", program_invocation_short_name, host,
             (long)getpid());
    if (!sfl_utf8_is_valid(sfl_span_of_text(caller)))
        snprintf(caller, sizeof(caller), "process %ld", (long)getpid());
    settings->caller = strdup(caller);
    return settings->caller == NULL ? SFL_NO_MEMORY : SFL_OK;
}

static enum sfl_status read_security(struct sfl_settings *settings,
                                     const struct singleflight_client_options *options,
                                     const char **problem_out)
{
    enum sfl_status status = sfl_security_init(&settings->security, options, problem_out);
    for (size_t i = 0; i < settings->address_count && status == SFL_OK; i++)
        status = sfl_security_allows(&settings->security, settings->addresses[i], problem_out);
    return status;
}

static void read_observer(struct sfl_settings *settings, const struct singleflight_observer *given)
{
    if (given == NULL)
        return;
    size_t known = given->struct_bytes < sizeof(*given) ? given->struct_bytes : sizeof(*given);
    memcpy(&settings->observer, given, known);
    settings->is_observed = true;
}

static uint64_t or_default(uint64_t given, uint64_t otherwise)
{
    return given == 0 ? otherwise : given;
}

enum sfl_status sfl_settings_init(struct sfl_settings *settings,
                                  const struct singleflight_client_options *given,
                                  const char **problem_out)
{
    *settings = (struct sfl_settings){0};
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    if (given != NULL) {
        size_t known =
            given->struct_bytes < sizeof(options) ? given->struct_bytes : sizeof(options);
        memcpy(&options, given, known);
    }
    size_t first_edition = offsetof(struct singleflight_client_options, reserved);
    if (options.struct_bytes <= first_edition && options.connect_timeout_ms == 0)
        options.connect_timeout_ms = SINGLEFLIGHT_NOT_GIVEN;
    settings->connect_timeout_ms = options.connect_timeout_ms;
    if (settings->connect_timeout_ms == SINGLEFLIGHT_NOT_GIVEN)
        settings->connect_timeout_ms = SFL_CONNECT_TIMEOUT_MS;
    settings->patience_ms = or_default(settings->connect_timeout_ms, SFL_ANSWER_TIMEOUT_MS);
    if (settings->patience_ms > SFL_ANSWER_TIMEOUT_MS)
        settings->patience_ms = SFL_ANSWER_TIMEOUT_MS;
    settings->backoff_min_ms = or_default(options.backoff_min_ms, SFL_BACKOFF_MIN_MS);
    settings->backoff_max_ms = or_default(options.backoff_max_ms, SFL_BACKOFF_MAX_MS);
    if (settings->backoff_max_ms < settings->backoff_min_ms)
        settings->backoff_max_ms = settings->backoff_min_ms;
    settings->keepalive_time_ms = or_default(options.keepalive_time_ms, SFL_KEEPALIVE_TIME_MS);
    settings->keepalive_timeout_ms =
        or_default(options.keepalive_timeout_ms, SFL_KEEPALIVE_TIMEOUT_MS);
    settings->result_bytes_max = or_default(options.result_bytes_max, SFL_RESULT_BYTES_MAX);
    settings->unsent_bytes_max = or_default(options.unsent_bytes_max, UNSENT_BYTES_MAX);

    *problem_out = "there is no memory left";
    enum sfl_status status = read_addresses(settings, &options, problem_out);
    if (status == SFL_OK)
        status = read_caller(settings, options.caller, problem_out);
    if (status == SFL_OK)
        status = read_security(settings, &options, problem_out);
    if (status != SFL_OK) {
        sfl_settings_deinit(settings);
        return status;
    }
    read_observer(settings, options.observer);
    settings->join = (struct sfl_join_defaults){
        .caller = settings->caller,
        .connect_timeout_ms = settings->connect_timeout_ms,
        .fail_open = options.fail_open,
    };
    return SFL_OK;
}

void sfl_settings_deinit(struct sfl_settings *settings)
{
    for (size_t i = 0; i < settings->address_count; i++)
        free(settings->addresses[i]);
    free(settings->addresses);
    sfl_security_deinit(&settings->security);
    free(settings->caller);
    *settings = (struct sfl_settings){0};
}
