/* SPDX-License-Identifier: Apache-2.0 */
/* secured.h - TLS for the load generator: what send and recv do, on a connection that begins with a handshake.  Takes: connected
 * sockets.  Gives: plain bytes.  Offers one version, one cipher and one curve, so that no proxy can choose cheaper ones than
 * another; believes whoever answers, since the proxies are measured and not the load. */
#ifndef SECURED_H
#define SECURED_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

enum secured_mode {
    SECURED_OFF,
    SECURED_FULL, /* every handshake is a whole one */
    SECURED_RESUMED, /* a place's first one is whole, each other resumes the session of the one before */
};

/* One place for connections, one after the other.  Owner: who has the socket.  Zeroed at first. */
struct secured {
    SSL *ssl; /* NULL: none, or not secured */
    SSL_SESSION *session;
    bool is_judged; /* its handshake was what the mode says */
};

/* "full" or "resumed"; false: another word, or OpenSSL does not do what is asked. */
bool secured_init(const char *word);
bool secured_is_on(void);

/* False: no memory. */
bool secured_open(struct secured *secured, int fd);
void secured_close(struct secured *secured);

/* As send(2) and recv(2) of a socket that does not block; EPROTO: TLS failed, or a handshake was not what the mode says. */
ssize_t secured_send(struct secured *secured, int fd, const void *bytes, size_t len, int flags);
ssize_t secured_recv(struct secured *secured, int fd, void *bytes, size_t len);

#endif
