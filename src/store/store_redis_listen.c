/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_listen.c - see store_redis_listen.h.
 *
 * A message is an array of three strings: "message", the channel, and the 22 characters of a key, what is said of it
 * (STORE_REDIS_SAYS_...) and the sender.  Whatever else comes is passed over, but for errors: without the right to subscribe it is tried again
 * every RETRY_LAST_US, and said once. */
#include "store/store_redis_listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_log.h"
#include "base/base_parse.h"
#include "net/net_stream.h"
#include "store/store_redis_door.h"
#include "store/store_redis_greet.h"
#include "store/store_redis_link.h"
#include "store/store_redis_reply.h"
#include "store/store_redis_route.h"
#include "store/store_redis_wire.h"

#define RETRY_FIRST_US UINT64_C(100000)
#define RETRY_LAST_US  UINT64_C(10000000)
#define LOOK_US        UINT64_C(500000)
#define PING_US        UINT64_C(10000000)
#define SILENCE_US     UINT64_C(25000000)
#define READS_PER_TURN 32

/* Owner: the first worker of a lease.  Freed by: store_redis_listener_free.  Thread: the loop's. */
struct store_redis_listener {
    struct store_redis *redis;
    struct loop *loop;
    store_redis_news_fn on_news;
    void *arg;
    struct net_stream stream;
    struct loop_timer timer; /* to connect again; else to look whether all is well */
    struct loop_task resume;
    struct store_redis_wire wire;
    struct store_redis_parser parser;
    bool is_open, is_connected;
    bool has_said; /* that it may not subscribe */
    unsigned failures;
    uint64_t heard_at_us, pinged_at_us;
    struct store_redis_route *route; /* borrowed */
    struct store_redis_place place;
};

static void listener_close(struct store_redis_listener *listener)
{
    if (!listener->is_open)
        return;
    net_stream_close(&listener->stream);
    store_redis_parser_fini(&listener->parser);
    store_redis_wire_clear(&listener->wire);
    loop_task_cancel(&listener->resume);
    listener->is_open = listener->is_connected = false;
}

static void listener_fail(struct store_redis_listener *listener)
{
    uint64_t most_us = RETRY_FIRST_US;
    listener_close(listener);
    for (unsigned i = 0; i < listener->failures && most_us < RETRY_LAST_US; i++)
        most_us *= 2;
    listener->failures++;
    loop_timer_set(listener->loop, &listener->timer,
                   listener->loop->mono_us + 1 + rng_below(&listener->loop->rng, most_us));
}

static void listener_write(struct store_redis_listener *listener)
{
    struct store_redis_wire *wire = &listener->wire;
    while (listener->is_connected && store_redis_wire_unsent(wire) != 0) {
        ssize_t n = net_stream_write(&listener->stream, wire->bytes + wire->begin,
                                     store_redis_wire_unsent(wire));
        if (n < 0 && errno != EAGAIN)
            listener_fail(listener);
        if (n <= 0)
            return;
        store_redis_wire_sent(wire, (size_t)n);
    }
}

static enum err listener_say(struct store_redis_listener *listener, enum store_redis_step step)
{
    const struct store_redis *redis = listener->redis;
    char *command;
    size_t len;
    enum err err = store_redis_greet_format(step, STORE_REDIS_STORE, &redis->conf, redis->name,
                                            &command, &len);
    if (err == ERR_OK && len != 0)
        err = store_redis_wire_add(&listener->wire, (struct span){command, len});
    if (command != NULL)
        explicit_bzero(command, len); /* AUTH's has the password */
    free(command);
    return err;
}

static void listener_greet(struct store_redis_listener *listener)
{
    listener->is_connected = true;
    listener->heard_at_us = listener->pinged_at_us = listener->loop->mono_us;
    loop_timer_set(listener->loop, &listener->timer, listener->loop->mono_us + LOOK_US);
    if (listener_say(listener, STORE_REDIS_AUTH) != ERR_OK ||
        listener_say(listener, STORE_REDIS_SETNAME) != ERR_OK ||
        store_redis_wire_subscribe(&listener->wire, listener->redis) != ERR_OK) {
        listener_fail(listener);
        return;
    }
    listener_write(listener);
}

/* What this process said itself comes back too. */
static bool is_own(const struct store_redis_listener *listener, struct span sender)
{
    return span_eq(sender, store_redis_sender(listener->redis));
}

/* "operator 3" */
static bool is_order(struct span sender, uint32_t *generation)
{
    const struct span head = SPAN(STORE_REDIS_SAYS_OPERATOR " ");
    uint64_t number = 0;
    if (!span_starts_with(sender, head) ||
        !parse_u64((struct span){sender.ptr + head.len, sender.len - head.len}, &number) ||
        number > UINT32_MAX)
        return false;
    *generation = (uint32_t)number;
    return true;
}

static void listener_on_message(struct store_redis_listener *listener, struct span text)
{
    struct store_redis_news news = {.kind = STORE_REDIS_NEWS_RECALL};
    size_t len = 0;
    char key[STORE_REDIS_KEY_TEXT_BYTES];
    if (text.len <= STORE_REDIS_KEY_TEXT_BYTES)
        return;
    char kind = text.ptr[STORE_REDIS_KEY_TEXT_BYTES];
    if (kind != STORE_REDIS_SAYS_RECALL && kind != STORE_REDIS_SAYS_LOST)
        return;
    const struct span named = {text.ptr, STORE_REDIS_KEY_TEXT_BYTES};
    const struct span sender = {text.ptr + named.len + 1, text.len - named.len - 1};
    if (is_own(listener, sender) || !parse_base64url(named, key, &len) || len != sizeof(news.key))
        return;
    if (kind == STORE_REDIS_SAYS_LOST)
        news.kind =
            is_order(sender, &news.generation) ? STORE_REDIS_NEWS_ORDER : STORE_REDIS_NEWS_LOST;
    memcpy(news.key, key, sizeof(news.key));
    listener->on_news(listener->arg, &news);
}

static void listener_on_reply(struct store_redis_listener *listener)
{
    const struct store_redis_reply *reply = &listener->parser.reply;
    listener->heard_at_us = listener->loop->mono_us;
    if (reply->types[0] == STORE_REDIS_ERROR) {
        struct span error = store_redis_reply_text(reply, 0);
        if (!listener->has_said)
            log_warn("redis %.*s: leases cannot be recalled by other proxies: %.*s",
                     (int)listener->place.name.len, listener->place.name.ptr,
                     (int)(error.len < 200 ? error.len : 200), error.ptr);
        listener->has_said = true;
        listener_fail(listener);
        return;
    }
    if (reply->types[0] != STORE_REDIS_ARRAY)
        return;
    struct span kind = store_redis_reply_text(reply, 1);
    if (span_eq(kind, SPAN("subscribe")))
        listener->failures = 0;
    else if (reply->count == 4 && span_eq(kind, SPAN("message")))
        listener_on_message(listener, store_redis_reply_text(reply, 3));
}

static void listener_take(struct store_redis_listener *listener, const char *bytes, size_t len)
{
    enum err err = store_redis_parser_feed(&listener->parser, bytes, len);
    while (err == ERR_OK && listener->is_connected) {
        err = store_redis_parser_next(&listener->parser);
        if (err == ERR_OK)
            listener_on_reply(listener);
    }
    if (listener->is_connected && err != ERR_AGAIN)
        listener_fail(listener);
}

static void listener_read(void *arg)
{
    struct store_redis_listener *listener = arg;
    for (unsigned i = 0; listener->is_connected; i++) {
        if (i == READS_PER_TURN) {
            loop_task_schedule(listener->loop, &listener->resume);
            return;
        }
        char *bytes = listener->loop->scratch;
        ssize_t n = net_stream_read(&listener->stream, bytes, STORE_REDIS_FEED_MAX);
        if (n > 0)
            listener_take(listener, bytes, (size_t)n);
        else if (n == 0 || errno != EAGAIN)
            listener_fail(listener);
        else
            return;
    }
}

static void listener_on_ready(struct net_stream *stream, void *arg)
{
    struct store_redis_listener *listener = arg;
    (void)stream;
    if (!listener->is_connected) {
        enum err err = store_redis_door_pass(listener->redis, STORE_REDIS_STORE, &listener->stream,
                                             listener->place.name);
        if (err == ERR_OK)
            listener_greet(listener);
        else if (err != ERR_AGAIN)
            listener_fail(listener);
    }
    listener_read(listener);
    listener_write(listener);
}

static void listener_connect(struct store_redis_listener *listener)
{
    if (!store_redis_route_place(listener->route, &listener->place)) {
        loop_timer_set(listener->loop, &listener->timer, listener->loop->mono_us + RETRY_FIRST_US);
        return;
    }
    if (store_redis_parser_init(&listener->parser) != ERR_OK) {
        listener_fail(listener);
        return;
    }
    loop_timer_set(listener->loop, &listener->timer,
                   listener->loop->mono_us + listener->redis->conf.connect_timeout_us);
    listener->is_open = true;
    if (net_stream_connect(&listener->stream, listener->loop, &listener->place.address,
                           listener_on_ready, listener) != ERR_OK)
        listener_fail(listener);
}

/* Another server counts instead of this one: what is published is published there.  While none does, this one may be
 * the next that does. */
static bool is_left_behind(const struct store_redis_listener *listener)
{
    struct store_redis_place place;
    return store_redis_route_place(listener->route, &place) &&
           !store_redis_route_is_at(listener->route, &listener->place.address);
}

static void listener_look(struct store_redis_listener *listener)
{
    uint64_t now_us = listener->loop->mono_us;
    loop_timer_set(listener->loop, &listener->timer, now_us + LOOK_US);
    if (now_us - listener->pinged_at_us < PING_US)
        return;
    listener->pinged_at_us = now_us;
    if (store_redis_wire_add(&listener->wire, SPAN("*1\r\n$4\r\nPING\r\n")) == ERR_OK)
        listener_write(listener);
}

static void listener_on_time(void *arg)
{
    struct store_redis_listener *listener = arg;
    if (!listener->is_open) {
        listener_connect(listener);
    } else if (!listener->is_connected ||
               listener->loop->mono_us - listener->heard_at_us >= SILENCE_US) {
        listener_fail(listener);
    } else if (is_left_behind(listener)) {
        listener_close(listener);
        listener_connect(listener);
    } else {
        listener_look(listener);
    }
}

struct store_redis_listener *store_redis_listener_new(struct store_redis *redis, struct loop *loop,
                                                      struct store_redis_route *route,
                                                      store_redis_news_fn on_news, void *arg)
{
    struct store_redis_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return NULL;
    listener->redis = redis;
    listener->loop = loop;
    listener->route = route;
    listener->on_news = on_news;
    listener->arg = arg;
    listener->stream.fd = -1;
    loop_timer_init(&listener->timer, listener_on_time, listener);
    loop_task_init(&listener->resume, listener_read, listener);
    loop_timer_set(loop, &listener->timer, loop->mono_us);
    return listener;
}

void store_redis_listener_free(struct store_redis_listener *listener)
{
    if (listener == NULL)
        return;
    listener_close(listener);
    loop_timer_cancel(&listener->timer);
    store_redis_wire_fini(&listener->wire);
    free(listener);
}
