/* SPDX-License-Identifier: Apache-2.0
 *
 * IP addresses as logs write them. Nothing here allocates.
 */
#pragma once

#include "common/base.h"

/* Whether s is one IPv4 or IPv6 address, as text: brackets and a zone ("[fe80::1%eth0]") are taken off and an
 * IPv4-mapped one ("::ffff:192.0.2.1") becomes IPv4. *ret_ip is that slice of s. */
bool address_ip(struct str s, struct str *ret_ip);

/* "host:port", "[v6]:port" or "v4:port" taken apart. False when s does not end in a port. */
bool address_split_port(struct str s, struct str *ret_host, int64_t *ret_port);
