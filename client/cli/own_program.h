// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_CLI_OWN_PROGRAM_H
#define SFL_CLI_OWN_PROGRAM_H

// The file of this program, to start it again: also one that was replaced meanwhile, unless /proc
// is not there, as in a bare chroot. Lives as long as the process.
const char *sfl_cli_own_program(void);

#endif
