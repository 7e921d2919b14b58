// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <stddef.h>

struct status_row {
    int code;
    const char *text;
};

static const struct status_row rows[] = {
#define SFL_STATUS_ROW(name, code, text) [SFL_##name] = {code, text},
    SFL_STATUS_LIST(SFL_STATUS_ROW)
#undef SFL_STATUS_ROW
};

int sfl_status_code(enum sfl_status status)
{
    return rows[status].code;
}

const char *sfl_status_text(enum sfl_status status)
{
    return rows[status].text;
}

enum sfl_status sfl_status_of_code(int code)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].code == code)
            return (enum sfl_status)i;
    }
    return SFL_INTERNAL;
}
