/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac-agent run`: puts the parts together on one event loop and keeps the order that makes delivery exactly-once:
 * positions are read before the spool, inputs read on from the spool's end, files of the spool are deleted only after the
 * positions that cover them are durable.
 *
 *   in_files, in_journal -> sink -> spool -> uplink -> collector
 *                            |                 | acknowledgements
 *                            +---- registry <--+   (the positions file, saved once a second)
 */
#include "agent/commands.h"
#include "agent/counters.h"
#include "agent/credentials.h"
#include "agent/input.h"
#include "agent/lock.h"
#include "agent/status.h"
#include "agent/uplink.h"
#include "common/file.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Every input there is. */
static const struct input *const inputs[] = {&in_files, &in_journal};

#define SEQ_JUMP          (UINT64_C(1) << 20) /* far beyond what a spool that lost its end can have sent */
#define SAVE_EVERY_NS     (1 * NS_PER_S)
#define SAVE_FULL_NS      (200 * NS_PER_MS) /* while sources wait for the room that a save gives */
#define SAVE_SHARE        20                /* saving takes at most 1/20 of the time */
#define PRUNE_EVERY_S     3600
#define DESCRIPTORS_SPARE 128 /* beyond the followed files */

struct agent {
    struct agent_config cfg;
    char collector[300], host[256], spool_dir[4096];
    int lock;
    struct event_base *base;
    struct registry *registry;
    struct spool *spool;
    struct sink sink;
    struct uplink *uplink;
    struct input_env env;
    void *instances[ARRAY_LEN(inputs)];
    struct event *second, *on_term, *on_int;
    int64_t saved_ns, save_cost_ns; /* monotonic */
    uint64_t seq_a_second_ago;
    unsigned seconds;
    bool has_said_save_error;
};

const struct input *const *inputs_all(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(inputs);
    return inputs;
}

/* --- positions --- */

static void on_save_error(struct agent *a, int err)
{
    count(M_POSITION_ERRORS, 1);
    if (!a->has_said_save_error)
        log_error("cannot write the positions in %s: %s", a->cfg.state_dir, strerror(-err));
    a->has_said_save_error = true;
    if (err == -ENOSPC) /* give the disk some room; the collector recognises what a crash would now repeat */
        spool_release(a->spool, a->registry->acked_seq);
}

static void save(struct agent *a, bool clean)
{
    int64_t start = time_monotonic_ns();
    int r = registry_save(a->registry, clean);
    a->saved_ns = time_monotonic_ns();
    a->save_cost_ns = a->saved_ns - start;
    if (r < 0) {
        on_save_error(a, r);
        return;
    }
    a->has_said_save_error = false;
    spool_release(a->spool, a->registry->acked_seq);
    gauge(M_SPOOL_BYTES, spool_bytes(a->spool));
}

static void save_if_due(struct agent *a)
{
    int64_t every = MAX(a->sink.is_full ? SAVE_FULL_NS : SAVE_EVERY_NS, a->save_cost_ns * SAVE_SHARE);
    if (a->registry->is_dirty && time_monotonic_ns() - a->saved_ns >= every)
        save(a, false);
}

/* Batches that the collector has not taken within a second are made durable here. While it keeps up nothing is. */
static void sync_spool(struct agent *a)
{
    int r = a->seq_a_second_ago > spool_acked(a->spool) ? spool_sync(a->spool) : 0;
    if (r < 0) {
        count(M_SPOOL_WRITE_ERRORS, 1);
        log_error("cannot make the spool durable: %s", strerror(-r));
    }
    a->seq_a_second_ago = spool_last_seq(a->spool);
}

static void resume_inputs(struct agent *a)
{
    if (sink_may_resume(&a->sink))
        for (size_t i = 0; i < ARRAY_LEN(inputs); i++)
            if (a->instances[i])
                inputs[i]->resume(a->instances[i]);
}

static void on_acked(void *ctx)
{
    struct agent *a = ctx;
    if (a->sink.is_full) {
        save_if_due(a);
        resume_inputs(a);
    }
}

static void write_status(struct agent *a, bool running)
{
    int r = status_write(a->cfg.state_dir, &a->sink, a->uplink, a->collector, running);
    if (r < 0)
        log_debug("cannot write status.json: %s", strerror(-r));
}

static void on_second(evutil_socket_t fd, short what, void *ctx)
{
    struct agent *a = ctx;
    (void)fd;
    (void)what;
    save_if_due(a);
    sync_spool(a);
    resume_inputs(a);
    if (a->seconds % STATUS_EVERY_S == 0)
        write_status(a, true);
    if (a->seconds % PRUNE_EVERY_S == 0)
        registry_prune(a->registry, time_now_ns());
    a->seconds++;
}

static void on_signal(evutil_socket_t signo, short what, void *ctx)
{
    struct agent *a = ctx;
    (void)what;
    log_info("stopping (%s)", strsignal((int)signo));
    event_base_loopbreak(a->base);
}

/* --- start --- */

/* Rotated files stay open for a while, so more descriptors than followed files are asked for; where they are not to be
 * had, fewer files are followed, or nothing would be left for the spool and the connection. */
static void raise_descriptors(struct agent_config *cfg)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    rlim_t want = (rlim_t)cfg->files_max * 2 + DESCRIPTORS_SPARE;
    if (files.rlim_cur < want) {
        files.rlim_cur = MIN(files.rlim_max, want);
        setrlimit(RLIMIT_NOFILE, &files);
        getrlimit(RLIMIT_NOFILE, &files);
    }
    if (files.rlim_cur < (rlim_t)cfg->files_max + DESCRIPTORS_SPARE) {
        cfg->files_max = files.rlim_cur > 2 * DESCRIPTORS_SPARE ? (int64_t)files.rlim_cur - DESCRIPTORS_SPARE
                                                                : (int64_t)files.rlim_cur / 2;
        log_warn("the limit of open files (LimitNOFILE) is %llu: at most %lld files are followed",
                 (unsigned long long)files.rlim_cur, (long long)cfg->files_max);
    }
}

static void harden(struct agent_config *cfg)
{
    struct rlimit no_core = {0, 0};
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of writing like any other */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
        log_warn("cannot give up privileges: %s", strerror(errno));
    raise_descriptors(cfg);
    if (geteuid() == 0)
        log_warn("running as root: not needed; use an ordinary user in the groups adm and systemd-journal");
}

static enum log_level log_level_of(const char *name)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        {"error", LOG_LEVEL_ERROR}, {"warn", LOG_LEVEL_WARN}, {"info", LOG_LEVEL_INFO}, {"debug", LOG_LEVEL_DEBUG}};
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (strcmp(levels[i].name, name) == 0)
            return levels[i].level;
    log_warn("log.level '%s' is not error, warn, info or debug; taking info", name);
    return LOG_LEVEL_INFO;
}

static void on_found(const struct batch *b, bool damaged, void *ctx)
{
    registry_found_spooled(ctx, b, damaged);
}

/* A number that was sent must not be used again for other content. Where the spool may have lost its end (a torn tail, or
 * the machine went down) we cannot know the last one, and leave a gap. */
static void choose_seq(struct agent *a)
{
    struct registry *r = a->registry;
    uint64_t known = MAX(r->next_seq - 1, spool_last_seq(a->spool));
    bool is_sure = r->is_new ? spool_last_seq(a->spool) == 0 : r->was_clean && !spool_is_damaged(a->spool);
    r->next_seq = known + 1 + (is_sure ? 0 : SEQ_JUMP);
    r->is_dirty = true;
}

static int open_store(struct agent *a, struct diag *diag)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof(path), "%s/positions", a->cfg.state_dir) >= sizeof(path) ||
        (size_t)snprintf(a->spool_dir, sizeof(a->spool_dir), "%s/spool", a->cfg.state_dir) >= sizeof(a->spool_dir))
        return diag_set(diag, -ENAMETOOLONG, "state_dir is too long");
    int r = registry_open(path, &a->registry, diag);
    if (r < 0)
        return diag_set(diag, r, "cannot read %s: %s", path, strerror(-r));
    if (diag->msg[0])
        log_error("%s is damaged (%.100s); going on with %s", path, diag->msg,
                  a->registry->is_new ? "nothing: files are read from their beginning" : "the save before it");
    uint64_t segment = MAX(MIN(SPOOL_SEGMENT_MAX, a->cfg.spool_max / 8), 64 * KIB);
    r = spool_open(a->spool_dir, a->cfg.spool_max, segment, a->registry->acked_seq, on_found, a->registry, &a->spool,
                   diag);
    if (r < 0)
        return r;
    uint64_t damage = spool_damage(a->spool);
    count(M_SPOOL_DAMAGED_BYTES, damage);
    if (damage > 0)
        log_warn("spool: %llu bytes were torn or damaged; what they held is read again where its source still exists",
                 (unsigned long long)damage);
    choose_seq(a);
    gauge(M_SPOOL_BYTES, spool_bytes(a->spool));
    return 0;
}

static int open_uplink(struct agent *a, const struct credentials *cred, struct diag *diag)
{
    gethostname(a->host, sizeof(a->host) - 1);
    sink_init(&a->sink, a->spool, a->registry, cred->agent);
    a->sink.host = a->cfg.host ? a->cfg.host : a->host;
    a->sink.zstd_level = (int)a->cfg.zstd_level;
    a->sink.demo = a->cfg.demo;
    snprintf(a->collector, sizeof(a->collector), "%s:%lld", a->cfg.collector_host, (long long)a->cfg.collector_port);
    const struct uplink_config up = {
        .collector_host = a->cfg.collector_host,
        .collector_port = (uint16_t)a->cfg.collector_port,
        .state_dir = a->cfg.state_dir,
        .times = UPLINK_TIMES,
        .sink = &a->sink,
        .on_acked = on_acked,
        .ctx = a,
    };
    int r = uplink_new(a->base, &up, &a->uplink, diag);
    if (r < 0)
        return r;
    a->sink.on_spooled = uplink_kick;
    a->sink.ctx = a->uplink;
    return 0;
}

static int open_inputs(struct agent *a, struct diag *diag)
{
    size_t n = 0;
    a->env = (struct input_env){a->base, &a->cfg, a->registry, &a->sink};
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        if (!inputs[i]->is_enabled(&a->cfg))
            continue;
        int r = inputs[i]->open(&a->env, &a->instances[i], diag);
        if (r < 0)
            return r;
        n++;
    }
    if (n == 0)
        log_warn("nothing to read: the configuration has no files and the journal is off");
    return 0;
}

static int open_events(struct agent *a, struct diag *diag)
{
    const struct timeval second = {1, 0};
    a->second = event_new(a->base, -1, EV_PERSIST, on_second, a);
    a->on_term = evsignal_new(a->base, SIGTERM, on_signal, a);
    a->on_int = evsignal_new(a->base, SIGINT, on_signal, a);
    if (!a->second || !a->on_term || !a->on_int || event_add(a->second, &second) < 0 ||
        event_add(a->on_term, NULL) < 0 || event_add(a->on_int, NULL) < 0)
        return diag_set(diag, -ENOMEM, "cannot set up the event loop");
    return 0;
}

static int agent_open(struct agent *a, struct diag *diag)
{
    struct credentials cred;
    int r = credentials_load(a->cfg.state_dir, &cred, diag);
    if (r < 0)
        return r;
    r = lock_take(a->cfg.state_dir, &a->lock);
    if (r < 0)
        diag_set(diag, r, "%s: %s", a->cfg.state_dir,
                 r == -EWOULDBLOCK ? "another agent is running on this folder" : strerror(-r));
    if (r == 0 && !a->cfg.collector_host)
        r = diag_set(diag, -EINVAL, "no collector: set collector.host in the configuration");
    a->base = event_base_new();
    if (r == 0 && !a->base)
        r = diag_set(diag, -ENOMEM, "cannot set up the event loop");
    if (r == 0)
        r = open_store(a, diag);
    if (r == 0)
        r = open_uplink(a, &cred, diag);
    credentials_clear(&cred);
    if (r == 0)
        r = open_inputs(a, diag);
    return r < 0 ? r : open_events(a, diag);
}

static void agent_close(struct agent *a)
{
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++)
        if (a->instances[i])
            inputs[i]->close(a->instances[i]);
    uplink_free(a->uplink);
    struct event *const events[] = {a->second, a->on_term, a->on_int};
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        if (events[i])
            event_free(events[i]);
    sink_clear(&a->sink);
    spool_close(a->spool);
    registry_free(a->registry);
    if (a->base)
        event_base_free(a->base);
    close_fd(&a->lock);
    agent_config_clear(&a->cfg);
}

/* The last turn: what can be read goes to the spool, and the positions are saved. */
static void agent_finish(struct agent *a)
{
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++)
        if (a->instances[i])
            inputs[i]->flush(a->instances[i]);
    int r = spool_sync(a->spool);
    if (r < 0)
        log_error("cannot make the spool durable: %s", strerror(-r));
    save(a, true);
    write_status(a, false);
}

int command_run(int argc, char **argv)
{
    const char *config = CONFIG_DEFAULT;
    const struct command_option opts[] = {{.name = "config", .value = &config}};
    struct agent a = {.lock = -1};
    struct diag diag = {0};
    if (options_parse(argc, argv, opts, ARRAY_LEN(opts)) < 0)
        return EXIT_USAGE;
    if (config_open(config, &a.cfg) < 0)
        return EXIT_FAILED;
    log_init("vonggac-agent", log_level_of(a.cfg.log_level));
    harden(&a.cfg);
    int r = agent_open(&a, &diag);
    if (r < 0) {
        log_error("%s", diag.msg);
    } else {
        log_info("version %s started, sending to %s", VONGGAC_VERSION, a.collector);
        r = event_base_dispatch(a.base);
        agent_finish(&a);
    }
    agent_close(&a);
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}
