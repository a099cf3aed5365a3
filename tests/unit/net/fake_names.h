/* SPDX-License-Identifier: Apache-2.0 */
/* fake_names.h - a getaddrinfo of a test program's own, that no name server stands behind.  A number is its address; "none..." is
 * no name; "wait..." is answered, with 127.0.0.9, once fake_names_let has let one go.  fake_names_asked counts. */
#ifndef SLUICE_TESTS_FAKE_NAMES_H
#define SLUICE_TESTS_FAKE_NAMES_H

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

static sem_t fake_names_gate;
static atomic_uint fake_names_asked, fake_names_answered;

static void fake_names_init(void)
{
    sem_init(&fake_names_gate, 0, 0);
}

static inline void fake_names_let(unsigned count)
{
    while (count-- > 0)
        sem_post(&fake_names_gate);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    int result = EAI_NONAME;
    atomic_fetch_add(&fake_names_asked, 1);
    if (strncmp(node, "wait", 4) == 0) {
        while (sem_wait(&fake_names_gate) != 0)
            continue;
        node = "127.0.0.9";
    }
    if (strncmp(node, "none", 4) != 0)
        result = next(node, service, hints, list);
    atomic_fetch_add(&fake_names_answered, 1);
    return result;
}

#endif
