/* SPDX-License-Identifier: Apache-2.0 */
/* net_listener.c - see net_listener.h.  Level-triggered and non-exclusive: with one SO_REUSEPORT socket per
 * worker the kernel spreads connections, and a bounded batch leaves room for the others. */
#include "net/net_listener.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base_log.h"
#include "net/net_stream.h"

#define LISTENER_BATCH    16
#define LISTENER_PAUSE_US 100000
#define LISTENER_BACKLOG  4096

/* Owner: a worker.  Freed by: net_listener_free.  Thread: the loop's. */
struct net_listener {
    struct loop *loop;
    int fd;
    struct event *event;
    struct loop_alarm *retry;
    bool is_paused, is_held;
    net_listener_fn on_accept;
    void *arg;
};

/* No reserve descriptor that accepts and closes: who waits in the kernel's queue may be served a moment later, and
 * a flood would turn that into a loop of its own. */
static void listener_pause(struct net_listener *listener, int error)
{
    listener->is_paused = true;
    log_warn("accepting pauses: %s (raise the limit of open files, or lower limits.connections)",
             strerror(error));
    metrics_add(listener->loop->metrics, METRICS_ACCEPT_PAUSES, 1);
    event_del(listener->event);
    loop_alarm_set(listener->retry, listener->loop->mono_us + LISTENER_PAUSE_US);
}

void net_listener_resume(struct net_listener *listener)
{
    if (!listener->is_paused)
        return;
    if (event_add(listener->event, NULL) != 0) {
        loop_alarm_set(listener->retry, listener->loop->mono_us + LISTENER_PAUSE_US);
        return;
    }
    listener->is_paused = false;
    loop_alarm_set(listener->retry, 0);
}

void net_listener_hold(struct net_listener *listener)
{
    listener->is_held = true;
    event_del(listener->event);
}

void net_listener_go(struct net_listener *listener)
{
    if (!listener->is_held)
        return;
    listener->is_held = false;
    listener->is_paused = true; /* it is tried again when the event cannot be added */
    net_listener_resume(listener);
}

static void listener_on_retry(void *arg)
{
    net_listener_resume(arg);
}

/* One connection; false when there is none to be had now (errno says why). */
static bool listener_accept(struct net_listener *listener)
{
    struct sockaddr_storage peer_sockaddr;
    socklen_t len = sizeof(peer_sockaddr);
    struct net_address peer;
    int fd = accept4(listener->fd, (struct sockaddr *)&peer_sockaddr, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
    if (len < sizeof(sa_family_t)) { /* an unnamed Unix peer */
        peer_sockaddr.ss_family = AF_UNIX;
        len = sizeof(sa_family_t);
    }
    net_address_from(&peer, (const struct sockaddr *)&peer_sockaddr, len);
    listener->on_accept(listener->arg, fd, &peer);
    return true;
}

static void listener_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct net_listener *listener = arg;
    (void)fd;
    (void)what;
    loop_touch(listener->loop);
    for (unsigned i = 0; i < LISTENER_BATCH; i++) {
        if (listener_accept(listener))
            continue;
        if (net_stream_is_shortage(errno))
            listener_pause(listener, errno);
        return;
    }
}

struct net_listener *net_listener_new(struct loop *loop, int fd, net_listener_fn on_accept,
                                      void *arg)
{
    const int one = 1;
    struct net_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return NULL;
    /* Linux gives it on to what is accepted; a Unix socket refuses it. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    listener->loop = loop;
    listener->fd = fd;
    listener->on_accept = on_accept;
    listener->arg = arg;
    listener->retry = loop_alarm_new(loop, listener_on_retry, listener);
    listener->event = event_new(loop->base, fd, EV_READ | EV_PERSIST, listener_on_event, listener);
    if (listener->retry != NULL && listener->event != NULL && event_add(listener->event, NULL) == 0)
        return listener;
    net_listener_give_back(listener);
    return NULL;
}

void net_listener_give_back(struct net_listener *listener)
{
    if (listener == NULL)
        return;
    if (listener->event != NULL)
        event_free(listener->event);
    loop_alarm_free(listener->retry);
    free(listener);
}

void net_listener_free(struct net_listener *listener)
{
    if (listener == NULL)
        return;
    int fd = listener->fd;
    for (unsigned i = 0; !listener->is_held && i < LISTENER_BACKLOG && listener_accept(listener);
         i++)
        continue;
    net_listener_give_back(listener);
    close(fd);
}

/* A socket file that nobody listens on is left over from a crash; anything else is not ours to remove. */
static void listener_remove_stale(const struct net_address *address)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&address->sockaddr;
    struct stat info;
    if (lstat(sun->sun_path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)sun, address->len) != 0 && errno == ECONNREFUSED)
        (void)unlink(sun->sun_path);
    close(fd);
}

int net_listener_open(const struct net_address *address, bool is_shared)
{
    const int one = 1;
    int family = address->sockaddr.ss_family;
    int error;
    if (address->is_unix)
        listener_remove_stale(address);
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (!address->is_unix) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (is_shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0)
            goto fail;
        if (family == AF_INET6)
            (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    }
    if (bind(fd, (const struct sockaddr *)&address->sockaddr, address->len) == 0 &&
        listen(fd, LISTENER_BACKLOG) == 0)
        return fd;
fail:
    error = errno;
    close(fd);
    errno = error;
    return -1;
}
