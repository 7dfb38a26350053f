/* SPDX-License-Identifier: Apache-2.0
 *
 * What benchmarks print: one line a measurement, always the same columns, so that runs can be compared.
 */
#pragma once

#include "common/time.h"

#include <stdio.h>
#include <sys/resource.h>

/* An event is a log line; bytes are raw bytes of them. */
static inline void bench_print(const char *what, uint64_t events, uint64_t bytes, int64_t took_ns)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("%-34s %12.0f events/s %8.1f ns/event %8.1f MB/s %6ld KiB RSS\n", what,
           (double)events / (double)took_ns * 1e9, (double)took_ns / (double)(events ? events : 1),
           (double)bytes / (double)took_ns * 1e3, use.ru_maxrss);
    fflush(stdout);
}
