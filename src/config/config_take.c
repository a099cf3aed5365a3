/* SPDX-License-Identifier: Apache-2.0 */
/* config_take.c - see config_take.h. */
#include "config/config_take.h"

const char *config_take_into(const struct config_take *take, const struct span **list,
                             unsigned *count)
{
    for (unsigned i = 0; i < *count; i++) {
        if (span_eq_nocase((*list)[i], take->text))
            return "listed twice";
    }
    /* Room for all at the first; each is written once. */
    struct span *texts = (struct span *)(void *)(uintptr_t)*list;
    if (texts == NULL)
        texts = arena_take(take->arena, take->count * sizeof(*texts));
    if (texts == NULL)
        return "out of memory";
    texts[(*count)++] = take->text;
    *list = texts;
    return NULL;
}

const char *config_take_network(const struct config_take *take, const struct ip_net **list,
                                unsigned *count, bool *has_unix)
{
    struct ip_net net;
    if (has_unix != NULL && span_eq(take->text, SPAN("unix"))) {
        *has_unix = true;
        return NULL;
    }
    if (!ip_net_parse(&net, take->text))
        return has_unix == NULL ? "not a network such as \"10.0.0.0/8\" (no bits behind the "
                                  "prefix), or an address"
                                : "not a network such as \"10.0.0.0/8\" (no bits behind the "
                                  "prefix), an address, "
                                  "or \"unix\"";
    /* Room for all at the first; nets are written once. */
    struct ip_net *nets = (struct ip_net *)(void *)(uintptr_t)*list;
    if (nets == NULL)
        nets = arena_take(take->arena, take->count * sizeof(*nets));
    if (nets == NULL)
        return "out of memory";
    nets[(*count)++] = net;
    *list = nets;
    return NULL;
}
