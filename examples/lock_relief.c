// SPDX-License-Identifier: Apache-2.0
// Relief for a distributed lock: a thousand processes want the job done under a lock in Redis. Only
// one of them tries for the lock, the others wait here, where waiting is cheap.
// Usage: lock_relief REDIS JOB      REDIS is a host, or the path of a unix socket
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <singleflight.h>
#include <stdio.h>
#include <string.h>

static const char unlock[] = "if redis.call('get', KEYS[1]) == ARGV[1] then "
                             "return redis.call('del', KEYS[1]) else return 0 end";

// The job: counts its runs, under the lock, which those who do not use singleflight respect, too.
static enum singleflight_outcome run(struct singleflight_leader *leader, void *context)
{
    char **argv = context;
    redisContext *redis =
        strchr(argv[1], '/') ? redisConnectUnix(argv[1]) : redisConnect(argv[1], 6379);
    if (redis == NULL || redis->err != 0)
        return singleflight_leader_error(leader, 1, "no Redis");
    char token[24]; // the value of the lock: no other holder has the same
    snprintf(token, sizeof(token), "%" PRIu64, singleflight_leader_token(leader));
    redisReply *locked = redisCommand(redis, "SET lock:%s %s NX PX 30000", argv[2], token);
    enum singleflight_outcome outcome = SINGLEFLIGHT_OUTCOME_OK;
    if (locked == NULL || locked->type != REDIS_REPLY_STATUS) {
        outcome = singleflight_leader_error(leader, 2, "somebody else has the lock");
    } else {
        redisReply *runs = redisCommand(redis, "INCR runs:%s", argv[2]);
        char text[64];
        int size = snprintf(text, sizeof(text), "run %lld", runs != NULL ? runs->integer : -1);
        if (singleflight_leader_write(leader, text, (size_t)size) != SINGLEFLIGHT_OK)
            outcome = SINGLEFLIGHT_OUTCOME_ABANDONED;
        freeReplyObject(runs);
        freeReplyObject(redisCommand(redis, "EVAL %s 1 lock:%s %s", unlock, argv[2], token));
    }
    freeReplyObject(locked);
    redisFree(redis);
    return outcome;
}

int main(int argc, char *argv[])
{
    struct singleflight_client *client;
    if (argc != 3 || singleflight_client_create(NULL, &client) != SINGLEFLIGHT_OK)
        return 64;
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.group = "jobs";
    options.key = argv[2];
    options.key_bytes = strlen(argv[2]);
    options.retain_ms = 5000;
    struct singleflight_result *result;
    int failed = singleflight_do(client, &options, run, argv, &result) != SINGLEFLIGHT_OK ||
                 result->outcome != SINGLEFLIGHT_OUTCOME_OK;
    printf("%s\n", failed ? result->message : (const char *)result->value);
    singleflight_result_free(result);
    singleflight_client_destroy(client);
    return failed;
}
