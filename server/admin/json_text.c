// SPDX-License-Identifier: Apache-2.0
#include "admin/json_text.h"

#include <json-c/json.h>
#include <stdlib.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// How many bytes at the beginning are UTF-8.
static size_t valid_bytes(struct sfl_span text)
{
    size_t size = text.size;
    if (sfl_utf8_is_valid(text))
        return size;
    size_t low = 0; // valid
    while (low < size) {
        size_t step = 1;
        while (step <= 4 && low + step <= size &&
               !sfl_utf8_is_valid(sfl_span_of(text.data + low, step)))
            step++;
        if (step > 4 || low + step > size)
            return low;
        low += step;
    }
    return low;
}

struct json_object *sfl_json_new_text(struct sfl_span text)
{
    if (sfl_utf8_is_valid(text))
        return json_object_new_string_len(text.size == 0 ? "" : (const char *)text.data,
                                          (int)text.size);
    char *shown = malloc(text.size * 3);
    size_t used = 0;
    if (shown == NULL)
        return NULL;
    while (text.size > 0) {
        size_t size = valid_bytes(text);
        memcpy(shown + used, text.data, size);
        used += size;
        text = sfl_span_of(text.data + size, text.size - size);
        if (text.size == 0)
            break;
        shown[used++] = '\xef';
        shown[used++] = '\xbf';
        shown[used++] = '\xbd';
        text = sfl_span_of(text.data + 1, text.size - 1);
    }
    struct json_object *object = json_object_new_string_len(shown, (int)used);
    free(shown);
    return object;
}

struct json_object *sfl_json_new_base64(struct sfl_span bytes)
{
    char *text = malloc((bytes.size + 2) / 3 * 4 + 1);
    size_t used = 0;
    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t three = (uint32_t)bytes.data[i] << 16;
        if (left > 1)
            three |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2)
            three |= bytes.data[i + 2];
        text[used++] = digits[three >> 18];
        text[used++] = digits[three >> 12 & 63];
        text[used++] = left > 1 ? digits[three >> 6 & 63] : '=';
        text[used++] = left > 2 ? digits[three & 63] : '=';
    }
    struct json_object *object = json_object_new_string_len(text, (int)used);
    free(text);
    return object;
}

bool sfl_json_read_base64(struct sfl_span text, struct sfl_span *bytes_out)
{
    size_t size = text.size;
    size_t padding = 0;
    while (padding < 2 && padding < size && text.data[size - 1 - padding] == '=')
        padding++;
    if (size % 4 != 0)
        return false;
    uint8_t *bytes = malloc(size / 4 * 3 + 1);
    size_t used = 0;
    uint32_t four = 0;
    if (bytes == NULL)
        return false;
    for (size_t i = 0; i < size; i++) {
        const char *digit =
            i < size - padding ? memchr(digits, text.data[i], sizeof(digits) - 1) : digits;
        if (digit == NULL) {
            free(bytes);
            return false;
        }
        four = four << 6 | (uint32_t)(digit - digits);
        if (i % 4 != 3)
            continue;
        bytes[used++] = (uint8_t)(four >> 16);
        bytes[used++] = (uint8_t)(four >> 8);
        bytes[used++] = (uint8_t)four;
        four = 0;
    }
    *bytes_out = sfl_span_of(bytes, used - padding);
    return true;
}

char *sfl_json_print(struct json_object *object)
{
    if (object == NULL)
        return NULL;
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE);
    return text == NULL ? NULL : strdup(text);
}
