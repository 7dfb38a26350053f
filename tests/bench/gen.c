/* SPDX-License-Identifier: Apache-2.0
 *
 * See gen.h.
 */
#include "tests/bench/gen.h"

#include "common/time.h"

#include <stdio.h>

#define START_UNIX_S     INT64_C(1764547200) /* 2025-12-01 00:00:00 UTC */
#define LINES_PER_SECOND 400
#define ATTACKERS        4096

static const char *const hosts[] = {"web01", "web02", "db01", "mail", "gw-fw1", "ldap01", "file03", "app-prod-7"};
static const char *const guessed[] = {"root",  "admin", "test", "oracle", "postgres", "git",    "ubuntu", "user",
                                      "guest", "ftp",   "pi",   "hadoop", "jenkins",  "nagios", "mysql",  "support"};
static const char *const staff[] = {"nguyenvan", "tranthi", "deploy", "backup", "leminh", "phamhoa"};
static const char *const programs[] = {"/usr/bin/systemctl restart nginx", "/usr/bin/apt-get update",
                                       "/usr/bin/journalctl -u postgresql", "/usr/sbin/ufw status",
                                       "/bin/cat /var/log/syslog"};

/* SplitMix64: every seed is good and there is no state to warm up. */
static uint64_t next64(struct gen *g)
{
    uint64_t z = g->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static unsigned below(struct gen *g, unsigned n)
{
    return (unsigned)((next64(g) >> 32) * n >> 32);
}

void gen_init(struct gen *g, uint64_t seed)
{
    *g = (struct gen){.random = seed};
}

struct actor {
    char ip[16];
    unsigned port, pid;
};

static struct actor attacker(struct gen *g)
{
    struct gen own = {.random = below(g, ATTACKERS)}; /* the same number is the same address */
    uint64_t a = next64(&own);
    struct actor ret = {.port = 1024 + below(g, 64000), .pid = 1000 + below(g, 60000)};
    snprintf(ret.ip, sizeof(ret.ip), "%u.%u.%u.%u", 1 + (unsigned)(a >> 8) % 223, (unsigned)(a >> 16) & 255,
             (unsigned)(a >> 24) & 255, 1 + (unsigned)(a >> 32) % 254);
    return ret;
}

static int failed_login(struct gen *g, char *p, size_t size)
{
    struct actor a = attacker(g);
    const char *user = guessed[below(g, ARRAY_LEN(guessed))];
    switch (below(g, 8)) {
    case 0:
        return snprintf(p, size, "sshd[%u]: Invalid user %s from %s port %u\n", a.pid, user, a.ip, a.port);
    case 1:
        return snprintf(p, size,
                        "sshd[%u]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= "
                        "rhost=%s  user=%s\n",
                        a.pid, a.ip, user);
    case 2:
        return snprintf(p, size, "sshd[%u]: Received disconnect from %s port %u:11: Bye Bye [preauth]\n", a.pid, a.ip,
                        a.port);
    case 3:
        return snprintf(p, size, "sshd[%u]: Connection closed by authenticating user %s %s port %u [preauth]\n", a.pid,
                        user, a.ip, a.port);
    case 4:
    case 5:
        return snprintf(p, size, "sshd[%u]: Failed password for invalid user %s from %s port %u ssh2\n", a.pid, user,
                        a.ip, a.port);
    default:
        return snprintf(p, size, "sshd[%u]: Failed password for %s from %s port %u ssh2\n", a.pid, user, a.ip, a.port);
    }
}

static int daily_work(struct gen *g, char *p, size_t size)
{
    unsigned pid = 1000 + below(g, 60000), uid = below(g, ARRAY_LEN(staff));
    const char *user = staff[uid];
    switch (below(g, 5)) {
    case 0:
        return snprintf(p, size,
                        "sshd[%u]: Accepted publickey for %s from 10.0.9.%u port %u ssh2: ED25519 "
                        "SHA256:%016llx%016lluAbCdEfGhI\n",
                        pid, user, 1 + below(g, 40), 1024 + below(g, 64000), (unsigned long long)next64(g),
                        (unsigned long long)(next64(g) % UINT64_C(10000000000000000)));
    case 1:
        return snprintf(p, size, "sshd[%u]: pam_unix(sshd:session): session opened for user %s(uid=%u) by (uid=0)\n",
                        pid, user, 1000 + uid);
    case 2:
        return snprintf(p, size, "sudo: %8s : TTY=pts/%u ; PWD=/home/%s ; USER=root ; COMMAND=%s\n", user, below(g, 16),
                        user, programs[below(g, ARRAY_LEN(programs))]);
    case 3:
        return snprintf(p, size, "CRON[%u]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)\n",
                        pid);
    default:
        return snprintf(p, size, "systemd-logind[%u]: New session %u of user %s.\n", 400 + below(g, 9), pid, user);
    }
}

size_t gen_line(struct gen *g, char ret[static GEN_LINE_MAX])
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct civil c;
    civil_from_unix_s(START_UNIX_S + (int64_t)(g->lines++ / LINES_PER_SECOND), &c);
    int n = snprintf(ret, GEN_LINE_MAX, "%.3s %2d %02d:%02d:%02d %s ", months + (size_t)(c.month - 1) * 3, c.day,
                     c.hour, c.minute, c.second, hosts[below(g, ARRAY_LEN(hosts))]);
    char *rest = ret + n;
    size_t left = GEN_LINE_MAX - (size_t)n;
    n += below(g, 100) < 80 ? failed_login(g, rest, left) : daily_work(g, rest, left);
    return (size_t)n;
}

int gen_lines(struct gen *g, size_t bytes, struct buf *out, uint32_t *ret_lines)
{
    uint32_t lines = 0;
    size_t end = out->len + bytes;
    for (;;) {
        struct gen before = *g;
        char line[GEN_LINE_MAX];
        size_t n = gen_line(g, line);
        if (out->len + n > end) {
            *g = before;
            break;
        }
        int r = buf_append(out, line, n);
        if (r < 0)
            return r;
        lines++;
    }
    *ret_lines = lines;
    return 0;
}
