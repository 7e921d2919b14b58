// SPDX-License-Identifier: Apache-2.0
// What browsers say to the admin port: a query of names and values that end with 0 (a first byte of
// 'q'), the headers Host and Origin ('h'), a key in base64 ('b'), a key that is shown (else).
#include "admin/json_text.h"
#include "admin/origin.h"
#include "admin/query.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "page_fuzz:%d: %s\n", __LINE__, #condition);                           \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_query(const struct sfl_query *query)
{
    CHECK(query->flights.limit <= SFL_QUERY_LIMIT_MAX);
    CHECK(query->runs.limit <= SFL_QUERY_LIMIT_MAX);
    CHECK(query->flights.offset <= SFL_QUERY_OFFSET_MAX);
    CHECK(query->runs.offset <= SFL_QUERY_OFFSET_MAX);
    CHECK(query->flights.group.size <= SFL_QUERY_GROUP_MAX);
    CHECK(query->flights.search.size <= SFL_QUERY_SEARCH_MAX);
    CHECK(query->states < 1U << SFL_ADMIN_STATES);
    CHECK(memchr(query->runs_outcome, 0, sizeof(query->runs_outcome)) != NULL);
}

static void read_query(const char *text, size_t size)
{
    struct sfl_query query;
    char problem[SFL_QUERY_PROBLEM_MAX] = "";
    sfl_query_init(&query);
    for (size_t at = 0; at < size;) {
        const char *name = text + at;
        at += strlen(name) + 1;
        const char *value = at < size ? text + at : "";
        at += strlen(value) + 1;
        if (!sfl_query_set(&query, SFL_QUERY_EVENTS, name, sfl_span_of_text(value), problem))
            CHECK(problem[0] != '\0' && strlen(problem) < sizeof(problem));
        check_query(&query);
    }
}

// "HOST\0ORIGIN". With the rights off, what opens is never a foreign name.
static void read_headers(const char *text, size_t size)
{
    const char *host = text;
    const char *origin = strlen(host) < size ? host + strlen(host) + 1 : NULL;
    if (sfl_origin_check_host(host, true, "localhost") != NULL)
        CHECK(sfl_origin_check_host(host, false, "localhost") != NULL);
    if (sfl_origin_check_host(host, false, "localhost") == NULL)
        CHECK(strpbrk(host, "/@ \t\r\n") == NULL);
    if (origin != NULL && sfl_origin_check(origin, host) == NULL)
        CHECK(strlen(origin) >= strlen("http://") + strlen(host));
}

// What was read is written as the same text, but for bits that no digit needs.
static void read_base64(struct sfl_span text)
{
    struct sfl_span bytes;
    if (!sfl_json_read_base64(text, &bytes))
        return;
    CHECK(bytes.size <= text.size / 4 * 3);
    struct json_object *written = sfl_json_new_base64(bytes);
    CHECK(written != NULL && strlen(json_object_get_string(written)) == text.size);
    json_object_put(written);
    free((void *)bytes.data);
}

static void show(struct sfl_span key)
{
    struct json_object *text = sfl_json_new_text(key);
    CHECK(text != NULL);
    CHECK(sfl_utf8_is_valid(
        sfl_span_of(json_object_get_string(text), (size_t)json_object_get_string_len(text))));
    char *printed = sfl_json_print(text);
    CHECK(printed != NULL && strpbrk(printed, "\r\n") == NULL);
    free(printed);
    json_object_put(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = calloc(1, size + 1);
    CHECK(text != NULL);
    memcpy(text, data, size);
    if (data[0] == 'q')
        read_query(text + 1, size - 1);
    else if (data[0] == 'h')
        read_headers(text + 1, size - 1);
    else if (data[0] == 'b')
        read_base64(sfl_span_of(data + 1, size - 1));
    else
        show(sfl_span_of(data, size));
    free(text);
    return 0;
}
