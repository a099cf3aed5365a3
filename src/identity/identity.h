/* SPDX-License-Identifier: Apache-2.0 */
/* identity.h - naming the caller.  Takes: a parsed request and the client's address.  Gives: values,
 * and the keys under which quotas count them.  Nothing that a client writes leaves this module except
 * as a keyed hash or as a clear value of a kind that design allows in logs.  Pure but for the
 * per-worker cache. */
#ifndef SLUICE_IDENTITY_IDENTITY_H
#define SLUICE_IDENTITY_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_arena.h"
#include "base/base_err.h"
#include "base/base_hash.h"
#include "base/base_ip.h"
#include "base/base_span.h"
#include "http/http_framing.h"
#include "identity/identity_jwt.h"

#define IDENTITY_SOURCES_MAX 8
#define IDENTITY_KEY_BYTES   16
#define IDENTITY_TEXT_LEN    22  /* base64url of 16 bytes */
#define IDENTITY_VALUES_MAX  8   /* identities in one quota's key */
#define IDENTITY_NAME_MAX    128 /* bytes of a header's, cookie's, parameter's or path's name */
#define IDENTITY_AK_MAX      128 /* bytes of an access key */
#define IDENTITY_HOPS_MAX    64  /* trusted hops looked at; the walk ends at the last one */

enum identity_kind { /* a row of identity_kinds.def: id, spelling, takes a name, shown in clear */
#define KIND(id, spelling, takes_name, is_clear) IDENTITY_##id,
#include "identity/identity_kinds.def"
#undef KIND
    IDENTITY_KINDS
};

enum identity_missing {
    IDENTITY_MISSING_IP,
    IDENTITY_MISSING_SKIP,
    IDENTITY_MISSING_REFUSE,
    IDENTITY_MISSING_SHARED,
};

struct identity_source {
    enum identity_kind kind;
    struct span name; /* header (lower case), cookie, query parameter or path name */
    uint8_t field_id; /* header: enum http_field_id */
};

struct identity {
    struct span name;
    struct identity_source from[IDENTITY_SOURCES_MAX];
    uint8_t from_count;
    uint8_t missing;                /* enum identity_missing */
    uint8_t ipv4_prefix;            /* bits; 32 */
    uint8_t ipv6_prefix;            /* bits; 64 */
    const struct identity_jwt *jwt; /* for IDENTITY_JWT */
};

/* "ip", "header:X-Api-Key", "path:project"...; the sentence says what is wrong, NULL when nothing
 * is.  The name borrows from text; header names are compared without case. */
const char *identity_source_parse(struct identity_source *source, struct span text);

static inline bool identity_has_kind(const struct identity *identity, enum identity_kind kind)
{
    bool has = false;
    for (unsigned i = 0; i < identity->from_count; i++)
        has = has || identity->from[i].kind == kind;
    return has;
}

struct identity_cache;

/* What extraction may look at. */
struct identity_input {
    const struct http_head *head;
    const struct http_target *target;
    struct span route; /* its name */
    struct ip client_ip;
    struct span
        certificate; /* its SHA-256 as hexadecimal digits; empty: the client has shown none */
    const struct span_pair *path_names; /* as in struct route_match */
    unsigned path_name_count;
    struct arena *arena;          /* the exchange's; for the few values that must be rewritten */
    uint64_t now_s;               /* wall clock, for tokens */
    struct span project;          /* that X-Auth-Token was learned to be of; empty: unknown */
    struct identity_cache *cache; /* of proven tokens; may be NULL */
};

enum identity_result {
    IDENTITY_FOUND,
    IDENTITY_SKIPPED,   /* missing, and the rule says skip */
    IDENTITY_REFUSED,   /* missing, and the rule says refuse: 401 */
    IDENTITY_REPEATED,  /* an identity header, cookie or parameter occurs twice: 400 */
    IDENTITY_EXHAUSTED, /* no room in the arena: 503 */
};

/* May not be copied: value can point into text of the same struct. */
struct identity_value {
    enum identity_kind kind; /* what it came from; IDENTITY_IP when counted by address instead */
    bool is_shared;          /* missing: shared; value is then empty */
    struct span source_name; /* the header's, cookie's, ... name; else empty */
    struct span value; /* into the request, the input's arena, or text; never empty when found */
    char text[IP_TEXT_MAX + 4]; /* an address, masked: "203.0.113.7", "2001:db8::/64" */
};

/* Read the first source that is present.  A value that is empty or malformed is missing.  Spellings of
 * one value that servers read alike are made one:
 *   header      as sent (the parser took the white space around it)
 *   cookie      without its quotes, percent-escapes decoded; all Cookie lines are one list
 *   query       percent-escapes and "+" decoded, in the name and in the value; a broken escape stays
 *   bearer      what follows the scheme (any case) and white space; one word
 *   basic_user  the user of "Basic" (RFC 7617): canonical base64 with padding, UTF-8 without controls
 *   jwt         the claim of a bearer token that one of the identity's keys signed, while it is valid
 *   token_project  the project that the only X-Auth-Token was learned to be of (input.project)
 *   access_key  of "SDK-HMAC-SHA256" with exactly one of Access=AK and Credential=AK/...
 *   certificate the SHA-256 of the certificate that the client has shown and that was verified
 *   path        as judged
 *   host        lower case, without port and without one trailing dot
 *   ip          masked to the identity's prefix; v4-mapped is IPv4
 * Only claims, basic users, cookies and parameters with escapes, and hosts with capitals, take from the arena. */
enum identity_result identity_extract(const struct identity *identity,
                                      const struct identity_input *input,
                                      struct identity_value *value);

/* The address, masked as the identity says, as the value's text. */
void identity_value_set_ip(struct identity_value *value, const struct identity *identity,
                           const struct ip *ip);

/* The fleet's secret, ready for use; const after identity_secret_new, shared by all threads. */
struct identity_secret;
struct identity_secret *identity_secret_new(struct span secret);
void identity_secret_free(struct identity_secret *secret);

/* HMAC-SHA-256 over the values, its first 16 bytes.  Each value is three strings, each behind its length
 * as 32 bits, most significant first: the kind as identity_kinds.def spells it ("shared" for a missing
 * one that shares), the source's name (a header's in lower case), the value.  ERR_NOMEM. */
MUST_USE enum err identity_mac(const struct identity_secret *secret,
                               const struct identity_value *values, unsigned count,
                               uint8_t mac[IDENTITY_KEY_BYTES]);

/* A worker's cache of identity_mac, of what follows from it and of proven tokens: fixed size, direct-mapped,
 * found by a keyed hash of 256 bits (base_nh.h) and verified by all of it.  One cache serves any number of secrets.
 * Owner: a worker.  Freed by: identity_cache_free.  Thread: the worker's. */
struct identity_cache *identity_cache_new(unsigned entries /* a power of two */);
void identity_cache_free(struct identity_cache *cache);

/* A subject, ready for use. */
struct identity_mark {
    uint8_t mac[IDENTITY_KEY_BYTES];
    char text[IDENTITY_TEXT_LEN]; /* the mac as logs show it */
    uint32_t place;               /* the cache's */
};
MUST_USE enum err identity_cache_mark(struct identity_cache *cache,
                                      const struct identity_secret *secret,
                                      const struct identity_value *values, unsigned count,
                                      struct identity_mark *mark);
/* identity_quota_key of a mark of this cache. */
void identity_cache_key(struct identity_cache *cache, const struct identity_mark *mark,
                        const uint8_t quota_id[IDENTITY_KEY_BYTES],
                        uint8_t key[IDENTITY_KEY_BYTES]);

/* The key of a quota's subject: the subject's mac combined with the quota's own 128 bits.  quota_id
 * comes from identity_quota_id(name) once, at load.  So one subject has unrelated keys in two quotas. */
void identity_quota_id(struct span quota_name, uint8_t id[IDENTITY_KEY_BYTES]);
void identity_quota_key(const uint8_t mac[IDENTITY_KEY_BYTES],
                        const uint8_t quota_id[IDENTITY_KEY_BYTES],
                        uint8_t key[IDENTITY_KEY_BYTES]);

/* May logs and commands show values of this kind in clear?  Else the 22 characters of the mac. */
bool identity_is_clear(enum identity_kind kind);

/* Is this text, in clear, written like what stands for somebody else of this identity: an address, or the 22 characters of a
 * hash?  Who chooses his name must not be told to a server as that one. */
bool identity_is_like_another(const struct identity *identity, const struct identity_value *value);
/* Is it written like one of these at all? */
bool identity_is_like_sign(struct span text);

/* Does a value of this kind claim to be somebody, so that a server can tell whether it is true?  Not the address, the
 * route and what else the request is for, nor what is proven already. */
bool identity_is_claim(enum identity_kind kind);

/* The headers that name callers, without those that Sluice knows by number: the parser sees to these.
 * Owner: the plan. */
struct identity_headers {
    const struct span *names;
    unsigned count;
    bool has_underscore; /* one of the names */
};

/* The first field whose name a program behind CGI, WSGI and the like could not tell from one of these:
 * "X_Api_Key" for "X-Api-Key".  NULL when there is none; nearly always without looking at a field. */
const struct http_field *identity_find_alias(const struct identity_headers *headers,
                                             const struct http_head *head);

/* The line of Connection, when Connection takes one of these from the request: the server would judge somebody else
 * than who is counted.  NULL when it takes none. */
const struct http_field *identity_find_taken(const struct identity_headers *headers,
                                             const struct http_head *head);

/* Is one of these trailer lines (each whole, with its CRLF) named like one of the headers, in whatever spelling?
 * A server that merges trailers would take its value for the caller's, and it came too late to be counted. */
bool identity_names_trailer(const struct identity_headers *headers, struct span trailers);

/* The client's address: the peer's, or, when the peer is a trusted proxy, the rightmost untrusted hop
 * of the configured header; an unparseable hop ends the walk at the last good one (never leftward).
 * When every hop is trusted it is the leftmost.  Several lines of a header are one list.
 *   X-Forwarded-For  addresses, also with a port ("192.0.2.1:80", "[2001:db8::1]:80"); empty elements
 *                    are skipped
 *   Forwarded        RFC 7239; an element without one "for" that is an address ends the walk, so do
 *                    "unknown" and "_hidden"; white space around ";" is let through
 *   HEADER           exactly one line with exactly one address, else the peer's */
struct identity_trust {
    const struct ip_net *nets;
    unsigned net_count;
    bool trusts_unix;
    enum {
        IDENTITY_HOPS_XFF,
        IDENTITY_HOPS_FORWARDED,
        IDENTITY_HOPS_HEADER
    } hops;
    struct span header_name; /* IDENTITY_HOPS_HEADER, lower case */
    uint8_t header_id;
};
bool identity_trust_has(const struct identity_trust *trust, const struct ip *peer,
                        bool peer_is_unix);
struct ip identity_client_ip(const struct identity_trust *trust, const struct http_head *head,
                             const struct ip *peer, bool peer_is_unix);

#endif
