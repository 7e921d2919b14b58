// SPDX-License-Identifier: Apache-2.0
#include "check_files.h"

#include "door.h"
#include "rights.h"

int sfl_check_files(const struct sfl_settings *settings)
{
    struct sfl_rights rights = {.security = NULL};
    struct sfl_door door = {.bound = NULL};
    int exit_code = 0;
    bool is_good = sfl_rights_open(&rights, settings, &exit_code);
    if (is_good && !sfl_door_prepare(&door, settings))
        exit_code = SFL_EXIT_CONFIG;
    sfl_door_close(&door);
    sfl_rights_close(&rights);
    return exit_code;
}
