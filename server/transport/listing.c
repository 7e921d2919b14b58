// SPDX-License-Identifier: Apache-2.0
#include "transport/listing.h"

#include "base/status.h"

#include <stdlib.h>

enum {
    LIMIT_DEFAULT = 1000,
    KEY_PREFIX_MAX = 1024,
};

static struct sfl_listing *listing_of(struct sfl_outbox *outbox)
{
    return SFL_CONTAINER_OF(outbox, struct sfl_listing, outbox);
}

static struct sfl_listing_row *row_of(struct sfl_link *link)
{
    return SFL_CONTAINER_OF(link, struct sfl_listing_row, link);
}

// --- out ---

bool sfl_listing_wants(const struct sfl_listing *listing, struct sfl_span group,
                       struct sfl_span key)
{
    struct sfl_span wanted = sfl_bytes_span(listing->group);
    return (wanted.size == 0 || sfl_span_equal(wanted, group)) &&
           sfl_span_starts_with(key, sfl_bytes_span(listing->key_prefix)) &&
           sfl_admit_may_list(&listing->admit, group);
}

bool sfl_listing_add(struct sfl_listing *listing, struct sfl_listing_row *row)
{
    if (row == NULL) {
        listing->has_no_memory = true;
        return false;
    }
    sfl_list_append(&listing->rows, &row->link);
    return --listing->left > 0;
}

// Looks for more rows, a piece at a time, until there is one to send. False when the turn is over
// before.
static bool look(struct sfl_listing *listing)
{
    while (sfl_list_is_empty(&listing->rows) && !listing->is_at_end) {
        bool has_more = listing->ops->look(listing);
        listing->is_at_end = !has_more || listing->left == 0 || listing->has_no_memory;
        if (sfl_pump_should_yield())
            break;
    }
    return !sfl_list_is_empty(&listing->rows) || listing->is_at_end;
}

static enum sfl_fill fill(struct sfl_outbox *outbox, struct sfl_message *message)
{
    struct sfl_listing *listing = listing_of(outbox);
    sfl_outbox_lock(outbox);
    bool has_request = listing->has_request;
    sfl_outbox_unlock(outbox);
    if (!has_request)
        return SFL_FILL_NOTHING;
    if (!look(listing))
        return SFL_FILL_LATER;
    struct sfl_link *link = sfl_list_pop(&listing->rows);
    if (link == NULL) {
        if (listing->has_no_memory)
            sfl_message_set_status(message, sfl_status_code(SFL_NO_MEMORY),
                                   sfl_status_text(SFL_NO_MEMORY));
        return SFL_FILL_FINISH;
    }
    struct sfl_listing_row *row = row_of(link);
    if (listing->ops->complete != NULL)
        listing->ops->complete(listing, row);
    sfl_message_refer(message, sfl_span_of(row->message, row->size), free, row);
    return SFL_FILL_SEND;
}

static void free_listing(struct sfl_outbox *outbox)
{
    struct sfl_listing *listing = listing_of(outbox);
    struct sfl_link *link = NULL;
    while ((link = sfl_list_pop(&listing->rows)) != NULL)
        free(row_of(link));
    sfl_bytes_unref(listing->group);
    sfl_bytes_unref(listing->key_prefix);
    free(listing);
}

static const struct sfl_outbox_ops outbox_ops = {.fill = fill, .free = free_listing};

// --- in ---

static void refuse(struct sfl_listing *listing, enum sfl_status status,
                   const struct sfl_fault *fault)
{
    sfl_outbox_end(&listing->outbox, sfl_status_code(status), fault, true);
}

static void deny(struct sfl_listing *listing, enum sfl_reason reason)
{
    const struct sfl_fault fault = {NULL, sfl_reason_text(reason)};
    refuse(listing, sfl_reason_status(reason), &fault);
}

// Without a group, the rows are looked at one by one.
static enum sfl_reason check_right(struct sfl_listing *listing, struct sfl_span group)
{
    if (group.size == 0 || group.size > listing->outbox.transport->limits->group_bytes_max)
        return SFL_REASON_NONE;
    return sfl_admit_check(&listing->admit, SFL_RIGHT_LIST, group).reason;
}

static bool check(const struct sfl_listing *listing, const struct sfl_listing_request *request,
                  struct sfl_fault *fault)
{
    struct sfl_refusal refusal = sfl_limits_check_key(listing->outbox.transport->limits,
                                                      request->group, sfl_span_of_text("any"));
    if (refusal.reason != SFL_REASON_NONE)
        *fault = (struct sfl_fault){"group", "is no name that a group can have"};
    else if (request->key_prefix.size > KEY_PREFIX_MAX)
        *fault = (struct sfl_fault){"key_prefix", "is longer than 1024 bytes"};
    return fault->what == NULL;
}

static void on_message(void *context, struct sfl_span message)
{
    struct sfl_listing *listing = context;
    struct sfl_listing_request request = {.limit = 0};
    struct sfl_fault fault = {0};
    if (listing->has_request)
        return;
    if (!sfl_schema_read(listing->ops->schema, message, &request, &fault) || fault.what != NULL ||
        !check(listing, &request, &fault)) {
        refuse(listing, SFL_INVALID_ARGUMENT, &fault);
        return;
    }
    enum sfl_reason reason = check_right(listing, request.group);
    if (reason != SFL_REASON_NONE) {
        deny(listing, reason);
        return;
    }
    listing->group = sfl_bytes_copy(&sfl_heap, request.group);
    listing->key_prefix = sfl_bytes_copy(&sfl_heap, request.key_prefix);
    if (listing->group == NULL || listing->key_prefix == NULL) {
        fault = (struct sfl_fault){NULL, sfl_status_text(SFL_NO_MEMORY)};
        refuse(listing, SFL_NO_MEMORY, &fault);
        return;
    }
    listing->since_unix_ms = request.since_unix_ms;
    listing->left = request.limit == 0 ? LIMIT_DEFAULT : request.limit;
    sfl_outbox_lock(&listing->outbox);
    listing->has_request = true;
    sfl_outbox_wake_locked(&listing->outbox);
    sfl_outbox_unlock(&listing->outbox);
}

static void on_half_close(void *context)
{
    static const struct sfl_fault no_request = {NULL, "the request is missing"};
    struct sfl_listing *listing = context;
    if (!listing->has_request)
        refuse(listing, SFL_INVALID_ARGUMENT, &no_request);
}

static void on_sent(void *context)
{
    struct sfl_listing *listing = context;
    sfl_outbox_on_sent(&listing->outbox);
}

static void on_closed(void *context, int code, const char *text)
{
    struct sfl_listing *listing = context;
    (void)code;
    (void)text;
    sfl_outbox_on_closed(&listing->outbox);
    sfl_admit_close(&listing->admit);
    sfl_outbox_unref(&listing->outbox);
}

// The rights have changed.
static bool recheck(struct sfl_admit *admit)
{
    struct sfl_listing *listing = SFL_CONTAINER_OF(admit, struct sfl_listing, admit);
    enum sfl_reason reason = sfl_admit_renew(admit).reason;
    if (reason == SFL_REASON_NONE && listing->group != NULL)
        reason = check_right(listing, sfl_bytes_span(listing->group));
    if (reason != SFL_REASON_NONE)
        deny(listing, reason);
    return true;
}

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

void sfl_listing_on_call(const struct sfl_listing_ops *ops, void *context,
                         struct sfl_stream *stream, const struct sfl_stream_events **events_out,
                         void **stream_context_out)
{
    struct sfl_listing *listing = calloc(1, sizeof(*listing));
    if (listing == NULL) {
        sfl_transport_refuse_stream(stream, events_out, stream_context_out);
        return;
    }
    listing->ops = ops;
    sfl_outbox_init(&listing->outbox, &outbox_ops, context, stream);
    sfl_list_init(&listing->rows);
    *events_out = &events;
    *stream_context_out = listing;
    enum sfl_reason reason = sfl_admit_open(&listing->admit, context, stream).reason;
    if (reason != SFL_REASON_NONE)
        deny(listing, reason);
    else
        sfl_admit_watch(&listing->admit, recheck);
}
