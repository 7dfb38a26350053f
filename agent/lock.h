/* SPDX-License-Identifier: Apache-2.0
 *
 * One agent a state folder: a lock that the kernel drops when the process ends, however it ends.
 */
#pragma once

/* 0 and an open descriptor that holds the lock; -EWOULDBLOCK: another agent has it; another negative errno. */
int lock_take(const char *state_dir, int *ret_fd);
