// SPDX-License-Identifier: Apache-2.0
// The lines in which a world tells its stories.
#ifndef SFL_TESTS_SUPPORT_WORLD_WORDS_H
#define SFL_TESTS_SUPPORT_WORLD_WORDS_H

#include "core/flight_table.h"

enum { WORLD_LINE_MAX = 512 };

void words_of_lead(const struct sfl_lead *lead, uint64_t run_limit_max,
                   char line_out[WORLD_LINE_MAX]);
void words_of_follow(const struct sfl_follow *follow, char line_out[WORLD_LINE_MAX]);
void words_of_chunk(struct sfl_span bytes, char line_out[WORLD_LINE_MAX]);
void words_of_restart(uint32_t attempt, struct sfl_span leader, char line_out[WORLD_LINE_MAX]);
void words_of_audience(const struct sfl_audience *audience, char line_out[WORLD_LINE_MAX]);
void words_of_renewed(uint64_t id, char line_out[WORLD_LINE_MAX]);
void words_of_result(const struct sfl_result *result, struct sfl_span rest,
                     char line_out[WORLD_LINE_MAX]);
void words_of_refusal(const struct sfl_refusal *refusal, char line_out[WORLD_LINE_MAX]);
void words_of_view(const struct sfl_flight_view *view, char line_out[WORLD_LINE_MAX]);

// The kind with which `outcome` begins; *rest_out is what follows the blank after it.
int kind_of_words(const char *outcome, const char **rest_out);

#endif
