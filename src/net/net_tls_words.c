/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_words.c - why a server was not believed, or did not believe us, and what an operator can do.  Takes: what
 * OpenSSL says.  Gives: one sentence. */
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

#include "net/net_tls_private.h"

#define UNTRUSTED                                                                                  \
    "its certificate is signed by none of the authorities that are trusted here: give that of "    \
    "its authority as \"ca\""
#define NO_TLS      "it does not speak TLS: is this its port without TLS?"
#define NOT_OURS    "it wants a certificate of ours: give \"certificate\" and \"key\""
#define NOT_TRUSTED "it does not accept our certificate: see its own list of authorities"
#define NO_VERSION  "it has no version of TLS in common with us: see \"min_version\""

struct words {
    long code;
    const char *sentence;
};

static const struct words verdicts[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, "its certificate, or its authority's, has expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "its certificate is not valid yet: is a clock wrong?"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, UNTRUSTED},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, UNTRUSTED},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, UNTRUSTED},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, UNTRUSTED},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, UNTRUSTED},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, UNTRUSTED},
};

static const struct words reasons[] = {
    {SSL_R_WRONG_VERSION_NUMBER, NO_TLS},
    {SSL_R_PACKET_LENGTH_TOO_LONG, NO_TLS},
    {SSL_R_HTTP_REQUEST, NO_TLS},
    {SSL_R_UNSUPPORTED_PROTOCOL, NO_VERSION},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, NO_VERSION},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, NOT_OURS},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, NOT_OURS}, /* how 1.2 says the same */
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, NOT_TRUSTED},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, NOT_TRUSTED},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, NOT_TRUSTED},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "our certificate has expired, it says"},
};

static const char *find(const struct words *words, size_t count, long code)
{
    for (size_t i = 0; i < count; i++) {
        if (words[i].code == code)
            return words[i].sentence;
    }
    return NULL;
}

static void explain_verdict(struct net_tls_session *session, long verdict)
{
    const char *sentence = find(verdicts, sizeof(verdicts) / sizeof(verdicts[0]), verdict);
    bool is_other =
        verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH;
    if (is_other)
        snprintf(session->why, sizeof(session->why),
                 "its certificate is not for \"%.200s\": give a name that stands in it as "
                 "\"server_name\"",
                 session->name);
    else if (sentence != NULL)
        snprintf(session->why, sizeof(session->why), "%s", sentence);
    else
        snprintf(session->why, sizeof(session->why), "its certificate was refused: %s",
                 X509_verify_cert_error_string(verdict));
}

void net_tls_explain(struct net_tls_session *session, int error)
{
    unsigned long fault = ERR_peek_error();
    long verdict = SSL_get_verify_result(session->ssl);
    const char *during = session->is_shaken ? "" : " during the TLS handshake";
    const char *sentence =
        find(reasons, sizeof(reasons) / sizeof(reasons[0]), ERR_GET_REASON(fault));
    if (ERR_GET_LIB(fault) == ERR_LIB_SSL &&
        ERR_GET_REASON(fault) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        explain_verdict(session, verdict);
    else if (ERR_GET_LIB(fault) == ERR_LIB_SSL && sentence != NULL)
        snprintf(session->why, sizeof(session->why), "%s", sentence);
    else if (fault != 0)
        snprintf(session->why, sizeof(session->why), "TLS failed%s: %s", during,
                 ERR_reason_error_string(fault));
    else if (error != 0)
        snprintf(session->why, sizeof(session->why), "%s%s", strerror(error), during);
    else
        snprintf(session->why, sizeof(session->why), "it closed the connection%s", during);
}
