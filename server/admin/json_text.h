// SPDX-License-Identifier: Apache-2.0
// Between bytes and JSON's texts.
#ifndef SFL_ADMIN_JSON_TEXT_H
#define SFL_ADMIN_JSON_TEXT_H

#include "base/bytes.h"
#include "base/utf8.h"

#include <stdbool.h>

struct json_object;

// What is not UTF-8 is shown as U+FFFD, one for each byte. NULL when there is no memory.
struct json_object *sfl_json_new_text(struct sfl_span text);
struct json_object *sfl_json_new_base64(struct sfl_span bytes);

// The bytes of a base64 text, in memory of malloc(). False when it is none, or there is no memory.
bool sfl_json_read_base64(struct sfl_span text, struct sfl_span *bytes_out);

// The text of an object on one line, made with malloc(). NULL when there is no memory.
char *sfl_json_print(struct json_object *object);

#endif
