/* SPDX-License-Identifier: Apache-2.0
 *
 * A listening TCP socket from what the configuration says. "::" takes IPv6 and IPv4 on one socket; where the machine has no
 * IPv6 at all it falls back to IPv4.
 */
#pragma once

#include "common/diag.h"

/* Address: a literal. port 0: a free one, which *ret_port names. 0 with a non-blocking socket, or negative errno. */
int listen_tcp(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port, struct diag *diag);
