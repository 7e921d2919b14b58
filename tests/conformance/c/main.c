// SPDX-License-Identifier: Apache-2.0
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX 8

struct named_client {
    struct named_client *next;
    struct singleflight_client *client;
    char name[];
};

static struct named_client *clients;

static struct singleflight_client *client_get(struct json_object *command)
{
    const char *name = line_text(command, "client");
    for (struct named_client *at = clients; at != NULL; at = at->next) {
        if (strcmp(at->name, name) == 0)
            return at->client;
    }
    fprintf(stderr, "driver: no client %s\n", name);
    exit(65);
}

static void print_error(const char *subject, const char *name, enum singleflight_status status)
{
    struct json_object *event = line_new("error", subject, name);
    line_add_text(event, "code", singleflight_status_name(status));
    line_add_text(event, "message", singleflight_last_error());
    line_print(event);
}

static void open_client(struct json_object *command)
{
    const char *name = line_text(command, "client");
    struct json_object *list = NULL;
    struct json_object *from = NULL;
    json_object_object_get_ex(command, "addresses", &list);
    json_object_object_get_ex(command, "options", &from);

    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    const char *addresses[ADDRESSES_MAX];
    options.addresses = addresses;
    size_t count = json_object_array_length(list);
    options.address_count = count < ADDRESSES_MAX ? count : ADDRESSES_MAX;
    for (size_t i = 0; i < options.address_count; i++)
        addresses[i] = json_object_get_string(json_object_array_get_idx(list, i));
    options.caller = line_text(from, "caller");
    options.fail_open = line_flag(from, "fail_open");
    if (line_has(from, "connect_timeout_ms"))
        options.connect_timeout_ms = line_number(from, "connect_timeout_ms");
    options.backoff_min_ms = line_number(from, "backoff_min_ms");
    options.backoff_max_ms = line_number(from, "backoff_max_ms");
    options.result_bytes_max = line_number(from, "result_limit");

    size_t name_bytes = strlen(name) + 1;
    struct named_client *entry = malloc(sizeof(*entry) + name_bytes);
    if (entry == NULL)
        abort();
    memcpy(entry->name, name, name_bytes);
    enum singleflight_status status = singleflight_client_create(&options, &entry->client);
    if (status != SINGLEFLIGHT_OK) {
        print_error("client", name, status);
        free(entry);
        return;
    }
    entry->next = clients;
    clients = entry;
    line_print(line_new("client", "client", name));
}

static void close_client(struct json_object *command)
{
    const char *name = line_text(command, "client");
    for (struct named_client **at = &clients; *at != NULL; at = &(*at)->next) {
        struct named_client *entry = *at;
        if (strcmp(entry->name, name) != 0)
            continue;
        *at = entry->next;
        singleflight_client_destroy(entry->client);
        free(entry);
        break;
    }
    line_print(line_new("closed", "client", name));
}

static void forget(struct json_object *command)
{
    const char *name = line_text(command, "client");
    size_t bytes = 0;
    void *key = line_base64(command, "key_b64", &bytes);
    struct singleflight_forgotten forgotten = {0};
    enum singleflight_status status =
        singleflight_forget(client_get(command), line_text(command, "group"), key, bytes,
                            line_flag(command, "if_unshared"), 0, &forgotten);
    free(key);
    if (status != SINGLEFLIGHT_OK) {
        print_error("client", name, status);
        return;
    }
    struct json_object *event = line_new("forgot", "client", name);
    line_add_flag(event, "flight", forgotten.flight);
    line_add_flag(event, "retained", forgotten.retained);
    line_print(event);
}

static void hello(void)
{
    struct json_object *event = line_new("hello", "language", "c");
    line_add_text(event, "version", singleflight_version());
    line_print(event);
}

static void print_unknown(struct json_object *command, const char *op)
{
    char text[128];
    snprintf(text, sizeof(text), "unknown: %s", op);
    bool has_call = line_has(command, "call");
    const char *name = line_text(command, has_call ? "call" : "client");
    struct json_object *event = line_new("error", has_call ? "call" : "client", name);
    line_add_text(event, "message", text);
    line_print(event);
}

static void obey(struct json_object *command)
{
    const char *op = line_text(command, "op");
    if (op == NULL)
        op = "";
    if (strcmp(op, "hello") == 0)
        hello();
    else if (strcmp(op, "client") == 0)
        open_client(command);
    else if (strcmp(op, "do") == 0)
        call_start(client_get(command), command);
    else if (strcmp(op, "signal") == 0)
        signal_give(line_text(command, "name"));
    else if (strcmp(op, "cancel") == 0)
        call_cancel(line_text(command, "call"));
    else if (strcmp(op, "forget") == 0)
        forget(command);
    else if (strcmp(op, "close") == 0)
        close_client(command);
    else
        print_unknown(command, op);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        struct json_object *command = json_tokener_parse(line);
        if (command == NULL) {
            fprintf(stderr, "driver: no JSON: %s", line);
            return 65;
        }
        obey(command);
        json_object_put(command);
    }
    free(line);
    while (clients != NULL) {
        struct named_client *entry = clients;
        clients = entry->next;
        singleflight_client_destroy(entry->client);
        free(entry);
    }
    calls_drain();
    return 0;
}
