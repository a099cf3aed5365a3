/* SPDX-License-Identifier: Apache-2.0 */
/* main_inherit.c - see main_inherit.h.  An address is what getsockname(2) tells, not what somebody calls it. */
#include "main/main_inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base_parse.h"

#define INHERIT_FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define INHERIT_FDS_MAX  1024

static bool inherit_option(int fd, int option, int wanted)
{
    int value = 0;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

/* A Unix socket's name as net_address_parse writes it: up to and with its NUL. */
static bool inherit_address(struct net_address *address, int fd)
{
    struct sockaddr_storage sockaddr = {0};
    socklen_t len = sizeof(sockaddr);
    if (getsockname(fd, (struct sockaddr *)&sockaddr, &len) != 0)
        return false;
    if (sockaddr.ss_family == AF_UNIX) {
        const struct sockaddr_un *sun = (const struct sockaddr_un *)&sockaddr;
        size_t max = sizeof(sun->sun_path) - 1;
        len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strnlen(sun->sun_path, max) + 1);
    }
    net_address_from(address, (const struct sockaddr *)&sockaddr, len);
    return true;
}

enum err main_inherit_add(struct main_inheritance *inheritance, int fd, bool is_activated,
                          const char *name)
{
    struct main_inherited one = {.fd = fd, .is_activated = is_activated};
    int flags = fcntl(fd, F_GETFL);
    snprintf(one.name, sizeof(one.name), "%s", name);
    if (flags < 0 || !inherit_option(fd, SO_ACCEPTCONN, 1) ||
        !inherit_option(fd, SO_TYPE, SOCK_STREAM) || !inherit_address(&one.address, fd) ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        close(fd);
        return ERR_INVALID;
    }
    struct main_inherited *list =
        realloc(inheritance->list, (inheritance->count + 1) * sizeof(*list));
    if (list == NULL) {
        close(fd);
        return ERR_NOMEM;
    }
    inheritance->list = list;
    list[inheritance->count++] = one;
    return ERR_OK;
}

/* The next of the names between colons. */
static void inherit_name(struct span *names, char name[MAIN_INHERIT_NAME_MAX])
{
    size_t len = span_find(*names, ':'), taken = len < names->len ? len + 1 : len;
    snprintf(name, MAIN_INHERIT_NAME_MAX, "%.*s", (int)(len < 60 ? len : 60),
             names->ptr == NULL ? "" : names->ptr);
    names->ptr += taken;
    names->len -= taken;
}

static void inherit_forget_environment(void)
{
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

bool main_inherit_systemd(struct main_inheritance *inheritance, char why[512])
{
    const char *pid_text = getenv("LISTEN_PID"), *fds_text = getenv("LISTEN_FDS");
    const char *names_text = getenv("LISTEN_FDNAMES");
    uint64_t pid, count;
    char name[MAIN_INHERIT_NAME_MAX];
    if (pid_text == NULL || fds_text == NULL || !parse_u64(span_of(pid_text), &pid) ||
        pid != (uint64_t)getpid()) /* meant for another process */
        return true;
    struct span names = names_text == NULL ? SPAN("") : span_of(names_text);
    if (!parse_u64(span_of(fds_text), &count) || count > INHERIT_FDS_MAX) {
        snprintf(why, 512, "LISTEN_FDS=%.40s is no number of sockets", fds_text);
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        int fd = INHERIT_FIRST_FD + (int)i;
        inherit_name(&names, name);
        if (main_inherit_add(inheritance, fd, true, name) == ERR_OK)
            continue;
        snprintf(why, 512,
                 "descriptor %d (\"%s\") from systemd is no listening stream socket: the .socket "
                 "unit needs ListenStream= and Accept=no",
                 fd, name);
        return false;
    }
    inherit_forget_environment();
    return true;
}

static void inherit_learn_file(struct main_socket *socket, bool is_activated)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&socket->address.sockaddr;
    struct stat info;
    if (is_activated || !socket->address.is_unix || lstat(sun->sun_path, &info) != 0)
        return;
    socket->dev = info.st_dev;
    socket->ino = info.st_ino;
}

/* Up to `width` descriptors of one address. */
static bool inherit_take(struct main_inheritance *inheritance, struct main_sockets *sockets,
                         enum main_socket_role role, const struct net_address *address,
                         unsigned width)
{
    struct main_socket socket = {.role = role, .address = *address};
    for (unsigned i = 0; i < inheritance->count && socket.count < width; i++) {
        struct main_inherited *one = &inheritance->list[i];
        if (one->fd < 0 || !net_address_eq(&one->address, address))
            continue;
        if (socket.fds == NULL && (socket.fds = calloc(width, sizeof(*socket.fds))) == NULL)
            return false;
        if (socket.count == 0)
            inherit_learn_file(&socket, one->is_activated);
        socket.is_activated |= one->is_activated;
        socket.fds[socket.count++] = one->fd;
        one->fd = -1;
    }
    if (socket.count == 0)
        return true;
    struct main_socket *list = realloc(sockets->list, (sockets->count + 1) * sizeof(*list));
    if (list == NULL) {
        while (socket.count > 0)
            close(socket.fds[--socket.count]);
        free(socket.fds);
        return false;
    }
    sockets->list = list;
    list[sockets->count++] = socket;
    return true;
}

enum err main_inherit_sockets(struct main_inheritance *inheritance, const struct plan *plan,
                              unsigned workers, struct main_sockets *sockets)
{
    struct net_address address;
    *sockets = (struct main_sockets){0};
    for (unsigned i = 0; i < plan->listener_count; i++)
        if (!inherit_take(inheritance, sockets, MAIN_SOCKET_TRAFFIC, &plan->listeners[i].address,
                          plan->listeners[i].address.is_unix ? 1 : workers))
            return ERR_NOMEM;
    if (plan->admin_address.len > 0 &&
        net_address_parse(&address, plan->admin_address, NULL) == NULL &&
        !inherit_take(inheritance, sockets, MAIN_SOCKET_ADMIN, &address, 1))
        return ERR_NOMEM;
    if (plan->metrics_address.len > 0 &&
        net_address_parse(&address, plan->metrics_address, NULL) == NULL &&
        !inherit_take(inheritance, sockets, MAIN_SOCKET_METRICS, &address, 1))
        return ERR_NOMEM;
    return ERR_OK;
}

bool main_inherit_is_left(const struct main_inheritance *inheritance, char why[512])
{
    char text[NET_ADDRESS_TEXT_MAX];
    for (unsigned i = 0; i < inheritance->count; i++) {
        const struct main_inherited *one = &inheritance->list[i];
        if (one->fd < 0 || !one->is_activated)
            continue;
        size_t len = net_address_format(text, &one->address);
        snprintf(why, 512,
                 "systemd listens on %.*s (\"%s\") for this service, but the configuration does "
                 "not: add it to \"listen\", or remove it from the .socket unit",
                 (int)len, text, one->name);
        return true;
    }
    return false;
}

enum err main_inherit_list(struct main_inheritance *inheritance, const struct main_sockets *sockets)
{
    unsigned count = 0;
    *inheritance = (struct main_inheritance){0};
    for (unsigned i = 0; i < sockets->count; i++)
        count += sockets->list[i].count;
    if (count == 0)
        return ERR_OK;
    inheritance->list = calloc(count, sizeof(*inheritance->list));
    if (inheritance->list == NULL)
        return ERR_NOMEM;
    for (unsigned i = 0; i < sockets->count; i++)
        for (unsigned k = 0; k < sockets->list[i].count; k++)
            inheritance->list[inheritance->count++] = (struct main_inherited){
                .fd = sockets->list[i].fds[k], .is_activated = sockets->list[i].is_activated};
    return ERR_OK;
}

void main_inherit_fini(struct main_inheritance *inheritance)
{
    for (unsigned i = 0; i < inheritance->count; i++)
        if (inheritance->list[i].fd >= 0)
            close(inheritance->list[i].fd);
    free(inheritance->list);
    *inheritance = (struct main_inheritance){0};
}
