/* SPDX-License-Identifier: Apache-2.0 */
/* main_sockets.c - see main_sockets.h.  Takes: addresses of a plan.  Gives: listening descriptors.  Never
 * accepts, and never takes an address that somebody else listens on. */
#include "main/main_sockets.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/net_listener.h"

#define SOCKET_MASK_ADMIN   0117 /* 0660: who may read the group's files may operate */
#define SOCKET_MASK_TRAFFIC 0111 /* 0666: the folder says who may connect */

static bool sockets_want(struct main_sockets *sockets, enum main_socket_role role,
                         const struct net_address *address, const struct main_sockets *old)
{
    struct main_socket *list = realloc(sockets->list, (sockets->count + 1) * sizeof(*list));
    if (list == NULL)
        return false;
    struct main_socket *socket = &list[sockets->count];
    sockets->list = list;
    *socket = (struct main_socket){.role = role, .address = *address};
    for (unsigned i = 0; old != NULL && i < old->count; i++) {
        const struct main_socket *candidate = &old->list[i];
        bool is_taken = false;
        if (candidate->role != role || !net_address_eq(&candidate->address, address))
            continue;
        for (unsigned k = 0; k < sockets->count; k++)
            is_taken |= list[k].fds == candidate->fds;
        if (is_taken)
            continue;
        *socket = *candidate;
        socket->is_kept = true;
        break;
    }
    sockets->count++;
    return true;
}

/* Every address of the plan, in order; what the old set has is shared with it. */
static bool sockets_want_all(struct main_sockets *sockets, const struct main_sockets *old,
                             const struct plan *plan)
{
    const struct {
        enum main_socket_role role;
        struct span text;
    } others[] = {
        {MAIN_SOCKET_ADMIN, plan->admin_address},
        {MAIN_SOCKET_METRICS, plan->metrics_address},
    };
    struct net_address address;
    *sockets = (struct main_sockets){0};
    for (unsigned i = 0; i < plan->listener_count; i++)
        if (!sockets_want(sockets, MAIN_SOCKET_TRAFFIC, &plan->listeners[i].address, old))
            return false;
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (others[i].text.len == 0)
            continue;
        if (net_address_parse(&address, others[i].text, NULL) != NULL ||
            !sockets_want(sockets, others[i].role, &address, old))
            return false;
    }
    return true;
}

static unsigned socket_width(const struct main_socket *socket, unsigned workers)
{
    return socket->role == MAIN_SOCKET_TRAFFIC && !socket->address.is_unix ? workers : 1;
}

static void socket_fail(const struct main_socket *socket, int error, char why[512])
{
    static const struct {
        int error;
        const char *advice;
    } advices[] = {
        {EADDRINUSE,
         "another process listens there (ss -ltnxp shows which): stop it, or change the address"},
        {EACCES, "ports below 1024 need CAP_NET_BIND_SERVICE, a socket file needs a folder that "
                 "can be written"},
        {EADDRNOTAVAIL, "this machine does not have the address: look at `ip addr`"},
        {ENOENT, "the folder of the socket file does not exist: make it"},
        {EMFILE,
         "too few file descriptors: raise the limit (ulimit -n, or LimitNOFILE= in the unit)"},
        {ENFILE, "the system is out of file descriptors: raise fs.file-max"},
    };
    char text[NET_ADDRESS_TEXT_MAX];
    size_t len = net_address_format(text, &socket->address);
    const char *advice = NULL;
    for (unsigned i = 0; i < sizeof(advices) / sizeof(advices[0]); i++)
        if (advices[i].error == error)
            advice = advices[i].advice;
    snprintf(why, 512, "cannot listen on %.*s: %s%s%s", (int)len, text, strerror(error),
             advice == NULL ? "" : "; ", advice == NULL ? "" : advice);
}

/* Several SO_REUSEPORT sockets share an address without an error, also those of another Sluice.  So ask
 * first without it, unless one of our own has the port. */
static bool socket_is_busy(const struct main_socket *socket, const struct main_sockets *sockets)
{
    if (socket->address.is_unix)
        return false;
    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->list[i].fds != NULL && !sockets->list[i].address.is_unix &&
            sockets->list[i].address.port == socket->address.port)
            return false;
    int fd = net_listener_open(&socket->address, false);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static void socket_learn_file(struct main_socket *socket)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&socket->address.sockaddr;
    struct stat info;
    if (socket->address.is_unix && lstat(sun->sun_path, &info) == 0) {
        socket->dev = info.st_dev;
        socket->ino = info.st_ino;
    }
}

/* False with errno; what was opened stays in the entry. */
static bool socket_open(struct main_socket *socket, unsigned workers)
{
    unsigned width = socket_width(socket, workers);
    mode_t mask =
        umask(socket->role == MAIN_SOCKET_ADMIN ? SOCKET_MASK_ADMIN : SOCKET_MASK_TRAFFIC);
    socket->fds = calloc(width, sizeof(*socket->fds));
    while (socket->fds != NULL && socket->count < width) {
        int fd = net_listener_open(&socket->address, width > 1);
        if (fd < 0)
            break;
        socket->fds[socket->count++] = fd;
    }
    int error = errno;
    if (socket->count > 0)
        socket_learn_file(socket);
    umask(mask);
    errno = error;
    return socket->count == width;
}

bool main_sockets_open(struct main_sockets *sockets, const struct main_sockets *old,
                       const struct plan *plan, unsigned workers, char why[512])
{
    if (!sockets_want_all(sockets, old, plan)) {
        snprintf(why, 512, "cannot listen: out of memory");
        main_sockets_abandon(sockets);
        return false;
    }
    for (unsigned i = 0; i < sockets->count; i++) {
        struct main_socket *socket = &sockets->list[i];
        if (socket->is_kept)
            continue;
        if (!socket_is_busy(socket, sockets) && socket_open(socket, workers))
            continue;
        socket_fail(socket, errno, why);
        main_sockets_abandon(sockets);
        return false;
    }
    return true;
}

static void socket_remove_file(const struct main_socket *socket)
{
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&socket->address.sockaddr;
    struct stat info;
    if (socket->address.is_unix && socket->ino != 0 && lstat(sun->sun_path, &info) == 0 &&
        info.st_dev == socket->dev && info.st_ino == socket->ino)
        (void)unlink(sun->sun_path);
}

static void socket_fini(struct main_socket *socket, bool is_closed, bool remove_file)
{
    for (unsigned i = 0; is_closed && i < socket->count; i++)
        close(socket->fds[i]);
    if (remove_file)
        socket_remove_file(socket);
    free(socket->fds);
}

static void sockets_clear(struct main_sockets *sockets)
{
    free(sockets->list);
    *sockets = (struct main_sockets){0};
}

void main_sockets_abandon(struct main_sockets *sockets)
{
    for (unsigned i = 0; i < sockets->count; i++)
        if (!sockets->list[i].is_kept)
            socket_fini(&sockets->list[i], true, true);
    sockets_clear(sockets);
}

void main_sockets_replace(struct main_sockets *sockets, struct main_sockets *next, bool is_parent)
{
    for (unsigned i = 0; i < sockets->count; i++) {
        bool is_kept = false;
        for (unsigned k = 0; k < next->count; k++)
            is_kept |= next->list[k].fds == sockets->list[i].fds;
        if (!is_kept)
            socket_fini(&sockets->list[i], is_parent, is_parent);
    }
    free(sockets->list);
    *sockets = *next;
    *next = (struct main_sockets){0};
    for (unsigned i = 0; i < sockets->count; i++)
        sockets->list[i].is_kept = false;
}

void main_sockets_close_traffic(struct main_sockets *sockets)
{
    for (unsigned i = 0; i < sockets->count; i++) {
        struct main_socket *socket = &sockets->list[i];
        while (socket->role == MAIN_SOCKET_TRAFFIC && socket->count > 0)
            close(socket->fds[--socket->count]);
    }
}

void main_sockets_fini(struct main_sockets *sockets, bool remove_files)
{
    for (unsigned i = 0; i < sockets->count; i++)
        socket_fini(&sockets->list[i], true, remove_files);
    sockets_clear(sockets);
}

void main_sockets_forget(struct main_sockets *sockets)
{
    for (unsigned i = 0; i < sockets->count; i++)
        socket_fini(&sockets->list[i], false, false);
    sockets_clear(sockets);
}

enum err main_sockets_spread(struct main_sockets *sockets, unsigned workers)
{
    for (unsigned i = 0; i < sockets->count; i++) {
        struct main_socket *socket = &sockets->list[i];
        unsigned own = socket->count; /* one, or as many workers as there were in another program */
        if (socket->role != MAIN_SOCKET_TRAFFIC || socket->count == workers)
            continue;
        int *fds = realloc(socket->fds, workers * sizeof(*fds));
        if (fds == NULL)
            return ERR_NOMEM;
        socket->fds = fds;
        while (socket->count < workers) {
            fds[socket->count] = fcntl(fds[socket->count % own], F_DUPFD_CLOEXEC, 3);
            if (fds[socket->count] < 0)
                return ERR_SYSTEM;
            socket->count++;
        }
    }
    return ERR_OK;
}

enum err main_sockets_adopt(struct main_sockets *sockets, const struct main_sockets *old,
                            const struct plan *plan, unsigned workers, const int *fds,
                            unsigned fd_count)
{
    unsigned used = 0;
    bool is_good = sockets_want_all(sockets, old, plan);
    for (unsigned i = 0; is_good && i < sockets->count; i++) {
        struct main_socket *socket = &sockets->list[i];
        unsigned width = socket_width(socket, workers);
        if (socket->is_kept)
            continue;
        is_good = fd_count - used >= width;
        socket->fds = is_good ? calloc(width, sizeof(*socket->fds)) : NULL;
        is_good = socket->fds != NULL;
        while (is_good && socket->count < width)
            socket->fds[socket->count++] = fds[used++];
    }
    while (used < fd_count) { /* the parent's list and ours differ: never, but leak nothing */
        is_good = false;
        close(fds[used++]);
    }
    if (is_good && main_sockets_spread(sockets, workers) == ERR_OK)
        return ERR_OK;
    for (unsigned i = 0; i < sockets->count; i++)
        if (!sockets->list[i].is_kept)
            socket_fini(&sockets->list[i], true, false);
    sockets_clear(sockets);
    return ERR_NOMEM;
}

enum err main_sockets_fresh(const struct main_sockets *sockets, int **fds, unsigned *count)
{
    *count = 0;
    *fds = NULL;
    for (unsigned i = 0; i < sockets->count; i++)
        if (!sockets->list[i].is_kept)
            *count += sockets->list[i].count;
    if (*count == 0)
        return ERR_OK;
    *fds = calloc(*count, sizeof(**fds));
    if (*fds == NULL)
        return ERR_NOMEM;
    unsigned at = 0;
    for (unsigned i = 0; i < sockets->count; i++)
        for (unsigned k = 0; !sockets->list[i].is_kept && k < sockets->list[i].count; k++)
            (*fds)[at++] = sockets->list[i].fds[k];
    return ERR_OK;
}
