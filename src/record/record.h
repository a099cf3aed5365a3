/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - request ids and the access record.  Takes: what is known of a finished exchange.  Gives:
 * one JSON line without its beginning: {"v":1,"boot":...,"seq":N is put in front by the log writer,
 * which alone knows the number.  Pure. */
#ifndef SLUICE_RECORD_RECORD_H
#define SLUICE_RECORD_RECORD_H

#include "base/base_ip.h"
#include "base/base_rng.h"
#include "http/http_head.h"
#include "quota/quota.h"
#include "record/record_memo.h"

#define RECORD_ID_HEX     32
#define RECORD_ID_MAX     (RECORD_ID_HEX + 1 + FMT_U64_MAX + 1 + 64) /* <hex>-<ms>-<host> */
#define RECORD_LINE_MAX   8192 /* with the writer's beginning and the newline */
#define RECORD_PREFIX_MAX 64

struct record_id {
    char hex[RECORD_ID_HEX];
};

/* A new random id. */
void record_id_make(struct record_id *id, struct rng *rng);

/* "<32 hex>-<unix milliseconds>-<hostname>"; at most RECORD_ID_MAX bytes (the host is cut at 64). */
char *record_id_write(char *out, const struct record_id *id, uint64_t wall_us, struct span host);

/* Is it 32 lower-case hex, or the documented triple?  Then *id is its first part. */
bool record_id_parse(struct record_id *id, struct span text);

struct record_subject {
    struct span identity; /* its name */
    struct span text;     /* clear value or 22 characters */
};

/* Everything borrowed; empty spans and UINT64_MAX numbers are left out of the line.  Within a generation the quotas and
 * the names of listener, route, upstream, identities stay where they are, and nothing else comes to stand there; the
 * memo counts on it. */
struct record_access {
    struct record_memo *memo; /* the writer's; changed */
    uint64_t wall_us;         /* when the exchange ended */
    uint32_t generation;
    struct record_id id;
    struct span parent_id;
    struct ip client_ip, peer_ip;
    bool peer_is_unix;
    struct span peer_text; /* of peer_ip, or "unix"; empty: it is made here */
    struct span proto, method, host, path /* as judged */, query /* raw; only names are written */;
    uint64_t bytes_in, bytes_out;
    struct span listener, route, upstream, server, upstream_id;
    struct span tls; /* members as they stand in the line, a comma before each; at most 1 KiB */
    uint32_t tries;
    bool reused;
    struct span tier;
    const struct quota_decision *decision; /* NULL: decision "none" */
    const struct quota_charge *charges;
    unsigned charge_count;
    const struct quota_charge *const *shadows; /* of quotas in shadow */
    unsigned shadow_count;
    const struct quota_slot *const *slots; /* of quotas with in_flight, those in shadow too */
    unsigned slot_count;
    uint32_t cost;
    const struct record_subject *subjects;
    unsigned subject_count;
    uint16_t status;    /* 0: no response was begun */
    struct span end;    /* name of the ending */
    struct span reason; /* fault name of a refused message; may be empty */
    struct span close;  /* why the connection takes no further request; may be empty */
    uint64_t t_header_us, t_store_us, t_connect_us, t_first_us, t_total_us;
    uint64_t t_body_us;  /* 0: its body was not waited for before a server was asked */
    uint64_t t_queue_us; /* 0: it did not wait */
};

/* ,"ts":...}\n  Never more than RECORD_LINE_MAX - RECORD_PREFIX_MAX bytes: longer values are cut and
 * the line says so.  Returns the byte after. */
char *record_access_write(char *out, const struct record_access *record);

#endif
