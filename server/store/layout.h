// SPDX-License-Identifier: Apache-2.0
// Looks through a whole data file before LMDB opens it.
//
// LMDB follows what stands in its pages without looking twice: a file that was cut, or in which a
// disk changed a few bits, ends the process by a signal, at once or hours later, or has it write
// over pages that are in use. So every page that LMDB may ever follow is checked first: that it is
// there, that it is used once, that its entries lie within it and are in order, and that no page in
// use is on the list of free ones. What LMDB does not look at, such as the insides of free pages,
// is not looked at here either.
//
// The layout is that of LMDB 0.9, data version 1; mdb.c tells it. Files of a machine with another
// byte order or word size are no files of this version.
#ifndef SFL_STORE_LAYOUT_H
#define SFL_STORE_LAYOUT_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum { SFL_LAYOUT_FAULT_MAX = 128 };

// Called for every entry of every table that has a name, in the order of its keys. Spans are
// borrowed. NULL to go on, or what is wrong with it: a text that stays.
struct sfl_layout_visitor {
    // Whether the table's keys are numbers of 8 bytes; others are texts.
    bool (*has_number_keys)(struct sfl_span table);
    const char *(*entry)(void *context, struct sfl_span table, struct sfl_span key,
                         struct sfl_span data);
    void *context;
};

struct sfl_layout {
    uint64_t transaction; // the last one, whose state the file has
    uint64_t used_bytes;  // without free pages
    char fault[SFL_LAYOUT_FAULT_MAX];
};

// Checks the file. False: `layout_out->fault` says what is wrong. Reads `file` alone, wherever it
// leads.
bool sfl_layout_check(struct sfl_span file, const struct sfl_layout_visitor *visitor,
                      struct sfl_layout *layout_out);

#endif
