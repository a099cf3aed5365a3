/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_link.c - see store_redis_link.h.
 *
 *   WAITING --retry--> CONNECTING --connected--> GREETING --all answers right--> UP
 *      ^___________________________ link_fail ____________________________________|
 *
 * Replies come in the order of the commands: `flights` is the queue of those that have no reply yet. */
#include "store/store_redis_link.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_log.h"
#include "net/net_resolve.h"
#include "net/net_stream.h"
#include "store/store_redis_fault.h"
#include "store/store_redis_greet.h"
#include "store/store_redis_reply.h"
#include "store/store_redis_wire.h"

#define RETRY_FIRST_US  100000
#define RETRY_LAST_US   2000000 /* a store that is back is asked again within this */
#define READS_PER_TURN  32      /* so that a server that talks without end cannot hold the loop */
#define ERRORS_IN_A_ROW 16      /* of one command each; then it is the server's fault */
#define BEAT_LOOK_US    500000
#define PING_IDLE_US    10000000 /* so that a path that died unseen is found before a request does */
#define FLIGHTS         8192     /* a power of two: operations, handshake and heartbeats */

enum link_state {
    LINK_WAITING,
    LINK_CONNECTING,
    LINK_GREETING,
    LINK_UP,
};

enum flight_kind {
    FLIGHT_GREET,
    FLIGHT_CHARGE,
    FLIGHT_BEAT,
    FLIGHT_SLOTS,
    FLIGHT_PING,
    FLIGHT_QUERY,
    FLIGHT_PUBLISH,
};

/* A command without its reply. */
struct flight {
    uint8_t kind, step; /* enum flight_kind; enum store_redis_step of FLIGHT_GREET */
    uint64_t sent_at_us;
    struct store_redis_op *op;          /* FLIGHT_CHARGE */
    struct store_redis_slots_op *slots; /* FLIGHT_SLOTS */
    struct store_redis_query *query;    /* FLIGHT_QUERY */
};

/* Owner: a worker's lease.  Freed by: store_redis_link_free.  Thread: the loop's. */
struct store_redis_link {
    struct store_redis *redis;
    struct loop *loop;
    store_redis_change_fn on_change;
    void *arg;

    enum link_state state;
    bool is_started; /* the first attempt is decided */
    struct net_stream stream;
    struct loop_alarm *alarm; /* retry; connect and handshake; the oldest command */
    struct loop_task flush, resume;
    struct loop_timer beat;
    struct store_redis_wire wire;
    struct store_redis_parser parser;
    struct store_redis_server server;

    struct flight *flights; /* ring of FLIGHTS */
    uint64_t first, next;   /* numbers of the oldest and of the next command */
    uint64_t whole[3];      /* number of the last EVAL, by charge, beat and slots */
    unsigned failures;      /* attempts in a row, for the back-off */
    unsigned errors;        /* error replies in a row */
    uint64_t graced;        /* number of a command that got a second timeout */
    uint64_t heard_at_us;   /* the last reply; monotonic */

    struct net_resolver *resolver; /* when a name is configured */
    struct net_watch *watch;
    struct net_address addresses[NET_RESOLVE_ADDRESSES_MAX];
    unsigned address_count, address_next;
    bool has_waited_for_name;
};

static void link_connect(struct store_redis_link *link);
static void link_fail(struct store_redis_link *link, const char *reason);

static unsigned link_inflight(const struct store_redis_link *link)
{
    return (unsigned)(link->next - link->first);
}

static void link_set_state(struct store_redis_link *link, enum link_state state)
{
    struct metrics_block *metrics = link->loop->metrics;
    link->state = state;
    metrics_set(metrics, METRICS_STORE_UP, state == LINK_UP);
    metrics_set(metrics, METRICS_STORE_BREAKER_OPEN, state != LINK_UP);
}

/* ---- sending ---- */

static struct flight *link_add_flight(struct store_redis_link *link, enum flight_kind kind)
{
    struct flight *flight = &link->flights[link->next % FLIGHTS];
    assert(link_inflight(link) < FLIGHTS);
    if (link->state == LINK_UP && link->first == link->next)
        loop_alarm_set(link->alarm, link->loop->mono_us + link->redis->conf.command_timeout_us);
    link->next++;
    *flight = (struct flight){.kind = (uint8_t)kind, .sent_at_us = link->loop->mono_us};
    metrics_add(link->loop->metrics, METRICS_STORE_COMMANDS, 1);
    loop_task_schedule(link->loop, &link->flush);
    return flight;
}

/* Should this script be sent whole?  The first that meets NOSCRIPT takes it along; what was sent before
 * that one arrived needs only to be sent again. */
static bool link_is_whole(struct store_redis_link *link, unsigned script, uint64_t number)
{
    bool is_whole = number >= link->whole[script];
    if (is_whole)
        link->whole[script] = link->next;
    return is_whole;
}

static enum err link_send_charge(struct store_redis_link *link, struct store_redis_op *op,
                                 bool is_whole)
{
    enum err err = store_redis_wire_charge(&link->wire, link->redis, &link->server, is_whole,
                                           op->claims, op->count);
    if (err != ERR_OK)
        return err;
    struct flight *flight = link_add_flight(link, FLIGHT_CHARGE);
    flight->op = op;
    op->sent_at_us = flight->sent_at_us;
    return ERR_OK;
}

static void link_send_beat(struct store_redis_link *link, bool is_whole)
{
    if (store_redis_wire_beat(&link->wire, link->redis, &link->server, is_whole) == ERR_OK)
        link_add_flight(link, FLIGHT_BEAT);
}

static enum err link_send_slots(struct store_redis_link *link, struct store_redis_slots_op *op,
                                bool is_whole)
{
    enum err err =
        store_redis_wire_slots(&link->wire, link->redis, &link->server, is_whole, &op->claim);
    if (err != ERR_OK)
        return err;
    struct flight *flight = link_add_flight(link, FLIGHT_SLOTS);
    flight->slots = op;
    op->sent_at_us = flight->sent_at_us;
    return ERR_OK;
}

static void link_send_ping(struct store_redis_link *link)
{
    if (store_redis_wire_add(&link->wire, SPAN("*1\r\n$4\r\nPING\r\n")) == ERR_OK)
        link_add_flight(link, FLIGHT_PING);
}

static void link_write(struct store_redis_link *link)
{
    struct store_redis_wire *wire = &link->wire;
    while (link->state >= LINK_GREETING && store_redis_wire_unsent(wire) != 0) {
        ssize_t n = net_stream_write(&link->stream, wire->bytes + wire->begin,
                                     store_redis_wire_unsent(wire));
        if (n < 0 && errno != EAGAIN) {
            link_fail(link, strerror(errno));
            return;
        }
        if (n <= 0)
            break;
        store_redis_wire_sent(wire, (size_t)n);
    }
    metrics_set(link->loop->metrics, METRICS_STORE_INFLIGHT, link_inflight(link));
}

static void link_on_flush(void *arg)
{
    link_write(arg);
}

/* ---- failing ---- */

static uint64_t link_retry_us(struct store_redis_link *link)
{
    uint64_t most_us = RETRY_FIRST_US;
    for (unsigned i = 0; i < link->failures && most_us < RETRY_LAST_US; i++)
        most_us *= 2;
    if (most_us > RETRY_LAST_US)
        most_us = RETRY_LAST_US;
    return 1 + rng_below(&link->loop->rng, most_us);
}

/* Give every operation in flight its ending.  The link takes no new ones while this runs. */
static void link_end_flights(struct store_redis_link *link)
{
    while (link->first != link->next) {
        struct flight flight = link->flights[link->first++ % FLIGHTS];
        if (flight.kind == FLIGHT_CHARGE)
            flight.op->done(flight.op, STORE_AWAY, NULL);
        else if (flight.kind == FLIGHT_QUERY)
            flight.query->done(flight.query, STORE_REDIS_UNKNOWN, SPAN_NONE);
        else if (flight.kind == FLIGHT_SLOTS)
            flight.slots->done(flight.slots, NULL);
    }
    metrics_set(link->loop->metrics, METRICS_STORE_INFLIGHT, 0);
}

static void link_close(struct store_redis_link *link)
{
    net_stream_close(&link->stream);
    store_redis_parser_fini(&link->parser);
    store_redis_wire_clear(&link->wire);
    loop_task_cancel(&link->flush);
    loop_task_cancel(&link->resume);
    loop_timer_cancel(&link->beat);
}

static void link_fail(struct store_redis_link *link, const char *reason)
{
    bool was_up = link->state == LINK_UP;
    link->is_started = true;
    link_close(link);
    link_set_state(link, LINK_WAITING);
    loop_alarm_set(link->alarm, link->loop->mono_us + link_retry_us(link));
    link->failures++;
    if (was_up)
        metrics_add(link->loop->metrics, METRICS_STORE_LOST, 1);
    store_redis_said_down(link->redis, link->loop->mono_us, was_up, reason);
    link_end_flights(link);
    if (link->on_change != NULL)
        link->on_change(link->arg, false);
}

static void link_fail_late(struct store_redis_link *link, const char *what, uint64_t timeout_us)
{
    char reason[96];
    snprintf(reason, sizeof(reason), "%s within %llu ms", what,
             (unsigned long long)(timeout_us / 1000));
    link_fail(link, reason);
}

/* ---- connecting and the handshake ---- */

static void link_on_up(struct store_redis_link *link)
{
    link_set_state(link, LINK_UP);
    link->is_started = true;
    link->errors = 0;
    loop_alarm_set(link->alarm, 0);
    loop_timer_set(link->loop, &link->beat, link->loop->mono_us + BEAT_LOOK_US);
    store_redis_said_up(link->redis, link->loop->mono_us, link->server.version,
                        link->server.policy);
    if (store_redis_take_beat(link->redis, link->loop->mono_us))
        link_send_beat(link, false);
    if (link->on_change != NULL)
        link->on_change(link->arg, true);
}

static void link_greet(struct store_redis_link *link)
{
    link_set_state(link, LINK_GREETING);
    link->server = (struct store_redis_server){0};
    memset(link->whole, 0, sizeof(link->whole));
    if (store_redis_parser_init(&link->parser) != ERR_OK)
        goto fail;
    for (unsigned step = 0; step < STORE_REDIS_STEPS; step++) {
        char *command;
        size_t len;
        enum err err = store_redis_greet_format((enum store_redis_step)step, &link->redis->conf,
                                                link->redis->name, &command, &len);
        if (err == ERR_OK && len != 0)
            err = store_redis_wire_add(&link->wire, (struct span){command, len});
        if (command != NULL)
            explicit_bzero(command, len); /* AUTH's has the password */
        free(command);
        if (err != ERR_OK)
            goto fail;
        if (len != 0)
            link_add_flight(link, FLIGHT_GREET)->step = (uint8_t)step;
    }
    link_write(link);
    return;
fail:
    link_fail(link, err_sentence(ERR_NOMEM));
}

static void link_on_greeting(struct store_redis_link *link, unsigned step)
{
    char why[STORE_REDIS_WHY_BYTES];
    const char *fault = store_redis_greet_judge((enum store_redis_step)step, &link->redis->conf,
                                                &link->parser.reply, &link->server, why);
    if (fault != NULL)
        link_fail(link, fault);
    else if (step == STORE_REDIS_PING)
        link_on_up(link);
}

static void link_on_connecting(struct store_redis_link *link)
{
    enum err err = net_stream_connected(&link->stream);
    if (err == ERR_OK)
        link_greet(link);
    else if (err != ERR_AGAIN)
        link_fail(link, strerror(errno));
}

static void link_on_ready(struct net_stream *stream, void *arg);

static void link_connect(struct store_redis_link *link)
{
    if (link->address_count == 0 && !link->has_waited_for_name) {
        link->has_waited_for_name = true;
        loop_alarm_set(link->alarm, link->loop->mono_us + link->redis->conf.connect_timeout_us);
        return;
    }
    if (link->address_count == 0) {
        link_fail(link, "its name is not resolved (yet)");
        return;
    }
    const struct net_address *address =
        &link->addresses[link->address_next++ % link->address_count];
    metrics_add(link->loop->metrics, METRICS_STORE_CONNECTS, 1);
    loop_alarm_set(link->alarm, link->loop->mono_us + link->redis->conf.connect_timeout_us);
    link_set_state(link, LINK_CONNECTING);
    if (net_stream_connect(&link->stream, link->loop, address, link_on_ready, link) != ERR_OK)
        link_fail(link, strerror(errno));
}

/* ---- replies ---- */

static void link_on_error(struct store_redis_link *link, struct store_redis_op *op, bool is_query)
{
    char why[STORE_REDIS_WHY_BYTES];
    struct span error = store_redis_reply_text(&link->parser.reply, 0);
    const struct store_redis_fault *fault = store_redis_fault_of(error);
    snprintf(why, sizeof(why), "%.*s (%s)", (int)(error.len < 200 ? error.len : 200), error.ptr,
             fault->advice);
    metrics_add(link->loop->metrics, METRICS_STORE_ERRORS, 1);
    link->errors += fault->remedy == STORE_REDIS_COUNT;
    /* What may not be asked beside the counting is no reason to count without the store. */
    bool is_drop =
        fault->remedy == STORE_REDIS_DROP && !(is_query && store_redis_fault_is_noperm(error));
    if (is_drop || link->errors >= ERRORS_IN_A_ROW)
        link_fail(link, why);
    else
        log_warn("redis %.*s: %s", (int)link->redis->conf.address_text.len,
                 link->redis->conf.address_text.ptr, why);
    if (op != NULL)
        op->done(op, STORE_AWAY, NULL);
}

/* NOSCRIPT means that nothing was executed, so it is sent again.  True: it was. */
static bool link_again(struct store_redis_link *link, const struct flight *flight, uint64_t number)
{
    const struct store_redis_reply *reply = &link->parser.reply;
    bool has_script = flight->kind >= FLIGHT_CHARGE && flight->kind <= FLIGHT_SLOTS;
    unsigned script = flight->kind - FLIGHT_CHARGE;
    if (reply->types[0] != STORE_REDIS_ERROR || !has_script || link->whole[script] == number ||
        !store_redis_fault_is_noscript(store_redis_reply_text(reply, 0)))
        return false;
    bool is_whole = link_is_whole(link, script, number);
    if (flight->kind == FLIGHT_CHARGE)
        return link_send_charge(link, flight->op, is_whole) == ERR_OK;
    if (flight->kind == FLIGHT_SLOTS)
        return link_send_slots(link, flight->slots, is_whole) == ERR_OK;
    link_send_beat(link, is_whole);
    return true;
}

static void link_on_charge(struct store_redis_link *link, struct store_redis_op *op)
{
    struct store_redis_reply *reply = &link->parser.reply;
    struct store_redis_answer answer;
    if (reply->types[0] == STORE_REDIS_ERROR) {
        link_on_error(link, op, false);
        return;
    }
    if (!store_redis_reply_is_numbers(reply) ||
        !store_redis_answer_read(&answer, reply->numbers + 1, reply->count - 1, op->claims,
                                 op->count)) {
        link_fail(link, "it answered a charge with something else");
        op->done(op, STORE_AWAY, NULL);
        return;
    }
    link->failures = link->errors = 0;
    op->done(op, answer.granted ? STORE_CHARGED : STORE_REFUSED, &answer);
}

static void link_on_query(struct store_redis_link *link, struct store_redis_query *query)
{
    const struct store_redis_reply *reply = &link->parser.reply;
    enum store_redis_found found;
    struct span text;
    bool is_good = store_redis_query_judge(query->verb, reply, &found, &text);
    if (!is_good) {
        found = STORE_REDIS_UNKNOWN;
        link_fail(link, "it answered a question with something else");
    } else if (found == STORE_REDIS_UNKNOWN) {
        link_on_error(link, NULL, true);
    } else {
        link->failures = link->errors = 0;
    }
    query->done(query, found, text);
}

static void link_on_slots(struct store_redis_link *link, struct store_redis_slots_op *op)
{
    const struct store_redis_reply *reply = &link->parser.reply;
    struct store_redis_slots_answer answer;
    if (reply->types[0] == STORE_REDIS_ERROR) {
        link_on_error(link, NULL, false);
        op->done(op, NULL);
    } else if (!store_redis_reply_is_numbers(reply) ||
               !store_redis_slots_read(&answer, reply->numbers + 1, reply->count - 1, &op->claim)) {
        link_fail(link, "it answered a claim of slots with something else");
        op->done(op, NULL);
    } else {
        link->failures = link->errors = 0;
        op->done(op, &answer);
    }
}

/* Without the right to publish everything else goes on. */
static void link_on_published(struct store_redis_link *link)
{
    struct span error = store_redis_reply_text(&link->parser.reply, 0);
    if (link->parser.reply.types[0] != STORE_REDIS_ERROR)
        return;
    metrics_add(link->loop->metrics, METRICS_STORE_ERRORS, 1);
    if (!atomic_exchange(&link->redis->has_said_publish, true))
        log_warn("redis %.*s: leases of other proxies cannot be recalled: %.*s",
                 (int)link->redis->conf.address_text.len, link->redis->conf.address_text.ptr,
                 (int)(error.len < 200 ? error.len : 200), error.ptr);
}

static void link_on_beat(struct store_redis_link *link)
{
    const struct store_redis_reply *reply = &link->parser.reply;
    if (reply->types[0] == STORE_REDIS_ERROR) {
        link_on_error(link, NULL, false);
    } else if (!store_redis_reply_is_numbers(reply) || reply->count != 3) {
        link_fail(link, "it answered a heartbeat with something else");
    } else if (reply->numbers[1] != 1) {
        link_fail(link, STORE_REDIS_OTHER_SECRET);
    } else {
        link->failures = link->errors = 0;
        atomic_store(&link->redis->fleet, (uint32_t)reply->numbers[2]);
    }
}

static void link_on_reply(struct store_redis_link *link)
{
    if (link->first == link->next) {
        link_fail(link, "it sent a reply that nobody asked for");
        return;
    }
    uint64_t number = link->first++;
    struct flight flight = link->flights[number % FLIGHTS];
    link->heard_at_us = link->loop->mono_us;
    if (flight.kind == FLIGHT_GREET)
        link_on_greeting(link, flight.step);
    else if (link_again(link, &flight, number))
        return;
    else if (flight.kind == FLIGHT_CHARGE)
        link_on_charge(link, flight.op);
    else if (flight.kind == FLIGHT_QUERY)
        link_on_query(link, flight.query);
    else if (flight.kind == FLIGHT_SLOTS)
        link_on_slots(link, flight.slots);
    else if (flight.kind == FLIGHT_BEAT)
        link_on_beat(link);
    else if (flight.kind == FLIGHT_PUBLISH)
        link_on_published(link);
    else if (link->parser.reply.types[0] == STORE_REDIS_ERROR)
        link_on_error(link, NULL, false);
}

/* Are there, or will there be, replies to read?  (More than store_redis_link_is_open: also before UP.) */
static bool link_is_talking(const struct store_redis_link *link)
{
    return link->state >= LINK_GREETING;
}

/* Feed what was read.  An operation's done may queue new ones, and any reply may end the link. */
static void link_take(struct store_redis_link *link, const char *bytes, size_t len)
{
    enum err err = store_redis_parser_feed(&link->parser, bytes, len);
    while (err == ERR_OK && link_is_talking(link)) {
        err = store_redis_parser_next(&link->parser);
        if (err == ERR_OK)
            link_on_reply(link);
    }
    if (link_is_talking(link) && err != ERR_AGAIN)
        link_fail(link, "it does not speak the Redis protocol");
}

static void link_read(struct store_redis_link *link)
{
    for (unsigned i = 0; link_is_talking(link); i++) {
        if (i == READS_PER_TURN) {
            loop_task_schedule(link->loop, &link->resume);
            return;
        }
        ssize_t n = net_stream_read(&link->stream, link->loop->scratch, STORE_REDIS_FEED_MAX);
        if (n > 0)
            link_take(link, link->loop->scratch, (size_t)n);
        else if (n == 0)
            link_fail(link, "it closed the connection");
        else if (errno != EAGAIN)
            link_fail(link, strerror(errno));
        else
            break;
    }
    metrics_set(link->loop->metrics, METRICS_STORE_INFLIGHT, link_inflight(link));
}

static void link_on_resume(void *arg)
{
    link_read(arg);
}

static void link_on_ready(struct net_stream *stream, void *arg)
{
    struct store_redis_link *link = arg;
    (void)stream;
    if (link->state == LINK_CONNECTING)
        link_on_connecting(link);
    if (link_is_talking(link))
        link_read(link);
    if (link_is_talking(link))
        link_write(link);
}

/* ---- time ---- */

/* Before a deadline is judged: it may be we who were late.  The event that tells of input may stand
 * behind this one in the reactor's queue, so the kernel is asked. */
static void link_read_anyway(struct store_redis_link *link)
{
    net_stream_look_again(&link->stream);
    link_read(link);
}

static void link_on_oldest(struct store_redis_link *link)
{
    uint64_t timeout_us = link->redis->conf.command_timeout_us;
    link_read_anyway(link);
    if (link->state != LINK_UP || link->first == link->next)
        return;
    uint64_t now_us = link->loop->mono_us;
    uint64_t due_us = link->flights[link->first % FLIGHTS].sent_at_us + timeout_us;
    if (due_us + timeout_us / 2 < now_us && link->graced != link->first) {
        /* The loop stood still; the command may have left it just now.  Once more, for this one. */
        link->graced = link->first;
        due_us = now_us + timeout_us;
    }
    if (due_us > now_us)
        loop_alarm_set(link->alarm, due_us);
    else
        link_fail_late(link, "a command was not answered", timeout_us);
}

static void link_on_alarm(void *arg)
{
    struct store_redis_link *link = arg;
    uint64_t timeout_us = link->redis->conf.connect_timeout_us;
    switch (link->state) {
    case LINK_WAITING:
        link_connect(link);
        break;
    case LINK_CONNECTING:
        link_fail_late(link, "it took no connection", timeout_us);
        break;
    case LINK_GREETING:
        link_read_anyway(link);
        if (link->state == LINK_GREETING)
            link_fail_late(link, "it took a connection but did not finish the handshake",
                           timeout_us);
        break;
    case LINK_UP:
        link_on_oldest(link);
        break;
    }
}

static void link_on_beat_time(void *arg)
{
    struct store_redis_link *link = arg;
    loop_timer_set(link->loop, &link->beat, link->loop->mono_us + BEAT_LOOK_US);
    if (!store_redis_link_is_open(link))
        return;
    if (store_redis_take_beat(link->redis, link->loop->mono_us))
        link_send_beat(link, false);
    else if (link->first == link->next && link->loop->mono_us - link->heard_at_us >= PING_IDLE_US)
        link_send_ping(link);
}

/* ---- making ---- */

static void link_on_addresses(void *arg, const struct net_address *addresses, unsigned count)
{
    struct store_redis_link *link = arg;
    memcpy(link->addresses, addresses, count * sizeof(*addresses));
    if (link->address_count == 0 && count != 0 && link->state == LINK_WAITING)
        loop_alarm_set(link->alarm, link->loop->mono_us);
    link->address_count = count;
}

static bool link_find_address(struct store_redis_link *link)
{
    const struct store_redis *redis = link->redis;
    if (redis->host.len == 0) {
        link->addresses[0] = redis->conf.address;
        link->address_count = 1;
        return true;
    }
    link->resolver = net_resolver_new(link->loop);
    if (link->resolver != NULL)
        link->watch = net_watch_new(link->resolver, redis->host, redis->conf.address.port,
                                    link_on_addresses, link);
    return link->watch != NULL;
}

struct store_redis_link *store_redis_link_new(struct store_redis *redis, struct loop *loop,
                                              store_redis_change_fn on_change, void *arg)
{
    struct store_redis_link *link = calloc(1, sizeof(*link));
    if (link == NULL)
        return NULL;
    link->redis = redis;
    link->loop = loop;
    link->on_change = on_change;
    link->arg = arg;
    link->stream.fd = -1;
    link->graced = UINT64_MAX;
    loop_task_init(&link->flush, link_on_flush, link);
    loop_task_init(&link->resume, link_on_resume, link);
    loop_timer_init(&link->beat, link_on_beat_time, link);
    link->flights = malloc(FLIGHTS * sizeof(*link->flights));
    link->alarm = loop_alarm_new(loop, link_on_alarm, link);
    atomic_fetch_add(&redis->links, 1);
    link_set_state(link, LINK_WAITING);
    if (link->flights == NULL || link->alarm == NULL || !link_find_address(link)) {
        store_redis_link_free(link);
        return NULL;
    }
    loop_alarm_set(link->alarm, loop->mono_us);
    return link;
}

void store_redis_link_free(struct store_redis_link *link)
{
    if (link == NULL)
        return;
    if (link->state == LINK_UP)
        atomic_fetch_sub(&link->redis->links_up, 1);
    link_close(link);
    link_set_state(link, LINK_WAITING);
    metrics_set(link->loop->metrics, METRICS_STORE_BREAKER_OPEN, 0);
    link_end_flights(link);
    net_watch_free(link->watch);
    net_resolver_free(link->resolver);
    loop_alarm_free(link->alarm);
    store_redis_wire_fini(&link->wire);
    atomic_fetch_sub(&link->redis->links, 1);
    free(link->flights);
    free(link);
}

bool store_redis_link_is_open(const struct store_redis_link *link)
{
    return link->state == LINK_UP && link_inflight(link) < STORE_REDIS_INFLIGHT_MAX &&
           store_redis_wire_unsent(&link->wire) < STORE_REDIS_UNSENT_MAX;
}

bool store_redis_link_is_starting(const struct store_redis_link *link)
{
    return !link->is_started;
}

enum store_answer store_redis_link_charge(struct store_redis_link *link, struct store_redis_op *op)
{
    if (!store_redis_link_is_open(link) || link_send_charge(link, op, false) != ERR_OK)
        return STORE_AWAY;
    return STORE_PENDING;
}

enum store_answer store_redis_link_query(struct store_redis_link *link,
                                         struct store_redis_query *query)
{
    if (!store_redis_link_is_open(link) ||
        store_redis_query_write(&link->wire, link->redis, query) != ERR_OK)
        return STORE_AWAY;
    link_add_flight(link, FLIGHT_QUERY)->query = query;
    return STORE_PENDING;
}

enum store_answer store_redis_link_slots(struct store_redis_link *link,
                                         struct store_redis_slots_op *op)
{
    if (!store_redis_link_is_open(link) || link_send_slots(link, op, false) != ERR_OK)
        return STORE_AWAY;
    return STORE_PENDING;
}

uint32_t store_redis_link_epoch(const struct store_redis_link *link)
{
    return link->server.epoch;
}

void store_redis_link_flush(struct store_redis_link *link)
{
    if (link->state == LINK_UP)
        link_write(link);
}

bool store_redis_link_publish(struct store_redis_link *link, const uint8_t key[16], bool is_lost)
{
    if (!store_redis_link_is_open(link) ||
        store_redis_wire_publish(&link->wire, link->redis, key, is_lost) != ERR_OK)
        return false;
    link_add_flight(link, FLIGHT_PUBLISH);
    return true;
}

void store_redis_link_poll(struct store_redis_link *link)
{
    if (link->state == LINK_UP)
        link_read_anyway(link);
}
