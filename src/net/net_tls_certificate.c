/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_certificate.c - see net_tls_certificate.h. */
#include "net/net_tls_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/base_fmt.h"
#include "net/net_tls_private.h"

#define SOON_S (14 * 86400)

static void certificate_write_date(const ASN1_TIME *time, char date[16])
{
    struct tm tm;
    char *at = date;
    *at = '\0';
    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return;
    at = fmt_u64(at, (uint64_t)tm.tm_year + 1900);
    *at++ = '-';
    *at++ = (char)('0' + (tm.tm_mon + 1) / 10);
    *at++ = (char)('0' + (tm.tm_mon + 1) % 10);
    *at++ = '-';
    *at++ = (char)('0' + tm.tm_mday / 10);
    *at++ = (char)('0' + tm.tm_mday % 10);
    *at = '\0';
}

/* From one to the other; they are far less than 2^31 days apart. */
static int64_t certificate_seconds_between(const ASN1_TIME *from, const ASN1_TIME *to)
{
    int days = 0, seconds = 0;
    return ASN1_TIME_diff(&days, &seconds, from, to) == 1 ? (int64_t)days * 86400 + seconds : 0;
}

static enum net_tls_age certificate_age(const X509 *certificate, const ASN1_TIME *now,
                                        char date[16])
{
    const ASN1_TIME *begin = X509_get0_notBefore(certificate),
                    *end = X509_get0_notAfter(certificate);
    int64_t left_s = certificate_seconds_between(now, end);
    int64_t soon_s = certificate_seconds_between(begin, end) / 5;
    if (certificate_seconds_between(begin, now) < 0) {
        certificate_write_date(begin, date);
        return NET_TLS_AGE_EARLY;
    }
    certificate_write_date(end, date);
    if (left_s <= 0)
        return NET_TLS_AGE_EXPIRED;
    return left_s < (soon_s < SOON_S ? soon_s : SOON_S) ? NET_TLS_AGE_SOON : NET_TLS_AGE_GOOD;
}

enum net_tls_age net_tls_certificate_age(struct span certificate, uint64_t now_s, char date[16])
{
    BIO *bio = net_tls_pem_open(certificate);
    X509 *first = bio == NULL ? NULL : net_tls_pem_next(bio);
    ASN1_TIME *now = ASN1_TIME_set(NULL, (time_t)now_s);
    enum net_tls_age age = NET_TLS_AGE_GOOD;
    *date = '\0';
    if (first != NULL && now != NULL)
        age = certificate_age(first, now, date);
    ASN1_TIME_free(now);
    X509_free(first);
    BIO_free(bio);
    ERR_clear_error();
    return age;
}

uint64_t net_tls_certificate_until_s(struct span certificate)
{
    BIO *bio = net_tls_pem_open(certificate);
    X509 *first = bio == NULL ? NULL : net_tls_pem_next(bio);
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int64_t until_s = 0;
    if (first != NULL && epoch != NULL)
        until_s = certificate_seconds_between(epoch, X509_get0_notAfter(first));
    ASN1_TIME_free(epoch);
    X509_free(first);
    BIO_free(bio);
    ERR_clear_error();
    return until_s < 0 ? 0 : (uint64_t)until_s;
}

bool net_tls_certificate_is_ordered(struct span certificate, unsigned *index)
{
    BIO *bio = net_tls_pem_open(certificate);
    X509 *below = bio == NULL ? NULL : net_tls_pem_next(bio), *next;
    bool is_ordered = true;
    *index = 0;
    while (is_ordered && below != NULL && (next = net_tls_pem_next(bio)) != NULL) {
        ++*index;
        is_ordered = X509_check_issued(next, below) == X509_V_OK;
        X509_free(below);
        below = next;
    }
    X509_free(below);
    BIO_free(bio);
    ERR_clear_error();
    return is_ordered;
}

bool net_tls_certificate_wants_ocsp(struct span certificate)
{
    BIO *bio = net_tls_pem_open(certificate);
    X509 *first = bio == NULL ? NULL : net_tls_pem_next(bio);
    TLS_FEATURE *features =
        first == NULL ? NULL : X509_get_ext_d2i(first, NID_tlsfeature, NULL, NULL);
    bool wants = false;
    for (int i = 0; features != NULL && i < sk_ASN1_INTEGER_num(features); i++) {
        if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == TLSEXT_TYPE_status_request)
            wants = true;
    }
    TLS_FEATURE_free(features);
    X509_free(first);
    BIO_free(bio);
    ERR_clear_error();
    return wants;
}

bool net_tls_certificate_is_leaf(struct span authorities, unsigned *index)
{
    BIO *bio = authorities.len == 0 ? NULL : net_tls_pem_open(authorities);
    X509 *certificate;
    bool is_leaf = false;
    for (*index = 0; bio != NULL && (certificate = net_tls_pem_next(bio)) != NULL; ++*index) {
        is_leaf = X509_check_ca(certificate) == 0 &&
                  X509_check_issued(certificate, certificate) != X509_V_OK;
        X509_free(certificate);
        if (is_leaf)
            break;
    }
    BIO_free(bio);
    ERR_clear_error();
    return is_leaf;
}
