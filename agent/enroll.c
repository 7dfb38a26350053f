/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac-agent enroll`: the token carries the authority's fingerprint and a secret. The fingerprint proves the collector
 * to us before the secret is said; the secret proves us to the collector. What comes back is a certificate; the key never
 * leaves this machine. As root it first becomes the user the agent will run as, so that all files are that user's.
 */
#include "agent/commands.h"
#include "agent/credentials.h"
#include "agent/dial.h"
#include "common/file.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <sys/stat.h>
#include <termios.h>

#define TIMEOUT_S 15
#define TOKEN_MAX 1024

struct enrolment {
    struct agent_config cfg;
    char *host;
    uint16_t port;
    uint8_t fingerprint[CERT_FINGERPRINT_LEN], secret[FRAME_TOKEN_LEN];
};

static int fail(const char *text)
{
    fprintf(stderr, "vonggac-agent enroll: %s\n", text);
    return -EINVAL;
}

/* --- the token --- */

static int read_terminal(struct buf *out)
{
    struct termios old, quiet;
    bool is_terminal = tcgetattr(STDIN_FILENO, &old) == 0;
    uint8_t *p;
    if (is_terminal) {
        fprintf(stderr, "Token: ");
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    ssize_t n = 0;
    int r = 0;
    while (r == 0 && !(out->len && memchr(out->data, '\n', out->len))) {
        r = buf_reserve(out, 128, &p);
        n = r == 0 ? read(STDIN_FILENO, p, 128) : 0;
        if (n <= 0)
            break;
        out->len += (size_t)n;
    }
    if (is_terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        fprintf(stderr, "\n");
    }
    return r < 0 ? r : n < 0 ? -errno : 0;
}

static int read_token(const char *file, struct enrolment *e)
{
    struct buf text = BUF_INIT(TOKEN_MAX);
    int r = !file || strcmp(file, "-") == 0 ? read_terminal(&text) : file_read(file, &text);
    if (r < 0) {
        fprintf(stderr, "vonggac-agent enroll: cannot read the token: %s\n", strerror(-r));
    } else {
        r = token_parse(str_trim(buf_str(&text)), e->fingerprint, e->secret);
        if (r < 0)
            fail("this is not a token; on the collector: vonggac agent token");
    }
    if (text.data)
        OPENSSL_cleanse(text.data, text.cap);
    buf_clear(&text);
    return r;
}

/* --- who writes the files --- */

static int become(uid_t uid, gid_t gid, const char *name)
{
    int r = name ? initgroups(name, gid) : setgroups(0, NULL);
    if (r < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) {
        fprintf(stderr, "vonggac-agent enroll: cannot become the user of the agent: %s\n", strerror(errno));
        return -EPERM;
    }
    return 0;
}

/* As root: makes the state folder for the user named, or becomes the owner of the one there is. */
static int take_identity(const char *state_dir, const char *user)
{
    struct stat st;
    if (geteuid() != 0)
        return user ? fail("--user needs root") : 0;
    errno = 0;
    struct passwd *pw = user ? getpwnam(user) : NULL;
    if (user && !pw)
        return fail("--user: there is no such user");
    if (pw) {
        int r = file_mkdirs(state_dir, 0750);
        if (r < 0 || chown(state_dir, pw->pw_uid, pw->pw_gid) < 0) {
            fprintf(stderr, "vonggac-agent enroll: %s: %s\n", state_dir, strerror(r < 0 ? -r : errno));
            return -EIO;
        }
        return become(pw->pw_uid, pw->pw_gid, pw->pw_name);
    }
    if (stat(state_dir, &st) == 0 && st.st_uid != 0)
        return become(st.st_uid, st.st_gid, NULL);
    fprintf(stderr, "vonggac-agent enroll: note: the files will belong to root; use --user NAME for the user the "
                    "agent runs as\n");
    return 0;
}

/* --- talking --- */

static int request(struct enrolment *e, struct dialed *d, struct str csr, struct frame *ret, struct diag *diag)
{
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    struct frame f = {
        .type = FRAME_ENROL,
        .enrol =
            {
                .secret = {(const char *)e->secret, sizeof(e->secret)},
                .host = str_of(e->cfg.host ? e->cfg.host : host),
                .csr_der = csr,
            },
    };
    int r = dial_send(d, &f, diag);
    if (r == 0)
        r = dial_receive(d, ret, diag);
    if (r < 0)
        return r;
    if (ret->type == FRAME_BYE)
        return diag_set(diag, -EACCES, "the collector refused: %.*s", (int)MIN(ret->bye.reason.len, (size_t)160),
                        ret->bye.reason.p);
    return ret->type == FRAME_CERT ? 0 : diag_set(diag, -EPROTO, "the collector sent something else than an answer");
}

static int store(struct enrolment *e, struct dialed *d, const struct frame *f, const char *key_pem, struct diag *diag)
{
    char *authority CLEANUP(free_ptr) = NULL;
    char *cert CLEANUP(free_ptr) = strndup(f->cert.agent_pem.p, f->cert.agent_pem.len);
    int r = tls_peer_authority(d->ssl, &authority); /* the one whose fingerprint the token carries */
    if (r < 0 || !cert)
        return diag_set(diag, r < 0 ? r : -ENOMEM, "cannot get the authority's certificate");
    r = file_mkdirs(e->cfg.state_dir, 0750);
    if (r < 0)
        return diag_set(diag, r, "%s: %s", e->cfg.state_dir, strerror(-r));
    r = credentials_store(e->cfg.state_dir, authority, cert, key_pem, diag);
    if (r == 0 && enrolled_collector_save(&e->cfg, e->host, e->port) < 0)
        r = diag_set(diag, -EIO, "cannot write to %s", e->cfg.state_dir);
    return r;
}

static int enrol(struct enrolment *e, struct diag *diag)
{
    struct buf csr CLEANUP(buf_clear) = BUF_INIT(16 * KIB);
    struct dialed d = {.fd = -1};
    struct frame answer;
    char *key = NULL;
    SSL_CTX *tls = tls_client_pinned(e->fingerprint, diag);
    int r = tls ? cert_make_request(&key, &csr, diag) : -ENOMEM;
    if (r == 0)
        r = dial(e->host, e->port, tls, TIMEOUT_S, &d, diag);
    if (r == 0)
        r = request(e, &d, buf_str(&csr), &answer, diag);
    if (r == 0)
        r = store(e, &d, &answer, key, diag);
    dial_close(&d);
    SSL_CTX_free(tls);
    if (key)
        OPENSSL_cleanse(key, strlen(key));
    free(key);
    return r;
}

static void say_done(const struct enrolment *e)
{
    struct credentials cred;
    struct diag diag;
    char id[ID_TEXT_LEN], until[TIME_RFC3339_LEN];
    if (credentials_load(e->cfg.state_dir, &cred, &diag) < 0)
        return;
    id_format(cred.agent, id);
    time_format_rfc3339(cred.not_after_ns, until);
    printf("Enrolled with %s as agent %s; the certificate is valid until %.10s and renews itself.\n", e->host, id,
           until);
    credentials_clear(&cred);
}

static int find_collector(struct enrolment *e, const char *given)
{
    e->port = (uint16_t)e->cfg.collector_port;
    if (given)
        return dial_parse(str_of(given), &e->host, &e->port) < 0 ? fail("--collector must be HOST or HOST:PORT") : 0;
    if (!e->cfg.collector_host)
        return fail("which collector? Use --collector HOST[:PORT], or set collector.host in the configuration");
    e->host = strdup(e->cfg.collector_host);
    return e->host ? 0 : -ENOMEM;
}

int command_enroll(int argc, char **argv)
{
    const char *config = CONFIG_DEFAULT, *collector = NULL, *token_file = NULL, *user = NULL;
    bool force = false;
    const struct command_option opts[] = {
        {.name = "config", .value = &config},
        {.name = "collector", .value = &collector},
        {.name = "token-file", .value = &token_file},
        {.name = "user", .value = &user},
        {.name = "force", .flag = &force},
    };
    struct enrolment e = {0};
    struct diag diag = {0};
    if (options_parse(argc, argv, opts, ARRAY_LEN(opts)) < 0)
        return EXIT_USAGE;
    if (config_open(config, &e.cfg) < 0)
        return EXIT_FAILED;
    int r = find_collector(&e, collector);
    if (r == 0 && credentials_exist(e.cfg.state_dir) && !force)
        r = fail("this machine is enrolled already; --force gives it a new identity");
    if (r == 0)
        r = read_token(token_file, &e);
    if (r == 0)
        r = take_identity(e.cfg.state_dir, user);
    if (r == 0) {
        umask(077);
        r = enrol(&e, &diag);
        if (r < 0)
            fail(diag.msg);
        else
            say_done(&e);
    }
    OPENSSL_cleanse(e.secret, sizeof(e.secret));
    free(e.host);
    agent_config_clear(&e.cfg);
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}
