// SPDX-License-Identifier: Apache-2.0
#include "driver.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

// A name that was given or is waited for. Never freed before the process ends.
struct signal {
    struct signal *next;
    int fd; // readable once given
    char name[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct signal *signals;

static struct signal *signal_get(const char *name)
{
    pthread_mutex_lock(&lock);
    struct signal *signal = signals;
    while (signal != NULL && strcmp(signal->name, name) != 0)
        signal = signal->next;
    if (signal == NULL) {
        size_t size = strlen(name) + 1;
        signal = malloc(sizeof(*signal) + size);
        if (signal == NULL)
            abort();
        memcpy(signal->name, name, size);
        signal->fd = eventfd(0, EFD_CLOEXEC);
        if (signal->fd < 0)
            abort();
        signal->next = signals;
        signals = signal;
    }
    pthread_mutex_unlock(&lock);
    return signal;
}

void signal_give(const char *name)
{
    uint64_t one = 1;
    if (write(signal_get(name)->fd, &one, sizeof(one)) != sizeof(one))
        abort();
}

bool signal_wait(const char *name, struct singleflight_leader *leader)
{
    struct pollfd fds[] = {
        {.fd = signal_get(name)->fd, .events = POLLIN},
        {.fd = singleflight_leader_lost_fd(leader), .events = POLLIN},
    };
    while (poll(fds, 2, -1) < 0)
        continue; // a signal of the system
    return (fds[0].revents & POLLIN) != 0;
}
