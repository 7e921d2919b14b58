// SPDX-License-Identifier: Apache-2.0
// usage: bench_load flow|fanout|waiters --target ADDRESS [OPTION...]; see load.h.
// Prints what it found as one JSON object on a line of its own.
#include "bench/load/load.h"

#include "bench/library.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option names[] = {
    {"target", required_argument, NULL, 't'},
    {"session", no_argument, NULL, 's'},
    {"redis", no_argument, NULL, 'e'},
    {"connections", required_argument, NULL, 'c'},
    {"streams", required_argument, NULL, 'm'},
    {"bytes", required_argument, NULL, 'b'},
    {"pid", required_argument, NULL, 'p'},
    {"seconds", required_argument, NULL, 'd'},
    {"warmup", required_argument, NULL, 'w'},
    {"flights", required_argument, NULL, 'f'},
    {"per-flight", required_argument, NULL, 'k'},
    {"rate", required_argument, NULL, 'r'},
    {"followers", required_argument, NULL, 'n'},
    {"rounds", required_argument, NULL, 'o'},
    {"pause", required_argument, NULL, 'u'},
    {"retain", required_argument, NULL, 'i'},
    {"count", required_argument, NULL, 'l'},
    {"trace", no_argument, NULL, 'x'},
    {"tls-ca", required_argument, NULL, 'a'},
    {NULL, 0, NULL, 0},
};

static double number_of(const char *text)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || number < 0 || number > 4e9)
        load_die("\"%s\" is not a number that can be right here", text);
    return number;
}

static void set_number(struct load_plan *plan, int option, double number)
{
    switch (option) {
    case 'c':
        plan->link.connections = (unsigned)number;
        break;
    case 'm':
        plan->link.streams = (unsigned)number;
        break;
    case 'b':
        plan->link.value_bytes = (size_t)number;
        break;
    case 'p':
        plan->server_pid = (int)number;
        break;
    case 'd':
        plan->seconds = number;
        break;
    case 'w':
        plan->warmup = number;
        break;
    case 'f':
        plan->flights = (uint32_t)number;
        break;
    case 'k':
        plan->per_flight = (uint32_t)number;
        break;
    case 'r':
        plan->rate = number;
        break;
    case 'n':
        plan->followers = (uint32_t)number;
        break;
    case 'l':
        plan->count = (uint64_t)number;
        break;
    case 'o':
        plan->rounds = (uint32_t)number;
        break;
    case 'i':
        plan->link.retain_ms = (uint64_t)number;
        break;
    case 'u':
        plan->pause = number;
        break;
    default:
        load_die("unknown option");
    }
}

int main(int argc, char **argv)
{
    struct load_plan plan = {
        .link = {.connections = 1, .streams = 1, .value_bytes = 100},
        .seconds = 1,
        .warmup = 0.2,
        .flights = 1,
        .per_flight = 1,
        .followers = 1,
        .rounds = UINT32_MAX,
    };
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 't')
            plan.link.target = optarg;
        else if (option == 's')
            plan.link.session = true;
        else if (option == 'e')
            plan.link.redis = true;
        else if (option == 'x')
            plan.trace = true;
        else if (option == 'a')
            plan.link.tls_ca = bench_read_file(optarg);
        else
            set_number(&plan, option, optarg == NULL ? 0 : number_of(optarg));
    }
    if (optind + 1 != argc || plan.link.target == NULL)
        load_die("usage: bench_load flow|fanout|waiters --target ADDRESS [OPTION...]");
    if (plan.link.redis && (plan.rate > 0 || strcmp(argv[optind], "flow") != 0))
        load_die("Redis does flows only, without a rate");
    if (plan.link.streams < plan.link.connections)
        plan.link.streams = plan.link.connections;
    bench_library_start();
    if (strcmp(argv[optind], "flow") == 0)
        load_flow(&plan);
    else if (strcmp(argv[optind], "fanout") == 0)
        load_fanout(&plan);
    else if (strcmp(argv[optind], "waiters") == 0)
        load_waiters(&plan);
    else
        load_die("there is no \"%s\"", argv[optind]);
    fflush(stdout);
    // Calls are still open; the kernel closes their connections.
    _Exit(0);
}
