// SPDX-License-Identifier: Apache-2.0
#include "start_problem.h"

#include <stdio.h>
#include <string.h>

void sfl_start_problem(const char *setting, const char *value, const char *why)
{
    fprintf(stderr, "singleflightd: %s %s: %s\n", setting, value, why);
}

// "FILE: ...", "FILE:LINE: ..." or "FOLDER/FILE: ...".
static bool is_about(const char *why, const char *path)
{
    size_t size = path == NULL ? 0 : strlen(path);
    return size > 0 && strncmp(why, path, size) == 0 &&
           (why[size] == ':' || why[size] == '/' || path[size - 1] == '/');
}

void sfl_start_file_problem(const struct sfl_settings *settings, const char *why)
{
    const struct {
        const char *setting;
        const char *path;
    } rows[] = {
        {"token-file", settings->token_file}, {"access-file", settings->access_file},
        {"tls-cert", settings->tls_cert},     {"tls-key", settings->tls_key},
        {"data-dir", settings->data_dir},     {"tls-client-ca", settings->tls_client_ca},
    };
    const char *setting = "";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && setting[0] == '\0'; i++) {
        if (is_about(why, rows[i].path))
            setting = rows[i].setting;
    }
    fprintf(stderr, "singleflightd: %s%s%s\n", setting, setting[0] == '\0' ? "" : " ", why);
}

void sfl_start_without_room(void)
{
    fputs("singleflightd: cannot start: too little memory or too few files\n", stderr);
}
