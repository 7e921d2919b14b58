// SPDX-License-Identifier: Apache-2.0
#include "tracing/tracing.h"

#include "base/log.h"
#include "tracing/exporter.h"
#include "tracing/tracing_private.h"

#include <stdlib.h>

// What a traced call takes at most, so that both bounds are met together in the worst case.
enum { CALL_BYTES = 1024 };

enum sfl_status sfl_tracing_create(const struct sfl_tracing_settings *settings,
                                   struct sfl_tracing **tracing_out)
{
    struct sfl_tracing *tracing = malloc(sizeof(*tracing));
    if (tracing == NULL)
        return SFL_NO_MEMORY;
    tracing->sampler = settings->sampler;
    tracing->note = sfl_exporter_note;
    sfl_trace_queue_init(&tracing->queue, settings->queue_max, settings->queue_max * CALL_BYTES);
    enum sfl_status status = sfl_exporter_create(settings, &tracing->queue, &tracing->exporter);
    if (status != SFL_OK) {
        sfl_trace_queue_deinit(&tracing->queue);
        free(tracing);
        return status;
    }
    *tracing_out = tracing;
    return SFL_OK;
}

static const char *get_variable(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

static void warn_of_variable(void *context, const char *name, const char *problem)
{
    (void)context;
    sfl_log(SFL_LOG_WARN, "variable_ignored", SFL_STR("variable", name),
            SFL_STR("reason", problem));
}

enum sfl_status sfl_tracing_open(struct sfl_tracing **tracing_out)
{
    const struct sfl_environment environment = {get_variable, warn_of_variable, NULL};
    struct sfl_tracing_settings settings;
    struct sfl_tracing *tracing = NULL;
    enum sfl_status status = sfl_tracing_settings_read(&environment, &settings);
    if (status != SFL_OK)
        return status;
    if (settings.is_on)
        status = sfl_tracing_create(&settings, &tracing);
    if (status == SFL_INVALID_ARGUMENT) {
        sfl_log(SFL_LOG_WARN, "no_traces", SFL_STR("target", settings.target),
                SFL_STR("reason", "gRPC cannot read the endpoint, the headers or a certificate"));
        status = SFL_OK;
    } else if (tracing != NULL) {
        sfl_log(SFL_LOG_INFO, "tracing", SFL_STR("target", settings.target),
                SFL_BOOL("tls", settings.is_tls));
    }
    sfl_tracing_settings_deinit(&settings);
    if (status == SFL_OK)
        *tracing_out = tracing;
    return status;
}

void sfl_tracing_hurry(struct sfl_tracing *tracing)
{
    sfl_exporter_hurry(tracing->exporter);
}

void sfl_tracing_destroy(struct sfl_tracing *tracing, uint64_t wait_ms)
{
    sfl_exporter_destroy(tracing->exporter, wait_ms);
    struct sfl_trace_queue_look left = sfl_trace_queue_look(&tracing->queue);
    if (left.count > 0)
        sfl_log(SFL_LOG_WARN, "traces_left", SFL_U64("calls", left.count));
    sfl_trace_queue_deinit(&tracing->queue);
    free(tracing);
}

struct sfl_tracing_counts sfl_tracing_counts(struct sfl_tracing *tracing)
{
    struct sfl_exporter_counts sent = sfl_exporter_counts(tracing->exporter);
    return (struct sfl_tracing_counts){
        .exported = sent.exported,
        .dropped = sfl_trace_queue_look(&tracing->queue).dropped,
        .failed = sent.failed,
    };
}
