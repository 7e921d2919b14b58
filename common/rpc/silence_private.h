// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: streams that stay open. Whoever opens a stream and sends nothing on it, or
// half a message, is seen after a moment, counted, and ended when its time is over. Streams that
// speak are counted for their connection too, where nobody else does that: a peer that never
// acknowledges our settings does not keep to the limit of streams that they name.
#ifndef SFL_RPC_SILENCE_PRIVATE_H
#define SFL_RPC_SILENCE_PRIVATE_H

#include "rpc/pump.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sfl_stream;

enum { SFL_SILENCE_PEERS = 256 };

// The long-lived streams of one connection.
struct sfl_silence_peer {
    struct sfl_silence_peer *next; // in its bucket
    uint64_t hash;
    uint64_t streams;
    char name[];
};

// Of one server. Any thread, but for what is said of a stream.
struct sfl_silence {
    uint64_t first_message_ms; // 0: for ever
    uint64_t streams_max;      // of one connection; 0: no limit
    _Atomic uint64_t now;      // streams that are silent
    _Atomic uint64_t ended;    // those that were ended, since the start
    pthread_mutex_t lock;      // over what follows
    struct sfl_silence_peer *peers[SFL_SILENCE_PEERS];
};

// A stream's part, cleared to zero before its beginning. Pump thread only.
struct sfl_silence_part {
    struct sfl_silence *silence; // NULL: nobody counts
    struct sfl_pump_wait wait;
    struct sfl_silence_peer *peer; // NULL: not counted, or not yet
    bool has_spoken;
    bool is_silent; // counted in `now`
    bool counts_itself;
};

void sfl_silence_init(struct sfl_silence *silence, uint64_t first_message_ms, uint64_t streams_max);
void sfl_silence_deinit(struct sfl_silence *silence);

// On the stream's pump thread, each: it was opened (`counts_itself`: once it has spoken somebody
// else sees to its connection's limit), its first message is there, it is over.
void sfl_silence_opened(struct sfl_silence *silence, struct sfl_stream *stream, bool counts_itself);
void sfl_silence_spoken(struct sfl_stream *stream);
void sfl_silence_over(struct sfl_stream *stream);

#endif
