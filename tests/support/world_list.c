// SPDX-License-Identifier: Apache-2.0
// What a listing shows of a key.
#include "support/world.h"
#include "support/world_words.h"

#include <stdio.h>
#include <string.h>

enum {
    LIST_MAX = 8 * WORLD_LINE_MAX,
};

struct listing {
    const char *key;
    uint64_t above;    // flights with a token up to here are listed already
    uint64_t smallest; // of the tokens above
    bool found;
    char line[WORLD_LINE_MAX];
};

static bool see(void *context, const struct sfl_flight_view *view)
{
    struct listing *listing = context;
    bool later = view->token + 1 > listing->above; // counted from 1: a first home has no token yet
    if (!sfl_span_equal(view->key, sfl_span_of_text(listing->key)) || !later)
        return true;
    if (listing->found && view->token >= listing->smallest)
        return true;
    listing->found = true;
    listing->smallest = view->token;
    words_of_view(view, listing->line);
    return true;
}

const char *world_list(struct world *w, const char *key)
{
    static char list[LIST_MAX];
    struct listing listing = {.key = key};
    list[0] = '\0';
    do {
        struct sfl_table_cursor cursor = {0};
        listing.found = false;
        while (sfl_table_visit(world_table(w), world_now(w), &cursor, 3, see, &listing))
            continue;
        if (listing.found) {
            size_t used = strlen(list);
            snprintf(list + used, LIST_MAX - used, "%s%s", used > 0 ? "; " : "", listing.line);
            listing.above = listing.smallest + 1;
        }
    } while (listing.found);
    return list;
}
