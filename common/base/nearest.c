// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.h"

#include <string.h>

#define NAME_MAX_BYTES ((size_t)64)

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

// The distance of Damerau and Levenshtein in which no letter is touched twice.
static unsigned distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    unsigned rows[3][NAME_MAX_BYTES + 1];
    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_size; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *two_above = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned changed = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(changed, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

const char *sfl_nearest(const char *text, size_t size, const char *(*name_at)(size_t place),
                        size_t count)
{
    const char *nearest = NULL;
    unsigned best = size < 6 ? 2 : (unsigned)size / 3 + 1;
    if (size > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const char *name = name_at(i);
        if (name == NULL || strlen(name) > NAME_MAX_BYTES)
            continue;
        unsigned now = distance(text, size, name, strlen(name));
        if (now < best) {
            best = now;
            nearest = name;
        }
    }
    return nearest;
}
