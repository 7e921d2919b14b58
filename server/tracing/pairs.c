// SPDX-License-Identifier: Apache-2.0
#include "tracing/pairs.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

static int hex(char letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    if (letter >= 'a' && letter <= 'f')
        return letter - 'a' + 10;
    if (letter >= 'A' && letter <= 'F')
        return letter - 'A' + 10;
    return -1;
}

// Decodes in place. False when a percent sign is not followed by two digits, or they make a NUL.
static bool decode_percent(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = hex(from[1]);
        int low = high < 0 ? -1 : hex(from[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = '\0';
    return sfl_utf8_is_valid(sfl_span_of_text(text));
}

static bool is_blank(char letter)
{
    return letter == ' ' || letter == '\t';
}

// Cuts blanks in place, and returns where the rest begins.
static char *trim(char *text)
{
    while (is_blank(*text))
        text++;
    size_t size = strlen(text);
    while (size > 0 && is_blank(text[size - 1]))
        size--;
    text[size] = '\0';
    return text;
}

enum sfl_status sfl_pairs_set(struct sfl_pairs *pairs, const char *key, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return SFL_NO_MEMORY;
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->items[i].key, key) == 0) {
            free(pairs->items[i].value);
            pairs->items[i].value = copy;
            return SFL_OK;
        }
    }
    char *key_copy = strdup(key);
    struct sfl_pair *items = realloc(pairs->items, (pairs->count + 1) * sizeof(*items));
    if (items != NULL)
        pairs->items = items;
    if (key_copy == NULL || items == NULL) {
        free(key_copy);
        free(copy);
        return SFL_NO_MEMORY;
    }
    pairs->items[pairs->count++] = (struct sfl_pair){key_copy, copy};
    return SFL_OK;
}

static enum sfl_status read_pair(struct sfl_pairs *pairs, char *text)
{
    char *equals = strchr(text, '=');
    if (equals == NULL)
        return SFL_INVALID_ARGUMENT;
    *equals = '\0';
    const char *key = trim(text);
    char *value = trim(equals + 1);
    if (*key == '\0' || !sfl_utf8_is_valid(sfl_span_of_text(key)) || !decode_percent(value))
        return SFL_INVALID_ARGUMENT;
    return sfl_pairs_set(pairs, key, value);
}

// Empty elements of the list are nothing.
static enum sfl_status read_all(struct sfl_pairs *pairs, char *text)
{
    char *rest = text;
    char *element = NULL;
    enum sfl_status status = SFL_OK;
    while (status == SFL_OK && (element = strsep(&rest, ",")) != NULL) {
        if (*trim(element) != '\0')
            status = read_pair(pairs, element);
    }
    return status;
}

enum sfl_status sfl_pairs_read(struct sfl_pairs *pairs, const char *text)
{
    struct sfl_pairs read = {0};
    char *copy = strdup(text);
    enum sfl_status status = copy == NULL ? SFL_NO_MEMORY : read_all(&read, copy);
    for (size_t i = 0; status == SFL_OK && i < read.count; i++)
        status = sfl_pairs_set(pairs, read.items[i].key, read.items[i].value);
    sfl_pairs_deinit(&read);
    free(copy);
    return status;
}

void sfl_pairs_deinit(struct sfl_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->items[i].key);
        free(pairs->items[i].value);
    }
    free(pairs->items);
    *pairs = (struct sfl_pairs){0};
}
