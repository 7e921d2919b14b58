// SPDX-License-Identifier: Apache-2.0
#include "cli/reason.h"

#include "cli/memory.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *field; // as the server begins its text
    const char *option;
} names[] = {
    {"retain_ms: ", "--retain or --every, in ms: "},
    {"retain_error_ms: ", "--retain-error or --every, in ms: "},
    {"max_age_ms: ", "--max-age, in ms: "},
    {"lease_ms: ", "--lease, in ms: "},
    {"run_limit_ms: ", "--run-limit, in ms: "},
};

// "fenced: token 7, now 9 (ended by NAME)": what stands in the parentheses.
static char *find_cause(const char *text)
{
    const char *begin = strstr(text, " (");
    size_t length = strlen(text);
    if (strncmp(text, "fenced: token ", strlen("fenced: token ")) != 0 || begin == NULL ||
        text[length - 1] != ')')
        return NULL;
    char *cause = sfl_cli_copy_text(begin + 2);
    cause[strlen(cause) - 1] = '\0';
    return cause;
}

char *sfl_cli_plain_reason(const char *text)
{
    char *cause = find_cause(text);
    if (cause != NULL)
        return cause;
    static const char twice[] = "the lead is lost: "; // the library's own words
    if (strncmp(text, twice, strlen(twice)) == 0)
        return sfl_cli_copy_text(text + strlen(twice));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = strlen(names[i].field);
        if (strncmp(text, names[i].field, length) != 0)
            continue;
        size_t room = strlen(names[i].option) + strlen(text);
        char *plain = sfl_cli_allocate(room);
        snprintf(plain, room, "%s%s", names[i].option, text + length);
        return plain;
    }
    return sfl_cli_copy_text(text);
}
