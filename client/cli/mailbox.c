// SPDX-License-Identifier: Apache-2.0
#include "cli/mailbox.h"

#include "cli/memory.h"

#include <stdlib.h>
#include <string.h>

// `data` may be NULL. A NUL follows the bytes.
static struct sfl_cli_letter *letter_create(enum sfl_cli_letter_kind kind, const void *data,
                                            size_t data_bytes)
{
    struct sfl_cli_letter *letter = sfl_cli_allocate(sizeof(*letter) + data_bytes + 1);
    letter->kind = kind;
    letter->data_bytes = data_bytes;
    if (data_bytes != 0)
        memcpy(letter->data, data, data_bytes);
    return letter;
}

static struct sfl_cli_letter *letter_of_text(enum sfl_cli_letter_kind kind, const char *text)
{
    return letter_create(kind, text, text == NULL ? 0 : strlen(text));
}

static void put(struct sfl_cli_mailbox *mailbox, struct sfl_cli_letter *letter)
{
    uv_mutex_lock(&mailbox->mutex);
    *mailbox->last = letter;
    mailbox->last = &letter->next;
    uv_mutex_unlock(&mailbox->mutex);
    uv_async_send(&mailbox->wake);
}

static struct sfl_cli_letter *take_all(struct sfl_cli_mailbox *mailbox)
{
    uv_mutex_lock(&mailbox->mutex);
    struct sfl_cli_letter *letters = mailbox->first;
    mailbox->first = NULL;
    mailbox->last = &mailbox->first;
    uv_mutex_unlock(&mailbox->mutex);
    return letters;
}

static void on_lead(void *context, struct singleflight_leader *leader)
{
    struct sfl_cli_letter *letter = letter_create(SFL_CLI_LETTER_LEAD, NULL, 0);
    letter->leader = leader;
    put(context, letter);
}

static void on_follow(void *context, uint32_t attempt, const char *leader, uint64_t running_ms)
{
    struct sfl_cli_letter *letter = letter_of_text(SFL_CLI_LETTER_FOLLOW, leader);
    letter->attempt = attempt;
    letter->running_ms = running_ms;
    put(context, letter);
}

static void on_chunk(void *context, const void *data, size_t data_bytes)
{
    put(context, letter_create(SFL_CLI_LETTER_CHUNK, data, data_bytes));
}

static void on_restart(void *context, uint32_t attempt, const char *leader)
{
    struct sfl_cli_letter *letter = letter_of_text(SFL_CLI_LETTER_RESTART, leader);
    letter->attempt = attempt;
    put(context, letter);
}

static void on_audience(void *context, struct singleflight_leader *leader)
{
    (void)leader;
    put(context, letter_create(SFL_CLI_LETTER_AUDIENCE, NULL, 0));
}

static void on_drained(void *context, struct singleflight_leader *leader)
{
    (void)leader;
    put(context, letter_create(SFL_CLI_LETTER_DRAINED, NULL, 0));
}

static void on_lost(void *context, struct singleflight_leader *leader,
                    enum singleflight_status status, const char *why)
{
    (void)leader;
    struct sfl_cli_letter *letter = letter_of_text(SFL_CLI_LETTER_LOST, why);
    letter->status = status;
    put(context, letter);
}

static void on_done(void *context, struct singleflight_result *result)
{
    struct sfl_cli_letter *letter = letter_create(SFL_CLI_LETTER_DONE, NULL, 0);
    letter->result = result;
    put(context, letter);
}

const struct singleflight_call_events sfl_cli_mailbox_events = {
    .struct_bytes = sizeof(struct singleflight_call_events),
    .on_lead = on_lead,
    .on_follow = on_follow,
    .on_chunk = on_chunk,
    .on_restart = on_restart,
    .on_audience = on_audience,
    .on_drained = on_drained,
    .on_lost = on_lost,
    .on_done = on_done,
};

static void on_wake(uv_async_t *wake)
{
    struct sfl_cli_mailbox *mailbox = wake->data;
    struct sfl_cli_letter *letter = take_all(mailbox);
    while (letter != NULL) {
        struct sfl_cli_letter *next = letter->next;
        mailbox->on_letter(mailbox->context, letter);
        free(letter);
        letter = next;
    }
}

int sfl_cli_mailbox_open(struct sfl_cli_mailbox *mailbox, uv_loop_t *loop,
                         void (*on_letter)(void *context, struct sfl_cli_letter *letter),
                         void *context)
{
    mailbox->first = NULL;
    mailbox->last = &mailbox->first;
    mailbox->on_letter = on_letter;
    mailbox->context = context;
    int error = uv_mutex_init(&mailbox->mutex);
    if (error != 0)
        return error;
    error = uv_async_init(loop, &mailbox->wake, on_wake);
    if (error != 0) {
        uv_mutex_destroy(&mailbox->mutex);
        return error;
    }
    mailbox->wake.data = mailbox;
    return 0;
}

void sfl_cli_mailbox_close(struct sfl_cli_mailbox *mailbox)
{
    struct sfl_cli_letter *letter = take_all(mailbox);
    while (letter != NULL) {
        struct sfl_cli_letter *next = letter->next;
        singleflight_result_free(letter->result);
        free(letter);
        letter = next;
    }
    uv_close((uv_handle_t *)&mailbox->wake, NULL);
    uv_mutex_destroy(&mailbox->mutex);
}
