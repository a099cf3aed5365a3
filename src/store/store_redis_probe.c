/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_probe.c - see store_redis_probe.h.  One command at a time; what fails is a finding, and the next thing is
 * looked at. */
#include "store/store_redis_probe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_clock.h"
#include "base/base_parse.h"
#include "store/store_redis_greet.h"
#include "store/store_redis_map.h"
#include "store/store_redis_rights.h"
#include "store/store_redis_script.h"
#include "store/store_redis_talk.h"

#define PINGS          100
#define OFFSET_WARN_US 1000000
#define PING_WARN_US   5000

/* Owner: store_redis_probe. */
struct probe {
    const struct store_redis_conf *conf;
    struct store_redis_findings *findings;
    struct store_redis_talk talk;
    bool is_of_several;       /* findings say which server they are about */
    struct span at;           /* the server that is looked at, */
    bool is_replica;          /* which is one; */
    unsigned masters;         /* how many were none */
    unsigned needed, missing; /* rights */
    struct store_redis_map map;
};

__attribute__((format(printf, 4, 5))) static void find(struct probe *probe,
                                                       enum store_redis_finding_level level,
                                                       const char *check, const char *format, ...)
{
    struct store_redis_findings *findings = probe->findings;
    va_list args;
    findings->warnings += level == STORE_REDIS_WARNING;
    findings->problems += level == STORE_REDIS_PROBLEM;
    if (findings->count == STORE_REDIS_FINDINGS_MAX)
        return;
    struct store_redis_finding *finding = &findings->list[findings->count++];
    size_t at = 0;
    finding->level = level;
    finding->check = check;
    if (probe->at.len != 0 && (probe->is_of_several || strcmp(check, "connection") == 0))
        at = (size_t)snprintf(
            finding->text, NET_ADDRESS_TEXT_MAX + 3, "%.*s: ",
            (int)(probe->at.len < NET_ADDRESS_TEXT_MAX ? probe->at.len : NET_ADDRESS_TEXT_MAX),
            probe->at.ptr);
    va_start(args, format);
    vsnprintf(finding->text + at, sizeof(finding->text) - at, format, args);
    va_end(args);
}

static bool say(struct probe *probe, const char *words)
{
    bool was_broken = probe->talk.is_broken;
    bool is_good = store_redis_talk_say(&probe->talk, words);
    if (!is_good && !was_broken)
        find(probe, STORE_REDIS_PROBLEM, "connection", "%s", probe->talk.why);
    return is_good;
}

/* ---- looking ---- */

static bool lacks(struct probe *probe, const struct store_redis_right *right)
{
    char rule[STORE_REDIS_RIGHT_TEXT], text[STORE_REDIS_RIGHT_TEXT];
    store_redis_right_fill(text, right->probe, probe->conf);
    if (!say(probe, text) || !store_redis_talk_is_error(&probe->talk) ||
        !store_redis_right_is_missing(right, store_redis_talk_text(&probe->talk)))
        return false;
    store_redis_right_fill(rule, right->rule, probe->conf);
    find(probe, STORE_REDIS_PROBLEM, "rights",
         "the user lacks %s, for %s (`sluice check --acl` prints all that it needs)", rule,
         right->what);
    return true;
}

static void look_at_rights(struct probe *probe, bool is_sentinel)
{
    unsigned missing = 0, needed = 0;
    for (unsigned i = 0; i < STORE_REDIS_RIGHT_COUNT && !probe->talk.is_broken; i++) {
        const struct store_redis_right *right = &STORE_REDIS_RIGHTS[i];
        if (!store_redis_right_is_needed(right, probe->conf, is_sentinel))
            continue;
        needed++;
        if (right->where != STORE_REDIS_RIGHT_LISTEN)
            missing += lacks(probe, right);
    }
    probe->needed = needed;
    probe->missing = missing;
}

/* Behind all else, since the connection only listens from then on. */
static void look_at_listening(struct probe *probe)
{
    unsigned missing = probe->missing;
    for (unsigned i = 0; i < STORE_REDIS_RIGHT_COUNT; i++) {
        if (STORE_REDIS_RIGHTS[i].where == STORE_REDIS_RIGHT_LISTEN)
            missing += lacks(probe, &STORE_REDIS_RIGHTS[i]);
    }
    if (missing == 0 && !probe->talk.is_broken)
        find(probe, STORE_REDIS_FINE, "rights", "all %u that are needed", probe->needed);
}

/* A line "name:value" of INFO, copied. */
static bool info(const struct probe *probe, const char *name, char out[64])
{
    struct span text = store_redis_talk_text(&probe->talk);
    const char *at = memmem(text.ptr, text.len, name, strlen(name));
    out[0] = '\0';
    if (store_redis_talk_is_error(&probe->talk) || at == NULL)
        return false;
    at += strlen(name);
    struct span rest = {at, text.len - (size_t)(at - text.ptr)};
    snprintf(out, 64, "%.*s", (int)(span_find(rest, '\r') < 63 ? span_find(rest, '\r') : 63), at);
    return true;
}

/* One of several that are configured, of which one has to be the master. */
static bool may_be_replica(const struct probe *probe)
{
    return probe->is_of_several && probe->conf->topology == STORE_REDIS_STANDALONE;
}

static void look_at_server(struct probe *probe)
{
    struct store_redis_server server = {0};
    char why[STORE_REDIS_WHY_BYTES];
    if (!say(probe, "INFO server"))
        return;
    const char *fault = store_redis_greet_judge(STORE_REDIS_INFO, probe->conf,
                                                &probe->talk.parser.reply, &server, why);
    if (store_redis_talk_is_error(&probe->talk))
        find(probe, STORE_REDIS_WARNING, "version", "not told");
    else if (fault != NULL)
        find(probe, STORE_REDIS_PROBLEM, "version", "%s", fault);
    else
        find(probe, STORE_REDIS_FINE, "version", "%s", server.version);
    if (!say(probe, "ROLE") || store_redis_talk_is_error(&probe->talk))
        return; /* a missing right, which has been said */
    fault = store_redis_greet_judge(STORE_REDIS_ROLE, probe->conf, &probe->talk.parser.reply,
                                    &server, why);
    probe->is_replica = fault != NULL;
    if (fault == NULL)
        find(probe, STORE_REDIS_FINE, "role", "master");
    else if (may_be_replica(probe))
        find(probe, STORE_REDIS_FINE, "role", "replica: it counts once it is made the master");
    else
        find(probe, STORE_REDIS_PROBLEM, "role", "%s", fault);
}

/* Without them nothing is granted. */
static void look_at_replicas(struct probe *probe)
{
    char text[64];
    uint64_t count;
    const uint32_t wanted = probe->conf->durable_replicas;
    if (!probe->conf->is_durable || probe->is_replica || !say(probe, "INFO replication") ||
        !info(probe, "connected_slaves:", text) || !parse_u64(span_of(text), &count))
        return;
    bool is_short = count < wanted;
    find(probe, is_short ? STORE_REDIS_PROBLEM : STORE_REDIS_FINE, "durable",
         "%llu replicas follow it, %u must acknowledge a grant%s", (unsigned long long)count,
         (unsigned)wanted, is_short ? ": nothing will be granted" : "");
}

static void look_at_memory(struct probe *probe)
{
    char policy[64], most[64];
    if (!say(probe, "INFO memory") || !info(probe, "maxmemory_policy:", policy))
        return;
    info(probe, "maxmemory_human:", most);
    if (strcmp(policy, "noeviction") == 0)
        find(probe, STORE_REDIS_FINE, "memory", "maxmemory %s, noeviction", most);
    else
        find(probe, STORE_REDIS_PROBLEM, "memory",
             "maxmemory-policy is %s: an evicted counter is a quota given twice; CONFIG SET "
             "maxmemory-policy noeviction",
             policy);
}

static void look_at_persistence(struct probe *probe)
{
    char aof[64], saved[64];
    if (!say(probe, "INFO persistence") || !info(probe, "aof_enabled:", aof))
        return;
    info(probe, "rdb_last_bgsave_status:", saved);
    if (strcmp(saved, "ok") != 0)
        find(probe, STORE_REDIS_PROBLEM, "persistence",
             "its last save to disk failed: it may refuse writes (MISCONF); see its log");
    else if (strcmp(aof, "1") == 0)
        find(probe, STORE_REDIS_FINE, "persistence", "append-only file");
    else
        find(probe, STORE_REDIS_FINE, "persistence",
             "no append-only file: after a restart counters begin where the proxies last saw them");
}

static void look_at_clock(struct probe *probe)
{
    uint64_t before_us = clock_wall_us(), second, micro;
    if (!say(probe, "TIME") || store_redis_talk_is_error(&probe->talk))
        return;
    uint64_t after_us = clock_wall_us();
    const struct store_redis_reply *reply = &probe->talk.parser.reply;
    if (!parse_u64(store_redis_reply_text(reply, 1), &second) ||
        !parse_u64(store_redis_reply_text(reply, 2), &micro))
        return;
    int64_t offset_us =
        (int64_t)(second * 1000000 + micro) - (int64_t)(before_us + (after_us - before_us) / 2);
    bool is_far = offset_us > OFFSET_WARN_US || offset_us < -OFFSET_WARN_US;
    find(probe, is_far ? STORE_REDIS_WARNING : STORE_REDIS_FINE, "clock", "%.3f s from ours%s",
         (double)offset_us / 1e6,
         is_far ? ": windows follow the clock of Redis; synchronise both (NTP)" : "");
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void look_at_latency(struct probe *probe)
{
    uint64_t times_us[PINGS];
    for (unsigned i = 0; i < PINGS; i++) {
        uint64_t begin_us = clock_mono_us();
        if (!say(probe, "PING"))
            return;
        times_us[i] = clock_mono_us() - begin_us;
    }
    qsort(times_us, PINGS, sizeof(times_us[0]), compare);
    uint64_t median_us = times_us[PINGS / 2], most_us = times_us[PINGS - 1];
    bool is_slow = median_us > PING_WARN_US || most_us > probe->conf->decision_timeout_us;
    find(probe, is_slow ? STORE_REDIS_WARNING : STORE_REDIS_FINE, "latency",
         "PING median %.3f ms, slowest of %d %.3f ms%s", (double)median_us / 1e3, PINGS,
         (double)most_us / 1e3, is_slow ? " (decision_timeout is to be well above it)" : "");
}

/* On the node that has it. */
static void look_at_secret(struct probe *probe)
{
    char text[STORE_REDIS_RIGHT_TEXT];
    if (probe->conf->secret_fingerprint.len == 0 || probe->is_replica)
        return;
    store_redis_right_fill(text, "GET {p}" STORE_REDIS_SECRET_KEY, probe->conf);
    if (!say(probe, text) || store_redis_talk_is_error(&probe->talk))
        return;
    struct span there = store_redis_talk_text(&probe->talk);
    if (there.len == 0)
        find(probe, STORE_REDIS_FINE, "secret", "no other proxy of this prefix has run lately");
    else if (span_eq(there, probe->conf->secret_fingerprint))
        find(probe, STORE_REDIS_FINE, "secret", "the same as the other proxies'");
    else
        find(probe, STORE_REDIS_PROBLEM, "secret", "%s", STORE_REDIS_OTHER_SECRET);
}

/* ---- servers ---- */

static bool open_at(struct probe *probe, struct span at, enum store_redis_duty duty,
                    enum store_redis_finding_level unreached)
{
    bool is_reached = false;
    probe->at = at;
    if (store_redis_talk_open(&probe->talk, at, duty, &is_reached)) {
        probe->findings->is_reached |= store_redis_duty_counts(duty);
        find(probe, STORE_REDIS_FINE, "connection", "%s",
             duty == STORE_REDIS_SENTINEL ? "a sentinel" : "let in");
        return true;
    }
    find(probe, is_reached ? STORE_REDIS_PROBLEM : unreached, "connection", "%s", probe->talk.why);
    return false;
}

/* A server that counts, or will.  False: it cannot be reached. */
static bool look(struct probe *probe, struct span at, enum store_redis_duty duty,
                 enum store_redis_finding_level unreached)
{
    char text[STORE_REDIS_RIGHT_TEXT];
    if (!open_at(probe, at, duty, unreached))
        return false;
    probe->is_replica = false;
    store_redis_right_fill(text, "SELECT {db}", probe->conf);
    if (probe->conf->database != 0 && say(probe, text) && store_redis_talk_is_error(&probe->talk))
        find(probe, STORE_REDIS_PROBLEM, "database", "%.*s",
             (int)store_redis_talk_text(&probe->talk).len, store_redis_talk_text(&probe->talk).ptr);
    look_at_rights(probe, false);
    look_at_server(probe);
    look_at_replicas(probe);
    look_at_memory(probe);
    look_at_persistence(probe);
    look_at_clock(probe);
    look_at_latency(probe);
    look_at_secret(probe);
    look_at_listening(probe);
    probe->masters += !probe->is_replica;
    return true;
}

/* ---- where they are ---- */

static void look_at_servers(struct probe *probe)
{
    const struct store_redis_conf *conf = probe->conf;
    bool is_one = conf->server_count == 1;
    unsigned reached = 0;
    probe->is_of_several = !is_one;
    for (unsigned i = 0; i < conf->server_count; i++)
        reached += look(probe, conf->servers[i].text, STORE_REDIS_STORE,
                        is_one ? STORE_REDIS_PROBLEM : STORE_REDIS_WARNING);
    probe->at = SPAN_NONE;
    if (is_one || probe->masters == 1)
        return;
    if (reached == 0)
        find(probe, STORE_REDIS_PROBLEM, "servers", "none of %u can be reached",
             conf->server_count);
    else if (probe->masters == 0)
        find(probe, STORE_REDIS_PROBLEM, "servers", "none of %u is a master", conf->server_count);
    else
        find(probe, STORE_REDIS_PROBLEM, "servers",
             "%u are masters: proxies that use different ones do not share their counts; make all "
             "but one its replicas",
             probe->masters);
}

/* True: this sentinel has named a master, which is in text. */
static bool ask_sentinel(struct probe *probe, char text[NET_ADDRESS_TEXT_MAX], unsigned *len)
{
    char words[STORE_REDIS_RIGHT_TEXT];
    uint64_t port = 0;
    const struct store_redis_reply *reply = &probe->talk.parser.reply;
    store_redis_right_fill(words, "SENTINEL get-master-addr-by-name {m}", probe->conf);
    if (!say(probe, words))
        return false;
    if (reply->types[0] == STORE_REDIS_ARRAY && reply->count == 3 &&
        parse_u64(store_redis_reply_text(reply, 2), &port))
        *len = store_redis_map_join(text, store_redis_reply_text(reply, 1), port);
    else if (!store_redis_talk_is_error(&probe->talk))
        find(probe, STORE_REDIS_PROBLEM, "sentinel", "it knows no master \"%.*s\"",
             (int)probe->conf->master.len, probe->conf->master.ptr);
    else if (probe->missing == 0) /* else it has been said */
        find(probe, STORE_REDIS_PROBLEM, "sentinel", "it does not answer as a sentinel: %.*s",
             (int)store_redis_talk_text(&probe->talk).len, store_redis_talk_text(&probe->talk).ptr);
    return *len != 0;
}

static void look_at_sentinels(struct probe *probe)
{
    const struct store_redis_conf *conf = probe->conf;
    char master[NET_ADDRESS_TEXT_MAX], text[NET_ADDRESS_TEXT_MAX];
    unsigned master_len = 0;
    probe->is_of_several = true;
    for (unsigned i = 0; i < conf->server_count; i++) {
        unsigned len = 0;
        if (!open_at(probe, conf->servers[i].text, STORE_REDIS_SENTINEL, STORE_REDIS_WARNING))
            continue;
        look_at_rights(probe, true);
        if (!ask_sentinel(probe, text, &len))
            continue;
        bool is_other = master_len != 0 && (len != master_len || memcmp(text, master, len) != 0);
        find(probe, is_other ? STORE_REDIS_WARNING : STORE_REDIS_FINE, "sentinel",
             "it names %.*s%s", (int)len, text,
             is_other ? ", not the same as the first one: a failover may be going on" : "");
        if (master_len == 0)
            memcpy(master, text, master_len = len);
    }
    probe->at = SPAN_NONE;
    if (master_len == 0)
        find(probe, STORE_REDIS_PROBLEM, "sentinel", "none of %u names the master",
             conf->server_count);
    else
        (void)look(probe, (struct span){master, master_len}, STORE_REDIS_STORE,
                   STORE_REDIS_PROBLEM);
}

/* True: it has told where the slots are. */
static bool ask_node(struct probe *probe)
{
    const struct store_redis_sink sink = {store_redis_map_take, &probe->map};
    store_redis_map_begin(&probe->map, probe->at);
    probe->talk.parser.reply.sink = &sink;
    bool is_said = say(probe, "CLUSTER SLOTS");
    probe->talk.parser.reply.sink = NULL;
    if (!is_said)
        return false;
    if (store_redis_talk_is_error(&probe->talk))
        find(probe, STORE_REDIS_PROBLEM, "cluster", "%.*s",
             (int)store_redis_talk_text(&probe->talk).len, store_redis_talk_text(&probe->talk).ptr);
    else if (probe->map.is_bad || probe->map.covered == 0)
        find(probe, STORE_REDIS_PROBLEM, "cluster", "it knows no slots");
    return !store_redis_talk_is_error(&probe->talk) && !probe->map.is_bad &&
           probe->map.covered != 0;
}

static void look_at_cluster(struct probe *probe)
{
    const struct store_redis_conf *conf = probe->conf;
    bool is_asked = false;
    probe->is_of_several = true;
    for (unsigned i = 0; i < conf->server_count && !is_asked; i++)
        is_asked = open_at(probe, conf->servers[i].text, STORE_REDIS_GUIDE, STORE_REDIS_WARNING) &&
                   ask_node(probe);
    probe->at = SPAN_NONE;
    if (!is_asked) {
        find(probe, STORE_REDIS_PROBLEM, "cluster", "none of %u servers tells where its slots are",
             conf->server_count);
        return;
    }
    bool is_whole = store_redis_map_is_whole(&probe->map);
    find(probe, is_whole ? STORE_REDIS_FINE : STORE_REDIS_PROBLEM, "cluster",
         "%u of %u slots on %u masters%s", probe->map.covered, (unsigned)STORE_REDIS_SLOT_COUNT,
         probe->map.node_count,
         is_whole ? "" : ": subjects of the others are decided by on_failure");
    for (unsigned i = 0; i < probe->map.node_count; i++) {
        const struct store_redis_map_node *node = &probe->map.list[i];
        (void)look(probe, (struct span){node->text, node->len}, STORE_REDIS_SHARD,
                   STORE_REDIS_PROBLEM);
    }
}

enum err store_redis_probe(struct store_redis_findings *findings,
                           const struct store_redis_conf *conf)
{
    static void (*const look_at[])(struct probe * probe) = {
        [STORE_REDIS_STANDALONE] = look_at_servers,
        [STORE_REDIS_SENTINELS] = look_at_sentinels,
        [STORE_REDIS_CLUSTER] = look_at_cluster,
    };
    struct probe *probe = calloc(1, sizeof(*probe));
    memset(findings, 0, sizeof(*findings));
    enum err err = probe == NULL ? ERR_NOMEM : store_redis_talk_init(&probe->talk, conf);
    if (err == ERR_OK) {
        probe->conf = conf;
        probe->findings = findings;
        look_at[conf->topology](probe);
        store_redis_talk_fini(&probe->talk);
    }
    free(probe);
    return err;
}
