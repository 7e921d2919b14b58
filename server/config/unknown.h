// SPDX-License-Identifier: Apache-2.0
// Variables that look like settings and are none.
#ifndef SFL_CONFIG_UNKNOWN_H
#define SFL_CONFIG_UNKNOWN_H

// Calls on_unknown for each SINGLEFLIGHTD_ variable that is no setting, but for those that
// Kubernetes puts into every pod when a Service is called singleflightd. `meant` is the variable
// that comes nearest, or empty. The texts are borrowed until it returns.
void sfl_find_unknown_variables(char *const environment[],
                                void (*on_unknown)(void *context, const char *name,
                                                   const char *meant),
                                void *context);

#endif
