// SPDX-License-Identifier: Apache-2.0
// A page of metrics in the words of Prometheus: families, and the samples of each. Not thread-safe.
#ifndef SFL_ADMIN_PAGE_H
#define SFL_ADMIN_PAGE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sfl_admin_format {
    SFL_FORMAT_TEXT,        // Prometheus text format 0.0.4
    SFL_FORMAT_OPENMETRICS, // OpenMetrics 1.0
    SFL_FORMAT_MARKDOWN,    // a row for each family: how docs/metrics.md is made
};

enum sfl_metric_kind {
    SFL_METRIC_COUNTER,
    SFL_METRIC_GAUGE,
    SFL_METRIC_HISTOGRAM,
};

// Both borrowed; the value may hold any bytes.
struct sfl_label {
    const char *name;
    const char *value;
};

enum { SFL_LABELS_MAX = 4 };

struct sfl_labels {
    unsigned count;
    struct sfl_label items[SFL_LABELS_MAX];
};

struct sfl_admin_page {
    enum sfl_admin_format format;
    bool has_failed; // there is no memory: the page is not to be shown
    char *bytes;
    size_t size;
    size_t capacity;
    const char *name; // of the last family
    enum sfl_metric_kind kind;
    bool has_labels; // they have been shown (Markdown)
};

void sfl_admin_page_init(struct sfl_admin_page *page, enum sfl_admin_format format);
void sfl_admin_page_deinit(struct sfl_admin_page *page);

// Begins a family. `name`, static, is whole but for a counter's _total; `help` is one sentence.
void sfl_admin_page_family(struct sfl_admin_page *page, enum sfl_metric_kind kind, const char *name,
                           const char *help);

// A sample of the last family, which is a counter or a gauge. `labels` may be NULL.
void sfl_admin_page_sample(struct sfl_admin_page *page, const struct sfl_labels *labels,
                           double value);

// The last family's histogram with these labels (or NULL): `counts` has one more than `bounds`, for
// what is above the last one; none includes another. `scale` is the base unit in one of theirs.
struct sfl_admin_page_histogram {
    const uint64_t *bounds;
    const uint64_t *counts;
    size_t bound_count;
    uint64_t sum;
    double scale;
};
void sfl_admin_page_histogram(struct sfl_admin_page *page, const struct sfl_labels *labels,
                              const struct sfl_admin_page_histogram *histogram);

// After the last sample.
void sfl_admin_page_end(struct sfl_admin_page *page);

// A copy of `labels` (NULL: none) with one more.
struct sfl_labels sfl_labels_with(const struct sfl_labels *labels, const char *name,
                                  const char *value);

#endif
