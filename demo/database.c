// SPDX-License-Identifier: Apache-2.0
#include "database.h"

#include <stdio.h>
#include <stdlib.h>

static void check(sqlite3 *database, int code, const char *what)
{
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
        return;
    fprintf(stderr, "demo: %s: %s\n", what, sqlite3_errmsg(database));
    exit(EXIT_FAILURE);
}

static sqlite3 *open_file(const char *path, int flags)
{
    sqlite3 *database = NULL;
    check(database, sqlite3_open_v2(path, &database, flags, NULL), path);
    return database;
}

static sqlite3_stmt *prepare(sqlite3 *database, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    check(database, sqlite3_prepare_v2(database, sql, -1, &statement, NULL), sql);
    return statement;
}

static void execute(sqlite3 *database, const char *sql)
{
    check(database, sqlite3_exec(database, sql, NULL, NULL, NULL), sql);
}

void demo_database_make(const char *path)
{
    sqlite3 *database = open_file(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    execute(database, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                      "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE,"
                      " city INTEGER, balance INTEGER); BEGIN");
    sqlite3_stmt *insert =
        prepare(database, "INSERT INTO users VALUES (?1, 'user_' || ?1, ?2, ?3)");
    unsigned random = 1;
    for (int id = 1; id <= DEMO_USERS; id++) {
        random = random * 1664525 + 1013904223; // Numerical Recipes; any mixture would do
        sqlite3_bind_int(insert, 1, id);
        sqlite3_bind_int(insert, 2, id % DEMO_CITIES);
        sqlite3_bind_int(insert, 3, (int)(random >> 8) % 10000000);
        check(database, sqlite3_step(insert), "insert");
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    execute(database, "COMMIT");
    sqlite3_close(database);
}

sqlite3 *demo_database_open(const char *path)
{
    return open_file(path, SQLITE_OPEN_READONLY);
}

size_t demo_query_profile(sqlite3 *database, const char *user, char *text_out, size_t room)
{
    sqlite3_stmt *query = prepare(
        database, "SELECT name, city, balance,"
                  " (SELECT count(*) + 1 FROM users AS other WHERE other.balance > users.balance)"
                  " FROM users WHERE name = ?1");
    sqlite3_bind_text(query, 1, user, -1, SQLITE_STATIC);
    int code = sqlite3_step(query);
    check(database, code, "profile");
    int size = code != SQLITE_ROW
                   ? snprintf(text_out, room, "no such user")
                   : snprintf(text_out, room,
                              "{\"name\":\"%s\",\"city\":%d,\"balance\":%d,"
                              "\"rank\":%d}",
                              sqlite3_column_text(query, 0), sqlite3_column_int(query, 1),
                              sqlite3_column_int(query, 2), sqlite3_column_int(query, 3));
    sqlite3_finalize(query);
    return (size_t)size;
}

size_t demo_query_city(sqlite3 *database, unsigned city, char *text_out, size_t room)
{
    sqlite3_stmt *query =
        prepare(database, "WITH ranked AS (SELECT city, balance,"
                          " row_number() OVER (ORDER BY balance DESC, id) AS place FROM users)"
                          " SELECT count(*), sum(balance), min(place), avg(place) FROM ranked"
                          " WHERE city = ?1");
    sqlite3_bind_int(query, 1, (int)city);
    check(database, sqlite3_step(query), "city");
    int size =
        snprintf(text_out, room, "city %2u  users %5d  balance %12lld  best %5d  mean %8.1f\n",
                 city, sqlite3_column_int(query, 0), (long long)sqlite3_column_int64(query, 1),
                 sqlite3_column_int(query, 2), sqlite3_column_double(query, 3));
    sqlite3_finalize(query);
    return (size_t)size;
}
