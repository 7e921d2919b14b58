// SPDX-License-Identifier: Apache-2.0
// What each path answers.
#ifndef SFL_ADMIN_ROUTES_H
#define SFL_ADMIN_ROUTES_H

#include "admin/request.h"

// probes.c
enum MHD_Result sfl_answer_live(struct sfl_request *request);
enum MHD_Result sfl_answer_ready(struct sfl_request *request);
enum MHD_Result sfl_answer_metrics(struct sfl_request *request);

// web.c; NULL: there is no such file.
const struct sfl_admin_asset *sfl_find_asset(const char *path);
enum MHD_Result sfl_answer_asset(struct sfl_request *request);

// api.c
enum MHD_Result sfl_answer_status(struct sfl_request *request);
enum MHD_Result sfl_answer_history(struct sfl_request *request);
enum MHD_Result sfl_answer_flights(struct sfl_request *request);
enum MHD_Result sfl_answer_runs(struct sfl_request *request);

// What is in force now, for this viewer, made with malloc(); NULL: there is no memory.
char *sfl_api_status(struct sfl_admin *admin, const struct sfl_admin_counts *counts,
                     const struct sfl_viewer *viewer);

// actions.c
// Before its body is read: whether a POST may be carried out, as far as its headers say; otherwise
// it has been answered, and that is `*result_out`.
bool sfl_check_post(struct sfl_request *request, enum MHD_Result *result_out);

enum MHD_Result sfl_answer_forget(struct sfl_request *request);
enum MHD_Result sfl_answer_end(struct sfl_request *request);

// stream.c
enum MHD_Result sfl_answer_events(struct sfl_request *request);
// Has every stream look again, and tell what is new in the history.
void sfl_streams_tick(struct sfl_admin *admin);
// Has every connection that waits go on, so that it can be ended.
void sfl_streams_wake(struct sfl_admin *admin);

#endif
