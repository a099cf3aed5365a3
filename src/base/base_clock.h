/* SPDX-License-Identifier: Apache-2.0 */
/* base_clock.h - the two clocks.  Pure code takes the time as an argument and never calls these. */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in microseconds. */
uint64_t clock_mono_us(void);

/* CLOCK_REALTIME in microseconds since 1970-01-01 UTC. */
uint64_t clock_wall_us(void);

#endif
