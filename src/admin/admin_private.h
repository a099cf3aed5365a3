/* SPDX-License-Identifier: Apache-2.0 */
/* admin_private.h - what the files of this module tell each other; included nowhere else. */
#ifndef SLUICE_ADMIN_PRIVATE_H
#define SLUICE_ADMIN_PRIVATE_H

#include <jansson.h>

#include "admin/admin.h"
#include "admin/admin_query.h"
#include "base/base_list.h"
#include "http/http_head.h"
#include "lease/lease_operate.h"
#include "net/net_listener.h"
#include "net/net_stream.h"

struct admin_conn;
struct admin_explain_job;
struct admin_job;
struct admin_tail;

#define ADMIN_CONNECTIONS_MAX 32 /* per listening socket, of which there are two at most */
#define ADMIN_HEAD_MAX        16384
#define ADMIN_FIELDS_MAX      100
#define ADMIN_BODY_MAX        ((size_t)4 << 20)
#define ADMIN_BODIES_MAX      4 /* at the same time */
#define ADMIN_DEADLINE_US     10000000
#define ADMIN_WAIT_US         60000000

/* One listening socket.  Owner: struct admin.  Freed by: admin_free.  Thread: the main loop's. */
struct admin_port {
    struct list node;
    struct admin *admin;
    struct net_listener *listener;
    int fd; /* the listener's */
    bool is_metrics_only;
    bool is_tcp;
    struct list conns; /* oldest first */
    unsigned conn_count;
};

enum admin_conn_state {
    ADMIN_CONN_READING, /* the head of the one request */
    ADMIN_CONN_BODY,    /* its body, where the endpoint takes one */
    ADMIN_CONN_WAITING, /* for the parent, for a worker, or for the store */
    ADMIN_CONN_WRITING,
    ADMIN_CONN_TAILING,   /* lines as they come: no deadline */
    ADMIN_CONN_LINGERING, /* everything is sent; for the peer to close */
};

/* What came behind the head.  Owner: the connection.  Freed by: admin_body_end. */
struct admin_body {
    char *bytes; /* malloc'ed; NULL: there is none */
    size_t len, whole;
    struct span query; /* inside the head */
    void (*answer)(struct admin_conn *conn, struct span query);
};

/* One connection, one request.  Owner: struct admin.  Freed by: admin.c.  Thread: the main loop's. */
struct admin_conn {
    struct list node; /* of the port */
    struct admin *admin;
    struct admin_port *port;
    struct net_stream stream;
    struct loop_timer deadline;
    enum admin_conn_state state;
    bool is_head;
    uint32_t ticket;
    const char *awaited;     /* what the ticket is for, in words */
    struct span path;        /* of the request; inside `in` */
    struct admin_job *job;   /* admin_subject.c's, while it waits for the store */
    struct admin_tail *tail; /* admin_tail.c's */
    size_t in_len, scanned;
    char in[ADMIN_HEAD_MAX];
    struct admin_explain_job *explain; /* admin_explain_live.c's, while it waits for the store */
    struct admin_body body;
    char *out; /* malloc'ed head and body */
    size_t out_len, out_done;
};

/* Owner: who called admin_new.  Freed by: admin_free.  Thread: the main loop's. */
struct admin {
    struct admin_env env;
    struct list ports;
    struct list tails; /* who watches the log */
    unsigned tail_count;
    struct loop_alarm *tail_alarm; /* NULL: nobody has ever watched */
    uint32_t last_ticket;
    unsigned body_count;           /* of connections that hold one */
    struct lease_operator *orders; /* what is shown, reset and granted goes through it */
};

/* admin_answer.c: judge the request and answer it or begin to. */
void admin_answer(struct admin_conn *conn, const struct http_head *head);
/* An error as RFC 9457 says; title is the reason phrase. */
void admin_send_problem(struct admin_conn *conn, unsigned status, const char *detail);
/* The same with what a configuration's check says. */
void admin_send_report(struct admin_conn *conn, unsigned status, const char *detail,
                       struct span report);
void admin_send_unauthorized(struct admin_conn *conn); /* 401 */
/* {"applied":...} or, without a difference, a problem with the text as report. */
void admin_send_reload(struct admin_conn *conn, uint32_t generation, struct span text,
                       const char *difference);

void admin_send_json(struct admin_conn *conn, unsigned status, json_t *json); /* taken */
/* Who asks, as the kernel tells it; -1: the socket does not tell. */
struct admin_peer {
    json_int_t uid, pid;
};
struct admin_peer admin_peer_of(const struct admin_conn *conn);
/* Who changes something is in both logs; see admin_audit.h for what more can be said of it. */
void admin_audit(const struct admin_conn *conn, const char *verb);

/* admin_body.c: take a body of so many bytes, of which some lie behind the head, and answer then. */
void admin_body_begin(struct admin_conn *conn, const struct http_head *head, uint64_t length_bytes,
                      struct span query,
                      void (*answer)(struct admin_conn *conn, struct span query));
void admin_body_add(struct admin_conn *conn, size_t len); /* so much more has been read */
void admin_body_end(struct admin_conn *conn);
/* admin_diff.c: begin to answer. */
void admin_diff_ask(struct admin_conn *conn, struct span query);
/* admin.c: an answer that was waited for is there. */
void admin_conn_go(struct admin_conn *conn);
/* Who waits with this ticket; NULL: nobody any more. */
struct admin_conn *admin_conn_of(struct admin *admin, uint32_t ticket);
/* The peer is gone. */
void admin_conn_drop(struct admin_conn *conn);

/* admin_subject.c: answer, or begin to.  A job that is freed is not waited for any more. */
void admin_subject_answer(struct admin_conn *conn, struct span query, enum store_order_verb verb);
void admin_job_free(struct admin_job *job);

/* admin_top.c, admin_errors.c: who takes most of each quota, and the last messages that were refused. */
struct admin_top_query {
    char quota[ADMIN_QUERY_VALUE_MAX];
    size_t quota_len; /* 0: of all */
    bool by_refused;
    bool has_both; /* the other order too */
    uint64_t limit;
};
/* An object for each quota; NULL: no memory. */
json_t *admin_top_quotas(const struct admin_facts *facts, const struct admin_top_query *query);
void admin_top_answer(struct admin_conn *conn, struct span query);
void admin_errors_answer(struct admin_conn *conn, struct span query);
/* The same of at most `limit`; NULL: no memory. */
json_t *admin_errors_json(const struct admin_facts *facts, size_t limit);
/* admin_explain_live.c: answer what the body describes, or begin to.  give_up: answer with what is known by now.  A job that
 * is freed is not waited for any more. */
void admin_explain_answer(struct admin_conn *conn, struct span query);
void admin_explain_give_up(struct admin_explain_job *job);
void admin_explain_job_free(struct admin_explain_job *job);
/* admin_upgrade.c: begin to answer. */
void admin_upgrade_ask(struct admin_conn *conn, struct span query);
/* admin_drain.c: let another process answer. */
void admin_drain_ask(struct admin_conn *conn, struct span query);
/* admin_answer.c: wait with a ticket of its own for the end of "the reload"; text of the program. */
void admin_conn_wait(struct admin_conn *conn, const char *what);

/* admin_status.c: malloc'ed JSON, NULL when out of memory; and parts of it that are told elsewhere too. */
char *admin_status_json(struct admin *admin);
json_t *admin_status_store(const struct admin *admin, const struct plan *plan);
json_t *admin_status_upstreams(const struct admin *admin, const struct plan *plan);
json_t *admin_status_connections(const struct admin *admin, const struct admin_facts *facts);

/* admin_live.c, admin_dashboard.c: all that changes, in one answer, and the page that shows it. */
void admin_live_answer(struct admin_conn *conn, struct span query);
void admin_dashboard_answer(struct admin_conn *conn, struct span query);
/* admin_answer.c: more header lines, each with its CRLF; body as there. */
void admin_send_page(struct admin_conn *conn, const char *type, const char *extra, char *body,
                     size_t len);

#endif
