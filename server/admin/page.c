// SPDX-License-Identifier: Apache-2.0
#include "admin/page.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 16384, BOUND_TEXT_MAX = 40 };

static const char *const kinds[] = {
    [SFL_METRIC_COUNTER] = "counter",
    [SFL_METRIC_GAUGE] = "gauge",
    [SFL_METRIC_HISTOGRAM] = "histogram",
};

// --- bytes ---

void sfl_admin_page_init(struct sfl_admin_page *page, enum sfl_admin_format format)
{
    *page = (struct sfl_admin_page){.format = format};
}

void sfl_admin_page_deinit(struct sfl_admin_page *page)
{
    free(page->bytes);
    *page = (struct sfl_admin_page){.format = page->format};
}

static void put(struct sfl_admin_page *page, const char *bytes, size_t size)
{
    if (page->has_failed)
        return;
    size_t capacity = page->capacity == 0 ? FIRST_CAPACITY : page->capacity;
    while (capacity - page->size < size)
        capacity *= 2;
    if (capacity > page->capacity) {
        char *larger = realloc(page->bytes, capacity);
        page->has_failed = larger == NULL;
        if (page->has_failed)
            return;
        page->bytes = larger;
        page->capacity = capacity;
    }
    memcpy(page->bytes + page->size, bytes, size);
    page->size += size;
}

static void put_text(struct sfl_admin_page *page, const char *text)
{
    put(page, text, strlen(text));
}

// Integers as such; nothing of ours needs more digits than a double has.
static void put_value(struct sfl_admin_page *page, double value)
{
    char text[40];
    bool is_whole = value >= -0x1p53 && value <= 0x1p53 && value == (double)(int64_t)value;
    if (is_whole)
        snprintf(text, sizeof(text), "%" PRId64, (int64_t)value);
    else
        snprintf(text, sizeof(text), "%.15g", value);
    put_text(page, text);
}

static void put_escaped(struct sfl_admin_page *page, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            put_text(page, "\\n");
            continue;
        }
        if (*text == '\\' || *text == '"')
            put_text(page, "\\");
        put(page, text, 1);
    }
}

static void put_labels(struct sfl_admin_page *page, const struct sfl_labels *labels)
{
    if (labels == NULL || labels->count == 0)
        return;
    for (unsigned i = 0; i < labels->count; i++) {
        put_text(page, i == 0 ? "{" : ",");
        put_text(page, labels->items[i].name);
        put_text(page, "=\"");
        put_escaped(page, labels->items[i].value);
        put_text(page, "\"");
    }
    put_text(page, "}");
}

struct sfl_labels sfl_labels_with(const struct sfl_labels *labels, const char *name,
                                  const char *value)
{
    struct sfl_labels more = {.count = 0};
    if (labels != NULL)
        more = *labels;
    assert(more.count < SFL_LABELS_MAX);
    more.items[more.count++] = (struct sfl_label){name, value};
    return more;
}

// --- families ---

static bool is_markdown(const struct sfl_admin_page *page)
{
    return page->format == SFL_FORMAT_MARKDOWN;
}

// What stands behind a family's name.
static const char *suffix_of(const struct sfl_admin_page *page)
{
    return page->kind == SFL_METRIC_COUNTER ? "_total" : "";
}

static void end_row(struct sfl_admin_page *page)
{
    if (page->name != NULL && !page->has_labels)
        put_text(page, " |\n");
}

static void put_comment(struct sfl_admin_page *page, const char *what, const char *text)
{
    put_text(page, what);
    put_text(page, page->name);
    // OpenMetrics names the family, the older format the sample.
    if (page->format == SFL_FORMAT_TEXT)
        put_text(page, suffix_of(page));
    put_text(page, " ");
    put_text(page, text);
    put_text(page, "\n");
}

static void put_row(struct sfl_admin_page *page, const char *help)
{
    put_text(page, "| `");
    put_text(page, page->name);
    put_text(page, suffix_of(page));
    put_text(page, "` | ");
    put_text(page, kinds[page->kind]);
    put_text(page, " | ");
    put_text(page, help);
    put_text(page, " |");
}

void sfl_admin_page_family(struct sfl_admin_page *page, enum sfl_metric_kind kind, const char *name,
                           const char *help)
{
    if (is_markdown(page))
        end_row(page);
    page->name = name;
    page->kind = kind;
    page->has_labels = false;
    if (is_markdown(page)) {
        put_row(page, help);
        return;
    }
    put_comment(page, "# HELP ", help);
    put_comment(page, "# TYPE ", kinds[kind]);
}

// The names of the first sample's labels.
static void end_row_with(struct sfl_admin_page *page, const struct sfl_labels *labels)
{
    if (page->has_labels)
        return;
    for (unsigned i = 0; labels != NULL && i < labels->count; i++) {
        put_text(page, i == 0 ? " `" : ", `");
        put_text(page, labels->items[i].name);
        put_text(page, "`");
    }
    put_text(page, " |\n");
    page->has_labels = true;
}

static void put_sample(struct sfl_admin_page *page, const char *suffix,
                       const struct sfl_labels *labels, double value)
{
    put_text(page, page->name);
    put_text(page, suffix);
    put_labels(page, labels);
    put_text(page, " ");
    put_value(page, value);
    put_text(page, "\n");
}

void sfl_admin_page_sample(struct sfl_admin_page *page, const struct sfl_labels *labels,
                           double value)
{
    assert(page->name != NULL && page->kind != SFL_METRIC_HISTOGRAM);
    if (is_markdown(page))
        end_row_with(page, labels);
    else
        put_sample(page, suffix_of(page), labels, value);
}

// OpenMetrics wants to see that it is no integer.
static void write_bound(const struct sfl_admin_page *page, double bound,
                        char text_out[static BOUND_TEXT_MAX])
{
    int size = snprintf(text_out, BOUND_TEXT_MAX, "%.15g", bound);
    if (page->format == SFL_FORMAT_OPENMETRICS && strpbrk(text_out, ".e") == NULL)
        snprintf(text_out + size, BOUND_TEXT_MAX - (size_t)size, ".0");
}

void sfl_admin_page_histogram(struct sfl_admin_page *page, const struct sfl_labels *labels,
                              const struct sfl_admin_page_histogram *histogram)
{
    assert(page->name != NULL && page->kind == SFL_METRIC_HISTOGRAM);
    if (is_markdown(page)) {
        end_row_with(page, labels);
        return;
    }
    uint64_t count = 0;
    for (size_t i = 0; i <= histogram->bound_count; i++) {
        char bound[BOUND_TEXT_MAX] = "+Inf";
        if (i < histogram->bound_count)
            write_bound(page, (double)histogram->bounds[i] * histogram->scale, bound);
        struct sfl_labels all = sfl_labels_with(labels, "le", bound);
        count += histogram->counts[i];
        put_sample(page, "_bucket", &all, (double)count);
    }
    put_sample(page, "_sum", labels, (double)histogram->sum * histogram->scale);
    put_sample(page, "_count", labels, (double)count);
}

void sfl_admin_page_end(struct sfl_admin_page *page)
{
    if (page->format == SFL_FORMAT_OPENMETRICS)
        put_text(page, "# EOF\n");
    if (is_markdown(page))
        end_row(page);
}
