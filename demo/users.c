// SPDX-License-Identifier: Apache-2.0
// The cache breakdown: a cache has just lost its entries, and everybody asks the database for them.
//   demo_users DATABASE PROCESSES THREADS           each thread asks the database
//   demo_users DATABASE PROCESSES THREADS ADDRESS   each thread asks through singleflight
// Prints: <threads> <questions> <queries that ran> <right answers> <milliseconds>
#include "database.h"
#include "singleflight.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEYS 2
#define PROFILE_MAX 256

static const char *const keys[KEYS] = {"user_123", "user_456"};

// What all processes share.
struct shared {
    pthread_barrier_t start; // so that all ask at once
    atomic_uint queries;     // counted by SQLite itself, in whichever process it runs
    atomic_uint right;
    atomic_uint wrong;
    char expected[KEYS][PROFILE_MAX];
};

static struct shared *shared;
static const char *path;
static struct singleflight_client *client; // of this process; NULL: without the service

static void complain(const char *what)
{
    fprintf(stderr, "demo_users: %s\n", what);
    exit(EXIT_FAILURE);
}

static int on_query(unsigned kind, void *context, void *statement, void *text)
{
    (void)kind;
    (void)context;
    (void)statement;
    (void)text;
    atomic_fetch_add(&shared->queries, 1);
    return 0;
}

static size_t ask_database(const char *key, char *text_out)
{
    sqlite3 *database = demo_database_open(path);
    sqlite3_trace_v2(database, SQLITE_TRACE_STMT, on_query, NULL);
    size_t size = demo_query_profile(database, key, text_out, PROFILE_MAX);
    sqlite3_close(database);
    return size;
}

static void note_answer(size_t key, const void *text, size_t size)
{
    bool right =
        size == strlen(shared->expected[key]) && memcmp(text, shared->expected[key], size) == 0;
    atomic_fetch_add(right ? &shared->right : &shared->wrong, 1);
}

static enum singleflight_outcome load(struct singleflight_leader *leader, void *context)
{
    char text[PROFILE_MAX];
    size_t size = ask_database(context, text);
    if (singleflight_leader_write(leader, text, size) != SINGLEFLIGHT_OK)
        return singleflight_leader_error(leader, 1, "the lead is lost");
    return SINGLEFLIGHT_OUTCOME_OK;
}

static void ask_service(size_t key)
{
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.group = "users";
    options.key = keys[key];
    options.key_bytes = strlen(keys[key]);
    // Whoever looked into the cache just before it was filled comes a moment late.
    options.retain_ms = 10000;
    struct singleflight_result *result;
    enum singleflight_status status =
        singleflight_do(client, &options, load, (void *)keys[key], &result);
    if (status != SINGLEFLIGHT_OK || result->outcome != SINGLEFLIGHT_OUTCOME_OK)
        fprintf(stderr, "demo_users: %s: %s\n", keys[key], result->message);
    note_answer(key, result->value, result->value_bytes);
    singleflight_result_free(result);
}

static void ask(size_t key)
{
    if (client != NULL) {
        ask_service(key);
        return;
    }
    char text[PROFILE_MAX];
    size_t size = ask_database(keys[key], text);
    note_answer(key, text, size);
}

static void *run_thread(void *context)
{
    size_t first = (size_t)(uintptr_t)context % KEYS;
    pthread_barrier_wait(&shared->start);
    for (size_t i = 0; i < KEYS; i++)
        ask((first + i) % KEYS);
    return NULL;
}

static int run_process(unsigned threads, const char *address)
{
    if (address != NULL) {
        struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
        options.addresses = &address;
        options.address_count = 1;
        if (singleflight_client_create(&options, &client) != SINGLEFLIGHT_OK)
            complain(singleflight_last_error());
    }
    pthread_t *ids = calloc(threads, sizeof(*ids));
    if (ids == NULL)
        complain("no memory");
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&ids[i], NULL, run_thread, (void *)(uintptr_t)i) != 0)
            complain("no thread");
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    free(ids);
    singleflight_client_destroy(client);
    return EXIT_SUCCESS;
}

static void share(unsigned callers)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        complain("no memory to share");
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->start, &attributes, callers + 1);
    for (size_t i = 0; i < KEYS; i++)
        ask_database(keys[i], shared->expected[i]);
    atomic_store(&shared->queries, 0);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1000000;
}

static bool collect(unsigned processes)
{
    bool fine = true;
    for (unsigned i = 0; i < processes; i++) {
        int status;
        while (wait(&status) < 0 && errno == EINTR)
            continue;
        fine = fine && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    }
    return fine;
}

int main(int argc, char *argv[])
{
    if (argc < 4 || argc > 5)
        return 64;
    path = argv[1];
    unsigned processes = (unsigned)strtoul(argv[2], NULL, 10);
    unsigned threads = (unsigned)strtoul(argv[3], NULL, 10);
    if (processes == 0 || threads == 0)
        return 64;
    share(processes * threads);
    for (unsigned i = 0; i < processes; i++) {
        if (fork() == 0)
            exit(run_process(threads, argc == 5 ? argv[4] : NULL));
    }
    pthread_barrier_wait(&shared->start);
    double begun_ms = now_ms();
    bool fine = collect(processes);
    unsigned callers = processes * threads;
    printf("%u %u %u %u %.0f\n", callers, callers * KEYS, atomic_load(&shared->queries),
           atomic_load(&shared->right), now_ms() - begun_ms);
    return fine && atomic_load(&shared->right) == callers * KEYS ? EXIT_SUCCESS : EXIT_FAILURE;
}
