// SPDX-License-Identifier: Apache-2.0
#include "driver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;

void line_print(struct json_object *event)
{
    pthread_mutex_lock(&printing);
    puts(json_object_to_json_string_ext(event, JSON_C_TO_STRING_PLAIN));
    fflush(stdout);
    pthread_mutex_unlock(&printing);
    json_object_put(event);
}

struct json_object *line_new(const char *event, const char *subject, const char *name)
{
    struct json_object *object = json_object_new_object();
    line_add_text(object, "event", event);
    if (subject != NULL)
        line_add_text(object, subject, name);
    return object;
}

void line_add_text(struct json_object *event, const char *name, const char *text)
{
    json_object_object_add(event, name, json_object_new_string(text));
}

void line_add_number(struct json_object *event, const char *name, uint64_t number)
{
    json_object_object_add(event, name, json_object_new_uint64(number));
}

void line_add_flag(struct json_object *event, const char *name, bool flag)
{
    json_object_object_add(event, name, json_object_new_boolean(flag));
}

// A text, since some languages read every number as a double.
void line_add_token(struct json_object *event, uint64_t token)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)token);
    line_add_text(event, "token", text);
}

void line_add_base64(struct json_object *event, const char *name, const void *data, size_t bytes)
{
    char *text = malloc(4 * (bytes / 3 + 1) + 1);
    if (text == NULL)
        abort();
    EVP_EncodeBlock((unsigned char *)text, data, (int)bytes);
    line_add_text(event, name, text);
    free(text);
}

void line_add_sha256(struct json_object *event, const char *name, const void *data, size_t bytes)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_Digest(data, bytes, digest, &size, EVP_sha256(), NULL);
    char text[2 * EVP_MAX_MD_SIZE + 1];
    for (unsigned int i = 0; i < size; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", digest[i]);
    line_add_text(event, name, text);
}

const char *line_text(struct json_object *command, const char *name)
{
    struct json_object *field = NULL;
    if (!json_object_object_get_ex(command, name, &field) || field == NULL)
        return NULL;
    return json_object_get_string(field);
}

uint64_t line_number(struct json_object *command, const char *name)
{
    struct json_object *field = NULL;
    if (!json_object_object_get_ex(command, name, &field))
        return 0;
    return json_object_get_uint64(field); // reads a text too
}

int32_t line_code(struct json_object *command)
{
    struct json_object *field = NULL;
    return json_object_object_get_ex(command, "code", &field) ? json_object_get_int(field) : 0;
}

bool line_flag(struct json_object *command, const char *name)
{
    struct json_object *field = NULL;
    return json_object_object_get_ex(command, name, &field) && json_object_get_boolean(field);
}

bool line_has(struct json_object *command, const char *name)
{
    return json_object_object_get_ex(command, name, NULL);
}

void *line_base64(struct json_object *command, const char *name, size_t *bytes_out)
{
    const char *text = line_text(command, name);
    *bytes_out = 0;
    if (text == NULL)
        return NULL;
    size_t length = strlen(text);
    unsigned char *data = malloc(length / 4 * 3 + 1);
    if (data == NULL)
        abort();
    int bytes = EVP_DecodeBlock(data, (const unsigned char *)text, (int)length);
    if (bytes < 0) {
        fprintf(stderr, "driver: \"%s\" is no base64\n", name);
        exit(65);
    }
    // EVP counts the padding as zero bytes.
    for (size_t i = length; i > 0 && text[i - 1] == '='; i--)
        bytes--;
    *bytes_out = (size_t)bytes;
    return data;
}
