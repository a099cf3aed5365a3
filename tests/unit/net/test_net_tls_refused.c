/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_tls_refused.c - a server that refuses us says why before it hangs up; whoever is writing meanwhile, and meets
 * the reset, tells what it said. */
#include "net/net_tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_stream.h"

static EVP_PKEY *key;
static X509 *certificate;

static int setup(void **state)
{
    (void)state;
    key = EVP_EC_gen("P-256");
    certificate = X509_new();
    assert_non_null(key);
    assert_non_null(certificate);
    X509_NAME *name = X509_get_subject_name(certificate);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"server", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(certificate, name), 1);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    X509_free(certificate);
    EVP_PKEY_free(key);
    return 0;
}

/* TCP, since only there is a reset. */
static void connect_pair(int *ours, int *theirs)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    *ours = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(connect(*ours, (struct sockaddr *)&address, len) == 0 || errno == EINPROGRESS);
    *theirs = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(*theirs >= 0);
    close(listener);
}

/* The server has our last word of the handshake, and refuses. */
static void refuse(SSL *server, int fd)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int result;
    while ((result = SSL_accept(server)) < 0 &&
           SSL_get_error(server, result) == SSL_ERROR_WANT_READ) {
    }
    assert_int_equal(SSL_get_error(server, result), SSL_ERROR_SSL);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(fd);
}

static void test_who_writes_into_a_reset_tells_why(void **state)
{
    const struct net_tls_conf conf = {.is_unverified = true, .is_1_3 = true};
    char why[NET_TLS_WHY_BYTES];
    enum net_tls_part part;
    struct net_stream stream = {.fd = -1};
    int ours, theirs;
    enum err err;
    ssize_t n = 1;
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL *server = SSL_new(context);
    struct net_tls *tls = net_tls_new(&conf, &part, why);
    assert_non_null(tls);
    connect_pair(&ours, &theirs);
    assert_int_equal(SSL_set_fd(server, theirs), 1);
    net_stream_adopt(&stream, NULL, ours, NULL, NULL);
    assert_int_equal(net_tls_begin(&stream, tls, SPAN("server")), ERR_OK);
    while ((err = net_tls_shake(&stream)) == ERR_AGAIN) {
        (void)SSL_accept(server);
        stream.is_readable = stream.is_writable = true;
    }
    assert_int_equal(err, ERR_OK); /* TLS 1.3: our last word of the handshake needs no answer */
    refuse(server, theirs);
    for (unsigned tries = 0; n > 0 && tries < 1000; tries++)
        n = net_stream_write(&stream, "PING\r\n", 6);
    assert_true(n < 0 && errno != EAGAIN);
    assert_string_equal(net_tls_why(&stream),
                        "it wants a certificate of ours: give \"certificate\" and \"key\"");
    net_stream_close(&stream);
    net_tls_free(tls);
    SSL_free(server);
    SSL_CTX_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_writes_into_a_reset_tells_why),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
