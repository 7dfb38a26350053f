/* SPDX-License-Identifier: Apache-2.0
 *
 * vonggac-collector: reads its configuration, starts its parts in the order of the table below, runs the main thread's
 * loop until a signal or a part that cannot go on ends it, and stops the parts in reverse order. It stays in the
 * foreground; systemd or a person looks after it.
 *
 * Exit status: 0 after SIGTERM or SIGINT, 1 when it could not start or go on, 2 for a wrong command line.
 */
#include "collector/api.h"
#include "collector/archive.h"
#include "collector/collector.h"
#include "collector/content.h"
#include "collector/detect.h"
#include "collector/in_agent.h"
#include "collector/outbox.h"
#include "collector/store.h"
#include "collector/writer.h"
#include "common/file.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define DIAGS_MAX 100

/* ---- parts ---- */

static int store_start(struct collector *c)
{
    struct diag diag = {0};
    sqlite3 *db = NULL;
    int r = file_mkdirs(c->config.state_dir, 0750);
    if (r < 0) {
        log_error("cannot make %s: %s", c->config.state_dir, strerror(-r));
        return r;
    }
    r = store_open(c->config.db_path, STORE_DURABLE, &db,
                   &diag); /* applies the schema before the threads open theirs */
    if (r < 0)
        log_error("%s", diag.msg);
    store_close(db);
    return r;
}

static int content_start(struct collector *c)
{
    struct diag diag = {0};
    int r = content_load(&c->config, &c->content, &diag);
    if (r < 0) {
        log_error("%s", diag.msg);
        return r;
    }
    log_diags(content_diags(c->content));
    log_info("%zu rules in force, %zu left out for errors", ruleset_count(content_ruleset(c->content)),
             content_diags(c->content)->errors);
    return 0;
}

static int archive_start(struct collector *c)
{
    struct diag diag = {0};
    int r = file_mkdirs(c->config.archive_dir, 0750);
    if (r < 0)
        diag_set(&diag, r, "cannot make %s: %s", c->config.archive_dir, strerror(-r));
    if (r == 0)
        r = archive_open(c->config.archive_dir, c->config.archive.segment_max, &c->archive, &diag);
    if (r < 0) {
        log_error("archive: %s", diag.msg);
        return r;
    }
    if (archive_cut_bytes(c->archive) > 0)
        log_warn("archive: cut %llu bytes that were not acknowledged from its end",
                 (unsigned long long)archive_cut_bytes(c->archive));
    atomic_store(&c->durable_end, archive_end(c->archive));
    stat_set(STAT_ARCHIVE_END, (int64_t)archive_end(c->archive));
    return 0;
}

static void archive_stop(struct collector *c)
{
    c->archive = archive_close(c->archive);
}

/* in_agent reads the archive behind the checkpoint before detect moves the checkpoint on. */
static const struct part parts[] = {
    {"store", store_start, NULL},
    {"content", content_start, NULL},
    {"archive", archive_start, archive_stop},
    {"writer", writer_start, writer_stop},
    {"in_agent", in_agent_start, in_agent_stop},
    {"detect", detect_start, detect_stop},
    {"outbox", outbox_start, outbox_stop},
    {"api", api_start, api_stop},
};

static int start_parts(struct collector *c, size_t *ret_started)
{
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        int r = parts[i].start(c);
        if (r < 0) {
            log_error("%s did not start; giving up", parts[i].name);
            return r;
        }
        *ret_started = i + 1;
    }
    return 0;
}

static void stop_parts(struct collector *c, size_t started)
{
    while (started-- > 0) {
        if (parts[started].stop)
            parts[started].stop(c);
    }
}

/* ---- the main thread's loop ---- */

static void on_stop(evutil_socket_t sig, short what, void *ctx)
{
    (void)what;
    struct collector *c = ctx;
    if (sig > 0)
        log_info("stopping: %s", strsignal((int)sig));
    event_base_loopbreak(c->loop);
}

static void on_failed(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    on_stop(0, what, ctx);
}

static void on_reload(evutil_socket_t sig, short what, void *ctx)
{
    (void)sig, (void)what;
    log_info("reloading rules, mappings and decoders");
    detect_reload(ctx);
}

/* Signals are for the main thread only: they stay blocked in the threads that parts start. */
static int run_loop(struct collector *c, const sigset_t *unblocked)
{
    struct event *events[] = {
        evsignal_new(c->loop, SIGTERM, on_stop, c),
        evsignal_new(c->loop, SIGINT, on_stop, c),
        evsignal_new(c->loop, SIGHUP, on_reload, c),
        event_new(c->loop, c->stopping.fd, EV_READ, on_failed, c),
    };
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (!events[i] || event_add(events[i], NULL) < 0)
            r = -ENOMEM;
    }
    if (r == 0) {
        pthread_sigmask(SIG_SETMASK, unblocked, NULL);
        log_info("vonggac-collector %s ready", VONGGAC_VERSION);
        if (event_base_dispatch(c->loop) < 0)
            r = -EIO;
    }
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (events[i])
            event_free(events[i]);
    }
    return r;
}

/* ---- the process ---- */

static void harden(const struct collector_config *config)
{
    umask(0027);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* keys do not belong into a core file */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        rlim_t want = (rlim_t)config->listen.agents_max + 1024;
        files.rlim_cur = MIN(MAX(files.rlim_cur, want), files.rlim_max);
        setrlimit(RLIMIT_NOFILE, &files);
        if (files.rlim_cur < want)
            log_warn("only %llu open files are allowed, %llu are wanted for listen.agents_max",
                     (unsigned long long)files.rlim_cur, (unsigned long long)want);
    }
    if (geteuid() == 0)
        log_warn("running as root, which is not needed: use a user of its own");
}

static int run(struct collector *c)
{
    sigset_t blocked, unblocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &blocked, &unblocked);
    signal(SIGPIPE, SIG_IGN);

    size_t started = 0;
    c->started_ns = time_now_ns();
    c->loop = event_base_new();
    int r = c->loop ? start_parts(c, &started) : -ENOMEM;
    if (r == 0)
        r = run_loop(c, &unblocked);
    stop_parts(c, started);
    if (c->loop)
        event_base_free(c->loop);
    if (r == 0)
        r = atomic_load(&c->fatal);
    log_info("stopped");
    return r;
}

static void usage(FILE *out)
{
    fputs("usage: vonggac-collector [--config FILE] [--check-config | --help-config | --version | --help]\n"
          "\n"
          "Receives events from agents, keeps them, runs the rules and serves the console's API.\n"
          "Stays in the foreground; SIGHUP reloads the rules, SIGTERM stops.\n"
          "\n"
          "  --config FILE    configuration (default: " COLLECTOR_CONFIG_DEFAULT ")\n"
          "  --check-config   read the configuration, rules and decoders, say what is wrong, and exit\n"
          "  --help-config    describe every option of the configuration file\n"
          "  --version        print the version\n",
          out);
}

static int check_config(struct collector *c)
{
    struct diag diag = {0};
    if (content_load(&c->config, &c->content, &diag) < 0) {
        fprintf(stderr, "%s: %s\n", c->config_path, diag.msg);
        return 1;
    }
    const struct diags *found = content_diags(c->content);
    log_diags(found);
    printf("%s: good; %zu rules, %zu errors, %zu warnings\n", c->config_path,
           ruleset_count(content_ruleset(c->content)), found->errors, found->warnings);
    return found->errors ? 1 : 0;
}

enum job { JOB_RUN, JOB_CHECK, JOB_HELP_CONFIG, JOB_VERSION, JOB_HELP, JOB_WRONG };

static enum job read_arguments(int argc, char **argv, const char **ret_config)
{
    enum job job = JOB_RUN;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            *ret_config = argv[++i];
        else if (strcmp(argv[i], "--check-config") == 0)
            job = JOB_CHECK;
        else if (strcmp(argv[i], "--help-config") == 0)
            job = JOB_HELP_CONFIG;
        else if (strcmp(argv[i], "--version") == 0)
            job = JOB_VERSION;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            job = JOB_HELP;
        else
            return JOB_WRONG;
    }
    return job;
}

static int with_config(struct collector *c, enum job job)
{
    struct diags diags;
    diags_init(&diags, DIAGS_MAX);
    log_init("vonggac-collector", LOG_LEVEL_INFO);
    int r = collector_config_load(c->config_path, &c->config, &diags);
    log_diags(&diags);
    if (r < 0 && diags.errors == 0)
        log_error("%s: %s", c->config_path, strerror(-r));
    diags_clear(&diags);
    if (r < 0)
        return 1;
    log_init("vonggac-collector", (enum log_level)collector_config_log_level(&c->config));
    r = collector_init(c);
    int status = 1;
    if (r < 0)
        log_error("cannot start: %s", strerror(-r));
    else if (job == JOB_CHECK)
        status = check_config(c);
    else {
        harden(&c->config);
        status = run(c) < 0;
    }
    collector_clear(c);
    return status;
}

int main(int argc, char **argv)
{
    static struct collector collector;
    collector.config_path = COLLECTOR_CONFIG_DEFAULT;
    enum job job = read_arguments(argc, argv, &collector.config_path);
    switch (job) {
    case JOB_HELP_CONFIG:
        collector_config_help();
        return 0;
    case JOB_VERSION:
        puts("vonggac-collector " VONGGAC_VERSION);
        return 0;
    case JOB_HELP:
        usage(stdout);
        return 0;
    case JOB_WRONG:
        usage(stderr);
        return 2;
    default:
        break;
    }
    if (sodium_init() < 0) {
        fputs("vonggac-collector: libsodium cannot start\n", stderr);
        return 1;
    }
    return with_config(&collector, job);
}
