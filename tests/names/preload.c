/* SPDX-License-Identifier: Apache-2.0 */
/* preload.c - a shared object for LD_PRELOAD under which names that end in ".test" are those of a file.  Takes: the file that
 * NAMES_FILE names, lines of "ADDRESS NAME"; it is read for each question, so that it may be replaced at any time.  Gives: its
 * addresses, in its order; for a name that begins with "slow", after five seconds, an error; for one that begins with "late", the
 * addresses after a third of a second.  A name may end with a point, as everywhere.  All other names are the system's.
 *
 * Why not libnss_wrapper: two threads that ask while its file changes close it twice. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PUBLIC  __attribute__((visibility("default")))
#define SLOW_S  5
#define LATE_US 333333

typedef int resolve_fn(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);

/* Without the point at its end. */
static size_t name_len(const char *node)
{
    size_t len = node == NULL ? 0 : strlen(node);
    return len > 0 && node[len - 1] == '.' ? len - 1 : len;
}

static int is_ours(const char *node)
{
    size_t len = name_len(node);
    return len > 5 && strncmp(node + len - 5, ".test", 5) == 0;
}

/* To the end of the list.  freeaddrinfo(3) of the C library frees each part by itself. */
static int add(resolve_fn *next, const char *address, const char *service,
               const struct addrinfo *hints, struct addrinfo **list)
{
    struct addrinfo numeric = hints == NULL ? (struct addrinfo){0} : *hints;
    numeric.ai_flags |= AI_NUMERICHOST;
    while (*list != NULL)
        list = &(*list)->ai_next;
    return next(address, service, &numeric, list);
}

PUBLIC int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    resolve_fn *next;
    char address[64], name[256];
    int error = 0;
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!is_ours(node))
        return next(node, service, hints, list);
    if (strncmp(node, "slow", 4) == 0) {
        sleep(SLOW_S);
        return EAI_AGAIN;
    }
    if (strncmp(node, "late", 4) == 0)
        usleep(LATE_US);
    FILE *file = fopen(getenv("NAMES_FILE"), "re");
    if (file == NULL)
        return EAI_FAIL;
    *list = NULL;
    while (error == 0 && fscanf(file, "%63s %255s", address, name) == 2)
        if (strlen(name) == name_len(node) && strncmp(name, node, strlen(name)) == 0)
            error = add(next, address, service, hints, list);
    fclose(file);
    if (error == 0 && *list == NULL)
        error = EAI_NONAME;
    return error;
}
