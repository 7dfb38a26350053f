#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints "PASSED FAILED SKIPPED" of a JUnit file; exits with 1 when there is none, or no test in it."""
import sys
import xml.etree.ElementTree as ElementTree

try:
    cases = list(ElementTree.parse(sys.argv[1]).iter("testcase"))
except (OSError, ElementTree.ParseError) as error:
    sys.exit(f"{sys.argv[1]}: {error}")
failed = sum(1 for c in cases if c.find("failure") is not None or c.find("error") is not None)
skipped = sum(1 for c in cases if c.find("skipped") is not None)
if not cases:
    sys.exit(f"{sys.argv[1]}: no test ran")
print(len(cases) - failed - skipped, failed, skipped)
