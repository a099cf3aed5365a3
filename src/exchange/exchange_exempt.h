/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_exempt.h - requests that a quota does not count.  Takes: the quota's list, and what is known of the request.
 * Gives: does it name this one?  Pure. */
#ifndef SLUICE_EXCHANGE_EXEMPT_H
#define SLUICE_EXCHANGE_EXEMPT_H

#include "base/base_ip.h"
#include "http/http_head.h"
#include "quota/quota.h"

/* By what the request is and where it comes from. */
bool exchange_exempt_by_request(const struct quota_exempt *exempt, const struct http_head *head,
                                const struct ip *client_ip);
/* By the mac of a subject of the quota's key. */
bool exchange_exempt_by_subject(const struct quota_exempt *exempt, const uint8_t subject[16]);

#endif
