// SPDX-License-Identifier: Apache-2.0
#include "admin/accept.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

// The weight of one item, "type/name;a=b;q=0.5", that is `size` long.
static double weight_of(const char *item, size_t size)
{
    for (const char *at = item; at + 2 < item + size; at++) {
        if (at[0] == ';' && strncasecmp(at + 1 + strspn(at + 1, " \t"), "q=", 2) == 0)
            return strtod(at + 1 + strspn(at + 1, " \t") + 2, NULL);
    }
    return 1;
}

// The greatest weight that the header gives to a type; 0 when it does not name it.
static double weight_in(const char *accept, const char *type)
{
    double greatest = 0;
    size_t size;
    for (const char *item = accept; *item != '\0'; item += size + (item[size] == ',')) {
        item += strspn(item, " \t");
        size = strcspn(item, ",");
        size_t name_size = strcspn(item, ",; \t");
        if (name_size != strlen(type) || strncasecmp(item, type, name_size) != 0)
            continue;
        double weight = weight_of(item, size);
        if (weight > greatest)
            greatest = weight;
    }
    return greatest;
}

enum sfl_admin_format sfl_accepted_format(const char *accept)
{
    if (accept == NULL)
        return SFL_FORMAT_TEXT;
    double open_metrics = weight_in(accept, "application/openmetrics-text");
    if (open_metrics > 0 && open_metrics >= weight_in(accept, "text/plain"))
        return SFL_FORMAT_OPENMETRICS;
    return SFL_FORMAT_TEXT;
}
