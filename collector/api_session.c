/* SPDX-License-Identifier: Apache-2.0
 *
 * Sign-in, sign-out, and the change of one's password. Hashing takes a tenth of a second and 64 MiB, so it runs on one
 * worker with a queue of eight: others wait for nothing, and a flood of sign-ins meets 503 instead of eating the machine.
 *
 * Order of a sign-in: is this address too eager (429) -> hash, also for names nobody has -> only then look at locks and
 * the result, under the write lock. So an answer tells, neither by its text nor by its time, whether a name exists; and
 * tries that ran in parallel cannot get past the lock.
 */
#include "collector/api_internal.h"

#include "collector/to_json.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

struct password_job {
    struct worker_job job;
    struct api_call *call;
    char name[USER_NAME_MAX + 1];
    char *password, *fresh; /* owned, wiped; fresh: NULL at a sign-in */
    char hash[PASSWORD_HASH_MAX];
    char history[PASSWORD_HISTORY][PASSWORD_HASH_MAX];
    size_t n_history;
    bool is_known; /* the name is a user's */
    /* results */
    bool fits, was_used;
    char new_hash[PASSWORD_HASH_MAX]; /* of `fresh`, or of an outdated password; "" where none was wanted */
    int error;
};

static void wipe(char *secret)
{
    if (secret)
        sodium_memzero(secret, strlen(secret));
    free(secret);
}

static void job_free(struct password_job *j)
{
    wipe(j->password);
    wipe(j->fresh);
    free(j);
}

/* Costs as much as a real one and fits nothing: the salt and hash are those of nobody's password. */
static const char nobody_hash[] =
    "$argon2id$v=19$m=65536,t=3,p=1$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

static void run_job(struct worker_job *job)
{
    struct password_job *j = (struct password_job *)job;
    j->fits = password_fits(j->is_known ? j->hash : nobody_hash, str_of(j->password)) && j->is_known;
    if (!j->fits)
        return;
    if (!j->fresh) {
        if (password_is_outdated(j->hash))
            j->error = password_hash(str_of(j->password), j->new_hash);
        return;
    }
    for (size_t i = 0; i < j->n_history && !j->was_used; i++)
        j->was_used = password_fits(j->history[i], str_of(j->fresh));
    if (!j->was_used)
        j->error = password_hash(str_of(j->fresh), j->new_hash);
}

static struct password_job *job_new(struct api_call *call, const char *name, const char *password, const char *fresh)
{
    struct password_job *j = calloc(1, sizeof(*j));
    if (!j)
        return NULL;
    j->call = call;
    snprintf(j->name, sizeof(j->name), "%s", name);
    j->password = strdup(password);
    j->fresh = fresh ? strdup(fresh) : NULL;
    if (j->password && (!fresh || j->fresh))
        return j;
    job_free(j);
    return NULL;
}

static void push_job(struct password_job *j)
{
    struct api_call *call = j->call;
    /* The request's own copies are not needed any more. */
    json_object_clear(call->body);
    int r = worker_push(call->api->passwords, &j->job);
    if (r < 0) {
        job_free(j);
        api_set_header(call, "Retry-After", "1");
        api_error(call, 503, "busy", "too many sign-ins at this moment; try again");
        return;
    }
    api_defer(call);
}

/* --- answers --- */

static json_t *me_json(const struct api *api, const struct session *s)
{
    return json_pack("{s:s, s:o, s:s, s:b, s:s, s:s, s:I, s:o}", "user", s->user, "display_name",
                     to_json_text(str_of(s->display_name)), "role", s->is_admin ? "admin" : "analyst",
                     "must_change_password", s->must_change, "csrf", s->csrf, "version", VONGGAC_VERSION, "idle_s",
                     (json_int_t)(api->limits.idle_ns / NS_PER_S), "expires",
                     to_json_time(s->created_ns + api->limits.max_ns));
}

static void set_cookie(struct api_call *call, const char *token)
{
    char cookie[160];
    snprintf(cookie, sizeof(cookie), SESSION_COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Strict%s", token,
             token[0] ? "" : "; Max-Age=0");
    api_set_header(call, "Set-Cookie", cookie);
    sodium_memzero(cookie, sizeof(cookie));
}

static void reply_locked(struct api_call *call, int64_t until_ns, int64_t now_ns)
{
    char when[TIME_RFC3339_LEN], wait[24];
    time_format_stix(until_ns, when);
    snprintf(wait, sizeof(wait), "%lld", (long long)((until_ns - now_ns) / NS_PER_S + 1));
    api_set_header(call, "Retry-After", wait);
    api_error(call, 423, "locked", "locked after too many wrong passwords, until %s", when);
}

static void reply_wrong(struct api_call *call)
{
    api_error(call, 401, "unauthenticated", "wrong user name or password");
}

/* --- sign-in --- */

/* What the hash said, made durable: ret_status 200 with a token, 401, or 423 with *ret_until_ns. In a transaction. */
static int settle_login(struct password_job *j, int64_t now_ns, int *ret_status, int64_t *ret_until_ns, char *token,
                        struct diag *diag)
{
    struct api_call *call = j->call;
    sqlite3 *db = call->api->db;
    struct user u;
    int r = user_find(db, str_of(j->name), &u, diag);
    if (r < 0)
        return r; /* removed meanwhile */
    *ret_until_ns = u.locked_until_ns;
    *ret_status = 423;
    if (u.locked_until_ns > now_ns)
        return 0;
    if (!j->fits || strcmp(u.password, j->hash) != 0) {
        r = user_failed(db, &u, now_ns, call->address, ret_until_ns, diag);
        *ret_status = *ret_until_ns ? 423 : 401;
        stat_add(STAT_API_LOGINS_FAILED, 1);
        return r;
    }
    *ret_status = 200;
    r = user_signed_in(db, &u, call->address, diag);
    if (r == 0 && j->new_hash[0])
        r = user_rehash(db, str_of(u.name), j->new_hash, diag);
    /* The browser's session before this one ends: whoever planted it must not come in along. */
    if (r == 0 && session_find(db, &call->api->limits,
                               http_cookie(evhttp_find_header(evhttp_request_get_input_headers(call->req), "Cookie"),
                                           SESSION_COOKIE),
                               now_ns, &call->session, diag) == 0)
        r = session_end(db, call->session.hash, diag);
    if (r == 0)
        r = session_create(db, str_of(u.name), now_ns, token, diag);
    return r;
}

static void finish_login(struct password_job *j)
{
    struct api_call *call = j->call;
    struct api *api = call->api;
    struct diag diag = {0};
    char token[SESSION_TEXT_LEN] = "";
    int status = 0;
    int64_t until = 0, now = time_now_ns();
    if (!j->is_known) {
        stat_add(STAT_API_LOGINS_FAILED, 1);
        log_info("api: sign-in with an unknown name from %s", call->address);
        until = login_guard_unknown(api->guard, str_of(j->name), now, true);
        if (until)
            reply_locked(call, until, now);
        else
            reply_wrong(call);
        return;
    }
    int r = store_begin(api->db, &diag);
    if (r == 0) {
        r = settle_login(j, now, &status, &until, token, &diag);
        if (r == 0)
            r = store_commit(api->db, &diag);
        else
            store_rollback(api->db);
    }
    if (r == 0 && status == 200)
        r = session_find(api->db, &api->limits, str_of(token), now, &call->session, &diag);
    if (r == -ENOENT)
        reply_wrong(call);
    else if (r < 0)
        api_fail(call, r, &diag);
    else if (status == 423)
        reply_locked(call, until, now);
    else if (status == 401)
        reply_wrong(call);
    else {
        set_cookie(call, token);
        api_reply(call, 200, me_json(api, &call->session));
    }
    sodium_memzero(token, sizeof(token));
}

static void login_done(struct worker_job *job, bool was_run)
{
    struct password_job *j = (struct password_job *)job;
    if (!was_run || j->error < 0 || api_client_is_gone(j->call))
        api_error(j->call, 503, "busy", "try again");
    else
        finish_login(j);
    job_free(j);
}

void api_login(struct api_call *call)
{
    static const char *const members[] = {"user", "password", NULL};
    struct diag diag = {0};
    const char *name = NULL, *password = NULL;
    int64_t wait_s = 0;
    int r = api_body_only(call, members, &diag);
    if (r == 0)
        r = api_body_text(call, "user", USER_NAME_MAX, &name, &diag);
    if (r == 0)
        r = api_body_text(call, "password", PASSWORD_MAX, &password, &diag);
    if (r == 0 && (!name || !password || strlen(name) > USER_NAME_MAX || strlen(password) > PASSWORD_MAX))
        r = diag_set(&diag, -EINVAL, "user and password are wanted");
    if (r < 0) {
        api_fail(call, r, &diag);
        return;
    }
    if (!login_guard_admit(call->api->guard, call->address, time_now_ns(), &wait_s)) {
        char text[24];
        snprintf(text, sizeof(text), "%lld", (long long)wait_s);
        api_set_header(call, "Retry-After", text);
        api_error(call, 429, "too_many", "too many sign-ins from this address; wait %s s", text);
        return;
    }
    struct user u = {0};
    r = user_find(call->api->db, str_of(name), &u, &diag);
    struct password_job *j = r == 0 || r == -ENOENT ? job_new(call, name, password, NULL) : NULL;
    if (!j) {
        api_fail(call, r == 0 || r == -ENOENT ? -ENOMEM : r, &diag);
        return;
    }
    j->is_known = r == 0;
    memcpy(j->hash, u.password, sizeof(j->hash));
    j->job.run = run_job;
    j->job.done = login_done;
    push_job(j);
}

/* --- the change of a password --- */

static int settle_password(struct password_job *j, int64_t now_ns, int64_t *ret_until_ns, char *token,
                           struct diag *diag)
{
    struct api_call *call = j->call;
    sqlite3 *db = call->api->db;
    struct user u;
    int r = user_find(db, str_of(j->name), &u, diag);
    if (r < 0)
        return r;
    if (!j->fits || strcmp(u.password, j->hash) != 0) /* a stolen session must not be a way to guess */
        return user_failed(db, &u, now_ns, call->address, ret_until_ns, diag);
    r = user_set_password(db, str_of(u.name), j->new_hash, false, str_of(u.name), diag);
    return r == 0 ? session_create(db, str_of(u.name), now_ns, token, diag) : r;
}

static void finish_password(struct password_job *j)
{
    struct api_call *call = j->call;
    struct api *api = call->api;
    struct diag diag = {0};
    char token[SESSION_TEXT_LEN] = "";
    int64_t until = 0, now = time_now_ns();
    if (j->fits && j->was_used) {
        api_error(call, 400, "bad_request", "this password was used before; the last %d are refused", PASSWORD_HISTORY);
        return;
    }
    int r = store_begin(api->db, &diag);
    if (r == 0) {
        r = settle_password(j, now, &until, token, &diag);
        if (r == 0)
            r = store_commit(api->db, &diag);
        else
            store_rollback(api->db);
    }
    if (r < 0)
        api_fail(call, r, &diag);
    else if (until)
        reply_locked(call, until, now);
    else if (!token[0])
        api_error(call, 403, "forbidden", "the present password is not right");
    else if ((r = session_find(api->db, &api->limits, str_of(token), now, &call->session, &diag)) < 0)
        api_fail(call, r, &diag);
    else {
        set_cookie(call, token);
        api_reply(call, 200, me_json(api, &call->session));
    }
    sodium_memzero(token, sizeof(token));
}

static void password_done(struct worker_job *job, bool was_run)
{
    struct password_job *j = (struct password_job *)job;
    if (!was_run || j->error < 0 || api_client_is_gone(j->call))
        api_error(j->call, 503, "busy", "try again");
    else
        finish_password(j);
    job_free(j);
}

void api_password(struct api_call *call)
{
    static const char *const members[] = {"old", "new", NULL};
    struct diag diag = {0};
    const char *old = NULL, *fresh = NULL;
    int64_t now = time_now_ns();
    struct user u = {0};
    int r = api_body_only(call, members, &diag);
    if (r == 0)
        r = api_body_text(call, "old", PASSWORD_MAX, &old, &diag);
    if (r == 0)
        r = api_body_text(call, "new", PASSWORD_MAX, &fresh, &diag);
    if (r == 0 && (!old || !fresh))
        r = diag_set(&diag, -EINVAL, "old and new are wanted");
    if (r == 0)
        r = password_check(str_of(fresh), str_of(call->session.user), &diag);
    if (r == 0)
        r = user_find(call->api->db, str_of(call->session.user), &u, &diag);
    if (r < 0) {
        api_fail(call, r, &diag);
        return;
    }
    if (u.locked_until_ns > now) {
        reply_locked(call, u.locked_until_ns, now);
        return;
    }
    struct password_job *j = job_new(call, u.name, old, fresh);
    r = j ? user_history(call->api->db, str_of(u.name), j->history, &j->n_history, &diag) : -ENOMEM;
    if (r < 0) {
        if (j)
            job_free(j);
        api_fail(call, r, &diag);
        return;
    }
    j->is_known = true;
    memcpy(j->hash, u.password, sizeof(j->hash));
    j->job.run = run_job;
    j->job.done = password_done;
    push_job(j);
}

/* --- the rest --- */

void api_me(struct api_call *call)
{
    api_reply(call, 200, me_json(call->api, &call->session));
}

void api_logout(struct api_call *call)
{
    struct api *api = call->api;
    struct diag diag = {0};
    struct str user = str_of(call->session.user);
    int r = store_begin(api->db, &diag);
    if (r == 0) {
        r = session_end(api->db, call->session.hash, &diag);
        if (r == 0)
            r = store_audit(api->db, user, "user.logout", user, NULL, &diag);
        if (r == 0)
            r = store_commit(api->db, &diag);
        else
            store_rollback(api->db);
    }
    if (r < 0) {
        api_fail(call, r, &diag);
        return;
    }
    streams_end_session(api, call->session.hash);
    set_cookie(call, "");
    api_reply(call, 204, NULL);
}
