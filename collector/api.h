/* SPDX-License-Identifier: Apache-2.0
 *
 * The console's API (API.md): evhttp on a Unix socket, in a thread and loop of its own. nginx is the only client; it takes
 * care of TLS, of slow and malformed requests and of how many there are. evhttp is lenient (two Content-Length headers,
 * bare line feeds), so what can still be seen of that is refused here once more.
 */
#pragma once

struct collector;
struct api;

/* A part of the collector (main.c): 0, or a negative errno after logging why. */
int api_start(struct collector *c);
void api_stop(struct collector *c); /* says good-bye to streams; returns after the request at hand */
