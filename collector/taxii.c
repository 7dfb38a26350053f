/* SPDX-License-Identifier: Apache-2.0
 *
 * See taxii.h. The hard thing is to sort failures: what must be tried again, when, and what never will work. The table is
 * classify(); everything else is plumbing.
 */
#include "collector/taxii.h"

#include "collector/http.h"
#include "common/file.h"
#include "common/time.h"

#include <curl/curl.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define MEDIA_TYPE        "application/taxii+json;version=2.1"
#define CONNECT_TIMEOUT_S 10L
#define TOTAL_TIMEOUT_S   120L
#define RETRY_AFTER_MAX_S (24 * 3600)
#define HELD_IDS          20 /* ids asked for in one manifest request: keeps the URL below 2 KiB */
#define HELD_PAGES        10
#define PASSWORD_FILE_MAX 1024

struct taxii {
    struct taxii_options options;
    const atomic_bool *stop;
    CURL *curl;
    struct curl_slist *headers;
    char *root, *collection; /* URLs with a slash at the end */
    uint64_t content_max;    /* 0: not asked yet */
    struct buf answer;
    char curl_error[CURL_ERROR_SIZE];
};

static size_t on_data(char *p, size_t size, size_t n, void *ctx)
{
    struct taxii *t = ctx;
    return buf_append(&t->answer, p, size * n) == 0 ? size * n : 0;
}

static int on_progress(void *ctx, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
    (void)dltotal, (void)dlnow, (void)ultotal, (void)ulnow;
    const struct taxii *t = ctx;
    return atomic_load(t->stop) ? 1 : 0;
}

static int set_password(struct taxii *t, struct diag *diag)
{
    struct buf b = BUF_INIT(PASSWORD_FILE_MAX);
    const char *z;
    int r = file_read(t->options.password_file, &b);
    if (r == 0)
        r = buf_z(&b, &z);
    if (r == 0) {
        b.data[strcspn(z, "\r\n")] = '\0';
        curl_easy_setopt(t->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(t->curl, CURLOPT_USERNAME, t->options.user);
        curl_easy_setopt(t->curl, CURLOPT_PASSWORD, z);
    } else {
        diag_set(diag, r, "cannot read %s: %s", t->options.password_file, strerror(-r));
    }
    if (b.data)
        sodium_memzero(b.data, b.cap);
    buf_clear(&b);
    return r;
}

/* What holds for every request. */
static void set_up(struct taxii *t)
{
    CURL *c = t->curl;
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->curl_error);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "vonggac/" VONGGAC_VERSION);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_PROXY, ""); /* no surprise from the environment */
    curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    if (t->options.authority) {
        curl_easy_setopt(c, CURLOPT_CAINFO, t->options.authority);
        curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
    }
    if (t->options.certificate) {
        curl_easy_setopt(c, CURLOPT_SSLCERT, t->options.certificate);
        curl_easy_setopt(c, CURLOPT_SSLKEY, t->options.key);
    }
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, TOTAL_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers);
}

static int add_header(struct taxii *t, const char *header)
{
    struct curl_slist *list = curl_slist_append(t->headers, header);
    if (!list)
        return -ENOMEM;
    t->headers = list;
    return 0;
}

int taxii_open(const struct taxii_options *options, const atomic_bool *stop, struct taxii **ret, struct diag *diag)
{
    struct taxii *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->options = *options;
    t->stop = stop;
    t->answer = BUF_INIT(TAXII_ANSWER_MAX);
    int r = taxii_url_split(options->url, &t->root, &t->collection, diag);
    if (r == 0) {
        t->curl = curl_easy_init();
        r = t->curl ? 0 : -ENOMEM;
    }
    static const char *const headers[] = {"Accept: " MEDIA_TYPE, "Content-Type: " MEDIA_TYPE, "Expect:"};
    for (size_t i = 0; i < ARRAY_LEN(headers) && r == 0; i++)
        r = add_header(t, headers[i]);
    if (r < 0) {
        taxii_close(t);
        return r;
    }
    set_up(t);
    *ret = t;
    return 0;
}

struct taxii *taxii_close(struct taxii *t)
{
    if (!t)
        return NULL;
    curl_easy_cleanup(t->curl);
    curl_slist_free_all(t->headers);
    buf_clear(&t->answer);
    free(t->root);
    free(t->collection);
    free(t);
    return NULL;
}

static int64_t retry_after(struct taxii *t)
{
    struct curl_header *h;
    int64_t s;
    if (curl_easy_header(t->curl, "Retry-After", 0, CURLH_HEADER, -1, &h) != CURLHE_OK ||
        http_retry_after(str_of(h->value), time_now_ns(), RETRY_AFTER_MAX_S, &s) < 0)
        return -1;
    return s;
}

/* The peer's own words, when it sent a TAXII error message (section 3.6.1). */
static void describe(struct taxii *t, long code, char *ret, size_t size)
{
    json_t *doc = json_loadb((const char *)t->answer.data, t->answer.len, 0, NULL);
    const char *title = json_string_value(json_object_get(doc, "title"));
    const char *more = json_string_value(json_object_get(doc, "description"));
    snprintf(ret, size, "HTTP %ld%s%s%s%s", code, title ? ": " : "", title ? title : "", more ? ": " : "",
             more ? more : "");
    json_decref(doc);
}

static enum taxii_outcome classify(long code)
{
    switch (code) {
    case 200:
    case 202:
        return TAXII_ACCEPTED;
    case 401:
    case 403:
    case 404: /* rights and places are put right at the other end, so they are tried again */
    case 429:
    case 503:
        return TAXII_PEER_DOWN;
    case 413:
        return TAXII_TOO_LARGE;
    default:
        return code >= 400 && code < 500 ? TAXII_REFUSED : TAXII_TRY_LATER; /* a redirect is not followed */
    }
}

/* One request; body empty: GET. Fills everything of ret but the status. */
static void request(struct taxii *t, const char *url, struct str body, struct taxii_result *ret)
{
    *ret = (struct taxii_result){.outcome = TAXII_PEER_DOWN, .retry_after_s = -1};
    struct diag diag = {0};
    if (t->options.user && set_password(t, &diag) < 0) {
        snprintf(ret->error, sizeof(ret->error), "%s", diag.msg);
        return;
    }
    buf_reset(&t->answer);
    t->curl_error[0] = '\0';
    curl_easy_setopt(t->curl, CURLOPT_URL, url);
    if (body.len > 0) {
        curl_easy_setopt(t->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, body.p);
    } else {
        curl_easy_setopt(t->curl, CURLOPT_HTTPGET, 1L);
    }
    CURLcode code = curl_easy_perform(t->curl);
    curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, NULL); /* it borrows */
    curl_easy_setopt(t->curl, CURLOPT_PASSWORD, NULL);
    if (code != CURLE_OK) {
        if (atomic_load(t->stop))
            ret->outcome = TAXII_STOPPED;
        else if (code == CURLE_WRITE_ERROR) /* the answer was larger than we take */
            ret->outcome = TAXII_TRY_LATER;
        snprintf(ret->error, sizeof(ret->error), "%s", t->curl_error[0] ? t->curl_error : curl_easy_strerror(code));
        return;
    }
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &ret->http);
    ret->outcome = classify(ret->http);
    if (ret->outcome != TAXII_ACCEPTED) {
        ret->retry_after_s = retry_after(t);
        describe(t, ret->http, ret->error, sizeof(ret->error));
    }
}

static bool is_taxii_answer(struct taxii *t)
{
    const char *type = NULL;
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_TYPE, &type);
    return type && str_starts(str_of(type), STR("application/taxii+json"));
}

static void request_status(struct taxii *t, const char *url, struct str body, struct taxii_result *ret)
{
    request(t, url, body, ret);
    if (ret->outcome != TAXII_ACCEPTED)
        return;
    struct diag diag = {0};
    if (!is_taxii_answer(t))
        snprintf(diag.msg, sizeof(diag.msg), "the answer is not application/taxii+json");
    else if (taxii_status_parse(buf_str(&t->answer), &ret->status, &diag) == 0)
        return;
    ret->outcome = TAXII_TRY_LATER;
    memcpy(ret->error, diag.msg, MIN(sizeof(ret->error), sizeof(diag.msg)));
}

void taxii_content_max(struct taxii *t, uint64_t *ret_bytes, struct taxii_result *ret)
{
    *ret = (struct taxii_result){.outcome = TAXII_ACCEPTED, .retry_after_s = -1};
    if (t->content_max == 0) {
        request(t, t->root, (struct str){0}, ret);
        struct diag diag = {0};
        if (ret->outcome != TAXII_ACCEPTED)
            return;
        if (taxii_root_parse(buf_str(&t->answer), &t->content_max, &diag) < 0) {
            ret->outcome = TAXII_TRY_LATER;
            memcpy(ret->error, diag.msg, MIN(sizeof(ret->error), sizeof(diag.msg)));
            return;
        }
    }
    *ret_bytes = MIN(t->content_max, (uint64_t)TAXII_CONTENT_LIMIT);
}

static char *url_of(const char *base, const char *path)
{
    char *url = NULL;
    return asprintf(&url, "%s%s", base, path) < 0 ? NULL : url;
}

void taxii_push(struct taxii *t, struct str envelope, struct taxii_result *ret)
{
    CLEANUP(free_ptr) char *url = url_of(t->collection, "objects/");
    if (url)
        request_status(t, url, envelope, ret);
    else
        *ret = (struct taxii_result){.outcome = TAXII_TRY_LATER, .retry_after_s = -1, .error = "out of memory"};
}

void taxii_poll(struct taxii *t, const char *status_id, struct taxii_result *ret)
{
    char path[TAXII_ID_MAX + 16];
    snprintf(path, sizeof(path), "status/%.*s/", TAXII_ID_MAX, status_id);
    CLEANUP(free_ptr) char *url = url_of(t->root, path);
    if (url)
        request_status(t, url, (struct str){0}, ret);
    else
        *ret = (struct taxii_result){.outcome = TAXII_TRY_LATER, .retry_after_s = -1, .error = "out of memory"};
}

/* One manifest request with its further pages. */
static int held_of(struct taxii *t, const struct buf *query, json_t *held)
{
    CLEANUP(free_ptr) char *next = NULL;
    for (int page = 0; page < HELD_PAGES; page++) {
        CLEANUP(free_ptr) char *url = NULL;
        CLEANUP(free_ptr) char *escaped = NULL;
        if (next) {
            char *curl_text = curl_easy_escape(t->curl, next, 0);
            escaped = curl_text ? strdup(curl_text) : NULL;
            curl_free(curl_text);
        }
        if ((next && !escaped) || asprintf(&url, "%smanifest/?" STR_FMT "%s%s", t->collection, STR_ARG(buf_str(query)),
                                           next ? "&next=" : "", next ? escaped : "") < 0) {
            url = NULL;
            return -ENOMEM;
        }
        struct taxii_result result;
        request(t, url, (struct str){0}, &result);
        if (result.outcome == TAXII_STOPPED)
            return -ECANCELED;
        if (result.outcome != TAXII_ACCEPTED)
            return -EIO;
        json_t *doc = json_loadb((const char *)t->answer.data, t->answer.len, JSON_REJECT_DUPLICATES, NULL);
        int r = json_array_extend(held, json_object_get(doc, "objects")); /* refuses what is no array */
        const char *more =
            json_is_true(json_object_get(doc, "more")) ? json_string_value(json_object_get(doc, "next")) : NULL;
        free(next);
        next = r == 0 && more ? strdup(more) : NULL;
        json_decref(doc);
        if (!next)
            return 0;
    }
    return 0;
}

int taxii_held(struct taxii *t, const char *const *ids, size_t n, json_t *held)
{
    struct buf query = BUF_INIT(8 * KIB);
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i += HELD_IDS) {
        buf_reset(&query);
        r = buf_append_z(&query, "match%5Bversion%5D=all&match%5Bid%5D=");
        for (size_t k = i; k < MIN(n, i + HELD_IDS) && r == 0; k++) {
            r = buf_append_z(&query, k > i ? "," : "");
            if (r == 0)
                r = buf_append_z(&query, ids[k]); /* our own STIX ids: letters, digits and dashes */
        }
        if (r == 0)
            r = held_of(t, &query, held);
    }
    buf_clear(&query);
    return r;
}
