/* SPDX-License-Identifier: Apache-2.0 */
/* admin_dashboard.c - see admin_dashboard.h.  Takes: a request for the page.  Gives: the page, and what a browser has to know to let
 * it do nothing but ask for /v1/live. */
#include "admin/admin_dashboard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_private.h"

#define DASHBOARD_FIELDS_MAX 1024

void admin_dashboard_answer(struct admin_conn *conn, struct span query)
{
    char fields[DASHBOARD_FIELDS_MAX];
    char *page = malloc(admin_dashboard_page_bytes);
    (void)query;
    snprintf(fields, sizeof(fields),
             "Content-Security-Policy: %s\r\n"
             "X-Content-Type-Options: nosniff\r\n"
             "X-Frame-Options: DENY\r\n"
             "Referrer-Policy: no-referrer\r\n"
             "Cross-Origin-Opener-Policy: same-origin\r\n"
             "Cross-Origin-Resource-Policy: same-origin\r\n",
             admin_dashboard_policy);
    if (page != NULL)
        memcpy(page, admin_dashboard_page, admin_dashboard_page_bytes);
    admin_send_page(conn, "text/html; charset=UTF-8", fields, page, admin_dashboard_page_bytes);
}
