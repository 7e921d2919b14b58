// SPDX-License-Identifier: Apache-2.0
// What the guard does with a listener on which nothing can be accepted: accept4 is the test's own.
#include "sockets/guard.h"

#include "sockets/guard_hooks_private.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    unsigned accepts; // so many were tried
    int errors[8];    // what each of them ends with; the last one holds for all that follow
} script;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
    va_list list;
    va_start(list, number);
    long first = va_arg(list, long);
    long second = va_arg(list, long);
    long third = va_arg(list, long);
    long fourth = va_arg(list, long);
    va_end(list);
    if (number != SYS_accept4)
        return __real_syscall(number, first, second, third, fourth);
    unsigned at = 0;
    while (at < script.accepts && script.errors[at + 1] != 0)
        at++;
    script.accepts++;
    errno = script.errors[at];
    return -1;
}

static int listener;

static int set_up(void **state)
{
    static const uint8_t mark[16];
    const struct sfl_guard_options options = {
        .connections_max = 100, .address_connections_max = 100, .mark = mark};
    (void)state;
    memset(&script, 0, sizeof(script));
    if (sfl_guard_open(&options) != SFL_OK)
        return -1;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    sfl_guard_listeners(true);
    sfl_guard_on_listen(listener);
    sfl_guard_listeners(false);
    return sfl_guard_find(listener) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    sfl_guard_close();
    close(listener);
    return 0;
}

static void nothing_can_be_accepted_now(void)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    errno = 0;
    assert_int_equal(sfl_guard_accept(sfl_guard_find(listener), (struct sockaddr *)&peer, &size, 0),
                     -1);
    assert_int_equal(errno, EAGAIN);
}

static void an_error_that_takes_no_connection_away_does_not_hold_the_pump(void **state)
{
    (void)state;
    script.errors[0] = EPERM;
    alarm(60);
    nothing_can_be_accepted_now();
    alarm(0);
    assert_in_range(script.accepts, 2, 10000);
}

static void connections_that_failed_are_passed_over(void **state)
{
    (void)state;
    script.errors[0] = ECONNABORTED;
    script.errors[1] = EPROTO;
    script.errors[2] = EAGAIN;
    nothing_can_be_accepted_now();
    assert_int_equal(script.accepts, 3);
}

// Between the last try and the note that somebody waits, the close of another thread is not heard:
// so there is another try after the note.
static void a_descriptor_that_becomes_free_meanwhile_is_not_missed(void **state)
{
    (void)state;
    script.errors[0] = EMFILE;
    script.errors[1] = EMFILE; // with the spare, which somebody else has got
    script.errors[2] = EAGAIN; // now there is one, and nobody waits any more
    nothing_can_be_accepted_now();
    assert_int_equal(script.accepts, 3);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(an_error_that_takes_no_connection_away_does_not_hold_the_pump),
        STORY(connections_that_failed_are_passed_over),
        STORY(a_descriptor_that_becomes_free_meanwhile_is_not_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
