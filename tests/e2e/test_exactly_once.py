# SPDX-License-Identifier: Apache-2.0
"""kill -9 of agent and collector at random moments, while lines flow into several files that are rotated by renaming:
every line is in the archive exactly once and in order, and the alerts are those of a run that nothing disturbed.

VONGGAC_LINES (200000), VONGGAC_KILLS (10 of each program), VONGGAC_SEED (printed; to repeat a run).
"""
import collections
import os
import random
import re
import time

from testbed import PATIENCE_S, SOURCE, wait_until

LINES = int(os.environ.get("VONGGAC_LINES", "200000"))
KILLS = int(os.environ.get("VONGGAC_KILLS", "10"))
SEED = int(os.environ.get("VONGGAC_SEED", time.time_ns() % 1_000_000_007))
FILES = 4
ROTATIONS = 6  # of each file
STEPS = max(40, KILLS * 8)
RULES = [SOURCE / "tests/e2e/data/rules.yml", SOURCE / "rules/level3"]


def make_lines(start):
    """(file, generation, line) in the order of writing; 20 ms of event time apart, so that they span two periods."""
    chance = random.Random(SEED)
    strangers = [f"203.0.113.{n}" for n in range(1, 40)]
    lines = []
    for n in range(LINES):
        at = start + n * 0.02
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}+00:00"
        kind = chance.random()
        if kind < 0.01:  # a few strangers try often, most now and then: windows open and close
            stranger = strangers[int(len(strangers) * chance.random() ** 4)]
            text = f"Failed password for invalid user u{n} from {stranger} port 4022 ssh2"
        elif kind < 0.011:
            text = f"Accepted password for root from {chance.choice(strangers)} port 4022 ssh2"
        else:
            text = f"Connection from 192.0.2.{n % 250 + 1} port 4022 on 192.0.2.251 port 22 rdomain \"\" n{n}"
        file = chance.randrange(FILES)
        generation = n * (ROTATIONS + 1) // LINES
        lines.append((file, generation, f"{stamp} web-{file} sshd[{n}]: {text}\n"))
    return lines


class Writers:
    """Appends to the followed files and rotates them as logrotate does by default."""

    def __init__(self, folder):
        self.folder = folder
        self.generation = [0] * FILES
        self.files = [open(folder / f"auth{i}.log", "a", encoding="ascii") for i in range(FILES)]

    def write(self, lines):
        for file, generation, line in lines:
            if generation != self.generation[file]:
                self.files[file].close()
                path = self.folder / f"auth{file}.log"
                path.rename(self.folder / f"auth{file}.log.{generation}")
                self.files[file] = open(path, "a", encoding="ascii")
                self.generation[file] = generation
            self.files[file].write(line)
        for f in self.files:
            f.flush()

    def close(self):
        for f in self.files:
            f.close()


def run(bed, lines, kills):
    """Writes all lines in STEPS, killing both programs `kills` times in between; returns when all has arrived."""
    chance = random.Random(SEED + 1)
    bed.start()
    agent = bed.agent()
    agent.enroll()
    agent.start()
    writers = Writers(bed.dir / "logs")
    schedule = collections.Counter(chance.choices(range(STEPS), k=kills))
    schedule_collector = collections.Counter(chance.choices(range(STEPS), k=kills))
    for step in range(STEPS):
        writers.write(lines[step * LINES // STEPS:(step + 1) * LINES // STEPS])
        victims = [agent] * schedule[step] + [bed.collector] * schedule_collector[step]
        chance.shuffle(victims)
        for victim in victims:
            time.sleep(chance.random() ** 3 * 0.8)  # mostly soon: while it starts, connects, reads back
            victim.kill()
            if chance.random() < 0.3:
                time.sleep(chance.random() * 0.5)
            victim.start()
        time.sleep(0.02)
    writers.close()
    bed.wait_listening()
    wanted = sum(len(line) for _, _, line in lines)

    def arrived():
        assert agent.is_running() and bed.collector.is_running(), bed.logs()
        return len(bed.export_raw()) >= wanted
    wait_until(f"{LINES} lines arrived", arrived, max(PATIENCE_S, 120), every_s=0.5)
    wait_until("detection is done", lambda: bed.metric("detect_position_bytes") == bed.metric("archive_position_bytes"),
               max(PATIENCE_S, 120))
    agent.stop()
    bed.collector.stop()


def single_detections(bed):
    return bed.query("SELECT rule_id, json_extract(event_json, '$.\"event.original\"') FROM alerts WHERE kind = 'detection'"
                     " ORDER BY 1, 2")


def check_archive(bed, lines):
    stored = bed.export_raw().decode("ascii").splitlines(keepends=True)
    count = collections.Counter(stored)
    lost = [line for _, _, line in lines if count[line] == 0]
    twice = [line for line, n in count.items() if n > 1]
    assert not lost, f"{len(lost)} lines lost, the first: {lost[0]}"
    assert not twice, f"{len(twice)} lines more than once, the first: {twice[0]}"
    assert len(stored) == len(lines)
    last = collections.defaultdict(lambda: -1)
    where = {line: (file, generation, n) for n, (file, generation, line) in enumerate(lines)}
    for line in stored:
        file, generation, n = where[line]
        assert n > last[file, generation], f"out of order within its file: {line}"
        last[file, generation] = n
    bed.vonggac("archive", "verify")


def test_exactly_once(make_bed):
    print(f"\nVONGGAC_SEED={SEED} VONGGAC_LINES={LINES} VONGGAC_KILLS={KILLS}")
    lines = make_lines(int(time.time()) - LINES * 0.02 - 60)
    disturbed, calm = make_bed("disturbed", rules=RULES), make_bed("calm", rules=RULES)
    began = time.monotonic()
    run(disturbed, lines, KILLS)
    print(f"{LINES} lines, {KILLS} kills of each: {time.monotonic() - began:.1f} s")
    check_archive(disturbed, lines)
    killed = len(re.findall(r"vonggac-collector \S+ ready", disturbed.collector.text()))
    print(f"the collector became ready {killed} times")

    began = time.monotonic()
    run(calm, lines, 0)
    print(f"undisturbed: {time.monotonic() - began:.1f} s")
    check_archive(calm, lines)
    assert single_detections(disturbed) == single_detections(calm)
    expected, got = calm.alerts(), disturbed.alerts()
    assert got == expected
    assert {"Brute force", "Direct root login"} <= {row[1] for row in expected}
    print(f"{len(expected)} alerts, {sum(row[2] == 'correlation' for row in expected)} of them correlations")
