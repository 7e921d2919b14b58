// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_ADMIN_ACCEPT_H
#define SFL_ADMIN_ACCEPT_H

#include "admin/page.h"

// The format that an Accept header (NULL: there is none) likes best: OpenMetrics only when it is
// named, and not liked less than text/plain.
enum sfl_admin_format sfl_accepted_format(const char *accept);

#endif
