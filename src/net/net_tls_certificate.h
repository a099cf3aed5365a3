/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_certificate.h - what is to be said of a certificate before it is served.  Takes: it with its chain, as text (PEM) that
 * net_tls_take_certificate has accepted, and the time.  Gives: its age, and whether the chain stands in order. */
#ifndef SLUICE_NET_TLS_CERTIFICATE_H
#define SLUICE_NET_TLS_CERTIFICATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"

enum net_tls_age {
    NET_TLS_AGE_GOOD,
    NET_TLS_AGE_SOON,    /* it expires within 14 days, or within the last fifth of a short life */
    NET_TLS_AGE_EXPIRED, /* it has expired */
    NET_TLS_AGE_EARLY,   /* it is not valid yet */
};

/* Of the certificate that comes first; `date` is the day that matters ("2026-11-28").  now_s: wall clock. */
enum net_tls_age net_tls_certificate_age(struct span certificate, uint64_t now_s, char date[16]);

/* When the certificate that comes first expires, in seconds since 1970; 0: that cannot be told. */
uint64_t net_tls_certificate_until_s(struct span certificate);

/* Does each certificate of the chain stand behind the one that it has signed?  False: the one at *index does not
 * belong there (0 is the first). */
bool net_tls_certificate_is_ordered(struct span certificate, unsigned *index);

/* Does the certificate that comes first oblige its server to show an answer of OCSP along with it (RFC 7633)? */
bool net_tls_certificate_wants_ocsp(struct span certificate);

/* Is there one that can sign nobody's certificate, and is not its own authority either?  Who takes it for an authority
 * believes nobody by it.  *index: the first such one (0 is the first). */
bool net_tls_certificate_is_leaf(struct span authorities, unsigned *index);
#define NET_TLS_LEAF_WORDS                                                                         \
    "certificate %u in the file is no authority's: nobody is believed by it; give that of who "    \
    "signed it"

#endif
