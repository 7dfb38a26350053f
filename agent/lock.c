/* SPDX-License-Identifier: Apache-2.0
 *
 * The lock file: see lock.h.
 */
#include "agent/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

int lock_take(const char *state_dir, int *ret_fd)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof(path), "%s/lock", state_dir) >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}
