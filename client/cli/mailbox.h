// SPDX-License-Identifier: Apache-2.0
// Carries what the library tells on its own thread over to the loop's thread, in order.
#ifndef SFL_CLI_MAILBOX_H
#define SFL_CLI_MAILBOX_H

#include "singleflight.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

// One for each callback of struct singleflight_call_events that the tool listens to.
enum sfl_cli_letter_kind {
    SFL_CLI_LETTER_LEAD,    // leader
    SFL_CLI_LETTER_FOLLOW,  // attempt, text: the leader's name, running_ms
    SFL_CLI_LETTER_CHUNK,   // data, data_bytes
    SFL_CLI_LETTER_RESTART, // attempt, text: the leader's name
    SFL_CLI_LETTER_AUDIENCE,
    SFL_CLI_LETTER_DRAINED,
    SFL_CLI_LETTER_LOST, // status, text: why
    SFL_CLI_LETTER_DONE, // result, which the receiver frees
};

struct sfl_cli_letter {
    struct sfl_cli_letter *next;
    enum sfl_cli_letter_kind kind;
    struct singleflight_leader *leader;
    struct singleflight_result *result;
    enum singleflight_status status;
    uint32_t attempt;
    uint64_t running_ms;
    size_t data_bytes;
    char data[]; // the bytes of a chunk, or a text that ends with NUL
};

struct sfl_cli_mailbox {
    uv_mutex_t mutex;
    uv_async_t wake;
    struct sfl_cli_letter *first; // under the mutex
    struct sfl_cli_letter **last; // under the mutex
    void (*on_letter)(void *context, struct sfl_cli_letter *letter);
    void *context;
};

// `on_letter` is called on the loop's thread; the letter is borrowed. A libuv error otherwise.
int sfl_cli_mailbox_open(struct sfl_cli_mailbox *mailbox, uv_loop_t *loop,
                         void (*on_letter)(void *context, struct sfl_cli_letter *letter),
                         void *context);

// The callbacks to give to the library, with the mailbox as their context. They end the process
// when there is no memory for a letter: a lost one would leave somebody waiting for ever.
extern const struct singleflight_call_events sfl_cli_mailbox_events;

// Throws away what was not delivered. No callback may come any more. The handle is gone when the
// loop has run once more.
void sfl_cli_mailbox_close(struct sfl_cli_mailbox *mailbox);

#endif
