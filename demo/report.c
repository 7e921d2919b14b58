// SPDX-License-Identifier: Apache-2.0
// A command like any other, that knows nothing of singleflight: a report of some seconds' work.
//   demo_report make DATABASE     makes the database
//   demo_report DATABASE          prints the report, line by line as it goes
#include "database.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "make") == 0) {
        demo_database_make(argv[2]);
        return 0;
    }
    if (argc != 2)
        return 64;
    sqlite3 *database = demo_database_open(argv[1]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("report on %d users in %d cities\n", DEMO_USERS, DEMO_CITIES);
    for (unsigned city = 0; city < DEMO_CITIES; city++) {
        char line[256];
        demo_query_city(database, city, line, sizeof(line));
        fputs(line, stdout);
    }
    printf("end of the report\n");
    sqlite3_close(database);
    return ferror(stdout) != 0;
}
