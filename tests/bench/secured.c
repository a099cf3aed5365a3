/* SPDX-License-Identifier: Apache-2.0 */
/* secured.c - see secured.h. */
#include "secured.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

static enum secured_mode mode;
static SSL_CTX *context;

/* What a proxy gives is for the next connection of the place; of several the last one is kept. */
static int take_session(SSL *ssl, SSL_SESSION *session)
{
    struct secured *secured = SSL_get_app_data(ssl);
    SSL_SESSION_free(secured->session);
    secured->session = session;
    return 1;
}

bool secured_init(const char *word)
{
    mode = strcmp(word, "full") == 0      ? SECURED_FULL
           : strcmp(word, "resumed") == 0 ? SECURED_RESUMED
                                          : SECURED_OFF;
    context = SSL_CTX_new(TLS_client_method());
    if (mode == SECURED_OFF || context == NULL)
        return false;
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (mode == SECURED_RESUMED) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, take_session);
    }
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") == 1 &&
           SSL_CTX_set1_groups_list(context, "X25519") == 1;
}

bool secured_is_on(void)
{
    return mode != SECURED_OFF;
}

bool secured_open(struct secured *secured, int fd)
{
    secured->ssl = SSL_new(context);
    secured->is_judged = false;
    if (secured->ssl == NULL || SSL_set_fd(secured->ssl, fd) != 1 ||
        SSL_set_app_data(secured->ssl, secured) != 1)
        return false;
    SSL_set_connect_state(secured->ssl);
    return secured->session == NULL || SSL_set_session(secured->ssl, secured->session) == 1;
}

void secured_close(struct secured *secured)
{
    if (secured->ssl != NULL) /* else a session whose connection broke off would be spoilt */
        SSL_set_shutdown(secured->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(secured->ssl);
    secured->ssl = NULL;
}

/* A proxy that resumes where it should not, or does not where it should, has another job than the others. */
static bool is_as_planned(struct secured *secured)
{
    if (secured->is_judged || !SSL_is_init_finished(secured->ssl))
        return true;
    secured->is_judged = true;
    return SSL_session_reused(secured->ssl) == (secured->session != NULL);
}

/* -1 and errno; 0: the peer has ended. */
static ssize_t tell(struct secured *secured, int fd, int result)
{
    char byte;
    switch (SSL_get_error(secured->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN: /* whoever closes first has to remember the connection: the proxy */
        return recv(fd, &byte, 1, 0);
    case SSL_ERROR_SYSCALL:
        if (errno == 0)
            errno = EPROTO;
        return -1;
    default:
        if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            return 0;
        errno = EPROTO;
        return -1;
    }
}

ssize_t secured_send(struct secured *secured, int fd, const void *bytes, size_t len, int flags)
{
    size_t count;
    if (mode == SECURED_OFF)
        return send(fd, bytes, len, flags);
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(secured->ssl, bytes, len, &count);
    if (!is_as_planned(secured)) {
        errno = EPROTO;
        return -1;
    }
    if (result == 1)
        return (ssize_t)count;
    ssize_t told = tell(secured, fd, result);
    if (told == 0)
        errno = ECONNRESET;
    return -1;
}

ssize_t secured_recv(struct secured *secured, int fd, void *bytes, size_t len)
{
    size_t count;
    if (mode == SECURED_OFF)
        return recv(fd, bytes, len, 0);
    ERR_clear_error();
    errno = 0;
    int result = SSL_read_ex(secured->ssl, bytes, len, &count);
    return result == 1 ? (ssize_t)count : tell(secured, fd, result);
}
