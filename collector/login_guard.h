/* SPDX-License-Identifier: Apache-2.0
 *
 * Brakes on guessing passwords that need no database: how often one address may try, and the same lock for names that
 * do not exist as for those that do, so that the answers do not tell which are real. Memory is fixed; when a table is
 * full the least recently used entry goes, so a flood of addresses costs an attacker the brake he already had.
 * One thread.
 */
#pragma once

#include "common/base.h"

#define LOGIN_TRIES_BURST   10 /* at once, from one IPv4 address or IPv6 /64 */
#define LOGIN_TRY_REFILL_NS (6 * NS_PER_S)

struct login_guard;

struct login_guard *login_guard_new(void); /* NULL: out of memory */
struct login_guard *login_guard_free(struct login_guard *g);

/* May this address try now? If not, *ret_wait_s says when again. */
bool login_guard_admit(struct login_guard *g, const char *address, int64_t now_ns, int64_t *ret_wait_s);

/* A name that no user has: counts a failure and returns until when it is locked, 0 when it is not. Same limits as
 * users.h. With count false it only looks. */
int64_t login_guard_unknown(struct login_guard *g, struct str name, int64_t now_ns, bool count);
