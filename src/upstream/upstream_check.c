/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_check.c - takes: servers to ask.  Gives: a result for each, again and again.  A check reads no more of an
 * answer than its status; the rest is read away, within bounds, so that a server sees a clean end. */
#include "upstream/upstream_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_fmt.h"
#include "base/base_log.h"
#include "net/net_proxy.h"
#include "net/net_resolve.h"
#include "net/net_stream.h"
#include "net/net_tls.h"
#include "upstream/upstream_names.h"

#define CHECK_ANSWER_BYTES 16    /* "HTTP/1.1 200 " */
#define CHECK_REST_MAX     65536 /* of an answer, read away */
#define CHECK_EVENT_BYTES  1536
#define CHECK_TEXT_BYTES   300 /* of a name in an event */

enum check_state {
    CHECK_WAITING,    /* for its time */
    CHECK_CONNECTING, /* with its TLS */
    CHECK_ASKING,
    CHECK_ENDING, /* the result is known */
};

/* One server.  Owner: the checker's list.  Freed by: check_free.  Thread: the loop's. */
struct check {
    struct upstream_checker *checker;
    struct list node;
    struct upstream_vital *vital; /* a reference */
    struct upstream_check_conf conf;
    char *request, *tls_name;
    size_t request_len;
    struct net_tls *tls; /* a reference; NULL: plain */
    struct net_tls_kept session;
    struct upstream_names names;
    struct net_watch *watch; /* when the address is a name */
    struct loop_timer timer;
    struct net_stream stream;
    enum check_state state;
    uint64_t next_us;
    size_t sent, got, rest;
    char answer[CHECK_ANSWER_BYTES];
    char header[NET_PROXY_WRITTEN_MAX]; /* that its connections begin with */
    size_t header_len;
    bool is_told; /* of this connection */
};

struct upstream_checker {
    struct loop *loop;
    struct loop_log *log;
    struct upstream_health *health;
    struct net_resolver *resolver;
    struct list checks;
    struct loop_timer tick;
};

int upstream_check_status(struct span answer)
{
    static const char begin[] = "HTTP/1.";
    const size_t known = answer.len < sizeof(begin) - 1 ? answer.len : sizeof(begin) - 1;
    int status = 0;
    if (known != 0 && memcmp(answer.ptr, begin, known) != 0)
        return -1;
    if (answer.len < 13)
        return 0;
    if ((answer.ptr[7] != '0' && answer.ptr[7] != '1') || answer.ptr[8] != ' ')
        return -1;
    for (unsigned i = 9; i < 12; i++) {
        if (answer.ptr[i] < '0' || answer.ptr[i] > '9')
            return -1;
        status = status * 10 + (answer.ptr[i] - '0');
    }
    /* RFC 9112 section 4: a space stands there even where no reason follows; some leave it out. */
    if (answer.ptr[12] != ' ' && answer.ptr[12] != '\r')
        return -1;
    return status < 100 ? -1 : status;
}

/* ---- one check ---- */

static void check_close(struct check *check)
{
    net_stream_close(&check->stream);
    check->state = CHECK_WAITING;
    loop_timer_set(check->checker->loop, &check->timer, check->next_us);
}

static void check_tell(struct check *check, bool is_good, const char *reason, unsigned status)
{
    struct loop *loop = check->checker->loop;
    metrics_add(loop->metrics, is_good ? METRICS_UPSTREAM_CHECKS_GOOD : METRICS_UPSTREAM_CHECKS_BAD,
                1);
    upstream_vital_checked(check->vital, &check->conf, is_good, reason, status, loop->mono_us);
}

static void check_bad(struct check *check, const char *reason)
{
    check_tell(check, false, reason, 0);
    check_close(check);
}

static void check_fail(struct check *check, int error)
{
    const char *word = net_tls_why_word(&check->stream);
    const char *reason = strerrordesc_np(error);
    if (net_stream_is_shortage(error)) { /* our want: nothing is known of the server */
        check_close(check);
        return;
    }
    check_bad(check, word != NULL ? word : reason != NULL ? reason : "it cannot be connected to");
}

static void check_judge(struct check *check)
{
    const int status = upstream_check_status((struct span){check->answer, check->got});
    if (status == 0)
        return;
    if (status < 0) {
        check_bad(check, "what it says is no HTTP");
        return;
    }
    check_tell(check, statuses_has(&check->conf.expect, (unsigned)status), NULL, (unsigned)status);
    check->state = CHECK_ENDING;
}

/* True: there may be more. */
static bool check_read(struct check *check)
{
    char *scratch = check->checker->loop->scratch;
    ssize_t n = net_stream_read(&check->stream, scratch, LOOP_SCRATCH_BYTES);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (check->state == CHECK_ENDING) {
        check->rest += n > 0 ? (size_t)n : 0;
        if (n > 0 && check->rest <= CHECK_REST_MAX)
            return true;
        check_close(check);
        return false;
    }
    if (n <= 0) {
        check_bad(check, "the connection ends without an answer");
        return false;
    }
    const size_t room = sizeof(check->answer) - check->got;
    const size_t taken = (size_t)n < room ? (size_t)n : room;
    memcpy(check->answer + check->got, scratch, taken);
    check->got += taken;
    check_judge(check);
    return check->state != CHECK_WAITING;
}

/* False: it waits, or is over. */
static bool check_write(struct check *check)
{
    while (check->sent < check->request_len) {
        ssize_t n = net_stream_write(&check->stream, check->request + check->sent,
                                     check->request_len - check->sent);
        if (n < 0 && errno != EAGAIN)
            check_bad(check, "the connection ends without an answer");
        if (n <= 0)
            return false;
        check->sent += (size_t)n;
    }
    return true;
}

static enum err check_connected(struct check *check)
{
    if (!check->is_told) {
        enum err err = net_stream_preface(&check->stream, check->header, check->header_len);
        if (err != ERR_OK)
            return err;
        check->is_told = true;
    }
    return net_stream_connected(&check->stream);
}

static void check_on_ready(struct net_stream *stream, void *arg)
{
    struct check *check = arg;
    (void)stream;
    if (check->state == CHECK_CONNECTING) {
        enum err err = check_connected(check);
        if (err == ERR_AGAIN)
            return;
        if (err != ERR_OK) {
            check_fail(check, errno);
            return;
        }
        check->state = CHECK_ASKING;
    }
    if (!check_write(check))
        return;
    while (check_read(check))
        continue;
}

static void check_begin(struct check *check)
{
    struct loop *loop = check->checker->loop;
    const uint64_t interval_us = check->conf.interval_us;
    const int index = upstream_names_next(&check->names, loop->mono_us);
    check->next_us =
        loop->mono_us + interval_us - interval_us / 10 + rng_below(&loop->rng, interval_us / 5 + 1);
    if (index < 0) { /* its name is not known yet: nothing can be said of it */
        loop_timer_set(loop, &check->timer, loop->mono_us + LOOP_TICK_US);
        return;
    }
    check->sent = check->got = check->rest = 0;
    check->is_told = check->header_len == 0;
    check->state = CHECK_CONNECTING;
    loop_timer_set(loop, &check->timer, loop->mono_us + check->conf.timeout_us);
    if (net_stream_connect(&check->stream, loop, &check->names.addresses[index], check_on_ready,
                           check) != ERR_OK) {
        check_fail(check, errno);
        return;
    }
    if (check->tls == NULL)
        return;
    if (net_tls_begin(&check->stream, check->tls, span_of(check->tls_name)) != ERR_OK)
        check_close(check); /* no memory */
    else
        net_tls_keep(&check->stream, &check->session);
}

static void check_on_timer(void *arg)
{
    struct check *check = arg;
    switch (check->state) {
    case CHECK_WAITING:
        check_begin(check);
        break;
    case CHECK_CONNECTING:
        check_bad(check, "connecting took too long");
        break;
    case CHECK_ASKING:
        check_bad(check, "no answer in time");
        break;
    case CHECK_ENDING:
        check_close(check);
        break;
    }
}

/* ---- the list of checks ---- */

static void check_free(struct check *check)
{
    if (check == NULL)
        return;
    list_remove(&check->node);
    loop_timer_cancel(&check->timer);
    net_stream_close(&check->stream);
    net_watch_free(check->watch);
    net_tls_kept_drop(&check->session);
    net_tls_free(check->tls);
    upstream_vital_unref(check->vital);
    free(check->request);
    free(check->tls_name);
    free(check);
}

static void check_on_addresses(void *arg, const struct net_address *addresses, unsigned count)
{
    struct check *check = arg;
    (void)upstream_names_set(&check->names, addresses, count);
}

static bool check_make_request(struct check *check, const struct upstream_check_conf *conf,
                               const struct upstream_server_conf *server)
{
    struct span host = conf->host.len != 0 ? conf->host : server->address_text;
    if (span_starts_with(host, SPAN("unix:")))
        host = SPAN("localhost");
    check->request = malloc(conf->path.len + host.len + 128);
    if (check->request == NULL)
        return false;
    char *at = check->request;
    at = fmt_span(at, span_of(UPSTREAM_CHECK_METHODS[conf->method]));
    at = FMT_LIT(at, " ");
    at = fmt_span(at, conf->path);
    at = FMT_LIT(at, " HTTP/1.1\r\nHost: ");
    at = fmt_span(at, host);
    at = FMT_LIT(at, "\r\nUser-Agent: sluice-check\r\nConnection: close\r\n\r\n");
    check->request_len = (size_t)(at - check->request);
    return true;
}

/* The addresses that the check before knows, which this one takes the place of. */
static void check_inherit(struct check *check)
{
    LIST_EACH (node, &check->checker->checks) {
        const struct check *before = LIST_OF(node, struct check, node);
        if (before->vital == check->vital)
            (void)upstream_names_set(&check->names, before->names.addresses, before->names.count);
    }
}

static struct check *check_new(struct upstream_checker *checker, const struct upstream_conf *conf,
                               const struct upstream_server_conf *server)
{
    struct check *check = calloc(1, sizeof(*check));
    if (check == NULL)
        return NULL;
    list_init(&check->node);
    loop_timer_init(&check->timer, check_on_timer, check);
    check->checker = checker;
    check->stream.fd = -1;
    check->conf = conf->check;
    check->conf.path = check->conf.host = SPAN_NONE; /* the plan's */
    if (conf->proxy != NET_PROXY_NONE)               /* a check is for nobody */
        check->header_len =
            (size_t)(net_proxy_write(check->header, (enum net_proxy_version)conf->proxy, NULL) -
                     check->header);
    check->tls = net_tls_ref(conf->tls);
    check->tls_name = server->tls_name.len == 0
                          ? strdup("")
                          : strndup(server->tls_name.ptr, server->tls_name.len);
    check->vital = upstream_vital_ref(checker->health, conf, server);
    if (check->tls_name == NULL || check->vital == NULL ||
        !check_make_request(check, &conf->check, server))
        goto fail;
    if (server->address.len != 0) {
        (void)upstream_names_set(&check->names, &server->address, 1);
        return check;
    }
    (void)upstream_names_set(&check->names, server->found, server->found_count);
    if (server->found_count == 0)
        check_inherit(check);
    check->watch = net_watch_new(checker->resolver, server->host, server->address.port,
                                 check_on_addresses, check);
    if (check->watch == NULL)
        goto fail;
    net_watch_know(check->watch, check->names.addresses, check->names.count);
    net_watch_set_interval(check->watch, conf->resolve_us);
    return check;
fail:
    check_free(check);
    return NULL;
}

static void checks_free(struct list *checks)
{
    LIST_EACH_SAFE (node, checks)
        check_free(LIST_OF(node, struct check, node));
}

static enum err checks_make(struct upstream_checker *checker, const struct upstream_conf *conf,
                            struct list *checks)
{
    for (unsigned i = 0; conf->check.path.len != 0 && i < conf->server_count; i++) {
        struct check *check = check_new(checker, conf, &conf->servers[i]);
        if (check == NULL)
            return ERR_NOMEM;
        list_push_back(checks, &check->node);
    }
    return ERR_OK;
}

enum err upstream_checker_serve(struct upstream_checker *checker,
                                const struct upstream_conf *upstreams, unsigned count)
{
    struct list fresh;
    struct loop *loop = checker->loop;
    list_init(&fresh);
    enum err err = ERR_OK;
    for (unsigned i = 0; err == ERR_OK && i < count; i++)
        err = checks_make(checker, &upstreams[i], &fresh);
    if (err == ERR_OK)
        err = upstream_health_serve(checker->health, upstreams, count);
    if (err != ERR_OK) {
        checks_free(&fresh);
        return err;
    }
    checks_free(&checker->checks);
    list_take_all(&checker->checks, &fresh);
    LIST_EACH (node, &checker->checks) {
        struct check *check = LIST_OF(node, struct check, node);
        loop_timer_set(loop, &check->timer,
                       loop->mono_us + rng_below(&loop->rng, check->conf.interval_us / 4 + 1));
    }
    return ERR_OK;
}

/* ---- what has changed ---- */

static const char *const change_words[] = {
    [UPSTREAM_CHANGE_DOWN] = "server_down",     [UPSTREAM_CHANGE_UP] = "server_up",
    [UPSTREAM_CHANGE_PANIC] = "upstream_panic", [UPSTREAM_CHANGE_CALM] = "upstream_calm",
    [UPSTREAM_CHANGE_EMPTY] = "upstream_empty", [UPSTREAM_CHANGE_FILLED] = "upstream_filled",
};

static char *change_text(char *at, struct span text)
{
    bool is_cut = false, has_bytes = false;
    return fmt_json_text(at, at + CHECK_TEXT_BYTES, text, &is_cut, &has_bytes);
}

static void checker_event(struct upstream_checker *checker, const struct upstream_change *change)
{
    char json[CHECK_EVENT_BYTES], *at = json;
    at = FMT_LIT(at, "\"event\":\"");
    at = fmt_span(at, span_of(change_words[change->kind]));
    at = FMT_LIT(at, "\",\"upstream\":\"");
    at = change_text(at, change->upstream);
    if (change->server.len != 0) {
        at = FMT_LIT(at, "\",\"server\":\"");
        at = change_text(at, change->server);
    }
    at = FMT_LIT(at, "\",\"reason\":\"");
    at = change_text(at, span_of(change->reason));
    at = FMT_LIT(at, "\",\"usable\":");
    at = fmt_u64(at, change->usable);
    at = FMT_LIT(at, ",\"servers\":");
    at = fmt_u64(at, change->servers);
    if (change->for_us != 0) {
        at = FMT_LIT(at, ",\"for_ms\":");
        at = fmt_u64(at, change->for_us / 1000);
    }
    *at = '\0';
    loop_log_event(checker->log, json);
}

static void checker_on_change(void *arg, const struct upstream_change *change)
{
    struct upstream_checker *checker = arg;
    const int len = (int)change->upstream.len, server_len = (int)change->server.len;
    checker_event(checker, change);
    switch (change->kind) {
    case UPSTREAM_CHANGE_DOWN:
        log_warn("server %.*s of upstream %.*s is left alone: %s", server_len, change->server.ptr,
                 len, change->upstream.ptr, change->reason);
        break;
    case UPSTREAM_CHANGE_UP:
        log_info("server %.*s of upstream %.*s is used again: %s", server_len, change->server.ptr,
                 len, change->upstream.ptr, change->reason);
        break;
    case UPSTREAM_CHANGE_PANIC:
        log_warn("upstream %.*s uses all its servers: %s", len, change->upstream.ptr,
                 change->reason);
        break;
    case UPSTREAM_CHANGE_CALM:
        log_info("upstream %.*s chooses among its servers again: %s", len, change->upstream.ptr,
                 change->reason);
        break;
    case UPSTREAM_CHANGE_EMPTY:
        log_error("upstream %.*s takes no request: %s (`sluice upstreams ready` ends an order)",
                  len, change->upstream.ptr, change->reason);
        break;
    case UPSTREAM_CHANGE_FILLED:
        log_info("upstream %.*s takes requests again: %s", len, change->upstream.ptr,
                 change->reason);
        break;
    }
}

static void checker_look(void *arg)
{
    struct upstream_checker *checker = arg;
    struct loop *loop = checker->loop;
    const uint64_t next_us = upstream_health_tick(checker->health, loop->mono_us, loop->metrics,
                                                  checker_on_change, checker);
    if (next_us == 0)
        loop_timer_cancel(&checker->tick);
    else
        loop_timer_set(loop, &checker->tick, next_us);
}

static bool checker_on_stir(void *arg)
{
    struct upstream_checker *checker = arg;
    return loop_post(checker->loop, checker_look, checker) == ERR_OK;
}

struct upstream_checker *upstream_checker_new(struct loop *loop, struct loop_log *log,
                                              struct upstream_health *health)
{
    struct upstream_checker *checker = calloc(1, sizeof(*checker));
    if (checker == NULL)
        return NULL;
    checker->loop = loop;
    checker->log = log;
    checker->health = health;
    list_init(&checker->checks);
    loop_timer_init(&checker->tick, checker_look, checker);
    checker->resolver = net_resolver_new(loop);
    if (checker->resolver == NULL) {
        free(checker);
        return NULL;
    }
    upstream_health_on_stir(health, checker_on_stir, checker);
    return checker;
}

void upstream_checker_free(struct upstream_checker *checker)
{
    if (checker == NULL)
        return;
    upstream_health_on_stir(checker->health, NULL, NULL);
    checks_free(&checker->checks);
    loop_timer_cancel(&checker->tick);
    net_resolver_free(checker->resolver);
    free(checker);
}
