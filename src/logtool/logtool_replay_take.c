/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_replay_take.c - takes: a line.  Gives: the request as both policies would be asked about it.  Never: decides. */
#include <stdlib.h>

#include "base/base_parse.h"
#include "base/base_rng.h"
#include "logtool/logtool_replay.h"
#include "logtool/logtool_replay_order.h"
#include "quota/quota_tier.h"
#include "route/route.h"

enum err logtool_replay_init(struct logtool_replay *replay, const struct plan *old,
                             const struct plan *next)
{
    *replay = (struct logtool_replay){.sides = {{.plan = old}, {.plan = next}}};
    rng_secret(&replay->key, sizeof(replay->key));
    replay->room = malloc(LOGTOOL_LINE_MAX);
    replay->unknown = calloc(next->identity_count + 1, sizeof(*replay->unknown));
    bool is_made = replay->room != NULL && replay->unknown != NULL;
    for (unsigned i = 0; i < LOGTOOL_SIDES; i++) {
        struct logtool_side *side = &replay->sides[i];
        side->refused = calloc(side->plan->quota_count + side->plan->identity_count + 1,
                               sizeof(*side->refused));
        is_made = is_made && side->refused != NULL;
    }
    return is_made ? ERR_OK : ERR_NOMEM;
}

static enum err too_much(struct logtool_replay *replay, enum err err, const char *what)
{
    if (err == ERR_LIMIT)
        replay->limit = what;
    return err;
}

/* ---- who it was ---- */

static const struct span *logged_value(const struct logtool_line *line, struct span identity)
{
    for (unsigned i = 0; i < line->subject_count; i++)
        if (span_eq(line->subjects[i].name, identity))
            return &line->subjects[i].value;
    return NULL;
}

static bool is_same_identity(const struct identity *a, const struct identity *b)
{
    bool is_same = a->from_count == b->from_count && a->missing == b->missing &&
                   a->ipv4_prefix == b->ipv4_prefix && a->ipv6_prefix == b->ipv6_prefix;
    for (unsigned i = 0; is_same && i < a->from_count; i++)
        is_same = a->from[i].kind == b->from[i].kind && span_eq(a->from[i].name, b->from[i].name);
    return is_same;
}

static struct span without_port(struct span authority)
{
    size_t len = authority.len;
    while (len > 0 && authority.ptr[len - 1] >= '0' && authority.ptr[len - 1] <= '9')
        len--;
    if (len > 1 && authority.ptr[len - 1] == ':')
        authority.len = len - 1;
    return authority;
}

/* What can be told from the rest of the line.  False: nothing. */
static bool derived_value(const struct identity *identity, const struct logtool_line *line,
                          struct span route, struct identity_value *value)
{
    struct ip ip;
    if (identity->from_count != 1)
        return false;
    value->kind = identity->from[0].kind;
    if (value->kind == IDENTITY_IP && ip_parse(&ip, line->client_ip))
        identity_value_set_ip(value, identity, &ip);
    else if (value->kind == IDENTITY_ROUTE)
        value->value = route;
    else if (value->kind == IDENTITY_METHOD)
        value->value = line->method;
    return value->value.len != 0;
}

/* One identity of a plan in a line.  -1: the line does not tell; 0: there was none; 1: *text is it. */
static int value_of(const struct logtool_replay *replay, const struct identity *identity,
                    const struct logtool_line *line, struct span route,
                    struct identity_value *value)
{
    const struct plan *old = replay->sides[LOGTOOL_OLD].plan;
    *value = (struct identity_value){0};
    for (unsigned i = 0; i < old->identity_count; i++) {
        const struct span *text = is_same_identity(&old->identities[i], identity)
                                      ? logged_value(line, old->identities[i].name)
                                      : NULL;
        if (text != NULL) {
            value->value = *text;
            return 1;
        }
    }
    return derived_value(identity, line, route, value) ? 1 : -1;
}

/* ---- which tier ---- */

/* The mac of a value as one of an identity's sources would have it; `source` counts them, then the address. */
static bool mac_of(const struct plan *plan, const struct identity *identity, struct span text,
                   unsigned source, uint8_t mac[IDENTITY_KEY_BYTES])
{
    struct identity_value value = {.kind = IDENTITY_IP, .value = text};
    char room[IDENTITY_TEXT_LEN + 4];
    size_t len;
    if (source < identity->from_count) {
        value.kind = identity->from[source].kind;
        value.source_name = identity->from[source].name;
    }
    if (identity_is_clear(value.kind))
        return identity_mac(plan->secret, &value, 1, mac) == ERR_OK;
    if (text.len != IDENTITY_TEXT_LEN || !parse_base64url(text, room, &len) ||
        len != IDENTITY_KEY_BYTES)
        return false;
    memcpy(mac, room, IDENTITY_KEY_BYTES);
    return true;
}

static const struct quota_tier *member_tier(const struct plan *plan,
                                            const struct quota_tiers *tiers,
                                            const struct identity *identity, struct span text)
{
    uint8_t mac[IDENTITY_KEY_BYTES];
    const struct quota_tier *tier = NULL;
    for (unsigned source = 0; tier == NULL && source <= identity->from_count; source++)
        if (mac_of(plan, identity, text, source, mac))
            tier = quota_tiers_find(tiers, mac);
    return tier;
}

static uint8_t tier_of(const struct logtool_replay *replay, const struct plan *plan,
                       const struct quota *quota, const struct logtool_line *line,
                       struct span route)
{
    const struct quota_tiers *tiers = quota->tiers;
    const struct quota_tier *tier = NULL;
    struct identity_value value;
    if (tiers->is_live && line->tier.len != 0)
        tier = quota_tiers_named(tiers, line->tier);
    for (unsigned i = 0; tiers->members != NULL && tier == NULL && i < quota->key_count; i++) {
        const struct identity *identity = &plan->identities[quota->key[i]];
        if (value_of(replay, identity, line, route, &value) == 1)
            tier = member_tier(plan, tiers, identity, value.value);
    }
    return tier == NULL ? tiers->otherwise : (uint8_t)(tier - tiers->tiers);
}

const struct quota *logtool_replay_quota(const struct plan *plan, const struct logtool_item *item)
{
    const struct quota *quota = item->quota < plan->quota_count
                                    ? &plan->quotas[item->quota]
                                    : plan->buckets[item->quota - plan->quota_count];
    return quota->tiers == NULL ? quota : quota->tiers->tiers[item->tier].quota;
}

/* ---- what is asked ---- */

static enum err reserve(struct logtool_replay *replay)
{
    if (replay->request_count == LOGTOOL_REQUESTS_MAX ||
        replay->item_count > LOGTOOL_ITEMS_MAX - 2 * QUOTA_MAX_PER_ROUTE)
        return too_much(replay, ERR_LIMIT,
                        "more than 4,000,000 requests, or 32,000,000 times that they ask a quota: "
                        "give fewer files at a time");
    if (replay->request_count == replay->request_room) {
        uint32_t room = replay->request_room == 0 ? 1024 : 2 * replay->request_room;
        void *requests = realloc(replay->requests, room * sizeof(*replay->requests));
        if (requests == NULL)
            return ERR_NOMEM;
        replay->requests = requests;
        replay->request_room = room;
    }
    if (replay->item_room - replay->item_count < 2 * QUOTA_MAX_PER_ROUTE) {
        uint32_t room = replay->item_room == 0 ? 4096 : 2 * replay->item_room;
        void *items = realloc(replay->items, room * sizeof(*replay->items));
        if (items == NULL)
            return ERR_NOMEM;
        replay->items = items;
        replay->item_room = room;
    }
    return ERR_OK;
}

static enum err take_subject(struct logtool_replay *replay, struct span text, uint32_t *subject)
{
    return too_much(replay, logtool_names_take(&replay->names, text, subject),
                    "more than 4,000,000 subjects, or 256 MiB of their names");
}

static const struct logtool_window *window_of(const struct logtool_line *line, struct span quota)
{
    for (unsigned i = 0; i < line->window_count; i++)
        if (!line->windows[i].is_slot && span_eq(line->windows[i].quota, quota))
            return &line->windows[i];
    return NULL;
}

/* What a window had used before the first line that shows it. */
static enum err note_base(struct logtool_replay *replay, const struct logtool_window *window,
                          const struct logtool_item *item, unsigned w)
{
    struct logtool_book of = {.subject = item->subject, .start_s = (uint32_t)window->start_s};
    struct logtool_book *book;
    of.series = item->quota;
    of.domain = (uint16_t)w;
    enum err err = logtool_books_take(&replay->bases, &of, &book);
    if (err != ERR_OK)
        return too_much(replay, err, "more than 8,000,000 windows of subjects");
    uint64_t before = window->used > window->charged ? window->used - window->charged : 0;
    if (book->added == 0 || before < book->kept)
        book->kept = before;
    book->added = 1;
    return ERR_OK;
}

static enum err note_bases(struct logtool_replay *replay, const struct logtool_line *line,
                           const struct logtool_item *item)
{
    const struct plan *plan = replay->sides[LOGTOOL_OLD].plan;
    const struct quota *quota = logtool_replay_quota(plan, item);
    enum err err = ERR_OK;
    if (quota == NULL || quota->algorithm != QUOTA_FIXED)
        return ERR_OK;
    for (unsigned i = 0, w = 0; i < line->window_count && err == ERR_OK; i++) {
        const struct logtool_window *window = &line->windows[i];
        if (window->is_slot || !span_eq(window->quota, quota->name))
            continue;
        if (window->has_numbers && w < quota->limit_count)
            err = note_base(replay, window, item, w);
        w++;
    }
    return err;
}

/* The quotas that the line shows, as the old plan has them.  *is_known: all of them are there. */
static enum err take_old(struct logtool_replay *replay, const struct logtool_line *line,
                         struct logtool_request *request, bool *is_known)
{
    const struct plan *plan = replay->sides[LOGTOOL_OLD].plan;
    *is_known = true;
    for (unsigned i = 0; i < line->window_count; i++) {
        const struct logtool_window *window = &line->windows[i];
        if (window->is_slot || window->is_shadow || window_of(line, window->quota) != window)
            continue;
        struct logtool_counted counted = logtool_counted_find(plan, window->quota);
        struct span subject;
        bool is_guess;
        if (counted.quota == NULL || request->item_count[LOGTOOL_OLD] == QUOTA_MAX_PER_ROUTE ||
            !logtool_subject_of(&counted, plan, line, replay->room, &subject, &is_guess)) {
            *is_known = false;
            return ERR_OK;
        }
        struct logtool_item *item = &replay->items[replay->item_count];
        *item = (struct logtool_item){.delta = (int32_t)window->added - (int32_t)window->refunded};
        item->quota = (uint16_t)(counted.gate >= 0 ? plan->quota_count + (unsigned)counted.gate
                                                   : (unsigned)(counted.quota - plan->quotas));
        enum err err = take_subject(replay, subject, &item->subject);
        if (err != ERR_OK)
            return err;
        if (counted.quota->tiers != NULL)
            item->tier = tier_of(replay, plan, counted.quota, line, line->route);
        replay->item_count++;
        request->item_count[LOGTOOL_OLD]++;
        logtool_replay_order_note(request, logtool_replay_quota(plan, item), window);
        err = note_bases(replay, line, item);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static bool is_exempt(const struct quota *quota, const struct logtool_line *line)
{
    struct ip ip;
    return quota->exempt.net_count != 0 && ip_parse(&ip, line->client_ip) &&
           ip_ranges_find(&quota->exempt.addresses, &ip) != 0;
}

/* Did the old route have this quota, and pass it over for this request? */
static bool is_passed_over(const struct plan *old, const struct logtool_line *line,
                           struct span quota)
{
    for (unsigned r = 0; r < old->route_count; r++) {
        const struct plan_route *route = &old->routes[r];
        if (!span_eq(route->rule->name, line->route))
            continue;
        for (unsigned i = 0; i < route->quota_count; i++)
            if (span_eq(route->quotas[i]->name, quota))
                return window_of(line, quota) == NULL && !old->routes[r].has_buckets &&
                       route->quotas[i]->mode != QUOTA_SHADOW;
    }
    return false;
}

/* The subject of a quota of the new plan.  False: an identity is not in the line, which is counted. */
static bool new_subject(struct logtool_replay *replay, const struct quota *quota,
                        const struct logtool_line *line, struct span route, struct span *subject)
{
    const struct plan *plan = replay->sides[LOGTOOL_NEW].plan;
    size_t len = 0;
    for (unsigned i = 0; i < quota->key_count; i++) {
        struct identity_value value;
        if (value_of(replay, &plan->identities[quota->key[i]], line, route, &value) != 1 ||
            len + value.value.len + 1 > LOGTOOL_LINE_MAX) {
            replay->unknown[quota->key[i]]++;
            return false;
        }
        if (len != 0)
            replay->room[len++] = LOGTOOL_SUBJECT_MARK;
        memcpy(replay->room + len, value.value.ptr, value.value.len);
        len += value.value.len;
    }
    *subject = (struct span){replay->room, len};
    return true;
}

/* What the response makes of a charge of the new plan, as far as the line tells. */
static int32_t new_delta(const struct quota *quota, const struct plan_route *route,
                         const struct logtool_line *line, uint32_t cost)
{
    const struct logtool_window *window = window_of(line, quota->name);
    unsigned status = line->status < 1000 ? (unsigned)line->status : 0;
    if (line->decision == LOGTOOL_REFUSE)
        return 0; /* nobody knows how a server would have answered */
    if (quota_has_charge_on(quota) && !quota_status_counts(&quota->charge_on, status))
        return -(int32_t)cost;
    if (route->cost.header.len == 0 || window == NULL)
        return 0;
    return (int32_t)window->added - (int32_t)window->refunded;
}

static enum err take_new_quota(struct logtool_replay *replay, const struct logtool_line *line,
                               const struct plan_route *route, const struct quota *quota,
                               struct logtool_request *request)
{
    const struct plan *plan = replay->sides[LOGTOOL_NEW].plan;
    struct logtool_item *item = &replay->items[replay->item_count];
    struct span subject;
    if (quota->mode == QUOTA_SHADOW || (quota->limit_count == 0 && quota->tiers == NULL) ||
        is_exempt(quota, line) ||
        is_passed_over(replay->sides[LOGTOOL_OLD].plan, line, quota->name))
        return ERR_OK;
    if (!new_subject(replay, quota, line, route->rule->name, &subject)) {
        request->is_skipped[LOGTOOL_NEW] = true;
        return ERR_OK;
    }
    *item = (struct logtool_item){.quota = (uint16_t)(quota - plan->quotas)};
    enum err err = take_subject(replay, subject, &item->subject);
    if (err != ERR_OK)
        return err;
    if (quota->tiers != NULL)
        item->tier = tier_of(replay, plan, quota, line, route->rule->name);
    if (logtool_replay_quota(plan, item) == NULL)
        return ERR_OK;
    item->delta = new_delta(quota, route, line, request->cost[LOGTOOL_NEW]);
    replay->item_count++;
    request->item_count[LOGTOOL_NEW]++;
    return ERR_OK;
}

static enum err take_new(struct logtool_replay *replay, const struct logtool_line *line,
                         struct logtool_request *request)
{
    const struct plan *plan = replay->sides[LOGTOOL_NEW].plan;
    const struct route_query query = {.listener = line->listener,
                                      .host = without_port(line->host),
                                      .path = line->path,
                                      .method = line->method};
    struct route_match match;
    enum err err = ERR_OK;
    if (!route_table_find(plan->route_table, &query, &match))
        return ERR_OK; /* 404: no quota is asked */
    const struct plan_route *route = &plan->routes[match.index];
    request->cost[LOGTOOL_NEW] = route->cost.estimate;
    for (unsigned i = 0; i < route->quota_count && err == ERR_OK; i++)
        err = take_new_quota(replay, line, route, route->quotas[i], request);
    return err;
}

/* When it was decided: by the line's times, and within the windows that it names. */
static uint64_t decided_at(const struct logtool_line *line)
{
    uint64_t at_us = line->ts_us, since_us = line->t_total_us;
    if (since_us != UINT64_MAX && line->t_header_us <= since_us)
        since_us -= line->t_header_us;
    if (since_us != UINT64_MAX && line->t_store_us <= since_us)
        since_us -= line->t_store_us;
    if (since_us < at_us)
        at_us -= since_us;
    for (unsigned i = 0; i < line->window_count; i++) {
        const struct logtool_window *window = &line->windows[i];
        struct quota_limit limit;
        if (!window->has_numbers || window->is_slot ||
            quota_limit_parse(&limit, window->window) != NULL)
            continue;
        uint64_t from_us = window->start_s * 1000000;
        uint64_t to_us = from_us + (uint64_t)limit.period_s * 1000000;
        at_us = at_us < from_us ? from_us : at_us >= to_us ? to_us - 1 : at_us;
    }
    return at_us;
}

static bool ends_with(struct span text, struct span tail)
{
    return text.len > tail.len &&
           span_eq((struct span){text.ptr + text.len - tail.len, tail.len}, tail);
}

/* LOGTOOL_UNJUDGED_COUNT: it can be replayed. */
static enum logtool_unjudged fault_of(const struct logtool_line *line)
{
    if (line->method.len == 0 || line->path.len == 0 || line->is_cut)
        return LOGTOOL_UNJUDGED_NO_HEAD;
    if (line->decision == LOGTOOL_DEGRADED_ALLOW || line->decision == LOGTOOL_DEGRADED_REFUSE)
        return LOGTOOL_UNJUDGED_DEGRADED;
    for (unsigned i = 0; i < line->window_count; i++)
        if (line->windows[i].is_local)
            return LOGTOOL_UNJUDGED_DEGRADED;
    for (unsigned i = 0; i < line->refused_by_count; i++)
        if (ends_with(line->refused_by[i], SPAN("/in_flight")))
            return LOGTOOL_UNJUDGED_SLOT;
    /* Sent to a server, or answered by the route itself. */
    bool is_answered = line->upstream.len != 0 || (line->status >= 200 && line->status < 400);
    return line->decision == LOGTOOL_NONE && !is_answered ? LOGTOOL_UNJUDGED_EARLY
                                                          : LOGTOOL_UNJUDGED_COUNT;
}

static enum err take_request(struct logtool_replay *replay, const struct logtool_line *line)
{
    enum logtool_unjudged fault = fault_of(line);
    bool is_known;
    if (fault != LOGTOOL_UNJUDGED_COUNT) {
        replay->unjudged[fault]++;
        return ERR_OK;
    }
    enum err err = reserve(replay);
    if (err != ERR_OK)
        return err;
    uint32_t cost = line->cost <= INT32_MAX ? (uint32_t)line->cost : 1;
    struct logtool_request *request = &replay->requests[replay->request_count];
    *request = (struct logtool_request){.at_us = decided_at(line),
                                        .end_us = line->ts_us,
                                        .items = replay->item_count,
                                        .cost = {cost, cost}};
    request->is_logged_refused = line->decision == LOGTOOL_REFUSE;
    err = take_old(replay, line, request, &is_known);
    request->is_skipped[LOGTOOL_OLD] = !is_known;
    if (err == ERR_OK)
        err = take_new(replay, line, request);
    if (err != ERR_OK)
        return err;
    if (request->is_skipped[LOGTOOL_NEW])
        replay->unjudged[LOGTOOL_UNJUDGED_IDENTITY]++;
    replay->request_count++;
    return ERR_OK;
}

enum err logtool_replay_take(void *arg, const struct logtool_line *line)
{
    struct logtool_replay *replay = arg;
    unsigned boot;
    bool is_new;
    enum err err = logtool_seq_take(&replay->seq, line, &boot, &is_new);
    if (err != ERR_OK)
        return too_much(replay, err, LOGTOOL_SEQ_TOO_MUCH);
    if (!is_new)
        return ERR_OK;
    if (line->event.len != 0) {
        replay->orders +=
            span_eq(line->event, SPAN("reset")) || span_eq(line->event, SPAN("grant"));
        return ERR_OK;
    }
    return take_request(replay, line);
}
