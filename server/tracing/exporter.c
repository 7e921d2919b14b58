// SPDX-License-Identifier: Apache-2.0
#include "tracing/exporter.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "rpc/channel.h"
#include "tracing/encode.h"
#include "tracing/files.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define EXPORT_PATH "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

enum {
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MAX_MS = 16000,
    TRIES_MAX = 6, // about half a minute; then the batch is given up
    RESPONSE_BYTES_MAX = 64 * 1024,
};

// A batch is on its way, or waits for its next try; nothing is taken from the queue meanwhile.
struct batch {
    struct sfl_buffer spans; // empty: there is none
    uint64_t span_count;
    unsigned tries;
    uint64_t due_ms;
    uint64_t rejected;
};

struct sfl_exporter {
    struct sfl_trace_queue *queue;
    struct sfl_pumps *pumps;
    struct sfl_channel *channel;
    struct sfl_buffer resource;
    uint64_t timeout_ms;
    uint64_t delay_ms;
    uint64_t batch_max;
    atomic_bool is_hurried;
    atomic_bool is_ending; // one try for each batch
    atomic_bool is_over;   // none any more
    _Atomic uint64_t exported;
    _Atomic uint64_t failed;

    // The pump's thread alone.
    struct sfl_stream *stream; // of the export that is under way
    struct batch batch;
    bool is_failing; // and it has been said

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_idle; // nothing is left to do
};

// --- batches ---

static void drop_batch(struct sfl_exporter *exporter)
{
    sfl_buffer_deinit(&exporter->batch.spans);
    exporter->batch = (struct batch){.span_count = 0};
}

// Encodes and frees calls. What there is no memory for has failed.
static void fill_batch(struct sfl_exporter *exporter, struct sfl_list *calls)
{
    struct batch *batch = &exporter->batch;
    struct sfl_link *link = NULL;
    while ((link = sfl_list_pop(calls)) != NULL) {
        struct sfl_traced *traced = SFL_CONTAINER_OF(link, struct sfl_traced, link);
        if (sfl_encode_spans(&batch->spans, traced))
            batch->span_count += sfl_traced_spans(traced);
        else
            atomic_fetch_add(&exporter->failed, sfl_traced_spans(traced));
        sfl_traced_destroy(traced);
    }
}

// When the queue is to be looked at; UINT64_MAX: when somebody says so.
static uint64_t queue_due_ms(struct sfl_exporter *exporter)
{
    struct sfl_trace_queue_look look = sfl_trace_queue_look(exporter->queue);
    if (look.count == 0)
        return UINT64_MAX;
    if (look.count >= exporter->batch_max || atomic_load(&exporter->is_hurried))
        return 0;
    return look.first_ms + exporter->delay_ms;
}

// False when none is due.
static bool take_batch(struct sfl_exporter *exporter)
{
    struct sfl_list calls;
    if (queue_due_ms(exporter) > sfl_clock_now_ms())
        return false;
    sfl_list_init(&calls);
    sfl_trace_queue_take(exporter->queue, exporter->batch_max, &calls);
    fill_batch(exporter, &calls);
    return exporter->batch.span_count > 0;
}

// --- one export ---

static void advance(struct sfl_exporter *exporter);

// gRPC's codes that OTLP says may be tried again.
static bool may_try_again(int code)
{
    static const enum sfl_status passing[] = {SFL_CANCELLED, SFL_DEADLINE_EXCEEDED, SFL_ABORTED,
                                              SFL_UNAVAILABLE, SFL_RESOURCE_EXHAUSTED};
    enum { OUT_OF_RANGE = 11, DATA_LOSS = 15 };
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        if (code == sfl_status_code(passing[i]))
            return true;
    }
    return code == OUT_OF_RANGE || code == DATA_LOSS;
}

// Half of it is chance, so that many daemons do not come back at once.
static uint64_t pause_ms(unsigned tries)
{
    uint64_t ms = BACKOFF_FIRST_MS;
    while (--tries > 0 && ms < BACKOFF_MAX_MS)
        ms *= 2;
    return ms / 2 + sfl_entropy_u64() % (ms / 2 + 1);
}

static void on_taken(struct sfl_exporter *exporter)
{
    const struct batch *batch = &exporter->batch;
    uint64_t rejected = batch->rejected < batch->span_count ? batch->rejected : batch->span_count;
    atomic_fetch_add(&exporter->exported, batch->span_count - rejected);
    atomic_fetch_add(&exporter->failed, rejected);
    if (rejected > 0)
        sfl_log(SFL_LOG_WARN, "traces_rejected", SFL_U64("spans", rejected));
    if (exporter->is_failing)
        sfl_log(SFL_LOG_INFO, "traces_exported_again");
    exporter->is_failing = false;
    drop_batch(exporter);
}

static void on_failed(struct sfl_exporter *exporter, int code, const char *text)
{
    struct batch *batch = &exporter->batch;
    if (!exporter->is_failing)
        sfl_log(SFL_LOG_WARN, "traces_not_exported", SFL_I64("code", code),
                SFL_STR("reason", text));
    exporter->is_failing = true;
    batch->tries++;
    if (may_try_again(code) && batch->tries < TRIES_MAX && !atomic_load(&exporter->is_ending)) {
        batch->due_ms = sfl_clock_now_ms() + pause_ms(batch->tries);
        return;
    }
    atomic_fetch_add(&exporter->failed, batch->span_count);
    drop_batch(exporter);
}

static void on_message(void *context, struct sfl_span message)
{
    struct sfl_exporter *exporter = context;
    exporter->batch.rejected = sfl_decode_rejected(message);
}

static void on_closed(void *context, int code, const char *text)
{
    struct sfl_exporter *exporter = context;
    sfl_stream_unref(exporter->stream);
    exporter->stream = NULL;
    if (code == sfl_status_code(SFL_OK))
        on_taken(exporter);
    else
        on_failed(exporter, code, text);
    advance(exporter);
}

static void send_batch(struct sfl_exporter *exporter)
{
    static const struct sfl_stream_events events = {.on_message = on_message,
                                                    .on_closed = on_closed};
    const struct sfl_buffer *resource = &exporter->resource;
    const struct sfl_buffer *spans = &exporter->batch.spans;
    struct sfl_export_heads heads;
    sfl_encode_heads(&heads, resource->size, spans->size);
    const struct sfl_piece pieces[] = {
        {.bytes = sfl_span_of(heads.before, heads.before_size)},
        {.bytes = sfl_span_of(resource->data, resource->size)},
        {.bytes = sfl_span_of(heads.after, heads.after_size)},
        {.bytes = sfl_span_of(spans->data, spans->size)},
    };
    exporter->batch.rejected = 0;
    exporter->stream = sfl_channel_open_with(
        exporter->channel, EXPORT_PATH, sfl_clock_now_ms() + exporter->timeout_ms, pieces,
        sizeof(pieces) / sizeof(pieces[0]), true, &events, exporter);
    if (exporter->stream == NULL)
        on_failed(exporter, sfl_status_code(SFL_NO_MEMORY), sfl_status_text(SFL_NO_MEMORY));
}

// --- the pump ---

static bool has_batch(const struct sfl_exporter *exporter)
{
    return exporter->batch.span_count > 0;
}

static void say_idle(struct sfl_exporter *exporter)
{
    pthread_mutex_lock(&exporter->lock);
    exporter->is_idle = true;
    pthread_cond_broadcast(&exporter->changed);
    pthread_mutex_unlock(&exporter->lock);
}

// Does what there is to do now.
static void advance(struct sfl_exporter *exporter)
{
    bool is_over = atomic_load(&exporter->is_over);
    if (exporter->stream != NULL) {
        if (is_over)
            sfl_stream_cancel(exporter->stream, sfl_status_code(SFL_CANCELLED), "the end");
        return;
    }
    if (is_over && has_batch(exporter)) {
        atomic_fetch_add(&exporter->failed, exporter->batch.span_count);
        drop_batch(exporter);
    }
    if (!is_over && (has_batch(exporter) || take_batch(exporter))) {
        if (exporter->batch.due_ms <= sfl_clock_now_ms() || atomic_load(&exporter->is_ending))
            send_batch(exporter);
        return;
    }
    if (atomic_load(&exporter->is_ending))
        say_idle(exporter);
}

static uint64_t next_tick_ms(void *context)
{
    struct sfl_exporter *exporter = context;
    if (exporter->stream != NULL || atomic_load(&exporter->is_over))
        return UINT64_MAX;
    return has_batch(exporter) ? exporter->batch.due_ms : queue_due_ms(exporter);
}

static void on_tick(void *context)
{
    advance(context);
}

static void wake(struct sfl_exporter *exporter)
{
    sfl_pump_wake(sfl_pumps_get(exporter->pumps, 0));
}

void sfl_exporter_note(struct sfl_exporter *exporter, uint64_t count)
{
    if (count == 1 || count == exporter->batch_max || atomic_load(&exporter->is_hurried))
        wake(exporter);
}

void sfl_exporter_hurry(struct sfl_exporter *exporter)
{
    atomic_store(&exporter->is_hurried, true);
    wake(exporter);
}

struct sfl_exporter_counts sfl_exporter_counts(const struct sfl_exporter *exporter)
{
    return (struct sfl_exporter_counts){atomic_load(&exporter->exported),
                                        atomic_load(&exporter->failed)};
}

// --- life ---

static enum sfl_status open_channel_with(struct sfl_exporter *exporter,
                                         const struct sfl_tracing_settings *settings,
                                         const struct sfl_channel_tls *tls)
{
    size_t count = settings->headers.count;
    struct sfl_metadata *metadata = calloc(count + 1, sizeof(metadata[0]));
    if (metadata == NULL)
        return SFL_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        metadata[i] = (struct sfl_metadata){settings->headers.items[i].key,
                                            sfl_span_of_text(settings->headers.items[i].value)};
    const struct sfl_channel_options options = {
        .pump = sfl_pumps_get(exporter->pumps, 0),
        .message_bytes_max = RESPONSE_BYTES_MAX,
        .own_connection = true,
        .metadata = metadata,
        .metadata_count = count,
        .tls = tls,
    };
    enum sfl_status status = sfl_channel_create(settings->target, &options, &exporter->channel);
    free(metadata);
    return status;
}

static enum sfl_status open_channel(struct sfl_exporter *exporter,
                                    const struct sfl_tracing_settings *settings)
{
    char *texts[3] = {NULL, NULL, NULL};
    if (!settings->is_tls)
        return open_channel_with(exporter, settings, NULL);
    enum sfl_status status = sfl_tracing_read_file(settings->certificate, &texts[0]);
    if (status == SFL_OK)
        status = sfl_tracing_read_file(settings->client_certificate, &texts[1]);
    if (status == SFL_OK)
        status = sfl_tracing_read_file(settings->client_key, &texts[2]);
    bool is_half = (texts[1] == NULL) != (texts[2] == NULL);
    if (status == SFL_OK && is_half)
        status = SFL_INVALID_ARGUMENT;
    const struct sfl_channel_tls tls = {.ca = texts[0], .cert = texts[1], .key = texts[2]};
    if (status == SFL_OK)
        status = open_channel_with(exporter, settings, &tls);
    for (size_t i = 0; i < 3; i++)
        free(texts[i]);
    return status;
}

static void init_lock(struct sfl_exporter *exporter)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&exporter->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&exporter->lock, NULL);
}

static void free_exporter(struct sfl_exporter *exporter)
{
    if (exporter->channel != NULL)
        sfl_channel_destroy(exporter->channel);
    if (exporter->pumps != NULL)
        sfl_pumps_destroy(exporter->pumps);
    drop_batch(exporter);
    sfl_buffer_deinit(&exporter->resource);
    pthread_cond_destroy(&exporter->changed);
    pthread_mutex_destroy(&exporter->lock);
    free(exporter);
}

enum sfl_status sfl_exporter_create(const struct sfl_tracing_settings *settings,
                                    struct sfl_trace_queue *queue,
                                    struct sfl_exporter **exporter_out)
{
    struct sfl_exporter *exporter = calloc(1, sizeof(*exporter));
    if (exporter == NULL)
        return SFL_NO_MEMORY;
    exporter->queue = queue;
    exporter->timeout_ms = settings->timeout_ms;
    exporter->delay_ms = settings->delay_ms;
    exporter->batch_max = settings->batch_max;
    init_lock(exporter);
    const struct sfl_pump_hooks hooks = {next_tick_ms, on_tick, exporter};
    enum sfl_status status = sfl_encode_resource(&exporter->resource, &settings->resource)
                                 ? sfl_pumps_create(1, &hooks, &exporter->pumps)
                                 : SFL_NO_MEMORY;
    if (status == SFL_OK)
        status = open_channel(exporter, settings);
    if (status != SFL_OK) {
        free_exporter(exporter);
        return status;
    }
    *exporter_out = exporter;
    return SFL_OK;
}

static struct timespec time_in(uint64_t ms)
{
    uint64_t ns = sfl_clock_now_ns() + ms * 1000000;
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

// False when that took longer than `ms`.
static bool await_idle(struct sfl_exporter *exporter, uint64_t ms)
{
    struct timespec until = time_in(ms);
    int error = 0;
    pthread_mutex_lock(&exporter->lock);
    while (!exporter->is_idle && error == 0)
        error = pthread_cond_timedwait(&exporter->changed, &exporter->lock, &until);
    bool is_idle = exporter->is_idle;
    pthread_mutex_unlock(&exporter->lock);
    return is_idle;
}

void sfl_exporter_destroy(struct sfl_exporter *exporter, uint64_t wait_ms)
{
    enum { CANCEL_MS = 60000 }; // it is this side's own doing, and takes no time
    atomic_store(&exporter->is_ending, true);
    sfl_exporter_hurry(exporter);
    if (!await_idle(exporter, wait_ms)) {
        atomic_store(&exporter->is_over, true);
        wake(exporter);
        (void)await_idle(exporter, CANCEL_MS);
    }
    free_exporter(exporter);
}
