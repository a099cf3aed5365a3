/* SPDX-License-Identifier: Apache-2.0 */
/* main_doctor.h - the store that a plan names, looked over; and the Redis user that it needs.  Both print and give an exit
 * code. */
#ifndef SLUICE_MAIN_DOCTOR_H
#define SLUICE_MAIN_DOCTOR_H

#include "main/main_verbs.h"
#include "plan/plan.h"

int main_doctor_run(const struct plan *plan, bool is_json);
int main_doctor_acl(const struct plan *plan);

#endif
