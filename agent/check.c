/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac-agent check`: would `run` work, as this user, here and now? While an agent runs on the same state folder the
 * connection is tried without its certificate, since the collector allows each agent one connection and would end the
 * running one's.
 */
#include "agent/commands.h"
#include "agent/credentials.h"
#include "agent/dial.h"
#include "agent/input.h"
#include "agent/lock.h"
#include "common/time.h"

#include <errno.h>

#define TIMEOUT_S 10

struct checking {
    size_t failed;
};

static void say(bool ok, const char *text, void *ctx)
{
    struct checking *c = ctx;
    printf("%s  %s\n", ok ? "ok  " : "FAIL", text);
    c->failed += !ok;
}

static void check_state_dir(const struct agent_config *cfg, struct checking *c)
{
    char text[4200];
    bool ok = access(cfg->state_dir, R_OK | W_OK | X_OK) == 0;
    snprintf(text, sizeof(text), "state folder %s%s%s", cfg->state_dir, ok ? "" : ": ", ok ? "" : strerror(errno));
    say(ok, text, c);
}

static void check_certificate(const struct credentials *cred, struct checking *c)
{
    char text[200], id[ID_TEXT_LEN], until[TIME_RFC3339_LEN];
    id_format(cred->agent, id);
    time_format_rfc3339(cred->not_after_ns, until);
    bool ok = time_now_ns() < cred->not_after_ns;
    snprintf(text, sizeof(text), "certificate of agent %s, %s %.10s", id, ok ? "valid until" : "EXPIRED on", until);
    say(ok, text, c);
}

/* Says HELLO as this agent and waits for WELCOME. */
static int greet(struct dialed *d, struct diag *diag)
{
    struct frame f = {
        .type = FRAME_HELLO,
        .hello = {.version = FRAME_VERSION, .host = STR("check"), .program_version = STR(VONGGAC_VERSION)},
    };
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    f.hello.host = str_of(host);
    int r = dial_send(d, &f, diag);
    if (r == 0)
        r = dial_receive(d, &f, diag);
    if (r == 0 && f.type == FRAME_BYE)
        r = diag_set(diag, -EACCES, "the collector refuses this agent: %.*s", (int)MIN(f.bye.reason.len, (size_t)160),
                     f.bye.reason.p);
    return r;
}

static void check_collector(const struct agent_config *cfg, const struct credentials *cred, bool is_running,
                            struct checking *c)
{
    char text[512];
    struct diag diag = {0};
    struct dialed d = {.fd = -1};
    if (!cfg->collector_host) {
        say(false, "no collector: set collector.host, or enroll", c);
        return;
    }
    SSL_CTX *tls =
        tls_client(cred->ca_pem, is_running ? NULL : cred->cert_pem, is_running ? NULL : cred->key_pem, &diag);
    int r = tls ? dial(cfg->collector_host, (uint16_t)cfg->collector_port, tls, TIMEOUT_S, &d, &diag) : -EINVAL;
    if (r == 0 && !is_running)
        r = greet(&d, &diag);
    if (r == 0)
        snprintf(text, sizeof(text), "collector %s port %lld: %s", cfg->collector_host, (long long)cfg->collector_port,
                 is_running ? "reached and verified (an agent is running: see status)" : "welcomes this agent");
    else
        snprintf(text, sizeof(text), "collector: %s", diag.msg);
    say(r == 0, text, c);
    dial_close(&d);
    SSL_CTX_free(tls);
}

int command_check(int argc, char **argv)
{
    const char *config = CONFIG_DEFAULT;
    const struct command_option opts[] = {{.name = "config", .value = &config}};
    struct agent_config cfg;
    struct credentials cred;
    struct checking c = {0};
    struct diag diag = {0};
    if (options_parse(argc, argv, opts, ARRAY_LEN(opts)) < 0)
        return EXIT_USAGE;
    if (config_open(config, &cfg) < 0)
        return EXIT_FAILED;
    say(true, config, &c);
    check_state_dir(&cfg, &c);
    size_t n;
    const struct input *const *inputs = inputs_all(&n);
    for (size_t i = 0; i < n; i++)
        if (inputs[i]->is_enabled(&cfg))
            inputs[i]->check(&cfg, say, &c);
    if (credentials_load(cfg.state_dir, &cred, &diag) < 0) {
        say(false, diag.msg, &c);
    } else {
        int lock = -1;
        bool is_running = lock_take(cfg.state_dir, &lock) == -EWOULDBLOCK;
        check_certificate(&cred, &c);
        check_collector(&cfg, &cred, is_running, &c);
        close_fd(&lock);
        credentials_clear(&cred);
    }
    agent_config_clear(&cfg);
    return c.failed ? EXIT_FAILED : EXIT_OK;
}
