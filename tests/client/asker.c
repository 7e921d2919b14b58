// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // pthread_timedjoin_np
#include "asker.h"

#include "daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define ADDRESSES_MAX 8

struct singleflight_client *client_with(const char *addresses,
                                        struct singleflight_client_options options)
{
    char texts[256];
    snprintf(texts, sizeof(texts), "%s", addresses);
    const char *list[ADDRESSES_MAX];
    size_t count = 0;
    char *rest = NULL;
    for (char *text = strtok_r(texts, ",", &rest); text != NULL; text = strtok_r(NULL, ",", &rest))
        list[count++] = text;
    options.addresses = list;
    options.address_count = count;
    struct singleflight_client *client = NULL;
    assert_int_equal(singleflight_client_create(&options, &client), SINGLEFLIGHT_OK);
    return client;
}

struct singleflight_client *client_of(const char *addresses)
{
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    return client_with(addresses, options);
}

struct singleflight_do_options options_of(const char *key)
{
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.key = key;
    options.key_bytes = strlen(key);
    return options;
}

static struct timespec patience(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    return until;
}

void gate_enter(struct gate *gate, struct singleflight_leader *leader)
{
    pthread_mutex_lock(&gate->lock);
    gate->runs++;
    gate->leader = leader;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

enum singleflight_outcome gate_function(struct singleflight_leader *leader, void *context)
{
    struct gate *gate = context;
    gate_enter(gate, leader);
    pthread_mutex_lock(&gate->lock);
    while (!gate->open)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
    if (gate->value != NULL)
        (void)singleflight_leader_write(leader, gate->value, strlen(gate->value));
    return gate->outcome;
}

enum singleflight_outcome lost_function(struct singleflight_leader *leader, void *context)
{
    struct gate *gate = context;
    gate_enter(gate, leader);
    gate->lost = singleflight_leader_wait_lost(leader, PATIENCE_MS);
    return SINGLEFLIGHT_OUTCOME_OK;
}

void gate_wait_entered(struct gate *gate, unsigned runs)
{
    struct timespec until = patience();
    pthread_mutex_lock(&gate->lock);
    int error = 0;
    while (gate->runs < runs && error == 0)
        error = pthread_cond_timedwait(&gate->changed, &gate->lock, &until);
    pthread_mutex_unlock(&gate->lock);
    assert_int_equal(error, 0);
}

void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

void gate_release(void *context)
{
    struct gate *gate = context;
    pthread_mutex_lock(&gate->lock);
    gate->released = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

void gate_wait_released(struct gate *gate)
{
    struct timespec until = patience();
    pthread_mutex_lock(&gate->lock);
    int error = 0;
    while (!gate->released && error == 0)
        error = pthread_cond_timedwait(&gate->changed, &gate->lock, &until);
    pthread_mutex_unlock(&gate->lock);
    assert_int_equal(error, 0);
}

static void *run(void *argument)
{
    struct asker *asker = argument;
    enum singleflight_status status = singleflight_do(
        asker->client, &asker->options, asker->function, asker->context, &asker->result);
    if (status != asker->result->status)
        abort();
    return NULL;
}

void asker_start(struct asker *asker, struct singleflight_client *client,
                 const struct singleflight_do_options *options, singleflight_function *function,
                 void *context)
{
    *asker = (struct asker){
        .client = client, .options = *options, .function = function, .context = context};
    assert_int_equal(pthread_create(&asker->thread, NULL, run, asker), 0);
}

struct singleflight_result *asker_join(struct asker *asker)
{
    struct timespec until = patience();
    if (pthread_timedjoin_np(asker->thread, NULL, &until) != 0)
        fail_msg("a Do hangs");
    return asker->result;
}

void assert_value(const struct singleflight_result *result, const char *value)
{
    if (result->status != SINGLEFLIGHT_OK)
        fail_msg("%s: %s", singleflight_status_name(result->status), result->message);
    assert_int_equal(result->outcome, SINGLEFLIGHT_OUTCOME_OK);
    assert_int_equal(result->value_bytes, strlen(value));
    assert_memory_equal(result->value, value, strlen(value));
}
