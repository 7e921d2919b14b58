// SPDX-License-Identifier: Apache-2.0
// Whoever asks over HTTP, and what the rights let it see and do.
#ifndef SFL_ADMIN_VIEWER_H
#define SFL_ADMIN_VIEWER_H

#include "base/bytes.h"
#include "security/access.h"

#include <stdbool.h>
#include <stdint.h>

struct sfl_admin_sources;
struct sfl_security;
struct sfl_identity;

struct sfl_viewer {
    struct sfl_security *security; // NULL: no file says who may what
    struct sfl_identity *identity; // NULL: then
    bool sees_all;                 // then
    bool acts;                     // then
};

enum sfl_viewer_problem {
    SFL_VIEWER_FINE,
    SFL_VIEWER_BAD_TOKEN,  // it is not in the token file, or no "Bearer TOKEN"
    SFL_VIEWER_OPEN_TOKEN, // others could have read it on its way
    SFL_VIEWER_DENIED,     // it is on the deny list
    SFL_VIEWER_NO_MEMORY,
};

// `authorization` is the header, NULL without one. What is refused is logged and counted; the
// viewer then needs no deinit.
enum sfl_viewer_problem sfl_viewer_init(struct sfl_viewer *viewer,
                                        const struct sfl_admin_sources *sources,
                                        const char *authorization, bool is_loopback);
void sfl_viewer_deinit(struct sfl_viewer *viewer); // harmless on a zeroed one

// Goes over to the rights that are in force. False: its token is good no more.
bool sfl_viewer_renew(struct sfl_viewer *viewer);

// False: it may see everything, without a token.
bool sfl_viewer_has_rights_on(const struct sfl_viewer *viewer);

// Whether it may see keys, or do what changes something, in a group.
bool sfl_viewer_may(const struct sfl_viewer *viewer, enum sfl_right right, struct sfl_span group);

// Whether it is known by a name.
bool sfl_viewer_is_known(const struct sfl_viewer *viewer);

// It was refused for want of a right: logged and counted.
void sfl_viewer_note_refusal(const struct sfl_viewer *viewer, enum sfl_right right);

// Its name for the log and for itself: "anonymous" without one, "the page" with the rights off.
enum { SFL_VIEWER_NAME_MAX = 256 };
void sfl_viewer_name(const struct sfl_viewer *viewer, char name_out[static SFL_VIEWER_NAME_MAX]);

#endif
