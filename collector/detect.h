/* SPDX-License-Identifier: Apache-2.0
 *
 * The detection thread: follows the archive by position, evaluates every record once, and commits alerts, stream ends and
 * its position in one transaction. After a start or a reload of the rules it first reads back as far as correlations
 * reach, so that their state is what it would be without the interruption.
 */
#pragma once

#include "collector/collector.h"

struct detect;

/* Needs c->content and c->durable_end. 0 or negative errno, logged. */
int detect_start(struct collector *c);
void detect_stop(struct collector *c); /* commits what is evaluated */

void detect_reload(struct collector *c); /* any thread: load the content anew, soon */
