/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_words.c - why a peer was not believed, or did not believe us, and what an operator can do.  Takes: what
 * OpenSSL says.  Gives: one sentence, and a word of it for logs. */
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net_tls_private.h"

#define UNTRUSTED                                                                                  \
    "untrusted", "its certificate is signed by none of the authorities that are trusted here: "    \
                 "give that of its authority as \"ca\""
#define NO_TLS "no_tls", "it does not speak TLS: is this its port without TLS?"
#define NOT_OURS                                                                                   \
    "certificate_wanted", "it wants a certificate of ours: give \"certificate\" and \"key\""
#define NOT_TRUSTED "refused", "it does not accept our certificate: see its own list of authorities"
#define NO_VERSION  "version", "it has no version of TLS in common with us: see \"min_version\""

struct words {
    long code;
    const char *word, *sentence;
};

static const struct words verdicts[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, "expired", "its certificate, or its authority's, has expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "not_yet_valid",
     "its certificate is not valid yet: is a clock wrong?"},
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
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "refused", "our certificate has expired, it says"},
};

void net_tls_say(struct net_tls_session *session, const char *word, const char *sentence)
{
    free(session->why);
    session->why = strdup(sentence); /* NULL: the word says it */
    session->why_word = word;
    session->is_dead = true;
}

static const struct words *find(const struct words *words, size_t count, long code)
{
    for (size_t i = 0; i < count; i++) {
        if (words[i].code == code)
            return &words[i];
    }
    return NULL;
}

static void explain_verdict(struct net_tls_session *session, long verdict)
{
    char sentence[NET_TLS_WHY_BYTES];
    const struct words *words = find(verdicts, sizeof(verdicts) / sizeof(verdicts[0]), verdict);
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        snprintf(sentence, sizeof(sentence),
                 "its certificate is not for \"%.200s\": give a name that stands in it as "
                 "\"server_name\"",
                 session->name == NULL ? "" : session->name);
        net_tls_say(session, "wrong_name", sentence);
    } else if (words != NULL) {
        net_tls_say(session, words->word, words->sentence);
    } else {
        snprintf(sentence, sizeof(sentence), "its certificate was refused: %s",
                 X509_verify_cert_error_string(verdict));
        net_tls_say(session, "certificate", sentence);
    }
}

void net_tls_explain(struct net_tls_session *session, int error)
{
    char sentence[NET_TLS_WHY_BYTES];
    unsigned long fault = ERR_peek_last_error(); /* what led to it stands before it */
    bool is_ssl = ERR_GET_LIB(fault) == ERR_LIB_SSL;
    int reason = ERR_GET_REASON(fault);
    const char *text = ERR_reason_error_string(fault);
    const char *during = session->is_shaken ? "" : " during the TLS handshake";
    const struct words *words = NULL;
    if (is_ssl && session->server == NULL)
        words = find(reasons, sizeof(reasons) / sizeof(reasons[0]), reason);
    if (is_ssl && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        explain_verdict(session, SSL_get_verify_result(session->ssl));
    } else if (words != NULL) {
        net_tls_say(session, words->word, words->sentence);
    } else if (is_ssl && reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        snprintf(sentence, sizeof(sentence), "it closed the connection without a word%s", during);
        net_tls_say(session, "closed", sentence);
    } else if (fault != 0) {
        snprintf(sentence, sizeof(sentence), "TLS failed%s: %s", during,
                 text == NULL ? "an error without a name" : text);
        net_tls_say(session, "protocol", sentence);
    } else {
        snprintf(sentence, sizeof(sentence), "%s%s",
                 error == 0 ? "it closed the connection" : strerror(error), during);
        net_tls_say(session, "closed", sentence);
    }
}
