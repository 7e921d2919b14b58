// SPDX-License-Identifier: Apache-2.0
// /api/v1: what changes something. Each asks for one object of JSON, no header of a form's, and a
// right; so no other site can have a browser do it.
#include "admin/answer.h"
#include "admin/json.h"
#include "admin/json_text.h"
#include "admin/routes.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// What the body says. Spans are the object's, but for a key in base64.
struct command {
    struct json_object *object;
    struct sfl_span group;
    struct sfl_span key;
    void *decoded; // NULL, or the key's bytes
    uint64_t token;
};

static void command_deinit(struct command *command)
{
    json_object_put(command->object);
    free(command->decoded);
}

static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t size = sizeof(json) - 1;
    return type != NULL && strncasecmp(type, json, size) == 0 &&
           strchr(" ;", type[size]) != NULL; // or the end
}

static struct json_object *parse(const struct sfl_request *request)
{
    enum { DEPTH_MAX = 4 };
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (tokener == NULL)
        return NULL;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *object = json_tokener_parse_ex(
        tokener, request->body_size == 0 ? "" : request->body, (int)request->body_size);
    bool is_whole = json_tokener_get_error(tokener) == json_tokener_success &&
                    json_tokener_get_parse_end(tokener) == request->body_size;
    json_tokener_free(tokener);
    if (is_whole && json_object_is_type(object, json_type_object))
        return object;
    json_object_put(object);
    return NULL;
}

// False when it is there and no text.
static bool get_text(struct json_object *object, const char *name, struct sfl_span *text_out)
{
    struct json_object *value;
    if (!json_object_object_get_ex(object, name, &value))
        return true;
    if (!json_object_is_type(value, json_type_string))
        return false;
    *text_out =
        sfl_span_of(json_object_get_string(value), (size_t)json_object_get_string_len(value));
    return true;
}

// NULL: it is good; otherwise what is wrong with it.
static const char *read_key(struct command *command)
{
    struct sfl_span base64 = {NULL, 0};
    if (!get_text(command->object, "key", &command->key) ||
        !get_text(command->object, "key_base64", &base64))
        return "key must be a string";
    if (base64.data == NULL)
        return command->key.size == 0 ? "key is missing" : NULL;
    if (!sfl_json_read_base64(base64, &command->key))
        return "key_base64 is no base64";
    command->decoded = (void *)command->key.data;
    return command->key.size == 0 ? "key_base64 is empty" : NULL;
}

static const char *read_token(struct command *command)
{
    struct sfl_span token = {NULL, 0};
    if (!get_text(command->object, "token", &token))
        return "token must be a string";
    if (token.size == 0 || token.size > 20)
        return "token must be the flight's token, as a string";
    const char *text = (const char *)token.data;
    char *end;
    errno = 0;
    command->token = strtoull(text, &end, 10);
    bool is_number = text[0] >= '1' && text[0] <= '9' && end == text + token.size && errno == 0;
    return is_number ? NULL : "token must be the flight's token, as a string";
}

// What is longer than any caller may send is no mistake to pass over.
static const char *check_limits(const struct command *command,
                                const struct sfl_admin_sources *sources)
{
    if (command->group.size > sources->group_bytes_max)
        return "group is longer than this server takes";
    return command->key.size > sources->key_bytes_max ? "key is longer than this server takes"
                                                      : NULL;
}

static const char *read_command(struct command *command, const struct sfl_request *request,
                                bool has_token)
{
    command->object = parse(request);
    if (command->object == NULL)
        return "the body must be one JSON object";
    if (!get_text(command->object, "group", &command->group))
        return "group must be a string";
    if (command->group.size == 0)
        command->group = sfl_span_of_text("default");
    const char *problem = read_key(command);
    if (problem == NULL)
        problem = check_limits(command, &request->admin->sources);
    return problem == NULL && has_token ? read_token(command) : problem;
}

bool sfl_check_post(struct sfl_request *request, enum MHD_Result *result_out)
{
    struct MHD_Connection *connection = request->connection;
    if (!sfl_request_open_viewer(request, result_out) ||
        !sfl_request_read_query(request, SFL_QUERY_NOTHING, result_out))
        return false;
    if (!is_json(sfl_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE)))
        *result_out = sfl_answer_error(connection, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                       "Content-Type must be application/json");
    else
        return true;
    return false;
}

static enum MHD_Result refuse_right(struct sfl_request *request, enum sfl_right right)
{
    struct MHD_Connection *connection = request->connection;
    const struct sfl_viewer *viewer = &request->viewer;
    if (viewer->security == NULL)
        return sfl_answer_error(connection, MHD_HTTP_FORBIDDEN,
                                "without --token-file or --access-file, changes are taken from "
                                "this machine only, and only where its gRPC port serves it so");
    sfl_viewer_note_refusal(viewer, right);
    if (!sfl_viewer_is_known(viewer))
        return sfl_answer_error(connection, MHD_HTTP_UNAUTHORIZED, "a token is needed for that");
    return sfl_answer_error(connection, MHD_HTTP_FORBIDDEN,
                            right == SFL_RIGHT_END ? "you may not end flights of this group"
                                                   : "you may not forget keys of this group");
}

static enum MHD_Result carry_out(struct sfl_request *request, const struct command *command,
                                 enum sfl_right right)
{
    const struct sfl_admin_sources *sources = &request->admin->sources;
    char who[SFL_VIEWER_NAME_MAX];
    bool is_done;
    if (!sfl_viewer_may(&request->viewer, right, command->group))
        return refuse_right(request, right);
    sfl_viewer_name(&request->viewer, who);
    if (right == SFL_RIGHT_END)
        is_done = sources->end(sources->context, command->group, command->key, command->token, who);
    else
        is_done = sources->forget(sources->context, command->group, command->key, who);
    return sfl_answer_json(request->connection, MHD_HTTP_OK,
                           sfl_json_truth(right == SFL_RIGHT_END ? "ended" : "forgotten", is_done));
}

static enum MHD_Result answer(struct sfl_request *request, enum sfl_right right)
{
    enum MHD_Result result;
    struct command command = {.object = NULL};
    if (request->is_body_too_large)
        return sfl_answer_error(request->connection, MHD_HTTP_CONTENT_TOO_LARGE,
                                "the body is longer than 1 MiB");
    const char *problem = read_command(&command, request, right == SFL_RIGHT_END);
    if (problem != NULL)
        result = sfl_answer_error(request->connection, MHD_HTTP_BAD_REQUEST, problem);
    else
        result = carry_out(request, &command, right);
    command_deinit(&command);
    return result;
}

enum MHD_Result sfl_answer_forget(struct sfl_request *request)
{
    return answer(request, SFL_RIGHT_FORGET);
}

enum MHD_Result sfl_answer_end(struct sfl_request *request)
{
    return answer(request, SFL_RIGHT_END);
}
