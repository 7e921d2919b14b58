// SPDX-License-Identifier: Apache-2.0
// The smallest program that uses libsingleflight.
#include <singleflight.h>
#include <stdio.h>
#include <string.h>

static enum singleflight_outcome hello(struct singleflight_leader *leader, void *context)
{
    const char *text = context;
    (void)singleflight_leader_write(leader, text, strlen(text));
    return SINGLEFLIGHT_OUTCOME_OK;
}

int main(void)
{
    struct singleflight_client *client;
    if (singleflight_client_create(NULL, &client) != SINGLEFLIGHT_OK) {
        fprintf(stderr, "%s\n", singleflight_last_error());
        return 1;
    }
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.key = "example";
    options.key_bytes = strlen("example");
    char text[] = "hello from the example";
    struct singleflight_result *result;
    enum singleflight_status status = singleflight_do(client, &options, hello, text, &result);
    if (status == SINGLEFLIGHT_OK)
        puts(result->value);
    else
        fprintf(stderr, "%s\n", result->message);
    singleflight_result_free(result);
    singleflight_client_destroy(client);
    return status == SINGLEFLIGHT_OK ? 0 : 1;
}
