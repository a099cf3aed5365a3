/* SPDX-License-Identifier: Apache-2.0 */
/* admin_dashboard.h - the page that shows what /v1/live tells, as it stands in the program.  CMake makes it of the files in
 * src/admin/dashboard, with a policy that names the hashes of its style and its script. */
#ifndef SLUICE_ADMIN_ADMIN_DASHBOARD_H
#define SLUICE_ADMIN_ADMIN_DASHBOARD_H

#include <stddef.h>

extern const unsigned char admin_dashboard_page[];
extern const size_t admin_dashboard_page_bytes;
extern const char admin_dashboard_policy[]; /* of Content-Security-Policy */

#endif
