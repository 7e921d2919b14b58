// SPDX-License-Identifier: Apache-2.0
#include "rpc/silence_private.h"

#include "base/hash.h"
#include "rpc/stream_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Nearly every stream has spoken by then, or is over. Only what is left costs a look at its peer.
#define MOMENT_MS 100

void sfl_silence_init(struct sfl_silence *silence, uint64_t first_message_ms, uint64_t streams_max)
{
    silence->first_message_ms = first_message_ms;
    silence->streams_max = streams_max;
    atomic_init(&silence->now, 0);
    atomic_init(&silence->ended, 0);
    pthread_mutex_init(&silence->lock, NULL);
    memset(silence->peers, 0, sizeof(silence->peers));
}

void sfl_silence_deinit(struct sfl_silence *silence)
{
    for (unsigned i = 0; i < SFL_SILENCE_PEERS; i++)
        assert(silence->peers[i] == NULL);
    pthread_mutex_destroy(&silence->lock);
}

// --- connections ---

static struct sfl_silence_peer **find_locked(struct sfl_silence *silence, const char *name,
                                             uint64_t hash)
{
    struct sfl_silence_peer **at = &silence->peers[hash % SFL_SILENCE_PEERS];
    while (*at != NULL && ((*at)->hash != hash || strcmp((*at)->name, name) != 0))
        at = &(*at)->next;
    return at;
}

// The peer of that name, made if need be; NULL when there is no memory.
static struct sfl_silence_peer *get_locked(struct sfl_silence *silence, const char *name)
{
    uint64_t hash = sfl_hash_stable(sfl_span_of_text(name), 0);
    struct sfl_silence_peer **at = find_locked(silence, name, hash);
    if (*at != NULL)
        return *at;
    size_t size = strlen(name) + 1;
    struct sfl_silence_peer *peer = malloc(sizeof(*peer) + size);
    if (peer == NULL)
        return NULL;
    *peer = (struct sfl_silence_peer){.hash = hash};
    memcpy(peer->name, name, size);
    *at = peer;
    return peer;
}

static void drop_locked(struct sfl_silence *silence, struct sfl_silence_peer *peer)
{
    struct sfl_silence_peer **at = find_locked(silence, peer->name, peer->hash);
    *at = peer->next;
    free(peer);
}

// Counts the stream for its connection. False when that has as many as it may have.
static bool take(struct sfl_silence *silence, struct sfl_stream *stream)
{
    char *name = sfl_stream_peer(stream);
    // Peers on a unix socket cannot be told apart, and have the rights of its file.
    if (name == NULL || strncmp(name, "unix", 4) == 0) {
        free(name);
        return true;
    }
    pthread_mutex_lock(&silence->lock);
    struct sfl_silence_peer *peer = get_locked(silence, name);
    bool has_room =
        peer == NULL || silence->streams_max == 0 || peer->streams < silence->streams_max;
    if (peer != NULL && has_room) {
        peer->streams++;
        stream->silence.peer = peer;
    }
    pthread_mutex_unlock(&silence->lock);
    free(name);
    return has_room;
}

static void give(struct sfl_silence *silence, struct sfl_silence_part *part)
{
    struct sfl_silence_peer *peer = part->peer;
    if (peer == NULL)
        return;
    part->peer = NULL;
    pthread_mutex_lock(&silence->lock);
    if (--peer->streams == 0)
        drop_locked(silence, peer);
    pthread_mutex_unlock(&silence->lock);
}

// --- one stream ---

static struct sfl_stream *stream_of(struct sfl_pump_wait *wait)
{
    return SFL_CONTAINER_OF(wait, struct sfl_stream, silence.wait);
}

static void on_too_late(struct sfl_pump_wait *wait)
{
    struct sfl_stream *stream = stream_of(wait);
    struct sfl_silence *silence = stream->silence.silence;
    char text[120];
    snprintf(text, sizeof(text), "no message came within the %" PRIu64 " ms of first-message-time",
             silence->first_message_ms);
    atomic_fetch_add_explicit(&silence->ended, 1, memory_order_relaxed);
    sfl_stream_cancel(stream, GRPC_STATUS_DEADLINE_EXCEEDED, text);
}

static void begin_silence(struct sfl_silence *silence, struct sfl_silence_part *part)
{
    part->is_silent = true;
    atomic_fetch_add_explicit(&silence->now, 1, memory_order_relaxed);
    if (silence->first_message_ms == 0)
        return;
    uint64_t left_ms =
        silence->first_message_ms > MOMENT_MS ? silence->first_message_ms - MOMENT_MS : 0;
    part->wait.on_due = on_too_late;
    sfl_pump_wait_begin(&part->wait, SFL_PUMP_WAIT_LONG, left_ms);
}

static void on_moment_over(struct sfl_pump_wait *wait)
{
    struct sfl_stream *stream = stream_of(wait);
    struct sfl_silence *silence = stream->silence.silence;
    if (!take(silence, stream)) {
        char text[120];
        snprintf(text, sizeof(text),
                 "streams: one connection may have %" PRIu64 " (connection-streams-limit)",
                 silence->streams_max);
        atomic_fetch_add_explicit(&silence->ended, 1, memory_order_relaxed);
        sfl_stream_cancel(stream, GRPC_STATUS_RESOURCE_EXHAUSTED, text);
    } else if (!stream->silence.has_spoken) {
        begin_silence(silence, &stream->silence);
    }
}

static void end_silence(struct sfl_silence_part *part)
{
    if (!part->is_silent)
        return;
    part->is_silent = false;
    sfl_pump_wait_end(&part->wait);
    atomic_fetch_sub_explicit(&part->silence->now, 1, memory_order_relaxed);
}

void sfl_silence_opened(struct sfl_silence *silence, struct sfl_stream *stream, bool counts_itself)
{
    struct sfl_silence_part *part = &stream->silence;
    part->silence = silence;
    part->counts_itself = counts_itself;
    part->wait.on_due = on_moment_over;
    sfl_pump_wait_begin(&part->wait, SFL_PUMP_WAIT_SHORT, MOMENT_MS);
}

void sfl_silence_spoken(struct sfl_stream *stream)
{
    struct sfl_silence_part *part = &stream->silence;
    if (part->silence == NULL || part->has_spoken)
        return;
    part->has_spoken = true;
    end_silence(part);
    if (!part->counts_itself)
        return;
    sfl_pump_wait_end(&part->wait);
    give(part->silence, part);
}

void sfl_silence_over(struct sfl_stream *stream)
{
    struct sfl_silence_part *part = &stream->silence;
    if (part->silence == NULL)
        return;
    end_silence(part);
    sfl_pump_wait_end(&part->wait);
    give(part->silence, part);
}
