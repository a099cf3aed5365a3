/* SPDX-License-Identifier: Apache-2.0 */
/* load_request.c - the plan from the command line, and requests by lot. */
#include "load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

static const char usage[] =
    "usage: load -o FILE [options] PORT...\n"
    "Asks 127.0.0.1:PORT from keep-alive connections and writes a line per request into FILE.\n"
    "  -c N        connections per port (64)          -r N        requests a second in all (0: "
    "flat out)\n"
    "  -d SECONDS  how long (10)                      -s N        seed (1)\n"
    "  -p PATH     of plain requests (/)              -u N        users, as X-User (1)\n"
    "  -z EXPONENT the k-th user asks as 1 / k^EXPONENT\n"
    "  -k PERMILLE of requests by the user \"hot\"      -b BYTES    bodies up to this size (0: "
    "none)\n"
    "  -w PERMILLE of requests with a body            -x PERMILLE of bodies in chunks\n"
    "  -a PERMILLE of requests given up half way      -t MS       patience with an answer (15000)\n"
    "  -m N        requests at most (0: no end)       -i          X-Id says the how manieth one it "
    "is\n"
    "  -n PERMILLE of connections that serve one request only, as asked for\n"
    "  -f PERIOD_S:BEFORE_MS:AFTER_MS   flat out around each multiple of the period\n";

/* Zipf's law.  False without memory. */
static bool share_out(struct load_plan *plan, double exponent)
{
    double sum = 0;
    plan->shares = exponent > 0 ? malloc(plan->users * sizeof(*plan->shares)) : NULL;
    for (unsigned i = 0; plan->shares && i < plan->users; i++)
        plan->shares[i] = sum += pow(i + 1, -exponent);
    for (unsigned i = 0; plan->shares && i < plan->users; i++)
        plan->shares[i] /= sum;
    return plan->shares || exponent <= 0;
}

static bool read_option(struct load_plan *plan, int option, const char *text)
{
    unsigned number = text ? (unsigned)strtoul(text, NULL, 10) : 0;
    switch (option) {
    case 'o':
        plan->file = text;
        break;
    case 'p':
        plan->path = text;
        break;
    case 'c':
        plan->connections = number;
        break;
    case 'r':
        plan->rate_per_s = strtod(text, NULL);
        break;
    case 'd':
        plan->seconds = strtod(text, NULL);
        break;
    case 's':
        plan->seed = number;
        break;
    case 'u':
        plan->users = number;
        break;
    case 'k':
        plan->hot_permille = number;
        break;
    case 'b':
        plan->body_max = number;
        break;
    case 'w':
        plan->post_permille = number;
        break;
    case 'x':
        plan->chunked_permille = number;
        break;
    case 'a':
        plan->abort_permille = number;
        break;
    case 'n':
        plan->close_permille = number;
        break;
    case 't':
        plan->timeout_ms = number;
        break;
    case 'm':
        plan->requests_max = number;
        break;
    case 'i':
        plan->has_ids = true;
        break;
    case 'f':
        return sscanf(text, "%u:%u:%u", &plan->burst_period_s, &plan->burst_before_ms,
                      &plan->burst_after_ms) == 3;
    default:
        return false;
    }
    return true;
}

bool load_plan_read(struct load_plan *plan, int argc, char **argv)
{
    *plan = (struct load_plan){
        .connections = 64, .seconds = 10, .seed = 1, .path = "/", .users = 1, .timeout_ms = 15000};
    bool is_good = true;
    double exponent = 0;
    int option;
    while ((option = getopt(argc, argv, "o:c:r:d:s:p:u:z:k:b:w:x:a:n:t:f:m:i")) != -1) {
        if (option == 'z')
            exponent = strtod(optarg, NULL);
        else
            is_good = is_good && read_option(plan, option, optarg);
    }
    for (; optind < argc && plan->port_count < LOAD_PORTS_MAX; optind++)
        plan->ports[plan->port_count++] = (unsigned)strtoul(argv[optind], NULL, 10);
    is_good =
        is_good && plan->file && plan->port_count > 0 && plan->connections > 0 && plan->users > 0;
    is_good = is_good && share_out(plan, exponent);
    if (!is_good)
        fputs(usage, stderr);
    return is_good;
}

/* splitmix64 */
static uint64_t draw(uint64_t *rng)
{
    uint64_t z = *rng += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static bool is_drawn(uint64_t *rng, unsigned permille)
{
    return draw(rng) % 1000 < permille;
}

static unsigned draw_user(uint64_t *rng, const struct load_plan *plan)
{
    if (!plan->shares)
        return (unsigned)(draw(rng) % plan->users);
    double at = (double)(draw(rng) >> 11) * 0x1p-53;
    unsigned low = 0, high = plan->users - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (plan->shares[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Each power of two as often as the next. */
static size_t draw_size(uint64_t *rng, size_t max)
{
    unsigned bits = 0;
    while (max >> (bits + 1))
        bits++;
    size_t below = (size_t)2 << draw(rng) % (bits + 1);
    size_t size = draw(rng) % below;
    return size < max ? size : max;
}

bool load_request_make(struct load_request *request, const struct load_plan *plan, uint64_t *rng,
                       uint64_t id)
{
    bool is_hot = is_drawn(rng, plan->hot_permille), has_body = is_drawn(rng, plan->post_permille);
    char target[64], user[24] = "hot", framing[64] = "", number[40] = "";
    bool is_chunked = is_drawn(rng, plan->chunked_permille);
    request->abort = LOAD_ABORT_NOT;
    if (is_drawn(rng, plan->abort_permille))
        request->abort = (enum load_abort)(1 + draw(rng) % (LOAD_ABORTS - 1));
    const char *connection =
        plan->close_permille && is_drawn(rng, plan->close_permille) ? "Connection: close\r\n" : "";
    request->user = is_hot ? -1 : (int)draw_user(rng, plan);
    request->body_bytes = has_body ? draw_size(rng, plan->body_max) : 0;
    request->sent = 0;
    if (!is_hot)
        snprintf(user, sizeof(user), "user-%d", request->user);
    if (plan->body_max > 0)
        snprintf(target, sizeof(target), "/%s/%zu",
                 is_drawn(rng, plan->chunked_permille) ? "chunks" : "bytes",
                 draw_size(rng, plan->body_max));
    else
        snprintf(target, sizeof(target), "%s", plan->path);
    if (has_body && is_chunked)
        snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
    else if (has_body)
        snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", request->body_bytes);

    if (plan->has_ids)
        snprintf(number, sizeof(number), "X-Id: %llu\r\n", (unsigned long long)id);

    request->bytes = malloc(512 + message_body_room(request->body_bytes));
    if (!request->bytes)
        return false;
    request->len =
        (size_t)snprintf(request->bytes, 512,
                         "%s %s HTTP/1.1\r\nHost: chaos.test\r\nUser-Agent: load\r\n"
                         "X-User: %s\r\n%s%s%s\r\n",
                         has_body ? "POST" : "GET", target, user, number, connection, framing);
    if (has_body)
        request->len +=
            message_body_write(request->bytes + request->len, request->body_bytes, is_chunked);
    return true;
}

void load_request_free(struct load_request *request)
{
    free(request->bytes);
    request->bytes = NULL;
}
