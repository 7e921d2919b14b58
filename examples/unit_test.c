// SPDX-License-Identifier: Apache-2.0
// A unit test of code that uses the library: no daemon runs, and no network is there. What is
// tested is load_greeting(), which a program of yours would have.
#include <singleflight/testing.h>
#include <stdio.h>
#include <string.h>

static enum singleflight_outcome make(struct singleflight_leader *leader, void *context)
{
    int *runs = context;
    (*runs)++;
    if (singleflight_leader_lost(leader) != SINGLEFLIGHT_OK)
        return SINGLEFLIGHT_OUTCOME_ABANDONED; // somebody else does it by now
    (void)singleflight_leader_write(leader, "hello", 5);
    return SINGLEFLIGHT_OUTCOME_OK;
}

// Writes the greeting to `text`. False: there is none.
static int load_greeting(struct singleflight_client *client, char *text, size_t size, int *runs)
{
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    struct singleflight_result *result;
    options.key = "greeting";
    options.key_bytes = 8;
    options.fail_open = true;
    int ok = singleflight_do(client, &options, make, runs, &result) == SINGLEFLIGHT_OK &&
             result->outcome == SINGLEFLIGHT_OUTCOME_OK;
    snprintf(text, size, "%s", ok ? (const char *)result->value : "");
    singleflight_result_free(result);
    return ok;
}

#define CHECK(condition) (condition) ? (void)0 : complain(#condition, __LINE__)

static int complaints;

static void complain(const char *what, int line)
{
    fprintf(stderr, "unit_test.c:%d: not so: %s\n", line, what);
    complaints++;
}

int main(void)
{
    struct singleflight_fake *fake;
    struct singleflight_client *client;
    char text[16];
    int runs = 0;
    if (singleflight_fake_create(&fake) != SINGLEFLIGHT_OK ||
        singleflight_fake_client(fake, NULL, &client) != SINGLEFLIGHT_OK)
        return 1;

    CHECK(load_greeting(client, text, sizeof(text), &runs)); // nobody else: its function runs
    CHECK(runs == 1 && strcmp(text, "hello") == 0);

    singleflight_fake_outcome(fake, NULL, "greeting", 8, "good day", 8); // another process led
    CHECK(load_greeting(client, text, sizeof(text), &runs));
    CHECK(runs == 1 && strcmp(text, "good day") == 0);

    singleflight_fake_takeover(fake, NULL, "greeting", 8); // it did, and was lost
    CHECK(load_greeting(client, text, sizeof(text), &runs));
    CHECK(runs == 2 && singleflight_fake_call(fake, 2)->led);

    singleflight_fake_set_available(fake, false); // the daemon is down
    CHECK(load_greeting(client, text, sizeof(text), &runs) && runs == 3);

    singleflight_client_destroy(client);
    singleflight_fake_destroy(fake);
    return complaints == 0 ? 0 : 1;
}
