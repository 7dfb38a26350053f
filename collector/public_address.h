/* SPDX-License-Identifier: Apache-2.0
 *
 * Which addresses may leave the house. Reports to the national centre never list internal addresses (Thông tư 20/2017,
 * part I of the form), so everything that is sent passes here.
 */
#pragma once

#include "common/base.h"

#include <arpa/inet.h>

/* 0 with the canonical text when `text` is one global unicast address; -ENOENT when it is an internal or special one;
 * -EINVAL when it is no address. The documentation ranges (RFC 5737, RFC 3849) count as global: demonstrations use them
 * for the attackers. An IPv4-mapped IPv6 address is taken as IPv4. */
int public_address(struct str text, char ret[static INET6_ADDRSTRLEN], bool *ret_is_ipv6);
