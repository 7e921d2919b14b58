// SPDX-License-Identifier: Apache-2.0
#include "rpc/identity.h"

#include "rpc/stream_private.h"

#include <grpc/grpc_security.h>
#include <grpc/slice.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// --- the token ---

static struct sfl_span span_of_slice(const grpc_slice *slice)
{
    return sfl_span_of(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
}

// "Bearer TOKEN", the scheme in either case.
static bool read_bearer(struct sfl_span value, struct sfl_span *token_out)
{
    static const char scheme[] = "bearer ";
    size_t size = sizeof(scheme) - 1;
    if (value.size <= size || strncasecmp((const char *)value.data, scheme, size) != 0)
        return false;
    while (size < value.size && value.data[size] == ' ')
        size++;
    *token_out = sfl_span_of(value.data + size, value.size - size);
    return token_out->size > 0;
}

static void find_bearer(const struct sfl_stream *stream, struct sfl_stream_identity *identity)
{
    assert(stream->asked != NULL);
    for (size_t i = 0; i < stream->asked->count; i++) {
        const grpc_metadata *entry = &stream->asked->metadata[i];
        if (grpc_slice_str_cmp(entry->key, "authorization") != 0)
            continue;
        bool is_second = identity->has_bearer;
        identity->has_bearer = true;
        identity->is_bearer_readable =
            !is_second && read_bearer(span_of_slice(&entry->value), &identity->bearer);
    }
}

// --- the certificate ---

static bool is_text(const char *value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)value[i] <= ' ' || value[i] == 0x7f)
            return false;
    }
    return size > 0;
}

static void add_name(struct sfl_stream_identity *identity, struct sfl_span prefix,
                     const char *value, size_t size)
{
    size_t left = sizeof(identity->bytes) - identity->bytes_used;
    if (identity->name_count == SFL_STREAM_NAMES_MAX || !is_text(value, size) || size > left ||
        prefix.size > left - size) {
        identity->are_names_whole = false;
        return;
    }
    char *name = identity->bytes + identity->bytes_used;
    memcpy(name, prefix.data, prefix.size);
    memcpy(name + prefix.size, value, size);
    identity->names[identity->name_count++] = sfl_span_of(name, prefix.size + size);
    identity->bytes_used += prefix.size + size;
}

static void add_names(struct sfl_stream_identity *identity, const grpc_auth_context *context,
                      const char *property_name, const char *prefix)
{
    grpc_auth_property_iterator walk =
        grpc_auth_context_find_properties_by_name(context, property_name);
    const grpc_auth_property *property;
    while ((property = grpc_auth_property_iterator_next(&walk)) != NULL)
        add_name(identity, sfl_span_of_text(prefix), property->value, property->value_length);
}

static bool is_tls(const grpc_auth_context *context)
{
    grpc_auth_property_iterator walk = grpc_auth_context_find_properties_by_name(
        context, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
    const grpc_auth_property *property = grpc_auth_property_iterator_next(&walk);
    return property != NULL && (strcmp(property->value, GRPC_SSL_TRANSPORT_SECURITY_TYPE) == 0 ||
                                strcmp(property->value, GRPC_TLS_TRANSPORT_SECURITY_TYPE) == 0);
}

static void read_certificate(struct sfl_stream *stream, struct sfl_stream_identity *identity)
{
    grpc_auth_context *context = grpc_call_auth_context(stream->call);
    if (context == NULL)
        return;
    identity->is_tls = is_tls(context);
    if (identity->is_tls && grpc_auth_context_peer_is_authenticated(context)) {
        add_names(identity, context, GRPC_PEER_URI_PROPERTY_NAME, "uri:");
        add_names(identity, context, GRPC_PEER_DNS_PROPERTY_NAME, "dns:");
    }
    grpc_auth_context_release(context);
}

// --- the connection ---

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool sfl_stream_identify(struct sfl_stream *stream, struct sfl_stream_identity *identity_out)
{
    char *peer = sfl_stream_peer(stream);
    if (peer == NULL)
        return false;
    struct sfl_stream_identity *identity = identity_out;
    identity->is_tls = false;
    identity->is_unix = begins_with(peer, "unix:");
    // Older gRPC writes the brackets as they are.
    identity->is_loopback = begins_with(peer, "ipv4:127.") || begins_with(peer, "ipv6:[::1]") ||
                            begins_with(peer, "ipv6:%5B::1%5D");
    free(peer);
    identity->has_bearer = false;
    identity->is_bearer_readable = false;
    identity->bearer = sfl_span_of(NULL, 0);
    identity->name_count = 0;
    identity->are_names_whole = true;
    identity->bytes_used = 0;
    find_bearer(stream, identity);
    read_certificate(stream, identity);
    return true;
}
