// SPDX-License-Identifier: Apache-2.0
// What the server and the library say, for people who know the tool's options and not the protocol.
#ifndef SFL_CLI_REASON_H
#define SFL_CLI_REASON_H

// The same text with the names of the tool's options in place of the protocol's fields, and without
// tokens. To be freed.
char *sfl_cli_plain_reason(const char *text);

#endif
