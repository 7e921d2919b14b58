// SPDX-License-Identifier: Apache-2.0
#include "tracing/environment.h"

#include "base/version.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define DEFAULT_TARGET "localhost:4317"
#define DEFAULT_PORT "4317"

enum {
    TIMEOUT_DEFAULT_MS = 10000,
    DELAY_DEFAULT_MS = 5000,
    QUEUE_DEFAULT = 2048,
    BATCH_DEFAULT = 512,
    MS_MAX = 3600 * 1000,
    QUEUE_MAX = 1000000,
    BATCH_MAX = 2048, // collectors take messages of up to 4 MiB
};

// --- single variables ---

// A variable that is empty is not there.
static const char *get(const struct sfl_environment *environment, const char *name)
{
    const char *value = environment->get(environment->context, name);
    return value == NULL || *value == '\0' ? NULL : value;
}

// The one for traces comes before the one for all signals. `name_out` is the one that counts.
static const char *get_either(const struct sfl_environment *environment, const char *of_traces,
                              const char *of_all, const char **name_out)
{
    const char *value = get(environment, of_traces);
    *name_out = value != NULL ? of_traces : of_all;
    return value != NULL ? value : get(environment, of_all);
}

static void warn(const struct sfl_environment *environment, const char *name, const char *problem)
{
    environment->warn(environment->context, name, problem);
}

static bool get_bool(const struct sfl_environment *environment, const char *name)
{
    const char *value = get(environment, name);
    if (value == NULL || strcasecmp(value, "false") == 0)
        return false;
    if (strcasecmp(value, "true") == 0)
        return true;
    warn(environment, name, "is neither true nor false");
    return false;
}

// A whole number from `min` to `max`; `number` stays as it is when there is none.
static void read_number(const struct sfl_environment *environment, const char *name,
                        const char *value, uint64_t min, uint64_t max, uint64_t *number)
{
    if (value == NULL)
        return;
    char *end = NULL;
    errno = 0;
    unsigned long long read = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end != '\0' || errno != 0 || read < min || read > max)
        warn(environment, name, "is not a whole number in its bounds");
    else
        *number = read;
}

// --- whether at all ---

// False when traces are off, or cannot be exported as is asked.
static bool is_wanted(const struct sfl_environment *environment, bool *is_asked_out)
{
    const char *exporter = get(environment, "OTEL_TRACES_EXPORTER");
    const char *name = NULL;
    const char *protocol = get_either(environment, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                                      "OTEL_EXPORTER_OTLP_PROTOCOL", &name);
    *is_asked_out = exporter != NULL && strcasecmp(exporter, "otlp") == 0;
    if (get_bool(environment, "OTEL_SDK_DISABLED"))
        return false;
    if (exporter != NULL && strcasecmp(exporter, "none") == 0)
        return false;
    if (exporter != NULL && !*is_asked_out) {
        warn(environment, "OTEL_TRACES_EXPORTER", "is neither otlp nor none: no traces");
        return false;
    }
    if (protocol != NULL && strcasecmp(protocol, "grpc") != 0) {
        warn(environment, name, "is not grpc, which is all that there is: no traces");
        return false;
    }
    return true;
}

// --- where to ---

static enum sfl_status set_text(char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
    return *text == NULL ? SFL_NO_MEMORY : SFL_OK;
}

// The host and port of a URL, whose path means nothing to gRPC.
static enum sfl_status set_host(struct sfl_tracing_settings *settings, const char *after_scheme)
{
    size_t size = strcspn(after_scheme, "/?#");
    char *target = malloc(size + sizeof(":" DEFAULT_PORT));
    if (target == NULL)
        return SFL_NO_MEMORY;
    memcpy(target, after_scheme, size);
    target[size] = '\0';
    const char *bracket = strrchr(target, ']');
    if (strchr(bracket == NULL ? target : bracket, ':') == NULL)
        memcpy(target + size, ":" DEFAULT_PORT, sizeof(":" DEFAULT_PORT));
    settings->target = target;
    return SFL_OK;
}

static bool has_scheme(const char *value, const char *scheme, const char **rest_out)
{
    size_t size = strlen(scheme);
    *rest_out = value + size;
    return strncasecmp(value, scheme, size) == 0;
}

// What gRPC calls a target: its own affair, and whether TLS is to be has a variable.
static enum sfl_status set_target(const struct sfl_environment *environment,
                                  struct sfl_tracing_settings *settings, const char *value)
{
    const char *rest = NULL;
    const char *of_traces = "OTEL_EXPORTER_OTLP_TRACES_INSECURE";
    const char *insecure =
        get(environment, of_traces) != NULL ? of_traces : "OTEL_EXPORTER_OTLP_INSECURE";
    settings->is_tls = !has_scheme(value, "unix:", &rest) && !get_bool(environment, insecure);
    return set_text(&settings->target, value);
}

static enum sfl_status read_endpoint(const struct sfl_environment *environment, bool is_asked,
                                     struct sfl_tracing_settings *settings)
{
    const char *name = NULL;
    const char *rest = NULL;
    const char *value = get_either(environment, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                                   "OTEL_EXPORTER_OTLP_ENDPOINT", &name);
    settings->is_on = value != NULL || is_asked;
    if (value == NULL)
        return set_text(&settings->target, DEFAULT_TARGET);
    settings->is_tls = has_scheme(value, "https://", &rest);
    if (settings->is_tls || has_scheme(value, "http://", &rest)) {
        if (strcspn(rest, "/?#:") > 0 && strchr(rest, '@') == NULL)
            return set_host(settings, rest);
    } else if (strstr(value, "://") == NULL || has_scheme(value, "unix:", &rest) ||
               has_scheme(value, "dns:", &rest)) {
        return set_target(environment, settings, value);
    }
    warn(environment, name, "is no address that gRPC can reach: no traces");
    settings->is_on = false;
    return SFL_OK;
}

// --- how ---

static enum sfl_status read_file(const struct sfl_environment *environment, const char *of_traces,
                                 const char *of_all, char **path)
{
    const char *name = NULL;
    const char *value = get_either(environment, of_traces, of_all, &name);
    return value == NULL ? SFL_OK : set_text(path, value);
}

static enum sfl_status read_files(const struct sfl_environment *environment,
                                  struct sfl_tracing_settings *settings)
{
    enum sfl_status status = read_file(environment, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                                       "OTEL_EXPORTER_OTLP_CERTIFICATE", &settings->certificate);
    if (status == SFL_OK)
        status = read_file(environment, "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
                           "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &settings->client_certificate);
    if (status == SFL_OK)
        status = read_file(environment, "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
                           "OTEL_EXPORTER_OTLP_CLIENT_KEY", &settings->client_key);
    return status;
}

// What is no list is warned about, and is none.
static enum sfl_status read_pairs(const struct sfl_environment *environment, const char *name,
                                  const char *value, struct sfl_pairs *pairs)
{
    enum sfl_status status = value == NULL ? SFL_OK : sfl_pairs_read(pairs, value);
    if (status != SFL_INVALID_ARGUMENT)
        return status;
    warn(environment, name, "is no list key=value,key=value with percent-encoded values");
    return SFL_OK;
}

static enum sfl_status read_headers(const struct sfl_environment *environment,
                                    struct sfl_tracing_settings *settings)
{
    const char *name = NULL;
    const char *value = get_either(environment, "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                                   "OTEL_EXPORTER_OTLP_HEADERS", &name);
    enum sfl_status status = read_pairs(environment, name, value, &settings->headers);
    for (size_t i = 0; i < settings->headers.count; i++) {
        for (char *at = settings->headers.items[i].key; *at != '\0'; at++)
            *at = (char)tolower((unsigned char)*at);
    }
    return status;
}

// Who says it; what the variables say counts more.
static enum sfl_status set_resource_defaults(struct sfl_pairs *resource)
{
    char host[256] = "";
    enum sfl_status status = sfl_pairs_set(resource, "service.name", "singleflightd");
    if (status == SFL_OK)
        status = sfl_pairs_set(resource, "service.version", sfl_version());
    if (status == SFL_OK && gethostname(host, sizeof(host) - 1) == 0)
        status = sfl_pairs_set(resource, "host.name", host);
    return status;
}

static enum sfl_status read_resource(const struct sfl_environment *environment,
                                     struct sfl_tracing_settings *settings)
{
    const char *name = "OTEL_RESOURCE_ATTRIBUTES";
    const char *service = get(environment, "OTEL_SERVICE_NAME");
    enum sfl_status status = set_resource_defaults(&settings->resource);
    if (status == SFL_OK)
        status = read_pairs(environment, name, get(environment, name), &settings->resource);
    if (status == SFL_OK && service != NULL)
        status = sfl_pairs_set(&settings->resource, "service.name", service);
    return status;
}

static void read_sampler(const struct sfl_environment *environment, struct sfl_sampler *sampler)
{
    const char *name = get(environment, "OTEL_TRACES_SAMPLER");
    const char *argument = get(environment, "OTEL_TRACES_SAMPLER_ARG");
    *sampler = sfl_sampler_default();
    if (name != NULL && !sfl_sampler_read(name, sampler))
        warn(environment, "OTEL_TRACES_SAMPLER", "is no sampler that is known");
    if (argument == NULL || sampler->kind != SFL_SAMPLER_TRACE_ID_RATIO)
        return;
    char *end = NULL;
    double ratio = strtod(argument, &end);
    if (end != argument && *end == '\0' && ratio >= 0 && ratio <= 1)
        sampler->ratio = ratio;
    else
        warn(environment, "OTEL_TRACES_SAMPLER_ARG", "is no number from 0 to 1");
}

static void read_numbers(const struct sfl_environment *environment,
                         struct sfl_tracing_settings *settings)
{
    const char *name = NULL;
    const char *timeout = get_either(environment, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
                                     "OTEL_EXPORTER_OTLP_TIMEOUT", &name);
    settings->timeout_ms = TIMEOUT_DEFAULT_MS;
    settings->delay_ms = DELAY_DEFAULT_MS;
    settings->queue_max = QUEUE_DEFAULT;
    settings->batch_max = BATCH_DEFAULT;
    read_number(environment, name, timeout, 1, MS_MAX, &settings->timeout_ms);
    name = "OTEL_BSP_SCHEDULE_DELAY";
    read_number(environment, name, get(environment, name), 0, MS_MAX, &settings->delay_ms);
    name = "OTEL_BSP_MAX_QUEUE_SIZE";
    read_number(environment, name, get(environment, name), 1, QUEUE_MAX, &settings->queue_max);
    name = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    read_number(environment, name, get(environment, name), 1, BATCH_MAX, &settings->batch_max);
    if (settings->batch_max > settings->queue_max)
        settings->batch_max = settings->queue_max;
}

enum sfl_status sfl_tracing_settings_read(const struct sfl_environment *environment,
                                          struct sfl_tracing_settings *settings_out)
{
    struct sfl_tracing_settings settings = {0};
    bool is_asked = false;
    bool is_wanted_at_all = is_wanted(environment, &is_asked);
    enum sfl_status status = SFL_OK;
    if (is_wanted_at_all)
        status = read_endpoint(environment, is_asked, &settings);
    if (status == SFL_OK && settings.is_on) {
        read_sampler(environment, &settings.sampler);
        read_numbers(environment, &settings);
        status = read_files(environment, &settings);
        if (status == SFL_OK)
            status = read_headers(environment, &settings);
        if (status == SFL_OK)
            status = read_resource(environment, &settings);
    }
    if (status == SFL_OK)
        *settings_out = settings;
    else
        sfl_tracing_settings_deinit(&settings);
    return status;
}

void sfl_tracing_settings_deinit(struct sfl_tracing_settings *settings)
{
    free(settings->target);
    free(settings->certificate);
    free(settings->client_certificate);
    free(settings->client_key);
    sfl_pairs_deinit(&settings->headers);
    sfl_pairs_deinit(&settings->resource);
    *settings = (struct sfl_tracing_settings){0};
}
