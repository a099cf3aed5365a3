/* SPDX-License-Identifier: Apache-2.0 */
/* base_list.h - an intrusive, circular, doubly linked list.  A node that is in no list points to
 * itself once list_init or list_remove has run on it. */
#ifndef SLUICE_BASE_LIST_H
#define SLUICE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#define LIST_EACH(node, head)                                                                      \
    for (struct list *node = (head)->next; node != (head); node = node->next)
/* Allows the body to remove `node`. */
#define LIST_EACH_SAFE(node, head)                                                                 \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head);              \
         node = node##_next, node##_next = node->next)

static inline void list_init(struct list *list)
{
    list->next = list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

static inline void list_push_back(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_push_back(head->next, node);
}

/* Behind all that come no later than it, in a list that is in order.  Most come last. */
static inline void list_push_ordered(struct list *head, struct list *node,
                                     bool (*is_later)(const struct list *one,
                                                      const struct list *other))
{
    struct list *before = head->prev;
    while (before != head && is_later(before, node))
        before = before->prev;
    list_push_front(before, node);
}

/* All nodes of `from` go to `to`, which need not be a list yet. */
static inline void list_take_all(struct list *to, struct list *from)
{
    list_init(to);
    if (list_is_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

#endif
