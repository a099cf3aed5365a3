/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_proxied.c - see upstream_proxied.h.  Each connection stands in the bucket of its header's hash as long as it
 * lives: with a client each there may be thousands, of which one is looked for. */
#include "upstream/upstream_proxied.h"

#include <stdlib.h>
#include <string.h>

#include "upstream/upstream_conn.h"

#define PROXIED_BUCKETS 256 /* a power of two */

/* Owner: its connection.  Freed by: upstream_proxied_end.  Thread: the worker's. */
struct upstream_proxied {
    struct list node; /* in a bucket */
    struct upstream_conn *conn;
    bool is_told;
    uint8_t len;
    char header[NET_PROXY_WRITTEN_MAX];
};

struct upstream_proxied_table {
    struct list buckets[PROXIED_BUCKETS];
};

struct upstream_proxied_table *upstream_proxied_table_new(void)
{
    struct upstream_proxied_table *table = malloc(sizeof(*table));
    for (unsigned i = 0; table != NULL && i < PROXIED_BUCKETS; i++)
        list_init(&table->buckets[i]);
    return table;
}

void upstream_proxied_table_free(struct upstream_proxied_table *table)
{
    free(table);
}

/* FNV-1a.  A client that chose addresses to meet in one bucket would make itself wait for a longer list, of the pool's size
 * at most. */
static unsigned proxied_bucket(struct span header)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < header.len; i++)
        hash = (hash ^ (unsigned char)header.ptr[i]) * 16777619U;
    return (hash ^ hash >> 16) % PROXIED_BUCKETS;
}

bool upstream_proxied_begin(struct upstream_conn *conn, struct upstream_proxied_table *table,
                            struct span header)
{
    struct upstream_proxied *proxied = malloc(sizeof(*proxied));
    if (proxied == NULL)
        return false;
    proxied->conn = conn;
    proxied->is_told = false;
    proxied->len = (uint8_t)header.len;
    memcpy(proxied->header, header.ptr, header.len);
    list_init(&proxied->node);
    list_push_front(&table->buckets[proxied_bucket(header)], &proxied->node);
    conn->proxied = proxied;
    return true;
}

void upstream_proxied_end(struct upstream_conn *conn)
{
    if (conn->proxied == NULL)
        return;
    list_remove(&conn->proxied->node);
    free(conn->proxied);
    conn->proxied = NULL;
}

enum err upstream_proxied_tell(struct upstream_conn *conn)
{
    struct upstream_proxied *proxied = conn->proxied;
    if (proxied->is_told)
        return ERR_OK;
    enum err err = net_stream_preface(&conn->stream, proxied->header, proxied->len);
    proxied->is_told = err == ERR_OK;
    return err;
}

struct upstream_conn *upstream_proxied_find_idle(const struct upstream_proxied_table *table,
                                                 struct span header)
{
    LIST_EACH (node, &table->buckets[proxied_bucket(header)]) {
        const struct upstream_proxied *proxied = LIST_OF(node, struct upstream_proxied, node);
        if (proxied->conn->state == UPSTREAM_CONN_IDLE &&
            span_eq((struct span){proxied->header, proxied->len}, header))
            return proxied->conn;
    }
    return NULL;
}
