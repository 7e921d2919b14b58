// SPDX-License-Identifier: Apache-2.0
// libsingleflight: a fake for unit tests of programs that use it. No daemon, nothing outside of the
// process: a real client talks to a scripted server, so what is merged, retried, refused and
// decoded is what happens in production. Not included by singleflight.h.
//
//     struct singleflight_fake *fake;
//     struct singleflight_client *client;
//     if (singleflight_fake_create(&fake) != SINGLEFLIGHT_OK ||
//         singleflight_fake_client(fake, NULL, &client) != SINGLEFLIGHT_OK) ...
//     assert(users_load(client, "user_123") == 1);                 // its function ran here
//     singleflight_fake_outcome(fake, NULL, "user_123", 8, "ann", 3);
//     assert(users_load(client, "user_123") == 1);                 // somebody else had run it
//     singleflight_client_destroy(client);
//     singleflight_fake_destroy(fake);
//
// A *script* says what becomes of the calls for a group and key from now on, until another one is
// set. Without one a call leads, and its function runs. Memory that is short ends the process.
#ifndef SINGLEFLIGHT_TESTING_H
#define SINGLEFLIGHT_TESTING_H

#include "singleflight.h"

#ifdef __cplusplus
extern "C" {
#endif

// A server in this process, on a unix socket in a folder of its own under $TMPDIR, or /tmp.
struct singleflight_fake;

// Starts one. To be destroyed by singleflight_fake_destroy(), after its clients.
// UNAVAILABLE: no folder, socket or thread; singleflight_last_error() says which.
SINGLEFLIGHT_API enum singleflight_status
singleflight_fake_create(struct singleflight_fake **fake_out) SINGLEFLIGHT_MUST_USE;
SINGLEFLIGHT_API void singleflight_fake_destroy(struct singleflight_fake *fake);

// Where it listens, such as "unix:/tmp/singleflight.XXXXXX/socket": for code that makes its client
// itself, perhaps by SINGLEFLIGHT_ADDRESS. Valid until the fake is destroyed.
SINGLEFLIGHT_API const char *singleflight_fake_address(const struct singleflight_fake *fake);

// A client of it, to be destroyed by singleflight_client_destroy(). `options` may be NULL;
// addresses and the environment do not count, and a connect_timeout_ms that is not given is 1,000.
SINGLEFLIGHT_API enum singleflight_status
singleflight_fake_client(struct singleflight_fake *fake,
                         const struct singleflight_client_options *options,
                         struct singleflight_client **client_out) SINGLEFLIGHT_MUST_USE;

// ---- scripts; `group` NULL or "": the group "default" ----

// Calls lead: their function runs. So it is without a script.
SINGLEFLIGHT_API void singleflight_fake_lead(struct singleflight_fake *fake, const char *group,
                                             const void *key, size_t key_bytes);

// Calls follow, and get this outcome: OK with a value, or ERROR. Both are copied.
SINGLEFLIGHT_API void singleflight_fake_outcome(struct singleflight_fake *fake, const char *group,
                                                const void *key, size_t key_bytes,
                                                const void *value, size_t value_bytes);
SINGLEFLIGHT_API void singleflight_fake_error(struct singleflight_fake *fake, const char *group,
                                              const void *key, size_t key_bytes,
                                              const struct singleflight_error *error);

// Calls follow at first, then their leader is lost, and they lead, with attempt 2.
SINGLEFLIGHT_API void singleflight_fake_takeover(struct singleflight_fake *fake, const char *group,
                                                 const void *key, size_t key_bytes);

// Calls lead, and lose the lead while their function runs: those that lead now, too, at once. They
// end with ABORTED.
SINGLEFLIGHT_API void singleflight_fake_lose(struct singleflight_fake *fake, const char *group,
                                             const void *key, size_t key_bytes);

// Calls end with this status and message, such as PERMISSION_DENIED.
SINGLEFLIGHT_API void singleflight_fake_refuse(struct singleflight_fake *fake, const char *group,
                                               const void *key, size_t key_bytes,
                                               enum singleflight_status status,
                                               const char *message);

// False: there is no server any more; what runs loses its connection, and calls fail open or end
// with UNAVAILABLE. True: it is there again. Not from a callback.
SINGLEFLIGHT_API void singleflight_fake_set_available(struct singleflight_fake *fake,
                                                      bool is_available);

// ---- what came ----

// A call as it came to the server: merged ones come once. Later versions may append fields.
struct singleflight_fake_call {
    const char *group; // "default" when the call named none
    const void *key;
    size_t key_bytes;
    const char *caller;
    enum singleflight_role role;
    uint64_t retain_ms;
    uint64_t retain_error_ms;
    uint64_t max_age_ms;
    uint64_t lease_ms;
    bool fresh;
    const char *traceparent; // "": none

    bool led;
    // What its function ended with; NONE: it did not lead, or has not ended.
    enum singleflight_outcome outcome;
    const void *value;
    size_t value_bytes;
    int32_t code;
    const char *message;
};

// How many have come; and one of them, from 0, the oldest first, as it is at this moment. Valid
// until the fake is destroyed. NULL: there is none.
SINGLEFLIGHT_API size_t singleflight_fake_call_count(struct singleflight_fake *fake);
SINGLEFLIGHT_API const struct singleflight_fake_call *
singleflight_fake_call(struct singleflight_fake *fake, size_t index);

// ---- a leader by itself, to test a function alone ----

// Waits until a call for the key leads, and gives its leader, which is of the asynchronous kind: a
// write never waits. To be ended by singleflight_fake_finish().
// ABORTED and others: the script of the key lets it not lead.
SINGLEFLIGHT_API enum singleflight_status
singleflight_fake_leader(struct singleflight_fake *fake, const char *group, const void *key,
                         size_t key_bytes,
                         struct singleflight_leader **leader_out) SINGLEFLIGHT_MUST_USE;

// Finishes the leader with what the function returned, and waits for the result, which is to be
// freed by singleflight_result_free().
SINGLEFLIGHT_API struct singleflight_result *
singleflight_fake_finish(struct singleflight_fake *fake, struct singleflight_leader *leader,
                         enum singleflight_outcome outcome);

#ifdef __cplusplus
}
#endif

#endif
