// SPDX-License-Identifier: Apache-2.0
#include "store/layout.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MAGIC = (int)0xBEEFC0DE,
    VERSION = 1,
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 32768,
    METAS = 2, // pages 0 and 1; the newer one counts
    DEPTH_MAX = 32,
    KEY_MAX = 511,

    // Kinds of pages.
    BRANCH = 1,
    LEAF = 2,
    OVERFLOW = 4,
    META = 8,

    // Kinds of nodes in leaves.
    DATA_ELSEWHERE = 1, // in overflow pages
    DATA_IS_TREE = 2,

    NUMBER_KEYS = 8, // a tree's flag
};

// The root of a tree without pages.
#define NO_PAGE UINT64_MAX

// No file is larger than this many bytes: products of what a file says do not overflow below it.
#define FILE_BYTES_MAX (UINT64_C(1) << 46)

struct page {
    uint64_t number;
    uint16_t unused;
    uint16_t kind;
    union {
        struct {
            uint16_t lower; // the end of the places of its nodes
            uint16_t upper; // the beginning of its nodes
        };
        uint32_t pages; // of an overflow
    };
};

struct tree {
    uint32_t page_bytes; // in the list of free pages' tree only
    uint16_t flags;
    uint16_t depth;
    uint64_t branches;
    uint64_t leaves;
    uint64_t overflows;
    uint64_t entries;
    uint64_t root;
};

struct meta {
    uint32_t magic;
    uint32_t version;
    uint64_t address;
    uint64_t map_bytes;
    struct tree free;
    struct tree main;
    uint64_t last_page;
    uint64_t transaction;
};

struct node {
    uint16_t low;
    uint16_t high;
    uint16_t flags;
    uint16_t key_size;
};

static_assert(sizeof(struct page) == 16 && sizeof(struct tree) == 48 &&
                  sizeof(struct meta) == 136 && sizeof(struct node) == 8,
              "as LMDB has them");

struct check {
    struct sfl_span file;
    const struct sfl_layout_visitor *visitor;
    struct sfl_layout *layout;
    uint32_t page_bytes;
    uint64_t pages; // in the file
    uint64_t last_page;
    uint8_t *seen; // a bit for each page of the file: it has its place in a tree or is free
    uint64_t used; // pages
};

enum role { FREE_PAGES, TABLES, TABLE };

// One tree that is walked, from its smallest key to its greatest.
struct walk {
    struct check *check;
    struct tree tree; // as the file has it
    struct tree found;
    enum role role;
    struct sfl_span name;
    bool has_number_keys;
    bool has_last;
    struct sfl_span last; // the greatest key so far
};

static bool fail(struct check *check, uint64_t page, const char *what)
{
    snprintf(check->layout->fault, sizeof(check->layout->fault), "page %" PRIu64 ": %s", page,
             what);
    return false;
}

static const uint8_t *bytes_of(const struct check *check, uint64_t page)
{
    return check->file.data + page * check->page_bytes;
}

static struct page page_at(const struct check *check, uint64_t number)
{
    struct page page;
    memcpy(&page, bytes_of(check, number), sizeof(page));
    return page;
}

static bool mark(struct check *check, uint64_t page)
{
    uint8_t bit = (uint8_t)(1U << (page & 7));
    if (check->seen[page >> 3] & bit)
        return fail(check, page, "is used twice, or used and free");
    check->seen[page >> 3] |= bit;
    return true;
}

// Takes a page, which must be there, of this kind, and of nobody else.
static bool take_page(struct check *check, uint64_t number, uint64_t from, struct page *page_out)
{
    if (number < METAS || number > check->last_page)
        return fail(check, from, "refers to a page that cannot be");
    if (number >= check->pages)
        return fail(check, number, "lies behind the end of the file");
    if (!mark(check, number))
        return false;
    *page_out = page_at(check, number);
    if (page_out->number != number)
        return fail(check, number, "has another page's number");
    check->used++;
    return true;
}

static bool take_overflow(struct walk *walk, uint64_t number, uint64_t size, uint64_t from)
{
    struct check *check = walk->check;
    struct page page;
    if (!take_page(check, number, from, &page))
        return false;
    uint64_t needed = (sizeof(page) - 1 + size) / check->page_bytes + 1;
    if (page.kind != OVERFLOW || page.pages < needed)
        return fail(check, number, "is not the large record that it should be");
    if (page.pages > check->pages - number || page.pages - 1 > check->last_page - number)
        return fail(check, number, "lies behind the end of the file");
    for (uint32_t i = 1; i < page.pages; i++) {
        if (!mark(check, number + i))
            return false;
    }
    check->used += page.pages - 1;
    walk->found.overflows += page.pages;
    return true;
}

static uint64_t number_of(const uint8_t *bytes)
{
    uint64_t number;
    memcpy(&number, bytes, sizeof(number));
    return number;
}

static int compare(const struct walk *walk, struct sfl_span a, struct sfl_span b)
{
    if (walk->has_number_keys) {
        uint64_t left = number_of(a.data);
        uint64_t right = number_of(b.data);
        return (left > right) - (left < right);
    }
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

// A key of a leaf, or one that parts two pages: greater than all before, or, for a leaf's first
// one, equal to what parted the pages.
static bool take_key(struct walk *walk, struct sfl_span key, bool may_equal, uint64_t page)
{
    if (key.size == 0 || key.size > KEY_MAX || (walk->has_number_keys && key.size != 8))
        return fail(walk->check, page, "has a key of a wrong size");
    if (walk->has_last) {
        int order = compare(walk, walk->last, key);
        if (order > 0 || (order == 0 && !may_equal))
            return fail(walk->check, page, "has keys out of order");
    }
    walk->last = key;
    walk->has_last = true;
    return true;
}

// A list of free pages: how many, and their numbers, falling.
static bool take_free_pages(struct walk *walk, struct sfl_span data, uint64_t page)
{
    struct check *check = walk->check;
    uint64_t count = data.size < 8 ? 0 : number_of(data.data);
    if (data.size < 8 || count > data.size / 8 - 1)
        return fail(check, page, "has a list of free pages of a wrong size");
    uint64_t before = UINT64_MAX;
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t number = number_of(data.data + i * 8);
        if (number >= before || number < METAS || number > check->last_page)
            return fail(check, page, "has a list of free pages that is wrong");
        // LMDB may leave pages that it took and gave back in one transaction unwritten.
        if (number < check->pages && !mark(check, number))
            return false;
        before = number;
    }
    return true;
}

static bool walk_tree(struct check *check, const struct tree *tree, enum role role,
                      struct sfl_span name, uint64_t from);

static bool take_entry(struct walk *walk, struct sfl_span key, struct sfl_span data, bool is_tree,
                       uint64_t page)
{
    struct check *check = walk->check;
    walk->found.entries++;
    if (is_tree) {
        struct tree tree;
        if (walk->role != TABLES || data.size != sizeof(tree))
            return fail(check, page, "has a table where none can be");
        memcpy(&tree, data.data, sizeof(tree));
        return walk_tree(check, &tree, TABLE, key, page);
    }
    if (walk->role == FREE_PAGES) {
        if (number_of(key.data) > check->layout->transaction)
            return fail(check, page, "has free pages of a time to come");
        return take_free_pages(walk, data, page);
    }
    if (walk->role == TABLES)
        return fail(check, page, "has an entry that is no table");
    const char *wrong = check->visitor->entry(check->visitor->context, walk->name, key, data);
    return wrong == NULL || fail(check, page, wrong);
}

// Reads the node at `place` of a page, of which `bytes` lie behind it, and its key.
static bool read_node(const uint8_t *at, size_t bytes, struct node *node_out,
                      struct sfl_span *key_out)
{
    if (bytes < sizeof(*node_out))
        return false;
    memcpy(node_out, at, sizeof(*node_out));
    if (node_out->key_size > bytes - sizeof(*node_out))
        return false;
    *key_out = sfl_span_of(at + sizeof(*node_out), node_out->key_size);
    return true;
}

// Takes a node of a leaf; `size_out` is what it takes of its page.
static bool take_leaf_node(struct walk *walk, const uint8_t *at, size_t bytes, bool is_first,
                           uint64_t page, size_t *size_out)
{
    struct check *check = walk->check;
    struct node node;
    struct sfl_span key;
    if (!read_node(at, bytes, &node, &key) || (node.flags & ~(DATA_ELSEWHERE | DATA_IS_TREE)) != 0)
        return fail(check, page, "has an entry that is wrong");
    const uint8_t *data = key.data + key.size;
    size_t head = sizeof(node) + key.size;
    uint64_t data_size = node.low | (uint64_t)node.high << 16;
    uint64_t size_here = node.flags & DATA_ELSEWHERE ? 8 : data_size;
    if (size_here > bytes - head)
        return fail(check, page, "has an entry that leads beyond it");
    *size_out = head + (size_t)size_here;
    if (!take_key(walk, key, is_first, page))
        return false;
    if (node.flags & DATA_ELSEWHERE) {
        uint64_t number = number_of(data);
        if (!take_overflow(walk, number, data_size, page))
            return false;
        data = bytes_of(check, number) + sizeof(struct page);
    }
    return take_entry(walk, key, sfl_span_of(data, (size_t)data_size), node.flags & DATA_IS_TREE,
                      page);
}

static bool walk_page(struct walk *walk, uint64_t number, unsigned depth, uint64_t from);

static bool take_branch_node(struct walk *walk, const uint8_t *at, size_t bytes, bool is_first,
                             uint64_t page, unsigned depth, size_t *size_out)
{
    struct node node;
    struct sfl_span key;
    if (!read_node(at, bytes, &node, &key))
        return fail(walk->check, page, "has an entry that is wrong");
    *size_out = sizeof(node) + key.size;
    // Nobody looks at the first one's key.
    if (!is_first && !take_key(walk, key, false, page))
        return false;
    uint64_t child = node.low | (uint64_t)node.high << 16 | (uint64_t)node.flags << 32;
    return walk_page(walk, child, depth + 1, page);
}

// All nodes of a page: each lies within it, and together they fill it from `upper` on.
static bool walk_nodes(struct walk *walk, const struct page *page, unsigned depth)
{
    struct check *check = walk->check;
    const uint8_t *bytes = bytes_of(check, page->number);
    unsigned count = (page->lower - (unsigned)sizeof(*page)) / 2;
    size_t filled = 0;
    for (unsigned i = 0; i < count; i++) {
        uint16_t place;
        memcpy(&place, bytes + sizeof(*page) + 2 * i, sizeof(place));
        if (place < page->upper || place >= check->page_bytes || place % 2 != 0)
            return fail(check, page->number, "has an entry outside of it");
        size_t size = 0;
        size_t room = check->page_bytes - place;
        bool is_good =
            page->kind == LEAF
                ? take_leaf_node(walk, bytes + place, room, i == 0, page->number, &size)
                : take_branch_node(walk, bytes + place, room, i == 0, page->number, depth, &size);
        if (!is_good)
            return false;
        filled += (size + 1) & ~(size_t)1;
    }
    return filled == check->page_bytes - page->upper ||
           fail(check, page->number, "has entries that do not fill it");
}

static bool walk_page(struct walk *walk, uint64_t number, unsigned depth, uint64_t from)
{
    struct check *check = walk->check;
    struct page page;
    if (depth > walk->tree.depth)
        return fail(check, from, "belongs to a tree that is deeper than it should be");
    if (!take_page(check, number, from, &page))
        return false;
    bool is_leaf = depth == walk->tree.depth;
    if (page.kind != (is_leaf ? LEAF : BRANCH))
        return fail(check, number, "is of a wrong kind");
    if (page.lower < sizeof(page) || page.lower > page.upper || page.upper > check->page_bytes ||
        page.lower % 2 != 0)
        return fail(check, number, "has a head that is wrong");
    unsigned count = (page.lower - (unsigned)sizeof(page)) / 2;
    // LMDB takes a branch of one for a bug of its own, but in the list of free pages.
    if (count == 0 || (!is_leaf && count == 1 && walk->role != FREE_PAGES))
        return fail(check, number, "has too few entries");
    if (is_leaf)
        walk->found.leaves++;
    else
        walk->found.branches++;
    return walk_nodes(walk, &page, depth);
}

static bool walk_tree(struct check *check, const struct tree *tree, enum role role,
                      struct sfl_span name, uint64_t from)
{
    struct walk walk = {
        .check = check,
        .tree = *tree,
        .role = role,
        .name = name,
        .has_number_keys = tree->flags == NUMBER_KEYS,
    };
    bool should_have =
        role == FREE_PAGES || (role == TABLE && check->visitor->has_number_keys(name));
    if (tree->flags != (should_have ? NUMBER_KEYS : 0) || tree->depth > DEPTH_MAX)
        return fail(check, from, "has a table that is wrong");
    if (tree->root != NO_PAGE && !walk_page(&walk, tree->root, 1, from))
        return false;
    if (walk.found.branches != tree->branches || walk.found.leaves != tree->leaves ||
        walk.found.overflows != tree->overflows || walk.found.entries != tree->entries ||
        (tree->root == NO_PAGE) != (tree->depth == 0))
        return fail(check, from, "counts a table's pages or entries wrongly");
    return true;
}

static bool read_meta(struct check *check, uint64_t number, struct meta *meta_out)
{
    struct page page = page_at(check, number);
    memcpy(meta_out, bytes_of(check, number) + sizeof(page), sizeof(*meta_out));
    if (page.number != number || page.kind != META || meta_out->magic != (uint32_t)MAGIC)
        return fail(check, number, "is not the head of a data file");
    if (meta_out->version != VERSION)
        return fail(check, number, "is of another version of LMDB");
    return true;
}

// Reads the size of a page, which has to be known before the second meta page can be found.
static bool read_page_bytes(struct check *check)
{
    struct meta first;
    if (check->file.size < sizeof(struct page) + sizeof(first))
        return fail(check, 0, "is cut off");
    memcpy(&first, check->file.data + sizeof(struct page), sizeof(first));
    uint32_t bytes = first.free.page_bytes;
    if (first.magic != (uint32_t)MAGIC)
        return fail(check, 0, "is not the head of a data file");
    if (bytes < PAGE_BYTES_MIN || bytes > PAGE_BYTES_MAX || (bytes & (bytes - 1)) != 0)
        return fail(check, 0, "says a page size that cannot be");
    check->page_bytes = bytes;
    check->pages = check->file.size / bytes;
    return check->pages >= METAS || fail(check, 1, "lies behind the end of the file");
}

// Chooses the newer head. Each transaction writes the one whose number fits its own.
static bool choose_meta(struct check *check, struct meta *meta_out)
{
    struct meta metas[METAS];
    for (unsigned i = 0; i < METAS; i++) {
        if (!read_meta(check, i, &metas[i]))
            return false;
    }
    uint64_t even = metas[0].transaction;
    uint64_t odd = metas[1].transaction;
    bool is_new = even == 0 && odd == 0;
    if (!is_new && (even % 2 != 0 || odd % 2 != 1 || (even - odd != 1 && odd - even != 1)))
        return fail(check, 0, "and page 1 are not of two transactions in a row");
    *meta_out = metas[odd > even];
    if (metas[0].free.page_bytes != metas[1].free.page_bytes)
        return fail(check, 1, "says another page size than page 0");
    if (meta_out->last_page >= FILE_BYTES_MAX / check->page_bytes ||
        meta_out->map_bytes > FILE_BYTES_MAX)
        return fail(check, odd > even, "says a size that cannot be");
    return true;
}

static bool check_trees(struct check *check, const struct meta *meta)
{
    static const struct sfl_span nameless = {NULL, 0};
    uint64_t from = meta->transaction & 1;
    check->seen = calloc(check->pages / 8 + 1, 1);
    if (check->seen == NULL)
        return fail(check, from, "cannot be checked: out of memory");
    bool is_good = walk_tree(check, &meta->main, TABLES, nameless, from) &&
                   walk_tree(check, &meta->free, FREE_PAGES, nameless, from);
    free(check->seen);
    return is_good;
}

bool sfl_layout_check(struct sfl_span file, const struct sfl_layout_visitor *visitor,
                      struct sfl_layout *layout_out)
{
    struct check check = {.file = file, .visitor = visitor, .layout = layout_out};
    struct meta meta;
    if (!read_page_bytes(&check) || !choose_meta(&check, &meta))
        return false;
    check.last_page = meta.last_page;
    layout_out->transaction = meta.transaction;
    if (!check_trees(&check, &meta))
        return false;
    layout_out->used_bytes = (check.used + METAS) * check.page_bytes;
    return true;
}
