// SPDX-License-Identifier: Apache-2.0
// Cache breakdown: an entry that everybody wants has just expired, and the database is asked for it
// once instead of a thousand times.  Usage: cache_breakdown DATABASE USER
#include <singleflight.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

struct question {
    const char *database;
    const char *user;
};

// Runs in one process, on behalf of all that ask for this user at this moment.
static enum singleflight_outcome load(struct singleflight_leader *leader, void *context)
{
    const struct question *question = context;
    sqlite3 *database = NULL;
    sqlite3_stmt *query = NULL;
    enum singleflight_outcome outcome = SINGLEFLIGHT_OUTCOME_OK;
    if (sqlite3_open_v2(question->database, &database, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(database, "SELECT profile FROM users WHERE name = ?", -1, &query, NULL))
        outcome = singleflight_leader_error(leader, 1, sqlite3_errmsg(database));
    if (query != NULL) {
        sqlite3_bind_text(query, 1, question->user, -1, SQLITE_STATIC);
        if (sqlite3_step(query) != SQLITE_ROW)
            outcome = singleflight_leader_error(leader, 2, "no such user");
        else if (singleflight_leader_write(leader, sqlite3_column_blob(query, 0),
                                           (size_t)sqlite3_column_bytes(query, 0)))
            outcome = SINGLEFLIGHT_OUTCOME_ABANDONED; // the lead is lost: nobody wants it from us
    }
    sqlite3_finalize(query);
    sqlite3_close(database);
    return outcome;
}

int main(int argc, char *argv[])
{
    struct singleflight_client *client;
    if (argc != 3 || singleflight_client_create(NULL, &client) != SINGLEFLIGHT_OK)
        return 64;
    struct question question = {.database = argv[1], .user = argv[2]};
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.group = "users";
    options.key = question.user;
    options.key_bytes = strlen(question.user);
    options.retain_ms = 5000; // for those who looked into the cache just before it was filled
    struct singleflight_result *result;
    int failed = singleflight_do(client, &options, load, &question, &result) != SINGLEFLIGHT_OK ||
                 result->outcome != SINGLEFLIGHT_OUTCOME_OK;
    if (failed)
        fprintf(stderr, "cache_breakdown: %s\n", result->message);
    else
        printf("%s (%s)\n", (const char *)result->value,
               result->led ? "from the database" : "shared");
    singleflight_result_free(result);
    singleflight_client_destroy(client);
    return failed;
}
