/* SPDX-License-Identifier: Apache-2.0
 *
 * What unit tests share: cmocka with the headers it wants before it, and a folder of their own that is removed again.
 * tmp_dir_setup puts the folder's path into *state.
 */
#pragma once

#include "common/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>

static inline int tmp_dir_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    char *dir = NULL;
    if (asprintf(&dir, "%s/vonggac-test-XXXXXX", base ? base : "/tmp") < 0 || !mkdtemp(dir))
        return -1;
    *state = dir;
    return 0;
}

static inline int tmp_dir_remove_(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static inline int tmp_dir_teardown(void **state)
{
    int r = nftw(*state, tmp_dir_remove_, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return r;
}
