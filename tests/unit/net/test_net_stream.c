/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_stream.c - edge-triggered streams lose neither data nor its end; listeners survive a want of
 * descriptors. */
#include "net/net_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_listener.h"
#include "net/net_resolve.h"

struct world {
    struct metrics_registry *registry;
    struct metrics_block *metrics;
    struct loop *loop;
    struct net_stream stream;
    int peer;
    char got[65536];
    size_t got_len;
    bool saw_end;
    int error;
    size_t read_max; /* bytes a read may take */
};

static int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->registry = metrics_registry_new();
    w->metrics = metrics_registry_add_block(w->registry);
    w->loop = loop_new(w->metrics);
    w->stream.fd = -1;
    w->peer = -1;
    w->read_max = sizeof(w->got);
    *state = w;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *w = *state;
    net_stream_close(&w->stream);
    if (w->peer >= 0)
        close(w->peer);
    loop_free(w->loop);
    metrics_registry_free(w->registry);
    free(w);
    return 0;
}

/* Reads as connections do: until it would block, ends, or the budget of one turn is spent. */
static void read_all(struct net_stream *stream, void *arg)
{
    struct world *w = arg;
    for (;;) {
        ssize_t n = net_stream_read(
            stream, w->got + w->got_len,
            w->read_max < sizeof(w->got) - w->got_len ? w->read_max : sizeof(w->got) - w->got_len);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            w->saw_end = n == 0;
            w->error = n < 0 ? errno : 0;
            loop_stop(w->loop);
            return;
        }
        w->got_len += (size_t)n;
    }
}

static void open_pair(struct world *w)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    w->peer = fds[1];
    assert_int_equal(net_stream_open(&w->stream, w->loop, fds[0], read_all, w), ERR_OK);
}

static void test_data_and_end_that_come_together_are_both_seen(void **state)
{
    struct world *w = *state;
    open_pair(w);
    assert_int_equal(write(w->peer, "hello", 5), 5);
    close(w->peer);
    w->peer = -1;
    loop_run(w->loop); /* without the sticky end this would never return */
    assert_int_equal(w->got_len, 5);
    assert_true(w->saw_end);
}

static void test_data_longer_than_one_read_is_all_read(void **state)
{
    struct world *w = *state;
    char text[5000];
    open_pair(w);
    memset(text, 'x', sizeof(text));
    w->read_max = 7;
    assert_int_equal(write(w->peer, text, sizeof(text)), sizeof(text));
    close(w->peer);
    w->peer = -1;
    loop_run(w->loop);
    assert_int_equal(w->got_len, sizeof(text));
}

static void test_a_look_that_finds_nothing_is_remembered(void **state)
{
    struct world *w = *state;
    char byte;
    open_pair(w);
    w->stream.is_readable = true; /* as far as is known: nobody has read to the end */
    assert_false(net_stream_has_input(&w->stream));
    assert_int_equal(write(w->peer, "x", 1), 1);
    assert_int_equal(net_stream_read(&w->stream, &byte, 1), -1); /* until an event tells */
    assert_int_equal(errno, EAGAIN);
    assert_true(net_stream_has_input(&w->stream));
    close(w->peer);
    w->peer = -1;
    loop_run(w->loop);
    assert_int_equal(w->got_len, 1);
}

static void test_writes_stop_when_the_peer_does_not_read(void **state)
{
    struct world *w = *state;
    static char text[1 << 20];
    size_t written = 0;
    ssize_t n;
    open_pair(w);
    while ((n = net_stream_write(&w->stream, text, sizeof(text))) > 0)
        written += (size_t)n;
    assert_int_equal(errno, EAGAIN);
    assert_false(w->stream.is_writable);
    assert_true(written > 0);
    assert_int_equal(net_stream_write(&w->stream, text, 1), -1);
    assert_int_equal(errno, EAGAIN);
}

static void test_a_write_to_a_gone_peer_is_an_error_and_no_signal(void **state)
{
    struct world *w = *state;
    open_pair(w);
    close(w->peer);
    w->peer = -1;
    assert_int_equal(net_stream_write(&w->stream, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
}

static void open_tcp_pair(struct world *w)
{
    struct net_address any;
    struct sockaddr_storage sockaddr;
    socklen_t len = sizeof(sockaddr);
    assert_null(net_address_parse(&any, SPAN("127.0.0.1:1"), NULL));
    ((struct sockaddr_in *)(void *)&any.sockaddr)->sin_port = 0;
    int listener = net_listener_open(&any, false);
    assert_true(listener >= 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sockaddr, &len), 0);
    w->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(w->peer, (struct sockaddr *)&sockaddr, len), 0);
    struct pollfd waiting = {listener, POLLIN, 0};
    assert_int_equal(poll(&waiting, 1, 10000), 1);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    close(listener);
    assert_int_equal(net_stream_open(&w->stream, w->loop, fd, read_all, w), ERR_OK);
}

/* recv says 0 for ever once it has said so. */
static void test_a_reset_behind_an_end_is_told(void **state)
{
    struct world *w = *state;
    const struct linger reset = {1, 0};
    open_tcp_pair(w);
    assert_false(net_stream_has_failed(&w->stream));
    assert_int_equal(shutdown(w->peer, SHUT_WR), 0);
    loop_run(w->loop);
    assert_true(w->saw_end);
    assert_false(net_stream_has_failed(&w->stream));

    assert_int_equal(setsockopt(w->peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(w->peer);
    w->peer = -1;
    struct pollfd waiting = {w->stream.fd, 0, 0}; /* an error is told unasked */
    assert_int_equal(poll(&waiting, 1, 10000), 1);
    assert_true(waiting.revents & POLLERR);
    assert_int_equal(recv(w->stream.fd, w->got, 1, 0), 0);
    assert_true(net_stream_has_failed(&w->stream));
    assert_true(net_stream_has_failed(&w->stream)); /* asking takes nothing away */
}

static void on_connected(struct net_stream *stream, void *arg)
{
    struct world *w = arg;
    enum err err = net_stream_connected(stream);
    if (err == ERR_AGAIN)
        return;
    w->error = err == ERR_OK ? 0 : errno;
    loop_stop(w->loop);
}

/* A port on which nobody listens: bound, and closed again. */
static struct net_address free_port(void)
{
    struct net_address address;
    struct sockaddr_storage sockaddr;
    socklen_t len = sizeof(sockaddr);
    assert_null(net_address_parse(&address, SPAN("127.0.0.1:1"), NULL));
    ((struct sockaddr_in *)(void *)&address.sockaddr)->sin_port = 0;
    int fd = net_listener_open(&address, false);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sockaddr, &len), 0);
    close(fd);
    net_address_from(&address, (struct sockaddr *)&sockaddr, len);
    return address;
}

static void test_a_refused_connect_tells_why(void **state)
{
    struct world *w = *state;
    struct net_address address = free_port();
    enum err err = net_stream_connect(&w->stream, w->loop, &address, on_connected, w);
    if (err == ERR_OK) {
        loop_run(w->loop);
        assert_int_equal(w->error, ECONNREFUSED);
    } else {
        assert_int_equal(errno, ECONNREFUSED);
    }
}

struct door {
    struct world *w;
    unsigned accepted, wanted;
};

static void on_accept(void *arg, int fd, const struct net_address *peer)
{
    struct door *door = arg;
    int delays_nothing = 0;
    socklen_t len = sizeof(delays_nothing);
    assert_false(peer->is_unix);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &delays_nothing, &len), 0);
    assert_true(delays_nothing);
    close(fd);
    if (++door->accepted == door->wanted)
        loop_stop(door->w->loop);
}

static int connect_to(const struct net_address *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address->sockaddr, address->len), 0);
    return fd;
}

static void test_a_listener_gives_every_connection_once(void **state)
{
    struct world *w = *state;
    struct net_address address = free_port();
    struct door door = {w, 0, 40};
    int fds[40];
    struct net_listener *listener =
        net_listener_new(w->loop, net_listener_open(&address, true), on_accept, &door);
    assert_non_null(listener);
    for (unsigned i = 0; i < 40; i++)
        fds[i] = connect_to(&address);
    loop_run(w->loop);
    assert_int_equal(door.accepted, 40);
    for (unsigned i = 0; i < 40; i++)
        close(fds[i]);
    net_listener_free(listener);
}

static void test_closing_a_listener_serves_its_queue_first(void **state)
{
    struct world *w = *state;
    struct net_address address = free_port();
    struct door door = {w, 0, 1000};
    struct net_listener *listener =
        net_listener_new(w->loop, net_listener_open(&address, true), on_accept, &door);
    int a = connect_to(&address), b = connect_to(&address);
    net_listener_free(listener);
    assert_int_equal(door.accepted, 2);
    close(a);
    close(b);
}

struct going {
    struct door door;
    struct net_listener *listener;
    bool was_told;
};

static void on_go(void *arg)
{
    struct going *going = arg;
    assert_int_equal(going->door.accepted, 0);
    going->was_told = true;
    net_listener_go(going->listener);
}

static void test_a_listener_that_is_held_accepts_when_it_is_told(void **state)
{
    struct world *w = *state;
    struct net_address address = free_port();
    struct going going = {.door = {w, 0, 1}};
    going.listener =
        net_listener_new(w->loop, net_listener_open(&address, true), on_accept, &going.door);
    net_listener_hold(going.listener);
    int fd = connect_to(&address);
    struct loop_alarm *alarm = loop_alarm_new(w->loop, on_go, &going);
    net_listener_resume(going.listener); /* of no effect: it does not pause */
    loop_alarm_set(alarm, w->loop->mono_us + 20000);
    loop_run(w->loop);
    assert_true(going.was_told);
    assert_int_equal(going.door.accepted, 1);
    net_listener_go(going.listener); /* of no effect either */
    loop_alarm_free(alarm);
    close(fd);
    net_listener_free(going.listener);
}

static void test_a_listener_that_is_held_leaves_its_queue_to_others(void **state)
{
    struct world *w = *state;
    struct net_address address = free_port();
    struct door door = {w, 0, 1};
    int own = net_listener_open(&address, true), other = dup(own);
    struct net_listener *listener = net_listener_new(w->loop, own, on_accept, &door);
    net_listener_hold(listener);
    int fd = connect_to(&address);
    net_listener_free(listener);
    assert_int_equal(door.accepted, 0);
    int accepted = accept(other, NULL, NULL);
    assert_true(accepted >= 0);
    close(accepted);
    close(other);
    close(fd);
}

struct shortage {
    struct world *w;
    struct rlimit before;
    struct loop_timer timer;
    struct net_listener *listener;
    uint64_t resumed_turn;
};

static void on_relief(void *arg)
{
    struct shortage *shortage = arg;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &shortage->before), 0);
}

static void test_a_listener_outlives_a_want_of_descriptors(void **state)
{
    struct world *w = *state;
    struct net_address address = free_port();
    struct door door = {w, 0, 1};
    struct shortage shortage = {.w = w};
    struct net_listener *listener =
        net_listener_new(w->loop, net_listener_open(&address, true), on_accept, &door);
    int fd = connect_to(&address);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &shortage.before), 0);
    struct rlimit none = {3, shortage.before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    loop_timer_init(&shortage.timer, on_relief, &shortage);
    loop_timer_set(w->loop, &shortage.timer, w->loop->mono_us + 300000);
    loop_run(w->loop);
    assert_int_equal(door.accepted, 1);
    uint64_t pauses = metrics_registry_sum(w->registry, METRICS_ACCEPT_PAUSES);
    assert_true(pauses >= 1);
    assert_true(pauses <= 20); /* a pause each 100 ms, not a spin */
    close(fd);
    net_listener_free(listener);
}

static void on_resume(void *arg)
{
    struct shortage *shortage = arg;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &shortage->before), 0);
    net_listener_resume(shortage->listener);
    shortage->resumed_turn = shortage->w->loop->turn;
}

/* Told of a closed descriptor it goes on in the next turn of the loop; by its own alarm it would be the one after. */
static void test_a_listener_goes_on_when_it_is_told(void **state)
{
    struct world *w = *state;
    struct net_address address = free_port();
    struct door door = {w, 0, 1};
    struct shortage shortage = {.w = w};
    shortage.listener =
        net_listener_new(w->loop, net_listener_open(&address, true), on_accept, &door);
    int fd = connect_to(&address);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &shortage.before), 0);
    struct rlimit none = {3, shortage.before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    net_listener_resume(shortage.listener); /* of no effect: it does not pause yet */
    struct loop_alarm *alarm = loop_alarm_new(w->loop, on_resume, &shortage);
    loop_alarm_set(alarm, w->loop->mono_us + 20000);
    loop_run(w->loop);
    assert_int_equal(door.accepted, 1);
    assert_int_equal(w->loop->turn, shortage.resumed_turn + 1);
    loop_alarm_free(alarm);
    close(fd);
    net_listener_free(shortage.listener);
}

static void test_what_the_peer_has_not_taken_is_known(void **state)
{
    struct world *w = *state;
    struct net_address address = free_port();
    int listener = net_listener_open(&address, true);
    int fd = connect_to(&address), accepted = accept(listener, NULL, NULL);
    char bytes[65536] = {0};
    size_t sent = 0, got = 0;
    struct net_stream stream = {.fd = accepted, .loop = w->loop};
    assert_true(accepted >= 0);
    for (ssize_t n; (n = send(accepted, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0;)
        sent += (size_t)n;
    assert_true(net_stream_unsent(&stream) > 0);
    assert_true(net_stream_unsent(&stream) < sent);
    while (got < sent) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_int_equal(got, sent);
    while (net_stream_unsent(&stream) != 0) /* the last acknowledgement may be on its way */
        continue;
    close(fd);
    close(accepted);
    close(listener);
    stream.fd = -1;
    assert_int_equal(net_stream_unsent(&stream), 0);
}

static void test_a_busy_port_is_refused(void **state)
{
    struct net_address address = free_port();
    (void)state;
    int fd = net_listener_open(&address, false);
    assert_true(fd >= 0);
    assert_int_equal(net_listener_open(&address, false), -1);
    assert_int_equal(errno, EADDRINUSE);
    close(fd);
}

static void test_a_stale_socket_file_is_replaced_and_a_live_one_is_not(void **state)
{
    char dir[] = "/tmp/sluice-test-XXXXXX", text[64];
    struct net_address address;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(text, sizeof(text), "unix:%s/s", dir);
    assert_null(net_address_parse(&address, span_of(text), NULL));
    int first = net_listener_open(&address, false);
    assert_true(first >= 0);
    assert_int_equal(net_listener_open(&address, false), -1);
    close(first); /* the file stays, nobody answers */
    int second = net_listener_open(&address, false);
    assert_true(second >= 0);
    close(second);
    unlink(text + 5);
    rmdir(dir);
}

struct answer {
    struct world *w;
    unsigned count;
    uint16_t port;
};

static void on_addresses(void *arg, const struct net_address *addresses, unsigned count)
{
    struct answer *answer = arg;
    answer->count = count;
    answer->port = addresses[0].port;
    loop_stop(answer->w->loop);
}

/* A bare root file system has no /etc/hosts. */
static bool knows_localhost(void)
{
    struct addrinfo *found = NULL;
    bool is_known = getaddrinfo("localhost", NULL, NULL, &found) == 0;
    if (found != NULL)
        freeaddrinfo(found);
    return is_known;
}

static void test_a_name_is_resolved_off_the_loop(void **state)
{
    struct world *w = *state;
    if (!knows_localhost())
        skip();
    struct answer answer = {.w = w};
    struct net_resolver *resolver = net_resolver_new(w->loop);
    struct net_watch *gone = net_watch_new(resolver, SPAN("localhost"), 1, on_addresses, &answer);
    net_watch_free(gone); /* while its query is on the way */
    struct net_watch *watch =
        net_watch_new(resolver, SPAN("localhost"), 8080, on_addresses, &answer);
    assert_non_null(watch);
    loop_run(w->loop);
    assert_true(answer.count >= 1);
    assert_int_equal(answer.port, 8080);
    net_watch_free(watch);
    net_resolver_free(resolver);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_data_and_end_that_come_together_are_both_seen),
        TEST(test_data_longer_than_one_read_is_all_read),
        TEST(test_a_look_that_finds_nothing_is_remembered),
        TEST(test_writes_stop_when_the_peer_does_not_read),
        TEST(test_a_write_to_a_gone_peer_is_an_error_and_no_signal),
        TEST(test_a_reset_behind_an_end_is_told),
        TEST(test_a_refused_connect_tells_why),
        TEST(test_a_listener_gives_every_connection_once),
        TEST(test_closing_a_listener_serves_its_queue_first),
        TEST(test_a_listener_that_is_held_accepts_when_it_is_told),
        TEST(test_a_listener_that_is_held_leaves_its_queue_to_others),
        TEST(test_a_listener_outlives_a_want_of_descriptors),
        TEST(test_a_listener_goes_on_when_it_is_told),
        TEST(test_what_the_peer_has_not_taken_is_known),
        TEST(test_a_busy_port_is_refused),
        TEST(test_a_stale_socket_file_is_replaced_and_a_live_one_is_not),
        TEST(test_a_name_is_resolved_off_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
