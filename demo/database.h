// SPDX-License-Identifier: Apache-2.0
// The demo's database: 100,000 users, and two queries that are worth asking only once.
#ifndef SFL_DEMO_DATABASE_H
#define SFL_DEMO_DATABASE_H

#include <sqlite3.h>
#include <stddef.h>

#define DEMO_USERS 100000
#define DEMO_CITIES 30

// Makes the file and fills it; it must not exist. Ends the program with a message on any error, as
// all functions here do.
void demo_database_make(const char *path);

// Opens it for reading. To be closed by sqlite3_close().
sqlite3 *demo_database_open(const char *path);

// Writes the profile of a user, with the rank by balance among all users. Returns its size.
size_t demo_query_profile(sqlite3 *database, const char *user, char *text_out, size_t room);

// Writes one line of the report: what a city holds, and how its users rank among all.
size_t demo_query_city(sqlite3 *database, unsigned city, char *text_out, size_t room);

#endif
