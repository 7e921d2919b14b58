// SPDX-License-Identifier: Apache-2.0
#include "config/value.h"

#include "base/duration.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void string_list_clear(struct sfl_string_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    list->items = NULL;
    list->count = 0;
}

static enum sfl_status string_list_append(struct sfl_string_list *list, const char *text,
                                          size_t size)
{
    char *copy = strndup(text, size);
    char **items = realloc(list->items, (list->count + 1) * sizeof(*items));
    if (items != NULL)
        list->items = items;
    if (copy == NULL || items == NULL) {
        free(copy);
        return SFL_NO_MEMORY;
    }
    list->items[list->count++] = copy;
    return SFL_OK;
}

// "TEXT" with what is not printable as \xNN, so that a bad file cannot drive the terminal.
static void quote(const char *text, char *quoted_out, size_t size_max)
{
    size_t size = 0;
    quoted_out[size++] = '"';
    for (; *text != '\0' && size + 8 < size_max; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte >= 0x20 && byte != 0x7f)
            quoted_out[size++] = (char)byte;
        else
            size += (size_t)snprintf(quoted_out + size, 5, "\\x%02x", byte);
    }
    snprintf(quoted_out + size, size_max - size, "%s\"", *text == '\0' ? "" : "...");
}

static enum sfl_status refuse(const char *text, const char *why, char problem_out[SFL_PROBLEM_MAX])
{
    char quoted[160];
    quote(text, quoted, sizeof(quoted));
    snprintf(problem_out, SFL_PROBLEM_MAX, "%s %s", quoted, why);
    return SFL_INVALID_ARGUMENT;
}

static enum sfl_status refuse_bounds(const char *text, const struct sfl_setting *setting,
                                     char problem_out[SFL_PROBLEM_MAX])
{
    char bounds[SFL_BOUNDS_TEXT_MAX];
    char why[SFL_BOUNDS_TEXT_MAX + 64];
    sfl_setting_describe_bounds(setting, bounds);
    snprintf(why, sizeof(why), "is out of bounds; it takes %s", bounds);
    return refuse(text, why, problem_out);
}

static enum sfl_status parse_count(const char *text, uint64_t *count_out, const char **why_out)
{
    // A size without its unit is a whole number, which is all that a count may be.
    if (text[0] != '\0' && text[strspn(text, "0123456789")] == '\0')
        return sfl_size_parse(text, count_out, why_out);
    *why_out = "must be a whole number without a unit";
    return SFL_INVALID_ARGUMENT;
}

static enum sfl_status parse_number(const struct sfl_setting *setting, const char *text,
                                    uint64_t *number_out, const char **why_out)
{
    if (setting->type == SFL_SETTING_DURATION)
        return sfl_duration_parse(text, number_out, why_out);
    if (setting->type == SFL_SETTING_SIZE)
        return sfl_size_parse(text, number_out, why_out);
    return parse_count(text, number_out, why_out);
}

static enum sfl_status give_number(struct sfl_setting_value *value,
                                   const struct sfl_setting *setting, const char *text,
                                   char problem_out[SFL_PROBLEM_MAX])
{
    const char *why = NULL;
    uint64_t number = 0;
    enum sfl_status status = parse_number(setting, text, &number, &why);
    if (status != SFL_OK)
        return refuse(text, why, problem_out);
    bool is_zero_word = number == 0 && setting->zero != NULL;
    if (!is_zero_word && (number < setting->min || number > setting->max))
        return refuse_bounds(text, setting, problem_out);
    value->number = number;
    return SFL_OK;
}

static enum sfl_status give_choice(struct sfl_setting_value *value,
                                   const struct sfl_setting *setting, const char *text,
                                   char problem_out[SFL_PROBLEM_MAX])
{
    for (const struct sfl_setting_choice *choice = setting->choices; choice->name; choice++) {
        if (strcmp(choice->name, text) == 0) {
            value->number = choice->value;
            return SFL_OK;
        }
    }
    char bounds[SFL_BOUNDS_TEXT_MAX];
    char why[SFL_BOUNDS_TEXT_MAX + 64];
    sfl_setting_describe_bounds(setting, bounds);
    snprintf(why, sizeof(why), "is not known; it takes %s", bounds);
    return refuse(text, why, problem_out);
}

static enum sfl_status give_switch(struct sfl_setting_value *value, const char *text,
                                   char problem_out[SFL_PROBLEM_MAX])
{
    bool is_yes = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
    bool is_no = strcmp(text, "no") == 0 || strcmp(text, "false") == 0;
    if (!is_yes && !is_no)
        return refuse(text, "is not known; it takes yes or no", problem_out);
    value->number = is_yes ? 1 : 0;
    return SFL_OK;
}

// Checks and appends one text of `size` bytes.
static enum sfl_status give_item(struct sfl_setting_value *value, const struct sfl_setting *setting,
                                 const char *text, size_t size, char problem_out[SFL_PROBLEM_MAX])
{
    enum sfl_status status = string_list_append(&value->texts, text, size);
    if (status != SFL_OK) {
        snprintf(problem_out, SFL_PROBLEM_MAX, "cannot be stored: %s", sfl_status_text(status));
        return status;
    }
    const char *item = value->texts.items[value->texts.count - 1];
    const char *why = setting->check == NULL ? NULL : setting->check(item);
    return why == NULL ? SFL_OK : refuse(item, why, problem_out);
}

static enum sfl_status give_text(struct sfl_setting_value *value, const struct sfl_setting *setting,
                                 const char *text, char problem_out[SFL_PROBLEM_MAX])
{
    string_list_clear(&value->texts);
    if (text[0] == '\0')
        return SFL_OK;
    return give_item(value, setting, text, strlen(text), problem_out);
}

// Items are parted by commas; blanks around them do not count.
static enum sfl_status give_list(struct sfl_setting_value *value, const struct sfl_setting *setting,
                                 const char *text, char problem_out[SFL_PROBLEM_MAX])
{
    if (text[0] == '\0' && setting->fallback[0] == '\0')
        return SFL_OK; // none
    for (const char *at = text;; at++) {
        at += strspn(at, " \t");
        size_t length = strcspn(at, ",");
        size_t size = length;
        while (size > 0 && isblank((unsigned char)at[size - 1]))
            size--;
        if (size == 0)
            return refuse(text, "has an empty item", problem_out);
        enum sfl_status status = give_item(value, setting, at, size, problem_out);
        if (status != SFL_OK)
            return status;
        at += length;
        if (*at == '\0')
            return SFL_OK;
    }
}

enum sfl_status sfl_setting_value_give(struct sfl_setting_value *value,
                                       const struct sfl_setting *setting,
                                       enum sfl_setting_source source, const char *text,
                                       char problem_out[SFL_PROBLEM_MAX])
{
    if (source != value->source) {
        sfl_setting_value_deinit(value);
        value->source = source;
    }
    value->given++;
    switch (setting->type) {
    case SFL_SETTING_TEXT:
        return give_text(value, setting, text, problem_out);
    case SFL_SETTING_TEXT_LIST:
        return give_list(value, setting, text, problem_out);
    case SFL_SETTING_DURATION:
    case SFL_SETTING_SIZE:
    case SFL_SETTING_COUNT:
        return give_number(value, setting, text, problem_out);
    case SFL_SETTING_CHOICE:
        return give_choice(value, setting, text, problem_out);
    case SFL_SETTING_SWITCH:
        return give_switch(value, text, problem_out);
    }
    assert(!"a setting has no type");
    return SFL_INTERNAL;
}

static_assert(sizeof(enum sfl_log_level) == sizeof(unsigned), "an enum is an unsigned here");

void sfl_setting_value_lend(const struct sfl_setting_value *value,
                            const struct sfl_setting *setting, struct sfl_settings *settings)
{
    void *field = (char *)settings + setting->offset;
    switch (setting->type) {
    case SFL_SETTING_TEXT:
        *(char **)field = value->texts.count == 0 ? NULL : value->texts.items[0];
        break;
    case SFL_SETTING_TEXT_LIST:
        *(struct sfl_string_list *)field = value->texts;
        break;
    case SFL_SETTING_DURATION:
    case SFL_SETTING_SIZE:
        *(uint64_t *)field = value->number;
        break;
    case SFL_SETTING_COUNT:
        *(uint32_t *)field = (uint32_t)value->number;
        break;
    case SFL_SETTING_CHOICE:
        *(unsigned *)field = (unsigned)value->number;
        break;
    case SFL_SETTING_SWITCH:
        *(bool *)field = value->number != 0;
        break;
    }
}

void sfl_setting_value_hand_over(struct sfl_setting_value *value, const struct sfl_setting *setting)
{
    if (setting->type == SFL_SETTING_TEXT)
        free(value->texts.items); // the array; the text is in its field
    value->texts = (struct sfl_string_list){NULL, 0};
}

void sfl_setting_free(const struct sfl_setting *setting, struct sfl_settings *settings)
{
    void *field = (char *)settings + setting->offset;
    if (setting->type == SFL_SETTING_TEXT)
        free(*(char **)field);
    else if (setting->type == SFL_SETTING_TEXT_LIST)
        string_list_clear(field);
}

static void print_texts(const struct sfl_string_list *texts, FILE *out)
{
    for (size_t i = 0; i < texts->count; i++)
        fprintf(out, "%s%s", i == 0 ? "" : ", ", texts->items[i]);
}

static void print_choice(const struct sfl_setting_choice *choice, uint64_t number, FILE *out)
{
    for (; choice->name != NULL; choice++) {
        if (choice->value == number)
            fputs(choice->name, out);
    }
}

void sfl_setting_value_print(const struct sfl_setting_value *value,
                             const struct sfl_setting *setting, FILE *out)
{
    char text[SFL_DURATION_TEXT_MAX];
    switch (setting->type) {
    case SFL_SETTING_TEXT:
    case SFL_SETTING_TEXT_LIST:
        print_texts(&value->texts, out);
        break;
    case SFL_SETTING_DURATION:
        sfl_duration_format(value->number, text);
        fputs(text, out);
        break;
    case SFL_SETTING_SIZE:
        sfl_size_format(value->number, text);
        fputs(text, out);
        break;
    case SFL_SETTING_COUNT:
        fprintf(out, "%" PRIu64, value->number);
        break;
    case SFL_SETTING_CHOICE:
        print_choice(setting->choices, value->number, out);
        break;
    case SFL_SETTING_SWITCH:
        fputs(value->number != 0 ? "yes" : "no", out);
        break;
    }
}

void sfl_setting_value_deinit(struct sfl_setting_value *value)
{
    string_list_clear(&value->texts);
    value->number = 0;
    value->source = SFL_SOURCE_DEFAULT;
    value->line = 0;
    value->given = 0;
}
