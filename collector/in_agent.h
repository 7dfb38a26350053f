/* SPDX-License-Identifier: Apache-2.0
 *
 * The agents' port: accepts connections, tells agents from strangers, hands batches to ingest and acknowledgements back.
 * The protocol is in frame.h. Everything a stranger can reach is limited: connections in all and from one address, time
 * to shake hands and to say something, size of what is said.
 *
 *     accepted -> handshake -+- certificate of an agent in good standing -> HELLO expected -> WELCOME, open
 *                            +- no certificate -> ENROL expected -> CERT, done
 *                            +- certificate of an unknown or revoked agent -> BYE_DENIED
 */
#pragma once

#include "collector/collector.h"

#define IN_AGENT_HEARTBEAT_S    10
#define IN_AGENT_WINDOW_BATCHES 64 /* an agent may have this many sent and not acknowledged */

struct in_agent;

/* Runs on c->loop. Needs c->writer. 0 or negative errno, logged. */
int in_agent_start(struct collector *c);

uint16_t in_agent_port(const struct in_agent *in); /* the one listened on: listen.port, or the free one taken for 0 */

/* Stops reading, waits for the writer, sends the last acknowledgements and BYE. */
void in_agent_stop(struct collector *c);
