/* SPDX-License-Identifier: Apache-2.0
 * See tags.h. Names: MITRE ATT&CK, enterprise matrix. */
#include "collector/tags.h"

static const struct {
    const char *id, *name;
} techniques[] = {
    {"T1003", "OS Credential Dumping"},
    {"T1018", "Remote System Discovery"},
    {"T1021", "Remote Services"},
    {"T1021.004", "Remote Services: SSH"},
    {"T1033", "System Owner/User Discovery"},
    {"T1046", "Network Service Discovery"},
    {"T1053", "Scheduled Task/Job"},
    {"T1053.003", "Scheduled Task/Job: Cron"},
    {"T1059", "Command and Scripting Interpreter"},
    {"T1059.004", "Command and Scripting Interpreter: Unix Shell"},
    {"T1068", "Exploitation for Privilege Escalation"},
    {"T1070", "Indicator Removal"},
    {"T1070.002", "Indicator Removal: Clear Linux or Mac System Logs"},
    {"T1071", "Application Layer Protocol"},
    {"T1078", "Valid Accounts"},
    {"T1078.001", "Valid Accounts: Default Accounts"},
    {"T1078.003", "Valid Accounts: Local Accounts"},
    {"T1083", "File and Directory Discovery"},
    {"T1087", "Account Discovery"},
    {"T1098", "Account Manipulation"},
    {"T1105", "Ingress Tool Transfer"},
    {"T1110", "Brute Force"},
    {"T1110.001", "Brute Force: Password Guessing"},
    {"T1110.003", "Brute Force: Password Spraying"},
    {"T1110.004", "Brute Force: Credential Stuffing"},
    {"T1133", "External Remote Services"},
    {"T1136", "Create Account"},
    {"T1136.001", "Create Account: Local Account"},
    {"T1190", "Exploit Public-Facing Application"},
    {"T1498", "Network Denial of Service"},
    {"T1499", "Endpoint Denial of Service"},
    {"T1505", "Server Software Component"},
    {"T1505.003", "Server Software Component: Web Shell"},
    {"T1543", "Create or Modify System Process"},
    {"T1543.002", "Create or Modify System Process: Systemd Service"},
    {"T1548", "Abuse Elevation Control Mechanism"},
    {"T1548.003", "Abuse Elevation Control Mechanism: Sudo and Sudo Caching"},
    {"T1562", "Impair Defenses"},
    {"T1562.001", "Impair Defenses: Disable or Modify Tools"},
    {"T1562.006", "Impair Defenses: Indicator Blocking"},
    {"T1590", "Gather Victim Network Information"},
    {"T1595", "Active Scanning"},
    {"T1595.001", "Active Scanning: Scanning IP Blocks"},
    {"T1595.002", "Active Scanning: Vulnerability Scanning"},
    {"T1595.003", "Active Scanning: Wordlist Scanning"},
};

static bool is_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
    }
    return true;
}

bool tag_technique(struct str tag, char ret[static TECHNIQUE_LEN])
{
    struct str prefix = STR("attack.");
    if (tag.len <= prefix.len || !str_eq_nocase((struct str){tag.p, prefix.len}, prefix))
        return false;
    const char *p = tag.p + prefix.len;
    size_t len = tag.len - prefix.len;
    if ((len != 5 && len != 9) || (p[0] != 't' && p[0] != 'T') || !is_digits(p + 1, 4) ||
        (len == 9 && (p[5] != '.' || !is_digits(p + 6, 3))))
        return false;
    memcpy(ret, p, len);
    ret[0] = 'T';
    ret[len] = '\0';
    return true;
}

const char *technique_name(const char *id)
{
    for (size_t i = 0; i < ARRAY_LEN(techniques); i++) {
        if (strcmp(techniques[i].id, id) == 0)
            return techniques[i].name;
    }
    return NULL;
}

bool tag_clause(struct str tag, struct str *ret_standard, char ret_clause[static CLAUSE_MAX])
{
    static const char *const standards[] = {"tcvn14423", "tcvn11930", "nd331", "nd333", "nd85", "tt12"};
    const char *dot = tag.len ? memchr(tag.p, '.', tag.len) : NULL;
    if (!dot)
        return false;
    struct str standard = {tag.p, (size_t)(dot - tag.p)};
    size_t len = tag.len - standard.len - 1;
    size_t i = 0;
    while (i < ARRAY_LEN(standards) && !str_eq(standard, str_of(standards[i])))
        i++;
    if (i == ARRAY_LEN(standards) || len == 0 || len >= CLAUSE_MAX)
        return false;
    for (size_t k = 0; k < len; k++)
        ret_clause[k] = dot[1 + k] == '-' ? '.' : dot[1 + k];
    ret_clause[len] = '\0';
    *ret_standard = standard;
    return true;
}
