// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_ADMIN_LISTENER_H
#define SFL_ADMIN_LISTENER_H

#include "admin/admin.h"

// Opens a socket that listens on "HOST:PORT", as sfl_admin_open says; the caller closes it.
enum sfl_status sfl_admin_listen(const char *address, int *fd_out,
                                 char bound_out[static SFL_ADMIN_TEXT_MAX]) SFL_MUST_USE;

#endif
