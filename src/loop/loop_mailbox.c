/* SPDX-License-Identifier: Apache-2.0 */
/* loop_mailbox.c - how other threads speak to a loop: a locked list and an eventfd.  Not for the hot
 * path.  Letters arrive in the order in which they were posted; those never read are freed unrun. */
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop/loop_private.h"

/* Owner: the mailbox, until it has run.  Freed by: the loop's thread. */
struct loop_letter {
    struct list node;
    void (*fn)(void *arg);
    void *arg;
};

/* Owner: the loop.  Freed by: loop_mailbox_free.  Thread: any may post; the loop's reads. */
struct loop_mailbox {
    struct loop *loop;
    struct event *event;
    int fd;
    atomic_bool is_stopped;
    struct {
        pthread_mutex_t lock;
        struct list letters;
    } shared;
};

static void mailbox_wake(struct loop_mailbox *mailbox)
{
    const uint64_t one = 1;
    ssize_t n;
    do
        n = write(mailbox->fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
    /* EAGAIN: the counter is full, so a wake-up is pending anyway. */
}

static struct loop_letter *mailbox_take(struct loop_mailbox *mailbox)
{
    struct loop_letter *letter = NULL;
    pthread_mutex_lock(&mailbox->shared.lock);
    if (!list_is_empty(&mailbox->shared.letters)) {
        letter = LIST_OF(mailbox->shared.letters.next, struct loop_letter, node);
        list_remove(&letter->node);
    }
    pthread_mutex_unlock(&mailbox->shared.lock);
    return letter;
}

static void mailbox_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct loop_mailbox *mailbox = arg;
    struct loop_letter *letter;
    uint64_t count;
    (void)what;
    loop_touch(mailbox->loop);
    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
        return;
    while ((letter = mailbox_take(mailbox)) != NULL) {
        letter->fn(letter->arg);
        free(letter);
    }
}

struct loop_mailbox *loop_mailbox_new(struct loop *loop)
{
    struct loop_mailbox *mailbox = calloc(1, sizeof(*mailbox));
    if (mailbox == NULL)
        return NULL;
    mailbox->loop = loop;
    list_init(&mailbox->shared.letters);
    pthread_mutex_init(&mailbox->shared.lock, NULL);
    mailbox->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->fd >= 0)
        mailbox->event =
            event_new(loop->base, mailbox->fd, EV_READ | EV_PERSIST, mailbox_on_event, mailbox);
    if (mailbox->event == NULL || event_add(mailbox->event, NULL) != 0) {
        loop_mailbox_free(mailbox);
        return NULL;
    }
    return mailbox;
}

void loop_mailbox_free(struct loop_mailbox *mailbox)
{
    struct loop_letter *letter;
    if (mailbox == NULL)
        return;
    while ((letter = mailbox_take(mailbox)) != NULL)
        free(letter);
    if (mailbox->event != NULL)
        event_free(mailbox->event);
    if (mailbox->fd >= 0)
        close(mailbox->fd);
    pthread_mutex_destroy(&mailbox->shared.lock);
    free(mailbox);
}

struct loop_letter *loop_letter_new(void (*fn)(void *arg), void *arg)
{
    struct loop_letter *letter = malloc(sizeof(*letter));
    if (letter == NULL)
        return NULL;
    list_init(&letter->node);
    letter->fn = fn;
    letter->arg = arg;
    return letter;
}

void loop_letter_free(struct loop_letter *letter)
{
    free(letter);
}

void loop_letter_post(struct loop *loop, struct loop_letter **taken)
{
    struct loop_mailbox *mailbox = loop->mailbox;
    struct loop_letter *letter = *taken;
    *taken = NULL;
    pthread_mutex_lock(&mailbox->shared.lock);
    list_push_back(&mailbox->shared.letters, &letter->node);
    pthread_mutex_unlock(&mailbox->shared.lock);
    mailbox_wake(mailbox);
}

enum err loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct loop_letter *letter = loop_letter_new(fn, arg);
    if (letter == NULL)
        return ERR_NOMEM;
    loop_letter_post(loop, &letter);
    return ERR_OK;
}

bool loop_mailbox_is_stopped(struct loop_mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->is_stopped, memory_order_acquire);
}

void loop_mailbox_stop(struct loop_mailbox *mailbox)
{
    atomic_store_explicit(&mailbox->is_stopped, true, memory_order_release);
    mailbox_wake(mailbox);
}
