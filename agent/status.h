/* SPDX-License-Identifier: Apache-2.0
 *
 * status.json in the state folder: what the running agent says about itself every few seconds, for `vonggac-agent status`
 * and whoever watches this machine. One object; "metrics" holds every counter.
 */
#pragma once

#include "agent/uplink.h"

#define STATUS_EVERY_S 3
#define STATUS_OLD_NS  (15 * NS_PER_S) /* older: the agent is not running, or hangs */

/* Writes the file anew. running false: the last words. 0 or negative errno. */
int status_write(const char *state_dir, const struct sink *sink, const struct uplink *uplink, const char *collector,
                 bool running);
