// SPDX-License-Identifier: Apache-2.0
#include "src/call.h"
#include "src/error.h"
#include "src/fake_private.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 1000

// ------------------------------------------------------------------------------------------- life

static bool make_folder(struct singleflight_fake *fake)
{
    const char *under = getenv("TMPDIR");
    char folder[80];
    int size = snprintf(folder, sizeof(folder), "%s/singleflight.XXXXXX",
                        under == NULL || under[0] == 0 ? "/tmp" : under);
    // A unix socket's path has 107 bytes at most.
    if (size >= (int)sizeof(folder))
        snprintf(folder, sizeof(folder), "/tmp/singleflight.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return false;
    fake->folder = sfl_fake_copy_text(folder);
    char address[100];
    snprintf(address, sizeof(address), "unix:%s/socket", folder);
    fake->address = sfl_fake_copy_text(address);
    return true;
}

enum singleflight_status singleflight_fake_create(struct singleflight_fake **fake_out)
{
    struct singleflight_fake *fake = sfl_fake_allocate(sizeof(*fake));
    pthread_mutex_init(&fake->lock, NULL);
    sfl_list_init(&fake->scripts);
    sfl_list_init(&fake->records);
    sfl_list_init(&fake->sessions);
    sfl_list_init(&fake->leaders);
    if (!make_folder(fake)) {
        singleflight_fake_destroy(fake);
        return sfl_error_set(SINGLEFLIGHT_UNAVAILABLE, "no folder can be made for the fake");
    }
    if (sfl_pumps_create(1, NULL, &fake->pumps) != SFL_OK) {
        singleflight_fake_destroy(fake);
        return sfl_error_set(SINGLEFLIGHT_UNAVAILABLE, "no thread can be started for the fake");
    }
    if (!sfl_fake_listen(fake)) {
        singleflight_fake_destroy(fake);
        return SINGLEFLIGHT_UNAVAILABLE;
    }
    *fake_out = fake;
    return SINGLEFLIGHT_OK;
}

const char *singleflight_fake_address(const struct singleflight_fake *fake)
{
    return fake->address;
}

enum singleflight_status singleflight_fake_client(struct singleflight_fake *fake,
                                                  const struct singleflight_client_options *given,
                                                  struct singleflight_client **client_out)
{
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    if (given != NULL)
        memcpy(&options, given,
               given->struct_bytes < sizeof(options) ? given->struct_bytes : sizeof(options));
    options.struct_bytes = sizeof(options);
    const char *address = fake->address;
    options.addresses = &address;
    options.address_count = 1;
    options.tls_ca = options.tls_cert = options.tls_key = options.tls_server_name = "";
    options.token_file = "";
    if (options.connect_timeout_ms == SINGLEFLIGHT_NOT_GIVEN)
        options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    return singleflight_client_create(&options, client_out);
}

// ---------------------------------------------------------------------------------------- scripts

// Locks, and gives the script of the key, emptied; sfl_fake's lock is to be given back.
static struct sfl_fake_script *begin_script(struct singleflight_fake *fake, const char *group,
                                            const void *key, size_t key_bytes,
                                            enum sfl_fake_action action)
{
    pthread_mutex_lock(&fake->lock);
    struct sfl_fake_script *script =
        sfl_fake_find_script(fake, group, sfl_span_of(key, key_bytes), true);
    sfl_fake_reset_script(script, action);
    return script;
}

static void replace_text(char **text, const char *with)
{
    free(*text);
    *text = sfl_fake_copy_text(with);
}

void singleflight_fake_lead(struct singleflight_fake *fake, const char *group, const void *key,
                            size_t key_bytes)
{
    (void)begin_script(fake, group, key, key_bytes, SFL_FAKE_LEAD);
    pthread_mutex_unlock(&fake->lock);
}

void singleflight_fake_outcome(struct singleflight_fake *fake, const char *group, const void *key,
                               size_t key_bytes, const void *value, size_t value_bytes)
{
    struct sfl_fake_script *script = begin_script(fake, group, key, key_bytes, SFL_FAKE_OUTCOME);
    script->outcome = SINGLEFLIGHT_OUTCOME_OK;
    script->value = sfl_fake_copy_bytes(sfl_span_of(value, value_bytes));
    pthread_mutex_unlock(&fake->lock);
}

void singleflight_fake_error(struct singleflight_fake *fake, const char *group, const void *key,
                             size_t key_bytes, const struct singleflight_error *error)
{
    struct sfl_fake_script *script = begin_script(fake, group, key, key_bytes, SFL_FAKE_OUTCOME);
    script->outcome = SINGLEFLIGHT_OUTCOME_ERROR;
    script->code = error->code;
    replace_text(&script->message, error->message);
    replace_text(&script->type, error->type);
    pthread_mutex_unlock(&fake->lock);
}

void singleflight_fake_takeover(struct singleflight_fake *fake, const char *group, const void *key,
                                size_t key_bytes)
{
    (void)begin_script(fake, group, key, key_bytes, SFL_FAKE_TAKEOVER);
    pthread_mutex_unlock(&fake->lock);
}

void singleflight_fake_lose(struct singleflight_fake *fake, const char *group, const void *key,
                            size_t key_bytes)
{
    (void)begin_script(fake, group, key, key_bytes, SFL_FAKE_LOSE);
    sfl_fake_lose_leads(fake, group, sfl_span_of(key, key_bytes));
    pthread_mutex_unlock(&fake->lock);
}

void singleflight_fake_refuse(struct singleflight_fake *fake, const char *group, const void *key,
                              size_t key_bytes, enum singleflight_status status,
                              const char *message)
{
    struct sfl_fake_script *script = begin_script(fake, group, key, key_bytes, SFL_FAKE_REFUSE);
    script->code = (int32_t)status;
    replace_text(&script->message, message);
    pthread_mutex_unlock(&fake->lock);
}

void singleflight_fake_set_available(struct singleflight_fake *fake, bool is_available)
{
    if (!is_available)
        sfl_fake_shut(fake);
    else if (fake->server == NULL && !sfl_fake_listen(fake))
        fprintf(stderr, "singleflight/testing.h: %s\n", singleflight_last_error());
}

// ------------------------------------------------------------------------------------- what came

size_t singleflight_fake_call_count(struct singleflight_fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    size_t count = fake->record_count;
    pthread_mutex_unlock(&fake->lock);
    return count;
}

const struct singleflight_fake_call *singleflight_fake_call(struct singleflight_fake *fake,
                                                            size_t index)
{
    const struct singleflight_fake_call *call = NULL;
    pthread_mutex_lock(&fake->lock);
    struct sfl_link *at = sfl_list_first(&fake->records);
    while (at != NULL && index-- > 0)
        at = sfl_list_next(&fake->records, at);
    if (at != NULL)
        call = sfl_fake_look(SFL_CONTAINER_OF(at, struct sfl_fake_record, link));
    pthread_mutex_unlock(&fake->lock);
    return call;
}

// -------------------------------------------------------------------------- a leader by itself

// From when it is asked for until its result is handed out.
struct lead {
    struct sfl_link link;
    sem_t events; // the lead, and the end
    struct singleflight_leader *leader;
    struct singleflight_result *result;
};

static void on_lead(void *context, struct singleflight_leader *leader)
{
    struct lead *lead = context;
    lead->leader = leader;
    sem_post(&lead->events);
}

static void on_done(void *context, struct singleflight_result *result)
{
    struct lead *lead = context;
    lead->result = result;
    sem_post(&lead->events);
}

static void wait_for_event(struct lead *lead)
{
    while (sem_wait(&lead->events) != 0 && errno == EINTR)
        continue;
}

static void free_lead(struct lead *lead)
{
    sem_destroy(&lead->events);
    free(lead);
}

static enum singleflight_status start_lead(struct singleflight_fake *fake, const char *group,
                                           const void *key, size_t key_bytes, struct lead *lead)
{
    if (fake->client == NULL) {
        enum singleflight_status status = singleflight_fake_client(fake, NULL, &fake->client);
        if (status != SINGLEFLIGHT_OK)
            return status;
    }
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    struct singleflight_call_events events = SINGLEFLIGHT_CALL_EVENTS_INIT;
    options.group = group;
    options.key = key;
    options.key_bytes = key_bytes;
    options.no_local_merge = true;
    events.on_lead = on_lead;
    events.on_done = on_done;
    return singleflight_do_async(fake->client, &options, &events, lead, NULL);
}

enum singleflight_status singleflight_fake_leader(struct singleflight_fake *fake, const char *group,
                                                  const void *key, size_t key_bytes,
                                                  struct singleflight_leader **leader_out)
{
    struct lead *lead = sfl_fake_allocate(sizeof(*lead));
    sem_init(&lead->events, 0, 0);
    enum singleflight_status status = start_lead(fake, group, key, key_bytes, lead);
    if (status != SINGLEFLIGHT_OK) {
        free_lead(lead);
        return status;
    }
    wait_for_event(lead);
    if (lead->leader == NULL) {
        status = lead->result->status;
        const char *why = lead->result->message;
        if (status == SINGLEFLIGHT_OK) {
            status = SINGLEFLIGHT_ABORTED;
            why = "the script of the key has an outcome, so that nobody leads";
        }
        (void)sfl_error_set(status, why);
        singleflight_result_free(lead->result);
        free_lead(lead);
        return status;
    }
    pthread_mutex_lock(&fake->lock);
    sfl_list_append(&fake->leaders, &lead->link);
    pthread_mutex_unlock(&fake->lock);
    *leader_out = lead->leader;
    return SINGLEFLIGHT_OK;
}

static struct lead *take_lead(struct singleflight_fake *fake, struct singleflight_leader *leader)
{
    struct lead *found = NULL;
    pthread_mutex_lock(&fake->lock);
    for (struct sfl_link *at = sfl_list_first(&fake->leaders); at != NULL;
         at = sfl_list_next(&fake->leaders, at)) {
        struct lead *lead = SFL_CONTAINER_OF(at, struct lead, link);
        if (lead->leader == leader)
            found = lead;
    }
    if (found != NULL)
        sfl_link_remove(&found->link);
    pthread_mutex_unlock(&fake->lock);
    return found;
}

struct singleflight_result *singleflight_fake_finish(struct singleflight_fake *fake,
                                                     struct singleflight_leader *leader,
                                                     enum singleflight_outcome outcome)
{
    struct lead *lead = take_lead(fake, leader);
    if (lead == NULL)
        return sfl_result_of_status(SINGLEFLIGHT_INVALID_ARGUMENT,
                                    "the leader is none of singleflight_fake_leader()");
    singleflight_leader_finish(leader, outcome);
    wait_for_event(lead);
    struct singleflight_result *result = lead->result;
    free_lead(lead);
    return result;
}

// -------------------------------------------------------------------------------------------- end

// Those that the program has not finished: their calls have ended with the client.
static void free_leads(struct singleflight_fake *fake)
{
    struct sfl_link *link;
    while ((link = sfl_list_pop(&fake->leaders)) != NULL) {
        struct lead *lead = SFL_CONTAINER_OF(link, struct lead, link);
        singleflight_result_free(lead->result);
        free_lead(lead);
    }
}

void singleflight_fake_destroy(struct singleflight_fake *fake)
{
    if (fake == NULL)
        return;
    singleflight_client_destroy(fake->client);
    free_leads(fake);
    sfl_fake_shut(fake);
    if (fake->pumps != NULL)
        sfl_pumps_destroy(fake->pumps);
    if (fake->folder != NULL)
        (void)!rmdir(fake->folder);
    sfl_fake_free_all(fake);
    pthread_mutex_destroy(&fake->lock);
    free(fake->folder);
    free(fake->address);
    free(fake);
}
