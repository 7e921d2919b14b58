// SPDX-License-Identifier: Apache-2.0
// Message deduplication: a broker delivers at least once, and an order must be charged once. Within
// the window, a message that is delivered again gets the outcome of the first one; two deliveries
// at the same time on two machines do, too.  Usage: message_dedup LEDGER MESSAGE_ID AMOUNT
#include <inttypes.h>
#include <singleflight.h>
#include <stdio.h>
#include <string.h>

// Charges the order: a line in the ledger. The receipt is what the consumer answers with. A ledger
// that is a database would also refuse a token smaller than the last one: docs/guarantees.md.
static enum singleflight_outcome charge(struct singleflight_leader *leader, void *context)
{
    char **argv = context;
    uint64_t token = singleflight_leader_token(leader);
    char receipt[128];
    int size = snprintf(receipt, sizeof(receipt), "receipt %" PRIu64 " for %s", token, argv[2]);
    FILE *ledger = fopen(argv[1], "a");
    if (ledger == NULL)
        return singleflight_leader_error(leader, 1, "no ledger");
    fprintf(ledger, "%s %s %" PRIu64 "\n", argv[2], argv[3], token);
    if (fclose(ledger) != 0)
        return singleflight_leader_error(leader, 2, "the ledger is full");
    return singleflight_leader_write(leader, receipt, (size_t)size) == SINGLEFLIGHT_OK
               ? SINGLEFLIGHT_OUTCOME_OK
               : SINGLEFLIGHT_OUTCOME_ABANDONED;
}

int main(int argc, char *argv[])
{
    struct singleflight_client *client;
    if (argc != 4 || singleflight_client_create(NULL, &client) != SINGLEFLIGHT_OK)
        return 64;
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.group = "orders";
    options.key = argv[2];
    options.key_bytes = strlen(argv[2]);
    // The window. An error is not retained: the broker delivers again, and the charge is tried
    // again.
    options.retain_ms = 60 * 60 * 1000;
    // The same id with another amount is no redelivery but a mistake, and is refused.
    options.fingerprint = argv[3];
    options.fingerprint_bytes = strlen(argv[3]);
    struct singleflight_result *result;
    int failed = singleflight_do(client, &options, charge, argv, &result) != SINGLEFLIGHT_OK ||
                 result->outcome != SINGLEFLIGHT_OUTCOME_OK;
    if (failed)
        fprintf(stderr, "message_dedup: %s\n", result->message);
    else
        printf("%s (%s)\n", (const char *)result->value,
               result->led ? "charged" : "delivered again");
    singleflight_result_free(result);
    singleflight_client_destroy(client);
    return failed;
}
