// SPDX-License-Identifier: Apache-2.0
// Private to fake*.c: the scripted server of singleflight/testing.h. fake.c is what programs call,
// fake_script.c keeps scripts and what came, fake_server.c answers.
#ifndef SFL_CLIENT_FAKE_PRIVATE_H
#define SFL_CLIENT_FAKE_PRIVATE_H

#include "base/bytes.h"
#include "base/list.h"
#include "rpc/pump.h"
#include "rpc/server.h"
#include "singleflight/testing.h"
#include "singleflight/v1/singleflight.pb-c.h"

#include <pthread.h>

enum sfl_fake_action {
    SFL_FAKE_LEAD,
    SFL_FAKE_OUTCOME, // follow, and get `outcome`
    SFL_FAKE_TAKEOVER,
    SFL_FAKE_LOSE,
    SFL_FAKE_REFUSE,
};

// What becomes of the calls for one key. All pointers are its own.
struct sfl_fake_script {
    struct sfl_link link;
    char *group;
    struct sfl_span key;
    enum sfl_fake_action action;
    enum singleflight_outcome outcome;
    struct sfl_span value;
    int32_t code; // of the outcome, or the status
    char *message;
    char *type;
};

// A call as it came.
struct sfl_fake_record {
    struct sfl_link link;
    struct singleflight_fake_call call; // all pointers but `value` are its own
    struct sfl_span value;              // what its leader has written so far
    struct sfl_list looks;              // copies that the program has
};

struct singleflight_fake {
    char *folder;
    char *address;
    struct sfl_pumps *pumps;
    struct sfl_rpc_server *server;      // NULL: it is not available
    struct singleflight_client *client; // for leaders by themselves; NULL: not yet

    pthread_mutex_t lock; // over all below, and what hangs on it
    struct sfl_list scripts;
    struct sfl_list records;
    size_t record_count;
    struct sfl_list sessions;
    struct sfl_list leaders;
    uint64_t last_token;
};

// All three end the process when there is no memory; the last ones end what they copy with NUL.
void *sfl_fake_allocate(size_t size);
char *sfl_fake_copy_text(const char *text);
struct sfl_span sfl_fake_copy_bytes(struct sfl_span bytes);

// ---- fake_script.c: under the lock ----

// The script of the key, made if `makes`; NULL: there is none.
struct sfl_fake_script *sfl_fake_find_script(struct singleflight_fake *fake, const char *group,
                                             struct sfl_span key, bool makes);

// Empties it for another action.
void sfl_fake_reset_script(struct sfl_fake_script *script, enum sfl_fake_action action);

struct sfl_fake_record *sfl_fake_record(struct singleflight_fake *fake,
                                        const Singleflight__V1__Join *join);
void sfl_fake_record_bytes(struct sfl_fake_record *record, struct sfl_span bytes);
void sfl_fake_record_outcome(struct sfl_fake_record *record,
                             const Singleflight__V1__Outcome *outcome);

// A copy that stays as it is.
const struct singleflight_fake_call *sfl_fake_look(struct sfl_fake_record *record);

void sfl_fake_free_all(struct singleflight_fake *fake);

// ---- fake_server.c ----

// Begins to listen. False: singleflight_last_error() says why not.
bool sfl_fake_listen(struct singleflight_fake *fake);

// Ends all that runs. Not from a callback.
void sfl_fake_shut(struct singleflight_fake *fake);

// The calls that lead for the key lose it. Under the lock.
void sfl_fake_lose_leads(struct singleflight_fake *fake, const char *group, struct sfl_span key);

#endif
