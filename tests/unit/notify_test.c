// SPDX-License-Identifier: Apache-2.0
// The watchdog speaks for the loop and for the pumps: when one of them stands still, it is silent.
#include "notify.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <semaphore.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PUMPS 3
#define TIME_US "40000"
#define BOUND_MS 30000

struct world {
    uv_loop_t loop;
    struct sfl_pumps *pumps;
    struct sfl_watchdog watchdog;
    int manager;
};

static int setup(void **state)
{
    static struct world world;
    memset(&world, 0, sizeof(world));
    char name[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size = snprintf(name, sizeof(name), "@singleflightd-notify-test-%ld", (long)getpid());
    memcpy(address.sun_path + 1, name + 1, (size_t)size - 1);
    world.manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)size);
    assert_int_equal(bind(world.manager, (struct sockaddr *)&address, length), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", TIME_US, 1);
    assert_int_equal(uv_loop_init(&world.loop), 0);
    assert_int_equal(sfl_pumps_create(PUMPS, NULL, &world.pumps), SFL_OK);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    uv_close((uv_handle_t *)&world->watchdog.timer, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    sfl_pumps_destroy(world->pumps);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    close(world->manager);
    return 0;
}

// How many pings have come and were not counted yet.
static unsigned heard(struct world *world)
{
    char line[64];
    unsigned count = 0;
    ssize_t size;
    while ((size = recv(world->manager, line, sizeof(line), 0)) >= 0) {
        assert_int_equal(size, strlen("WATCHDOG=1"));
        assert_memory_equal(line, "WATCHDOG=1", (size_t)size);
        count++;
    }
    return count;
}

static void run_until_heard(struct world *world, unsigned wanted)
{
    uint64_t until_ms = sfl_clock_now_ms() + BOUND_MS;
    for (unsigned count = 0; count < wanted; count += heard(world)) {
        assert_true(sfl_clock_now_ms() < until_ms);
        uv_run(&world->loop, UV_RUN_ONCE);
    }
}

struct blocking {
    struct sfl_pump_work work;
    sem_t begun;
    sem_t may_end;
};

static void block(struct sfl_pump_work *work)
{
    struct blocking *blocking = SFL_CONTAINER_OF(work, struct blocking, work);
    sem_post(&blocking->begun);
    sem_wait(&blocking->may_end);
}

static void a_pump_that_hangs_silences_it(void **state)
{
    struct world *world = *state;
    assert_true(sfl_watchdog_start(&world->watchdog, &world->loop, world->pumps));
    run_until_heard(world, 3);

    static struct blocking blocking = {.work.run = block};
    sem_init(&blocking.begun, 0, 0);
    sem_init(&blocking.may_end, 0, 0);
    sfl_pump_post(sfl_pumps_get(world->pumps, PUMPS - 1), &blocking.work);
    sem_wait(&blocking.begun);
    // One that had all its answers already may still come; then the loop goes round for nothing.
    for (unsigned turn = 0; turn < 10; turn++)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_true(heard(world) <= 1);
    for (unsigned turn = 0; turn < 10; turn++)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_int_equal(heard(world), 0);

    sem_post(&blocking.may_end);
    run_until_heard(world, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pump_that_hangs_silences_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
