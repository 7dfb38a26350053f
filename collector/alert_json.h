/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of `alerts` as the API's JSON (API.md: Alert and its detail members), and their sentence. Select exactly
 * ALERT_COLUMNS (of a table named a), or ALERT_DETAIL_COLUMNS for the detail.
 */
#pragma once

#include "collector/sentence.h"

#include <jansson.h>
#include <sqlite3.h>

#define ALERT_COLUMNS                                                                                                  \
    "a.id, a.change, a.rule_id, a.rule_title, a.rule_title_vi, a.rule_json, a.kind, a.level, a.status, "               \
    "a.close_reason,"                                                                                                  \
    " a.owner, a.is_demo, a.agent, a.host, a.user, a.source_ip, a.destination_ip, a.group_json, a.count, a.first_ns,"  \
    " a.last_ns, a.created_ns, a.updated_ns, a.incident_id"
#define ALERT_DETAIL_COLUMNS ALERT_COLUMNS ", a.event_json, a.matched_json"

enum alert_column {
    ALERT_ID,
    ALERT_CHANGE,
    ALERT_RULE_ID,
    ALERT_RULE_TITLE,
    ALERT_RULE_TITLE_VI,
    ALERT_RULE_JSON,
    ALERT_KIND,
    ALERT_LEVEL,
    ALERT_STATUS,
    ALERT_CLOSE_REASON,
    ALERT_OWNER,
    ALERT_IS_DEMO,
    ALERT_AGENT,
    ALERT_HOST,
    ALERT_USER,
    ALERT_SOURCE_IP,
    ALERT_DESTINATION_IP,
    ALERT_GROUP_JSON,
    ALERT_COUNT,
    ALERT_FIRST,
    ALERT_LAST,
    ALERT_CREATED,
    ALERT_UPDATED,
    ALERT_INCIDENT_ID,
    ALERT_EVENT_JSON,
    ALERT_MATCHED_JSON,
};

json_t *alert_json(sqlite3_stmt *st); /* returns owned; NULL: out of memory */

/* With everything but `history`, which is not in the row. */
json_t *alert_detail_json(sqlite3_stmt *st);

/* row: what alert_json gave for the statement's row. matched: the parsed list, or NULL. *ret is owned. 0 or -ENOMEM. */
int alert_sentence(sqlite3_stmt *st, const json_t *row, const json_t *matched, enum sentence_language language,
                   bool is_public, char **ret);
