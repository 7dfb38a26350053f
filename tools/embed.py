#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py NAME INPUT OUTPUT: writes a C file that defines `const char NAME[]` with INPUT's bytes and a NUL."""
import sys

name, source, target = sys.argv[1:]
data = open(source, "rb").read() + b"\0"
with open(target, "w", encoding="ascii") as out:
    out.write(f"extern const char {name}[{len(data)}];\nconst char {name}[{len(data)}] = {{\n")
    for i in range(0, len(data), 24):
        out.write(" ".join(f"{b if b < 128 else b - 256}," for b in data[i:i + 24]) + "\n")
    out.write("};\n")
