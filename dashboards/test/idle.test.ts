// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { timeLeft } from '../src/idle';

const at = (seconds: number): number => seconds * 1000;
const far = at(12 * 3600);

describe('the warning before a session ends', () => {
  it('comes in the last minute of idling', () => {
    expect(timeLeft(at(839), 0, 900, far)).toBeNull();
    expect(timeLeft(at(840), 0, 900, far)).toEqual({ why: 'idle', seconds: 60 });
    expect(timeLeft(at(899.5), 0, 900, far)).toEqual({ why: 'idle', seconds: 1 });
    expect(timeLeft(at(1000), 0, 900, far)).toEqual({ why: 'idle', seconds: 0 });
  });
  it('goes away with a sign of life', () => expect(timeLeft(at(860), at(850), 900, far)).toBeNull());
  it('comes later where sessions are short', () => {
    expect(timeLeft(at(39), 0, 60, far)).toBeNull();
    expect(timeLeft(at(41), 0, 60, far)).toEqual({ why: 'idle', seconds: 19 });
  });
  it('tells when the end cannot be put off', () => {
    expect(timeLeft(far - at(61), far - at(62), 900, far)).toBeNull();
    expect(timeLeft(far - at(30), far - at(31), 900, far)).toEqual({ why: 'max', seconds: 30 });
    expect(timeLeft(far - at(30), far - at(925), 900, far)).toEqual({ why: 'idle', seconds: 5 });
  });
});
