// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_CHECK_FILES_H
#define SFL_CHECK_FILES_H

#include "config/settings.h"

// Reads the certificates, the token file and the access file that the settings name, as a start
// would. Returns the code to exit with, after a line on standard error when one is broken.
int sfl_check_files(const struct sfl_settings *settings);

#endif
